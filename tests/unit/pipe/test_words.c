/* test_words.c - the arguments of a pipe service, and its words for one delivery */
#include "testing.h"

#include "../../../local/pipe/pipe.h"
#include "base/log.h"

static struct buffer said;
static struct config *config;

static void hear(enum log_severity severity UNUSED, const char *text, void *context UNUSED)
{
    buffer_printf(&said, "%s\n", text);
}

START_TEST(arguments_are_parsed)
{
    static const char *const line[] = {"flags=DRX.>q", "user=root", "directory=/tmp", "eol=\\r\\n", "null_sender=", "size=400", "argv=/bin/x", "a=b", "${user}"};
    static struct pipe_arguments pipe; /* what it holds is kept for the life of the process */
    arguments_parse(&pipe, line, COUNT_OF(line));
    ck_assert_int_eq(pipe.flags, FLAG_DELIVERED_TO | FLAG_RETURN_PATH | FLAG_FINAL | FLAG_DOT | FLAG_QUOTE_FROM | FLAG_QUOTE);
    ck_assert_uint_eq(pipe.uid, 0);
    ck_assert_str_eq(pipe.directory, "/tmp");
    ck_assert_str_eq(pipe.null_sender, "");
    ck_assert_int_eq(pipe.size_limit, 400);
    ASSERT_SLICE(pipe.end_of_line, "\r\n");
    ck_assert_str_eq(pipe.argv[0], "/bin/x");
    ck_assert_str_eq(pipe.argv[1], "a=b");
    ck_assert_str_eq(pipe.argv[2], "${user}");
    ck_assert_ptr_null(pipe.argv[3]);
}
END_TEST

static const struct {
    const char *what, *arguments[4];
} bad[] = {
    {"unknown flag", {"flags=Z", "user=root", "argv=x"}},       {"no equals sign", {"flags", "user=root", "argv=x"}},
    {"unknown attribute", {"colour=red", "user=root", "argv=x"}}, {"unknown user", {"user=no-such-user-here", "argv=x"}},
    {"unknown group", {"user=root:no-such-group-here", "argv=x"}}, {"no command", {"user=root"}},
    {"no user", {"argv=x"}},                                    {"bad size", {"size=-1", "user=root", "argv=x"}},
};

START_TEST(bad_arguments_are_fatal)
{
    struct pipe_arguments pipe = {0};
    size_t count = 0;
    while (count < 4 && bad[_i].arguments[count])
        count++;
    arguments_parse(&pipe, bad[_i].arguments, count);
    fprintf(stderr, "%s was taken\n", bad[_i].what);
    exit(0); /* not what is wanted */
}
END_TEST

/* expanded - the words joined by "|". */
static const char *expanded(int flags, struct slice sender, const char *const *argv)
{
    static struct buffer joined;
    struct arena *arena = arena_new(0);
    struct pipe_arguments pipe = {.flags = flags, .argv = argv, .null_sender = "MAILER-DAEMON", .delimiter = "+"};
    struct recipient recipients[] = {{.address = SLICE("\"A b+Ext\"@Host.test"), .original = SLICE("\"list y\"@x.test")}, {.address = SLICE("c@d.test")}};
    struct delivery_request request = {.next_hop = SLICE("Next.test"),
                                       .envelope = {.queue_id = SLICE("ID"), .sender = sender, .message_size = 77, .client_address = SLICE("192.0.2.1")}};
    struct service_context context = {.config = config, .service_name = "p1"};
    struct delivery delivery = {.request = &request, .recipients = recipients, .recipient_count = 2, .arena = arena, .context = &context};
    const char *const *words = words_expand(&pipe, &delivery);
    buffer_clear(&joined);
    for (; words && *words; words++)
        buffer_printf(&joined, "%s|", *words);
    arena_free(arena);
    return buffer_string(&joined);
}

#define WORDS(...) (const char *const[]){__VA_ARGS__, NULL}

START_TEST(words_are_expanded)
{
    struct slice sender = SLICE("s@x.test");
    ck_assert_str_eq(expanded(0, sender, WORDS("x", "-f", "$sender", "--", "${recipient}")), "x|-f|s@x.test|--|A b+Ext@Host.test|c@d.test|");
    ck_assert_str_eq(expanded(FLAG_QUOTE, sender, WORDS("${recipient}")), "\"A b+Ext\"@Host.test|c@d.test|");
    ck_assert_str_eq(expanded(FLAG_FOLD_USER | FLAG_FOLD_HOST, sender, WORDS("$recipient", "$nexthop")), "a b+ext@host.test|c@d.test|next.test|");
    ck_assert_str_eq(expanded(0, sender, WORDS("<$user>", "${extension}", "$mailbox", "$domain")), "<A b>|<c>|Ext||A b+Ext|c|Host.test|d.test|");
    ck_assert_str_eq(expanded(FLAG_QUOTE, sender, WORDS("<$user>", "${extension}", "$mailbox")), "<A b>|<c>|Ext||A b+Ext|c|");
    ck_assert_str_eq(expanded(0, sender, WORDS("$original_recipient")), "list y@x.test|c@d.test|");
    ck_assert_str_eq(expanded(FLAG_QUOTE, sender, WORDS("$original_recipient")), "\"list y\"@x.test|c@d.test|");
    ck_assert_str_eq(expanded(0, sender, WORDS("$$", "${size}", "$queue_id", "${client_address}", "${sasl_username}")), "$|77|ID|192.0.2.1||");
    ck_assert_str_eq(expanded(0, SLICE(""), WORDS("$sender")), "MAILER-DAEMON|");
    ck_assert_str_eq(expanded(0, SLICE("\"q s\"@x.test"), WORDS("$sender")), "q s@x.test|");
    ck_assert_str_eq(expanded(FLAG_QUOTE, SLICE("\"q s\"@x.test"), WORDS("$sender")), "\"q s\"@x.test|");
}
END_TEST

START_TEST(unknown_macros_are_trouble)
{
    log_set_watcher(hear, NULL);
    ck_assert_str_eq(expanded(0, SLICE("s@x.test"), WORDS("x", "${no_such_macro}")), "");
    log_set_watcher(NULL, NULL);
    ck_assert_ptr_nonnull(strstr(buffer_string(&said), "service p1: unknown macro name: \"no_such_macro\""));
    buffer_release(&said);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("pipe/words");
    TCase *all = tcase_create("all");
    tcase_add_test(all, arguments_are_parsed);
    tcase_add_loop_exit_test(all, bad_arguments_are_fatal, 1, 0, COUNT_OF(bad));
    tcase_add_test(all, words_are_expanded);
    tcase_add_test(all, unknown_macros_are_trouble);
    suite_add_tcase(suite, all);
    config = config_empty();
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    config_free(config);
    return failed ? 1 : 0;
}
