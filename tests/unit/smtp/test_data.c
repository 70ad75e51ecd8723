/* test_data.c - content from the wire, cut in every possible way */
#include "testing.h"

#include "base/buffer.h"
#include "smtp/data.h"

static void collect(void *context, struct slice content)
{
    buffer_append_slice(context, content);
}

/* One message: what is sent, what comes out, what is left over. */
struct row {
    const char *sent, *content, *left;
    bool strict, bare_lf;
};

static const struct row rows[] = {
    {".\r\nQUIT\r\n", "", "QUIT\r\n", true, false},
    {"a\r\n.\r\nx", "a\r\n", "x", true, false},
    {"..\r\n...b\r\n.c\r\n.\r\n", ".\r\n..b\r\nc\r\n", "", true, false},
    {"a\r\n\r\n.\r\n", "a\r\n\r\n", "", true, false},
    {"a\nb\n\r\n.\r\n", "a\r\nb\r\n\r\n", "", true, true},
    {"a\r\r\n.\r\n", "a\r\n", "", true, false},
    {"a\rb\r\n.\r\n", "a\rb\r\n", "", true, false},
    {"\r\r\r\n.\r\n", "\r\n", "", true, false},
    /* what smuggling tries (RFC 5321 4.1.1.4): none of these ends a message when the rule is strict */
    {"a\n.\nMAIL\r\n.\r\n", "a\r\nMAIL\r\n", "", true, true},
    {"a\n.\r\nMAIL\r\n.\r\n", "a\r\nMAIL\r\n", "", true, true},
    {"a\r\n.\nMAIL\r\n.\r\n", "a\r\nMAIL\r\n", "", true, true},
    {"a\r\n.\rMAIL\r\n.\r\n", "a\r\n\rMAIL\r\n", "", true, false},
    {"a\r.\r\nb\r\n.\r\n", "a\r.\r\nb\r\n", "", true, false},
    {"a\r\n.\r\r\nb\r\n.\r\n", "a\r\n\r\nb\r\n", "", true, false},
    {"\n.\r\n.\r\n", "\r\n", "", true, true},
    /* the old rule */
    {"a\n.\nMAIL\r\n", "a\r\n", "MAIL\r\n", false, true},
    {"a\n.\r\nMAIL\r\n", "a\r\n", "MAIL\r\n", false, true},
    {"a\r\n.\nMAIL\r\n", "a\r\n", "MAIL\r\n", false, true},
};

/* feed - in pieces of the given size. */
static void check(const struct row *row, size_t piece)
{
    struct smtp_data data;
    struct buffer out = BUFFER_INIT;
    struct slice rest = slice_of(row->sent);
    bool end = false;

    smtp_data_init(&data, true, row->strict);
    while (rest.len && !end) {
        /* each piece in memory of its own size, so that reading past it is seen */
        struct slice now = slice_first(rest, piece);
        char *copy = memory_copy(now.data, now.len);
        size_t taken = smtp_data_feed(&data, slice_make(copy, now.len), collect, &out, &end);
        free(copy);
        ck_assert(taken == now.len || end);
        rest = slice_from(rest, taken);
    }
    ck_assert_msg(end, "\"%s\" has no end", row->sent);
    ASSERT_SLICE(buffer_slice(&out), row->content);
    ASSERT_SLICE(rest, row->left);
    ck_assert_int_eq(data.bare_lf, row->bare_lf);
    ck_assert_int_eq(smtp_data_size(&data), (int64_t)out.len);
    smtp_data_finish(&data, collect, &out);
    ASSERT_SLICE(buffer_slice(&out), row->content);
    buffer_release(&out);
}

START_TEST(messages)
{
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        for (size_t piece = 1; piece <= strlen(rows[i].sent); piece++)
            check(&rows[i], piece);
}
END_TEST

START_TEST(chunks)
{
    static const struct { const char *first, *second, *content; } pairs[] = {
        {"a\r\n.\r\nb\r\n", "", "a\r\n.\r\nb\r\n"}, {"a\r", "\nb", "a\r\nb\r\n"}, {"a", "b\n", "ab\r\n"}, {"a\r", "", "a\r\n"},
        {"..a\nb", "", "..a\r\nb\r\n"}, {"a\r", "\r\n", "a\r\n"}, {"", "", ""}, {"\r", "x", "\rx\r\n"}, {"a\r\r", "", "a\r\r\r\n"},
    };

    for (size_t i = 0; i < COUNT_OF(pairs); i++) {
        struct smtp_data data;
        struct buffer out = BUFFER_INIT;
        bool end;
        smtp_data_init(&data, false, true);
        smtp_data_feed(&data, slice_of(pairs[i].first), collect, &out, &end);
        ck_assert(!end);
        smtp_data_feed(&data, slice_of(pairs[i].second), collect, &out, &end);
        smtp_data_finish(&data, collect, &out);
        ASSERT_SLICE(buffer_slice(&out), pairs[i].content);
        ck_assert_int_eq(smtp_data_size(&data), (int64_t)out.len);
        buffer_release(&out);
    }
}
END_TEST

static void count_pieces(void *context, struct slice content)
{
    (void)content;
    (*(int *)context)++;
}

START_TEST(plain_content_is_one_piece)
{
    struct smtp_data data;
    int pieces = 0;
    bool end;

    smtp_data_init(&data, true, true);
    smtp_data_feed(&data, SLICE("Subject: x\r\n\r\none\r\ntwo\r\nthree\r\n.\r\n"), count_pieces, &pieces, &end);
    ck_assert(end);
    ck_assert_int_eq(pieces, 1);
}
END_TEST

TEST_MAIN("smtp/data", messages, chunks, plain_content_is_one_piece)
