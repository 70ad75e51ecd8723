/* test_mta_sts.c - policies of MTA-STS and the addresses of TLS reports: what is one, what is none, what it says */
#include "testing.h"

#include "tls/mta_sts.h"
#include "tls/report_record.h"

START_TEST(test_records)
{
    static const struct { const char *text, *id; } rows[] = {
        {"v=STSv1; id=20160831085700Z;", "20160831085700Z"},
        {"v=STSv1;id=1", "1"},
        {"v=STSv1 ; x=y ; id=abc ; id=def", "abc"},
        {"v=STSv1;", NULL},
        {"v=STSv1; id=;", NULL},
        {"v=STSv1; id=a-b;", NULL},
        {"v=STSv1; id=123456789012345678901234567890123", NULL},
        {"V=STSv1; id=1", NULL},
        {"v=STSv2; id=1", NULL},
        {"v=spf1 -all", NULL},
        {"id=1; v=STSv1", NULL},
        {"", NULL},
    };

    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct slice id = SLICE("");
        bool good = mta_sts_record(slice_of(rows[i].text), &id);
        ck_assert_msg(good == (rows[i].id != NULL), "\"%s\": got %d", rows[i].text, good);
        if (good)
            ASSERT_SLICE(id, rows[i].id);
    }
}
END_TEST

static bool parse(const char *text, struct arena *arena, struct mta_sts_policy *policy, struct buffer *why)
{
    buffer_clear(why);
    return mta_sts_parse(slice_of(text), arena, policy, why);
}

START_TEST(test_policies)
{
    struct arena *arena = arena_new(0);
    struct buffer why = BUFFER_INIT_MAX(512);
    struct mta_sts_policy policy;

    ck_assert(parse("version: STSv1\r\nmode: enforce\r\nmx: Mail.Example.com\r\nmx: *.example.net\r\nmx: backup.example.org.\r\nmax_age: 604800\r\n", arena,
                    &policy, &why));
    ck_assert_int_eq(policy.mode, MTA_STS_ENFORCE);
    ck_assert_int_eq(policy.max_age, 604800);
    ck_assert_uint_eq(policy.pattern_count, 3);
    ck_assert(mta_sts_matches(&policy, SLICE("mail.example.com")));
    ck_assert(mta_sts_matches(&policy, SLICE("MAIL.example.com.")));
    ck_assert(mta_sts_matches(&policy, SLICE("a.example.net")));
    ck_assert(mta_sts_matches(&policy, SLICE("backup.example.org")));
    ck_assert(!mta_sts_matches(&policy, SLICE("a.b.example.net")));
    ck_assert(!mta_sts_matches(&policy, SLICE("example.net")));
    ck_assert(!mta_sts_matches(&policy, SLICE(".example.net")));
    ck_assert(!mta_sts_matches(&policy, SLICE("xmail.example.com")));
    ck_assert(!mta_sts_matches(&policy, SLICE("")));
    ck_assert(parse("version: STSv1\nmode: none\nmax_age: 9999999999", arena, &policy, &why));
    ck_assert_int_eq(policy.max_age, MTA_STS_MAX_AGE);
    ck_assert(parse("version: STSv1\nmode :testing\nfuture: x\nmode: enforce\nmx: a.b\nmax_age:1\n\n", arena, &policy, &why)); /* the first counts */
    ck_assert_int_eq(policy.mode, MTA_STS_TESTING);
    buffer_release(&why);
    arena_free(arena);
}
END_TEST

START_TEST(test_bad_policies)
{
    static const struct { const char *text, *why; } rows[] = {
        {"", "no version"},
        {"version: STSv2\nmode: none\nmax_age: 1\n", "unknown version \"STSv2\""},
        {"version: STSv1\nmax_age: 1\n", "no mode"},
        {"version: STSv1\nmode: none\n", "no max_age"},
        {"version: STSv1\nmode: enforce\nmax_age: 1\n", "no mx"},
        {"version: STSv1\nmode: maybe\n", "unknown mode \"maybe\""},
        {"version: STSv1\nmode: none\nmax_age: -1\n", "bad max_age \"-1\""},
        {"version: STSv1\nmode: none\nmax_age: 12345678901\n", "bad max_age \"12345678901\""},
        {"version: STSv1\nmode: enforce\nmx: *.*.a\nmax_age: 1\n", "bad mx \"*.*.a\""},
        {"version: STSv1\nmode: enforce\nmx: a..b\nmax_age: 1\n", "bad mx \"a..b\""},
        {"version: STSv1\nmode: enforce\nmx:\nmax_age: 1\n", "bad mx \"\""},
        {"<html>\n", "malformed line \"<html>\""},
    };
    struct arena *arena = arena_new(0);
    struct buffer why = BUFFER_INIT_MAX(512);
    struct mta_sts_policy policy;

    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        ck_assert_msg(!parse(rows[i].text, arena, &policy, &why), "\"%s\" is good", rows[i].text);
        ck_assert_str_eq(buffer_string(&why), rows[i].why);
    }
    buffer_release(&why);
    arena_free(arena);
}
END_TEST

START_TEST(test_report_records)
{
    static const struct { const char *text, *targets; } rows[] = {
        {"v=TLSRPTv1;rua=mailto:reports@example.com", "reports@example.com"},
        {"v=TLSRPTv1; rua=https://reporting.example.com/v1/tlsrpt;", "https://reporting.example.com/v1/tlsrpt"},
        {"v=TLSRPTv1; rua=mailto:a@b.c , https://d.e/f,ftp://x", "a@b.c https://d.e/f"},
        {"v=TLSRPTv1; rua=mailto:a%2Bb@c?subject=x", "a+b@c"},
        {"v=TLSRPTv1; rua=mailto:a%0Ab@c", ""},
        {"v=TLSRPTv1; rua=mailto:a@b@c,mailto:@c,mailto:a,mailto:a%4", ""},
        {"v=TLSRPTv1", NULL},
        {"rua=mailto:a@b", NULL},
        {"v=TLSRPTv2; rua=mailto:a@b", NULL},
        {"", NULL},
    };

    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct tls_report_target targets[TLS_REPORT_TARGETS_MAX];
        struct arena *arena = arena_new(0);
        struct buffer got = BUFFER_INIT;
        int count = tls_report_record(slice_of(rows[i].text), arena, targets);
        ck_assert_msg((count < 0) == (rows[i].targets == NULL), "\"%s\": got %d", rows[i].text, count);
        for (int k = 0; k < count; k++)
            buffer_printf(&got, "%s" SLICE_FORMAT, k ? " " : "", SLICE_ARGS(targets[k].address));
        if (count >= 0)
            ck_assert_str_eq(buffer_string(&got), rows[i].targets);
        buffer_release(&got);
        arena_free(arena);
    }
}
END_TEST

TEST_MAIN("tls/mta_sts", test_records, test_policies, test_bad_policies, test_report_records)
