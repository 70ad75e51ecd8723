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
    {"a\r\r\n.\r\n", "a\r\r\n", "", true, false},
    {"a\rb\r\n.\r\n", "a\rb\r\n", "", true, false},
    {"\r\r\r\n.\r\n", "\r\r\r\n", "", true, false},
    /* what smuggling tries (RFC 5321 4.1.1.4): none of these ends a message when the rule is strict */
    {"a\n.\nMAIL\r\n.\r\n", "a\r\nMAIL\r\n", "", true, true},
    {"a\n.\r\nMAIL\r\n.\r\n", "a\r\nMAIL\r\n", "", true, true},
    {"a\r\n.\nMAIL\r\n.\r\n", "a\r\nMAIL\r\n", "", true, true},
    {"a\r\n.\rMAIL\r\n.\r\n", "a\r\n\rMAIL\r\n", "", true, false},
    {"a\r.\r\nb\r\n.\r\n", "a\r.\r\nb\r\n", "", true, false},
    {"a\r\n.\r\r\nb\r\n.\r\n", "a\r\n\r\r\nb\r\n", "", true, false},
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
        {"..a\nb", "", "..a\r\nb\r\n"}, {"a\r", "\r\n", "a\r\r\n"}, {"", "", ""}, {"\r", "x", "\rx\r\n"}, {"a\r\r", "", "a\r\r\r\n"},
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

/* ---- every text of seven bytes out of what matters ---- */

enum { EVERY_LENGTH = 7 };
static const char alphabet[] = {'\r', '\n', '\0', '.', 'a'};

/* end_of - where the message ends by the rule, and what the rule is: CRLF "." CRLF, and the beginning counts as a CRLF; or LF "." any CRs LF. */
static size_t end_of(struct slice text, bool strict)
{
    for (size_t i = 0; i < text.len; i++) {
        size_t at = i + 1;
        if (text.data[i] != '.' || !(i == 0 || (text.data[i - 1] == '\n' && (!strict || (i >= 2 && text.data[i - 2] == '\r')))))
            continue;
        size_t crs = 0;
        while (at < text.len && text.data[at] == '\r')
            at++, crs++;
        if (at < text.len && text.data[at] == '\n' && (!strict || crs == 1))
            return at + 1;
    }
    return SIZE_MAX;
}

/* take_all - in pieces; where the message ended, SIZE_MAX: nowhere. */
static size_t take_all(struct slice text, bool strict, size_t piece, struct buffer *out)
{
    struct smtp_data data;
    size_t taken = 0;
    bool end = false;

    buffer_clear(out);
    smtp_data_init(&data, true, strict);
    while (taken < text.len && !end)
        taken += smtp_data_feed(&data, slice_first(slice_from(text, taken), piece), collect, out, &end);
    if (end)
        ck_assert_int_eq(smtp_data_size(&data), (int64_t)out->len);
    return end ? taken : SIZE_MAX;
}

/* check_sent_on - what came out has no lone LF, and stuffed again it is one message, the same one. */
static void check_sent_on(struct slice content, struct buffer *wire, struct buffer *again)
{
    bool at_start = true;

    buffer_clear(wire);
    for (size_t i = 0; i < content.len; i++) {
        ck_assert(content.data[i] != '\n' || (i > 0 && content.data[i - 1] == '\r'));
        if (at_start && content.data[i] == '.')
            buffer_append_byte(wire, '.');
        buffer_append_byte(wire, content.data[i]);
        at_start = content.data[i] == '\n';
    }
    buffer_append_string(wire, ".\r\n");
    ck_assert_uint_eq(take_all(buffer_slice(wire), true, SIZE_MAX, again), wire->len);
    ck_assert(slice_equal(buffer_slice(again), content));
}

START_TEST(everything)
{
    struct buffer out = BUFFER_INIT, wire = BUFFER_INIT, again = BUFFER_INIT;
    char text[EVERY_LENGTH];
    unsigned count = 1;

    for (int i = 0; i < EVERY_LENGTH; i++)
        count *= COUNT_OF(alphabet);
    for (unsigned number = 0; number < count; number++) {
        unsigned rest = number;
        for (int i = 0; i < EVERY_LENGTH; i++, rest /= COUNT_OF(alphabet))
            text[i] = alphabet[rest % COUNT_OF(alphabet)];
        struct slice all = slice_make(text, EVERY_LENGTH);
        for (int strict = 0; strict <= 1; strict++)
            for (size_t piece = 1; piece <= EVERY_LENGTH; piece += 2) {
                size_t end = take_all(all, strict, piece, &out);
                ck_assert_msg(end == end_of(all, strict), "text %u, strict %d, piece %zu: ends at %zu, want %zu", number, strict, piece, end, end_of(all, strict));
                if (end != SIZE_MAX)
                    check_sent_on(buffer_slice(&out), &wire, &again);
            }
    }
    buffer_release(&out);
    buffer_release(&wire);
    buffer_release(&again);
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

TEST_MAIN("smtp/data", messages, chunks, everything, plain_content_is_one_piece)
