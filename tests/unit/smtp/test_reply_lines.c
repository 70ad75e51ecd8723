/* test_reply_lines.c - building and parsing reply lines */
#include "testing.h"

#include "base/verdict.h"
#include "smtp/reply.h"
#include "smtp/xtext.h"

static struct buffer out;

static struct slice line(int code, bool more, const char *status, const char *text)
{
    buffer_clear(&out);
    smtp_reply_line(&out, code, more, status, slice_of(text));
    return buffer_slice(&out);
}

START_TEST(lines)
{
    ASSERT_SLICE(line(250, false, "2.0.0", "Ok"), "250 2.0.0 Ok\r\n");
    ASSERT_SLICE(line(250, true, "", "mail.example"), "250-mail.example\r\n");
    ASSERT_SLICE(line(250, false, "2.1.0", ""), "250 2.1.0 \r\n"); /* as Postfix */
    ASSERT_SLICE(line(550, false, "5.7.1", "a\r\nb\x7f\x01 c"), "550 5.7.1 a  b   c\r\n");
}
END_TEST

START_TEST(long_lines_are_cut)
{
    char text[2000];

    memset(text, 'x', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    struct slice got = line(550, false, "5.7.1", text);
    ck_assert_uint_eq(got.len, SMTP_REPLY_LINE_MAX + 2);
    ck_assert(slice_ends(got, SLICE("xx\r\n")));
    /* never inside a UTF-8 sequence */
    for (size_t i = 0; i + 1 < sizeof(text); i += 2)
        memcpy(text + i, "\xc3\xa9", 2);
    text[sizeof(text) - 2] = '\0';
    got = line(550, false, "5.7.1", text);
    ck_assert(slice_is_utf8(slice_first(got, got.len - 2)));
}
END_TEST

START_TEST(every_fixed_reply_is_sound)
{
    for (int id = 0; id < SMTP_REPLY_COUNT; id++) {
        const struct smtp_reply *reply = smtp_reply((enum smtp_reply_id)id);
        struct status_code status;
        struct slice rest;

        ck_assert_int_ge(reply->code, 200);
        ck_assert_int_le(reply->code, 599);
        if (reply->status[0]) {
            ck_assert(status_code_parse(slice_of(reply->status), &status, &rest));
            ck_assert_int_eq(status.class, reply->code / 100);
            ck_assert_uint_eq(rest.len, 0);
        }
        ck_assert_int_eq(slice_has_control(slice_of(reply->text)), 0);
    }
}
END_TEST

START_TEST(filling)
{
    const struct slice values[] = {SLICE("one"), SLICE("two")};

    buffer_clear(&out);
    smtp_reply_fill(&out, "a {} b {} c {}.", values, 2);
    ASSERT_SLICE(buffer_slice(&out), "a one b two c .");
    buffer_clear(&out);
    smtp_reply_fill(&out, "plain", NULL, 0);
    ASSERT_SLICE(buffer_slice(&out), "plain");
}
END_TEST

START_TEST(soft)
{
    char status[] = "5.7.1", other[] = "4.7.1", none[] = "";

    ck_assert_int_eq(smtp_reply_soften(554, status), 454);
    ck_assert_str_eq(status, "4.7.1");
    ck_assert_int_eq(smtp_reply_soften(450, other), 450);
    ck_assert_int_eq(smtp_reply_soften(500, none), 400);
}
END_TEST

START_TEST(parsing)
{
    int code;
    bool more;
    struct slice text;

    ck_assert(smtp_reply_parse(SLICE("250-host"), &code, &more, &text) && code == 250 && more);
    ASSERT_SLICE(text, "host");
    ck_assert(smtp_reply_parse(SLICE("250"), &code, &more, &text) && !more && text.len == 0);
    ck_assert(smtp_reply_parse(SLICE("421 bye"), &code, &more, &text) && code == 421);
    ck_assert(!smtp_reply_parse(SLICE("25 x"), &code, &more, &text));
    ck_assert(!smtp_reply_parse(SLICE("250x"), &code, &more, &text));
    ck_assert(smtp_reply_parse(SLICE("199 x"), &code, &more, &text) && code == 199);
    ck_assert(!smtp_reply_parse(SLICE("099 x"), &code, &more, &text));
    ck_assert(!smtp_reply_parse(SLICE(""), &code, &more, &text));
}
END_TEST

START_TEST(splitting)
{
    int code;
    struct status_code status;
    struct slice rest;

    ck_assert(smtp_reply_split(SLICE("450 4.7.1 try later"), &code, &status, &rest) && code == 450 && status.subject == 7);
    ASSERT_SLICE(rest, "try later");
    ck_assert(smtp_reply_split(SLICE("550 5x"), &code, &status, &rest) && status.class == 0);
    ASSERT_SLICE(rest, "5x");
    ck_assert(smtp_reply_split(SLICE("550 4.7.1 x"), &code, &status, &rest) && status.class == 0); /* does not agree */
    ck_assert(!smtp_reply_split(SLICE("250 ok"), &code, &status, &rest));
    ck_assert(!smtp_reply_split(SLICE("5501 x"), &code, &status, &rest));
    ck_assert(!smtp_reply_split(SLICE("reject"), &code, &status, &rest));
}
END_TEST

START_TEST(xtext)
{
    buffer_clear(&out);
    xtext_encode(&out, SLICE("a+b=c d\x7f"));
    ASSERT_SLICE(buffer_slice(&out), "a+2Bb+3Dc+20d+7F");
    char *copy = slice_string(buffer_slice(&out));
    struct slice coded = slice_of(copy);
    buffer_clear(&out);
    ck_assert(xtext_decode(&out, coded));
    ASSERT_SLICE(buffer_slice(&out), "a+b=c d\x7f");
    buffer_clear(&out);
    ck_assert(!xtext_decode(&out, SLICE("a+zz")));
    ck_assert(!xtext_decode(&out, SLICE("a+2")));
    ck_assert(!xtext_decode(&out, SLICE("+")));
    free(copy);
}
END_TEST

TEST_MAIN("smtp/reply_lines", lines, long_lines_are_cut, every_fixed_reply_is_sound, filling, soft, parsing, splitting, xtext)
