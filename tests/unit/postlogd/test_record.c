/* test_record.c - what postlogd writes of what it is sent */
#include "testing.h"

#include "../../../master/postlogd/record.h"

START_TEST(makes_lines)
{
    struct buffer line = BUFFER_INIT;
    ck_assert(record_to_line(SLICE("<22>Nov  3 18:18:51 postfix/sendmail[12]: fatal: x\ny\n"), "mail", &line));
    ASSERT_SLICE(buffer_slice(&line), "Nov  3 18:18:51 mail postfix/sendmail[12]: fatal: x?y\n");
    buffer_release(&line);
}
END_TEST

START_TEST(refuses_others)
{
    static const struct slice bad[] = {SLICE(""), SLICE("<"), SLICE("<>"), SLICE("<22>"), SLICE("hello"), SLICE("<abc>Nov  3 18:18:51 t: x"),
                                       SLICE("<22>Nov  3 18:18:51"), SLICE("<22>now t[1]: x and more of it"), SLICE("<99999>Nov  3 18:18:51 t: x")};
    struct buffer line = BUFFER_INIT;
    for (size_t i = 0; i < COUNT_OF(bad); i++)
        ck_assert_msg(!record_to_line(bad[i], "h", &line), "case %zu", i);
    buffer_release(&line);
}
END_TEST

START_TEST(cuts_long_ones)
{
    struct buffer record = BUFFER_INIT, line = BUFFER_INIT;
    buffer_append_string(&record, "<22>Nov  3 18:18:51 t[1]: ");
    for (int i = 0; i < 60000; i++)
        buffer_append_byte(&record, 'x');
    ck_assert(record_to_line(buffer_slice(&record), "h", &line));
    ck_assert_uint_eq(line.len, 2001);
    buffer_release(&record);
    buffer_release(&line);
}
END_TEST

TEST_MAIN("postlogd/record", makes_lines, refuses_others, cuts_long_ones)
