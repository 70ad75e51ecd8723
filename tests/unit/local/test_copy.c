/* test_copy.c - a message as files and commands get it: own headers, line ends, quoting */
#include "testing.h"

#include <sys/mman.h>

#include "../../../local/common/copy.h"

static struct buffer got;

static int keep(void *context UNUSED, struct slice data)
{
    buffer_append_slice(&got, data);
    return 0;
}

/* copied - what becomes of the content; the From line's date is cut off. */
static const char *copied(struct slice content, int flags, const char *end_of_line)
{
    struct delivery_request request = {0};
    struct delivery delivery = {.request = &request, .content_fd = memfd_create("content", MFD_CLOEXEC), .content_offset = 3};
    struct copy copy = {.delivery = &delivery, .flags = flags, .sender = SLICE("a@b.test"), .original_to = SLICE("o@b.test"),
                        .delivered_to = SLICE("d@b.test"), .end_of_line = slice_of(end_of_line)};
    ck_assert_int_eq(pwrite(delivery.content_fd, "xxx", 3, 0), 3);
    ck_assert_int_eq(pwrite(delivery.content_fd, content.data, content.len, 3), (ssize_t)content.len);
    delivery.content_length = (int64_t)content.len;
    buffer_clear(&got);
    ck_assert_int_eq(copy_message(&copy, keep, NULL), 0);
    close(delivery.content_fd);
    return buffer_string(&got);
}

START_TEST(line_ends_are_the_readers)
{
    static const struct { const char *content, *want; } rows[] = {
        {"a\r\nb\r\n", "a\nb\n"}, {"a", "a\n"}, {"", ""}, {"a\r\n\r\n", "a\n\n"}, {"a\rb\r\n", "a\rb\n"}, {"a\r\r\n", "a\r\n"},
        {"a\r", "a\r\n"}, {"\r\r\r", "\r\r\r\n"}, {"a\nb", "a\nb\n"}, {"\r\n", "\n"}, {"\n\r", "\n\r\n"}};
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        ck_assert_str_eq(copied(slice_of(rows[i].content), 0, "\n"), rows[i].want);
    ck_assert_str_eq(copied(SLICE("a\r\nb"), 0, "\r\n"), "a\r\nb\r\n");
}
END_TEST

START_TEST(nothing_passes_for_a_new_message)
{
    static const struct { const char *content, *want; } rows[] = {
        {"From x\r\nFrom y\r\n", ">From x\n>From y\n\n"}, {"a From b\r\n", "a From b\n\n"}, {"From\r\nx\r\n", "From\nx\n\n"},
        {"a\nFrom bare\r\n", "a\n>From bare\n\n"}, {"a\r\r\nFrom x", "a\r\n>From x\n\n"}, {"from x\r\n", "from x\n\n"},
        {">From x\r\n", ">From x\n\n"}, {"", "\n"}};
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        ck_assert_str_eq(copied(slice_of(rows[i].content), COPY_QUOTE_FROM | COPY_EMPTY_LINE, "\n"), rows[i].want);
}
END_TEST

START_TEST(dots_are_stuffed)
{
    ck_assert_str_eq(copied(SLICE(".\r\n..a\r\nb.\r\n"), COPY_DOT_STUFF, "\n"), "..\n...a\nb.\n");
    ck_assert_str_eq(copied(SLICE("a\n.\n"), COPY_DOT_STUFF, "\n"), "a\n..\n");
}
END_TEST

START_TEST(own_headers_come_first)
{
    ck_assert_str_eq(copied(SLICE("S: x\r\n"), COPY_RETURN_PATH | COPY_ORIGINAL_TO | COPY_DELIVERED_TO, "\n"),
                     "Return-Path: <a@b.test>\nX-Original-To: o@b.test\nDelivered-To: d@b.test\nS: x\n");
    const char *text = copied(SLICE("S: x\r\n"), COPY_FROM_LINE, "\n");
    ck_assert_ptr_eq(strstr(text, "From a@b.test  "), text);
    ck_assert_ptr_nonnull(strstr(text, "\nS: x\n"));
}
END_TEST

/* The content is read in pieces: what lies across their border must come out as in one piece. */
START_TEST(pieces_do_not_show)
{
    static const struct { const char *at_border, *want; } rows[] = {
        {"\r\nFrom x\r\n", "\n>From x\n"}, {"\r\n.x\r\n", "\n.x\n"}, {"From x\r\n", "From x\n"}, {"\r\rFrom x\r\n", "\r\rFrom x\n"}};
    char *content = memory_alloc(64 * 1024 + 100), *want = memory_alloc(64 * 1024 + 100);
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        for (size_t before = 64 * 1024 - 12; before < 64 * 1024 + 2; before++) {
            memset(content, 'x', before);
            memset(want, 'x', before);
            for (int with_lines = 0; with_lines < 2; with_lines++) {
                if (with_lines)
                    content[100] = want[100] = '\n';
                snprintf(content + before, 90, "%s", rows[i].at_border);
                snprintf(want + before, 90, "%s", rows[i].want);
                ck_assert_str_eq(copied(slice_of(content), COPY_QUOTE_FROM, "\n"), want);
            }
        }
    free(content);
    free(want);
    buffer_release(&got);
}
END_TEST

static int refuse(void *context, struct slice data UNUSED)
{
    ++*(int *)context;
    return ENOSPC;
}

START_TEST(the_first_error_ends_it)
{
    struct delivery_request request = {0};
    struct delivery delivery = {.request = &request, .content_fd = memfd_create("content", MFD_CLOEXEC), .content_length = 200000};
    struct copy copy = {.delivery = &delivery, .end_of_line = SLICE("\n")};
    int calls = 0;
    ck_assert_int_eq(copy_message(&copy, keep, NULL), EIO); /* shorter than promised */
    ck_assert_int_eq(ftruncate(delivery.content_fd, 200000), 0);
    ck_assert_int_eq(copy_message(&copy, refuse, &calls), ENOSPC);
    ck_assert_int_eq(calls, 1);
    close(delivery.content_fd);
    buffer_release(&got);
}
END_TEST

TEST_MAIN("local/copy", line_ends_are_the_readers, nothing_passes_for_a_new_message, dots_are_stuffed, own_headers_come_first, pieces_do_not_show,
          the_first_error_ends_it)
