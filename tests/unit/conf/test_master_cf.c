/* test_master_cf.c - the columns, arguments and problems of master.cf */
#include "testing.h"

#include "base/arena.h"
#include "conf/master_cf.h"

static struct buffer reports;

static void collect(void *context, bool fatal, const char *file, int line, const char *text)
{
    buffer_printf(&reports, "%s%s\n", fatal ? "fatal: " : "", text);
}

static bool parse(const char *text, struct config *config, struct arena *arena, struct master_cf *result)
{
    buffer_clear(&reports);
    return master_cf_parse(slice_of(text), "master.cf", config, arena, collect, NULL, result);
}

START_TEST(columns)
{
    struct arena *arena = arena_new(0);
    struct config *config = config_empty();
    struct master_cf cf;
    config_set(config, SLICE("compatibility_level"), SLICE("3.6"));
    ck_assert(parse("# comment\n"
                    "smtp      inet  n       -       y       -       -       smtpd\n"
                    "  -o a=b\n"
                    "# inside\n"
                    "  -o { mynetworks = 10.0.0.0/8, 127.0.0.1 } -v\n"
                    "tlsmgr unix - - - 1000? 1 tlsmgr\n"
                    "pickup fifo n n n 60 1 pickup\n"
                    "postlog unix-dgram n - n - 1 postlogd\n"
                    "smtpd pass - - n - 0 smtpd\n",
                    config, arena, &cf));
    ASSERT_SLICE(buffer_slice(&reports), "");
    ck_assert_uint_eq(cf.count, 5);
    const struct master_service *s = &cf.services[0];
    ck_assert_str_eq(s->name, "smtp");
    ck_assert_int_eq(s->type, SERVICE_INET);
    ck_assert(!s->is_private && s->unprivileged && s->chroot && !s->chroot_default);
    ck_assert_int_eq(s->process_limit, -1);
    ck_assert_int_eq(s->line, 2);
    ck_assert_uint_eq(s->argument_count, 5);
    ck_assert_str_eq(s->arguments[1], "a=b");
    ck_assert_str_eq(s->arguments[3], "mynetworks = 10.0.0.0/8, 127.0.0.1");
    ck_assert_str_eq(s->arguments[4], "-v");
    ck_assert_ptr_null(s->arguments[5]);
    s = &cf.services[1];
    ck_assert(s->wakeup == 1000 && s->wakeup_after_use && s->process_limit == 1 && s->is_private && s->chroot_default && !s->chroot);
    s = &cf.services[2];
    ck_assert(s->type == SERVICE_FIFO && !s->is_private && !s->unprivileged && s->wakeup == 60 && !s->wakeup_after_use);
    ck_assert_int_eq(cf.services[3].type, SERVICE_UNIX_DGRAM);
    ck_assert_int_eq(cf.services[4].process_limit, 0);
    config_free(config);
    arena_free(arena);
}
END_TEST

static const struct {
    const char *text, *want;
} bad[] = {
    {"smtp inet n - n - -\n", "fatal: master.cf: line 1: missing \"command\" field\n"},
    {"\nsmtp inet\n", "fatal: master.cf: line 2: missing \"private\" field\n"},
    {"smtp foo n - n - - smtpd\n", "fatal: master.cf: line 1: bad transport type: foo\n"},
    {"smtp inet y - n - - smtpd\n", "fatal: master.cf: line 1: inet service cannot be private\n"},
    {"smtp inet n x n - - smtpd\n", "fatal: master.cf: line 1: field \"unprivileged\": bad value: \"x\"\n"},
    {"smtp inet n yes n - - smtpd\n", "fatal: master.cf: line 1: field \"unprivileged\": bad value: \"yes\"\n"},
    {"smtp inet n - n 5?? - smtpd\n", "fatal: master.cf: line 1: field \"wakeup\": bad value: \"5??\"\n"},
    {"smtp inet n - n - -1 smtpd\n", "fatal: master.cf: line 1: field \"process_limit\": bad value: \"-1\"\n"},
    {"smtp inet n - n - - smtpd {a b\n", "fatal: master.cf: line 1: missing '}' in \"a b\"\n"},
    {"smtp inet n - n - - smtpd {a}b\n", "fatal: master.cf: line 1: syntax error after '}' in \"a\"\n"},
    {" smtp inet n - n - - smtpd\n", "master.cf: logical line must not start with whitespace: \" smtp inet n - n - - smtpd\"\n"},
    {"a unix - - n - - smtp\na unix - - n - - lmtp\n",
     "duplicate master.cf entry for service \"a\" (private/a) -- using the last entry\n"},
};

START_TEST(problems)
{
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        struct arena *arena = arena_new(0);
        struct master_cf cf;
        bool ok = parse(bad[i].text, NULL, arena, &cf);
        ASSERT_SLICE(buffer_slice(&reports), bad[i].want);
        ck_assert(ok == (strncmp(bad[i].want, "fatal", 5) != 0));
        arena_free(arena);
    }
}
END_TEST

START_TEST(last_duplicate_wins)
{
    struct arena *arena = arena_new(0);
    struct master_cf cf;
    ck_assert(parse("a unix - - n - - smtp\nb unix - - n - - smtp\na unix - - n - - lmtp\n", NULL, arena, &cf));
    ck_assert_uint_eq(cf.count, 2);
    ck_assert_str_eq(cf.services[0].command, "lmtp");
    arena_free(arena);
}
END_TEST

START_TEST(disabled_services)
{
    struct arena *arena = arena_new(0);
    struct config *config = config_empty();
    struct master_cf cf;
    config_set(config, SLICE("compatibility_level"), SLICE("2"));
    config_set(config, SLICE("master_service_disable"), SLICE("!smtp/inet, inet, x/unix"));
    ck_assert(parse("smtp inet n - - - - smtpd\n587 inet n - n - - smtpd\nx unix - - n - - smtp\ny unix - - n - - smtp\n", config,
                    arena, &cf));
    ck_assert_uint_eq(cf.count, 2);
    ck_assert_str_eq(cf.services[0].name, "smtp");
    ck_assert(!cf.services[0].chroot);
    ck_assert_str_eq(cf.services[1].name, "y");
    config_set(config, SLICE("compatibility_level"), SLICE("0"));
    ck_assert(parse("smtp inet n - - - - smtpd\n", config, arena, &cf));
    ck_assert(cf.services[0].chroot);
    config_free(config);
    arena_free(arena);
}
END_TEST

TEST_MAIN("conf/master_cf", columns, problems, last_duplicate_wins, disabled_services)
