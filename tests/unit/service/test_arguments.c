/* test_arguments.c - command lines that master gives to daemons */
#include "testing.h"

#include "service/arguments.h"

static bool parse(struct service_arguments *arguments, char **argv)
{
    const char *why;
    int argc = 0;
    while (argv[argc])
        argc++;
    return service_arguments_parse(arguments, argc, argv, &why);
}

START_TEST(takes_what_master_sends)
{
    struct service_arguments a;
    char *argv[] = {"/usr/lib/postfix/sbin/smtpd", "-z", "-n", "127.0.0.1:10025", "-t", "inet", "-v", "-v", "-u", "-c", "-o", "stress=",
                    "-s", "2", "-o", "{ x = a b }", "flags=R", "-o", NULL};
    ck_assert(parse(&a, argv));
    ck_assert_str_eq(a.program, "smtpd");
    ck_assert_str_eq(a.service_name, "127.0.0.1:10025");
    ck_assert_str_eq(a.service_type, "inet");
    ck_assert(a.no_process_limit && !a.one_process && a.unprivileged && a.chroot && !a.stand_alone);
    ck_assert_int_eq(a.verbose, 2);
    ck_assert_uint_eq(a.socket_count, 2);
    ck_assert_uint_eq(a.override_count, 2);
    ck_assert_str_eq(a.overrides[1], "{ x = a b }");
    ck_assert_uint_eq(a.word_count, 2); /* options end at the first word */
    ck_assert_str_eq(a.words[0], "flags=R");
    service_arguments_release(&a);
}
END_TEST

START_TEST(has_defaults)
{
    struct service_arguments a;
    char *argv[] = {"local", NULL};
    ck_assert(parse(&a, argv));
    ck_assert_str_eq(a.service_name, "local");
    ck_assert_str_eq(a.service_type, "unix");
    ck_assert_uint_eq(a.socket_count, 1);
    ck_assert_uint_eq(a.word_count, 0);
    service_arguments_release(&a);
}
END_TEST

START_TEST(refuses_nonsense)
{
    static char *bad[][4] = {{"x", "-Q", NULL}, {"x", "-s", "0", NULL}, {"x", "-s", "many", NULL}, {"x", "-n", NULL}, {"x", "-s", "99999", NULL}};
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        struct service_arguments a;
        ck_assert_msg(!parse(&a, bad[i]), "case %zu was accepted", i);
        service_arguments_release(&a);
    }
}
END_TEST

TEST_MAIN("service/arguments", takes_what_master_sends, has_defaults, refuses_nonsense)
