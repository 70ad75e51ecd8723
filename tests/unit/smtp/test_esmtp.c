/* test_esmtp.c - words and parameters of commands */
#include "testing.h"

#include "smtp/esmtp.h"

enum { ALL = SMTP_ALLOW_DSN | SMTP_ALLOW_UTF8 | SMTP_ALLOW_VERP };

START_TEST(words)
{
    struct slice verb, rest;

    ck_assert(smtp_command_split(SLICE("  MAIL  FROM:<a@b> \t"), &verb, &rest));
    ASSERT_SLICE(verb, "MAIL");
    ASSERT_SLICE(rest, "FROM:<a@b>");
    ck_assert(!smtp_command_split(SLICE(" \t"), &verb, &rest));
    ck_assert(smtp_command_argument(SLICE("from: <a@b> X"), SLICE("FROM"), &rest));
    ASSERT_SLICE(rest, "<a@b> X");
    ck_assert(!smtp_command_argument(SLICE("FROM:"), SLICE("FROM"), &rest));
    ck_assert(!smtp_command_argument(SLICE("FROM : <a>"), SLICE("FROM"), &rest));
    ck_assert(!smtp_command_argument(SLICE("FROM"), SLICE("FROM"), &rest));
    ck_assert(!smtp_command_argument(SLICE("TO:<a>"), SLICE("FROM"), &rest));
}
END_TEST

START_TEST(mail)
{
    struct arena *arena = arena_new(0);
    struct smtp_mail_parameters p;
    enum smtp_reply_id why;
    struct slice word;

    ck_assert(smtp_mail_parameters(SLICE("SIZE=100 body=8BITMIME ret=hdrs ENVID=a+2Bb SMTPUTF8 XVERP=+= AUTH=<>"), ALL, arena, &p, &why, &word));
    ck_assert_int_eq(p.size, 100);
    ck_assert_str_eq(p.encoding, "8bit");
    ck_assert_int_eq(p.ret, 2);
    ASSERT_SLICE(p.envid, "a+b");
    ASSERT_SLICE(p.verp_delimiters, "+=");
    ck_assert(p.smtputf8 && p.verp && p.has_auth);
    ck_assert(smtp_mail_parameters(SLICE("AUTH=a+3Db+zz"), 0, arena, &p, &why, &word) && p.has_auth);
    ASSERT_SLICE(p.auth, "a+3Db+zz");
    ck_assert(smtp_mail_parameters(SLICE("requiretls"), SMTP_ALLOW_REQUIRE_TLS, arena, &p, &why, &word) && p.require_tls);
    ck_assert(smtp_mail_parameters(SLICE(""), 0, arena, &p, &why, &word) && p.size == 0);
    arena_free(arena);
}
END_TEST

START_TEST(mail_faults)
{
    static const struct { const char *text; int allowed; enum smtp_reply_id why; } rows[] = {
        {"SIZE=abc", ALL, REPLY_BAD_SIZE}, {"SIZE=", ALL, REPLY_BAD_SIZE}, {"SIZE=-1", ALL, REPLY_BAD_SIZE}, {"SIZE=+1", ALL, REPLY_BAD_SIZE},
        {"SIZE=99999999999999999999", ALL, REPLY_SIZE_OVER_FILE_SYSTEM}, {"BODY=9BIT", ALL, REPLY_UNSUPPORTED_OPTION},
        {"RET=SOME", ALL, REPLY_BAD_RET}, {"RET=FULL RET=HDRS", ALL, REPLY_BAD_RET}, {"RET=FULL", 0, REPLY_DSN_DISABLED},
        {"ENVID=a+zz", ALL, REPLY_BAD_ENVID}, {"ENVID=+0A", ALL, REPLY_BAD_ENVID}, {"ENVID=x", 0, REPLY_DSN_DISABLED},
        {"SMTPUTF8", 0, REPLY_UNSUPPORTED_OPTION}, {"XVERP", 0, REPLY_UNSUPPORTED_OPTION}, {"AUTH=x AUTH=y", ALL, REPLY_MULTIPLE_AUTH},
        {"REQUIRETLS", ALL, REPLY_UNSUPPORTED_OPTION}, {"REQUIRETLS=1", SMTP_ALLOW_REQUIRE_TLS, REPLY_UNSUPPORTED_OPTION},
        {"REQUIRETLS", SMTP_KNOW_REQUIRE_TLS, REPLY_REQUIRETLS_NEEDS_TLS},
        {"FOO", ALL, REPLY_UNSUPPORTED_OPTION}, {"=", ALL, REPLY_UNSUPPORTED_OPTION}, {"SIZE", ALL, REPLY_UNSUPPORTED_OPTION},
    };
    struct arena *arena = arena_new(0);

    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct smtp_mail_parameters p;
        enum smtp_reply_id why = SMTP_REPLY_COUNT;
        struct slice word;
        ck_assert_msg(!smtp_mail_parameters(slice_of(rows[i].text), rows[i].allowed, arena, &p, &why, &word), "%s was taken", rows[i].text);
        ck_assert_msg(why == rows[i].why, "%s: got %d want %d", rows[i].text, why, rows[i].why);
    }
    arena_free(arena);
}
END_TEST

START_TEST(rcpt)
{
    static const struct { const char *text; enum smtp_reply_id why; } faults[] = {
        {"NOTIFY=NEVER,FAILURE", REPLY_BAD_NOTIFY}, {"NOTIFY=SOMETIMES", REPLY_BAD_NOTIFY}, {"NOTIFY=", REPLY_BAD_NOTIFY},
        {"NOTIFY=,", REPLY_BAD_NOTIFY}, {"NOTIFY=NEVER NOTIFY=NEVER", REPLY_BAD_NOTIFY}, {"ORCPT=alice@lab", REPLY_BAD_ORCPT},
        {"ORCPT=;x", REPLY_BAD_ORCPT}, {"ORCPT=rfc822;+zz", REPLY_BAD_ORCPT}, {"ORCPT=rfc822;a ORCPT=rfc822;b", REPLY_BAD_ORCPT},
        {"FOO=1", REPLY_UNSUPPORTED_OPTION}, {"NOTIFY", REPLY_UNSUPPORTED_OPTION},
    };
    struct arena *arena = arena_new(0);
    struct smtp_rcpt_parameters p;
    enum smtp_reply_id why;
    struct slice word;

    ck_assert(smtp_rcpt_parameters(SLICE("ORCPT=rfc822;a+2Bb@lab.test NOTIFY=success,delay,failure"), ALL, arena, &p, &why, &word));
    ASSERT_SLICE(p.orcpt, "rfc822;a+b@lab.test");
    ck_assert_int_eq(p.notify, 14);
    ck_assert(smtp_rcpt_parameters(SLICE("ORCPT=rfc822; NOTIFY=NEVER"), ALL, arena, &p, &why, &word));
    ck_assert_int_eq(p.notify, 1);
    ck_assert(smtp_rcpt_parameters(SLICE("ORCPT=utf-8;\xc3\xa9@x"), ALL, arena, &p, &why, &word));
    ck_assert(smtp_rcpt_parameters(SLICE("ORCPT=rfc822;+C3+A9@x"), ALL, arena, &p, &why, &word));
    ASSERT_SLICE(p.orcpt, "rfc822;\xc3\xa9@x");
    for (size_t i = 0; i < COUNT_OF(faults); i++) {
        ck_assert_msg(!smtp_rcpt_parameters(slice_of(faults[i].text), ALL, arena, &p, &why, &word), "%s was taken", faults[i].text);
        ck_assert_msg(why == faults[i].why, "%s: got %d want %d", faults[i].text, why, faults[i].why);
    }
    ck_assert(!smtp_rcpt_parameters(SLICE("NOTIFY=NEVER"), 0, arena, &p, &why, &word) && why == REPLY_DSN_DISABLED);
    arena_free(arena);
}
END_TEST

START_TEST(bdat)
{
    int64_t count;
    bool last;

    ck_assert(smtp_bdat_parameters(SLICE("0 last"), &count, &last) && count == 0 && last);
    ck_assert(smtp_bdat_parameters(SLICE("86"), &count, &last) && count == 86 && !last);
    ck_assert(!smtp_bdat_parameters(SLICE(""), &count, &last));
    ck_assert(!smtp_bdat_parameters(SLICE("x"), &count, &last));
    ck_assert(!smtp_bdat_parameters(SLICE("-5"), &count, &last));
    ck_assert(!smtp_bdat_parameters(SLICE("5 LAST x"), &count, &last));
    ck_assert(!smtp_bdat_parameters(SLICE("5 FOO"), &count, &last));
    ck_assert(!smtp_bdat_parameters(SLICE("99999999999999999999 LAST"), &count, &last));
}
END_TEST

TEST_MAIN("smtp/esmtp", words, mail, mail_faults, rcpt, bdat)
