/* test_content.c - content on its way to the wire: dots, long lines, stray CR and LF, cut anywhere */
#include "testing.h"

#include "../../../smtp/content.h"

static void check(const char *input, size_t limit, const char *want)
{
    size_t length = strlen(input);

    for (size_t cut = 0; cut <= length; cut++) {
        struct buffer out = BUFFER_INIT;
        struct content_state state;
        content_state_init(&state, limit);
        content_transform(&state, slice_make(input, cut), &out);
        content_transform(&state, slice_make(input + cut, length - cut), &out);
        ck_assert_msg(slice_equal(buffer_slice(&out), slice_of(want)), "cut at %zu: got \"%s\" want \"%s\"", cut, buffer_string(&out), want);
        buffer_release(&out);
    }
}

START_TEST(dots)
{
    check(".\r\n..\r\na.b\r\n.c\r\n", 998, "..\r\n...\r\na.b\r\n..c\r\n");
    check("\r\n.\r\n", 998, "\r\n..\r\n");
}
END_TEST

START_TEST(stray_line_ends)
{
    check("a\rb\r\n", 998, "a b\r\n");
    check("a\nb\r\n", 998, "a b\r\n");
    check("a\r\r\nb\r\n", 998, "a \r\nb\r\n");
}
END_TEST

START_TEST(long_lines)
{
    check("abcdefgh\r\n", 4, "abcd\r\n efg\r\n h\r\n");
    check("abcd\r\nx\r\n", 4, "abcd\r\nx\r\n");
    check("abcdefgh\r\n", 0, "abcdefgh\r\n");
}
END_TEST

TEST_MAIN("smtp/content", dots, stray_line_ends, long_lines)
