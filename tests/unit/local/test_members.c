/* test_members.c - items of aliases, include files and .forward files: each test asks, as a probe does, what would be done */
#include "testing.h"

#include <sys/stat.h>

#include "../../../local/local/local.h"
#include "base/log.h"
#include "run/run.h"

/* What main.c has otherwise. */
struct table_list *local_alias_maps, *local_mailbox_transport_maps, *local_fallback_transport_maps, *local_mailbox_command_maps;
struct submit_pool *local_cleanup;

static struct buffer said; /* warnings, then what would be done, a line each */
static struct config *config;
static struct local_params params = {
    .recipient_delimiter = "+", .allow_mail_to_commands = "alias,forward", .allow_mail_to_files = "alias,forward", .mailbox_transport = "",
    .fallback_transport = "", .luser_relay = "", .home_mailbox = "", .mail_spool_directory = "/var/mail", .mailbox_command = "", .forward_path = "",
    .prepend_delivered_header = "", .propagate_unmatched_extensions = "alias", .mailbox_transport_maps = "", .fallback_transport_maps = "",
    .mailbox_command_maps = "", .duplicate_filter_limit = 1000, .default_uid = 65534, .default_gid = 65534, .owner_request_special = true};

static void hear(enum log_severity severity, const char *text, void *context UNUSED)
{
    if (severity == LOG_SEVERITY_WARNING)
        buffer_printf(&said, "%s\n", text);
}

struct question {
    const char *aliases, *text, *address;
    enum origin origin;
    bool in_file;
};

static void ask_fiber(void *arg)
{
    const struct question *q = arg;
    struct arena *arena = arena_new(0);
    struct recipient recipient = {.address = slice_of(q->address)};
    struct delivery_request request = {.flags = DELIVERY_PROBE};
    struct service_context context = {.config = config, .service_name = "local"};
    bool settled[1] = {false};
    struct delivery delivery = {.request = &request, .recipients = &recipient, .recipient_count = 1, .arena = arena, .content_fd = -1,
                                .context = &context, .settled = settled, .reply = {.results = arena_alloc(arena, 64 * sizeof(struct delivery_result))}};
    struct job job = {.params = &params, .route = route_new(config), .delivery = &delivery, .arena = arena, .probe = true,
                      .delivered = recipient.address, .sender = SLICE("s@x.test"), .done = map_new(NULL)};
    struct target target = {.origin = q->origin, .rights = {.uid = 65534, .gid = 65534}};
    local_alias_maps = table_list_new("alias_maps", q->aliases, 0, config);
    local_mailbox_transport_maps = local_fallback_transport_maps = local_mailbox_command_maps = table_list_new("none", "", 0, config);
    target_init(&job, &target, recipient.address);
    if (q->text)
        members_deliver(&job, &target, slice_of(q->text), q->in_file);
    else
        target_deliver(&job, &target);
    for (size_t i = 0; i < delivery.reply.results_count; i++)
        buffer_printf(&said, SLICE_FORMAT "\n", SLICE_ARGS(delivery.reply.results[i].reason));
    table_list_free(local_alias_maps);
    table_list_free(local_mailbox_transport_maps);
    map_free(job.done);
    route_free(job.route);
    arena_free(arena);
}

static const char *ask(const struct question *q)
{
    buffer_clear(&said);
    config = config_empty();
    ck_assert(config_parse(config, SLICE("myhostname = h.test\nmydomain = h.test\nmyorigin = h.test\nmydestination = h.test\nmynetworks =\n"
                                         "compatibility_level = 3.6\nrecipient_delimiter = +\nlocal_recipient_maps =\ninet_interfaces = 127.0.0.1\n"),
                           "main.cf"));
    log_set_watcher(hear, NULL);
    run_main(ask_fiber, (void *)q);
    log_set_watcher(NULL, NULL);
    config_free(config);
    return buffer_string(&said);
}

struct row {
    const char *text, *want;
};

static void check(const struct row *rows, size_t count, enum origin origin, bool in_file)
{
    for (size_t i = 0; i < count; i++) {
        const char *got = ask(&(struct question){.aliases = "", .text = rows[i].text, .address = "list@h.test", .origin = origin, .in_file = in_file});
        ck_assert_msg(strcmp(got, rows[i].want) == 0, "\"%s\": got \"%s\" want \"%s\"", rows[i].text, got, rows[i].want);
    }
    buffer_release(&said);
}

START_TEST(items_of_an_alias)
{
    static const struct row rows[] = {
        {"", ""},
        {" , ,, ", ""},
        {"a@b.test, c@d.test", "forwards to a@b.test\nforwards to c@d.test\n"},
        {"a@b.test,a@b.test", "forwards to a@b.test\n"},
        {"Full Name <a@b.test>, (comment, with comma) c@d.test", "forwards to a@b.test\nforwards to c@d.test\n"},
        {"\"quoted, comma\" <a@b.test>", "forwards to a@b.test\n"},
        {"|/bin/x -y", "delivers to command: /bin/x\nbad recipient address syntax: -y@h.test\n"}, /* a command of several words is quoted */
        {"|/bin/x y@b.test", "delivers to command: /bin/x\nforwards to y@b.test\n"},
        {"|/bin/x > /tmp/y", "delivers to command: /bin/x\ndelivers to file: /tmp/y\n"},
        {"|\"/bin/x -y\", a@b.test", "delivers to command: /bin/x -y\nforwards to a@b.test\n"},
        {"|\"/bin/x 'a, \\\"b\\\"'\" a@b.test", "delivers to command: /bin/x 'a, \"b\"'\nforwards to a@b.test\n"},
        {"\"|/bin/x \"a@b.test", "delivers to command: /bin/x\nforwards to a@b.test\n"},
        {"|\"", "delivers to command:\n"},
        {"~/x", "warning: unknown home directory for: ~/x\nmail system configuration error\n"},
        {"\"|/bin/x -y\"", "delivers to command: /bin/x -y\n"},
        {"\"|/bin/x 'a, b' \\\"q\\\"\"", "delivers to command: /bin/x 'a, b' \"q\"\n"},
        {"\"| /bin/x\", a@b.test", "delivers to command:  /bin/x\nforwards to a@b.test\n"},
        {"/var/x/file", "delivers to file: /var/x/file\n"},
        {"\"/var/x/a file\", /dir/", "delivers to file: /var/x/a file\ndelivers to file: /dir/\n"},
        {"~other/x", "warning: bad home directory syntax for: ~other/x\nmail system configuration error\n"},
        {"\\nobody", "delivers to mailbox\n"},
        {"|/bin/x | /bin/y", "delivers to command: /bin/x|/bin/y\n"},
        {"x@b.test\"|/bin/y\"", "forwards to x@b.test\ndelivers to command: /bin/y\n"},
        {"<|/bin/x>", "delivers to command: /bin/x\n"},
        {"grp: a@b.test, c@d.test; e@f.test", "forwards to a@b.test\nforwards to c@d.test\nforwards to e@f.test\n"},
        {"nobody@", "bad recipient address syntax: nobody@\n"},
    };
    check(rows, COUNT_OF(rows), ORIGIN_ALIAS, false);
}
END_TEST

START_TEST(items_of_a_file)
{
    static const struct row rows[] = {
        {"# a comment, with comma\na@b.test\n\n  # another\nc@d.test", "forwards to a@b.test\nforwards to c@d.test\n"},
        {"a@b.test\n", "forwards to a@b.test\n"},
        {"a@b.test,\n c@d.test\ne@f.test", "forwards to a@b.test\nforwards to c@d.test\nforwards to e@f.test\n"},
        {"|/bin/x", "mail to command is restricted\n"},
        {"/x", "mail to file is restricted\n"},
    };
    check(rows, COUNT_OF(rows), ORIGIN_INCLUDE, true);
}
END_TEST

START_TEST(includes)
{
    char directory[] = "/tmp/membersXXXXXX", path[100], text[120];
    ck_assert_ptr_nonnull(mkdtemp(directory));
    ck_assert_int_eq(chmod(directory, 0755), 0);
    snprintf(path, sizeof(path), "%s/list", directory);
    FILE *f = fopen(path, "w");
    fputs("a@b.test\n|/bin/x\n", f);
    fclose(f);
    chmod(path, 0644);
    snprintf(text, sizeof(text), ":include:%s", path);
    ck_assert_str_eq(ask(&(struct question){.aliases = "", .text = text, .address = "list@h.test", .origin = ORIGIN_ALIAS}),
                     "forwards to a@b.test\nmail to command is restricted\n");
    chmod(path, 0666);
    ck_assert_ptr_nonnull(strstr(ask(&(struct question){.aliases = "", .text = text, .address = "list@h.test", .origin = ORIGIN_ALIAS}),
                                 "is world writable\nmail system configuration error\n"));
    unlink(path);
    ck_assert_ptr_nonnull(strstr(ask(&(struct question){.aliases = "", .text = text, .address = "list@h.test", .origin = ORIGIN_ALIAS}),
                                 "No such file or directory\nmail system configuration error\n"));
    ck_assert_ptr_nonnull(strstr(ask(&(struct question){.aliases = "", .text = ":include:relative", .address = "list@h.test", .origin = ORIGIN_ALIAS}),
                                 "uses a relative path\nmail system configuration error\n"));
    rmdir(directory);
    buffer_release(&said);
}
END_TEST

START_TEST(aliases_nest_and_loop)
{
    static const struct { const char *aliases, *address, *want; } rows[] = {
        {"inline:{ {list=one, two@x.test} {one=end@x.test} }", "list@h.test", "forwards to end@x.test\nforwards to two@x.test\n"},
        {"inline:{ {daemon=\\nobody, daemon} }", "daemon@h.test", "delivers to mailbox\ndelivers to mailbox\n"},
        {"inline:{ {list=nobody} }", "LIST+ext@h.test", "delivers to mailbox\n"},
        {"inline:{ {a=b} {b=a} }", "a@h.test", NULL},
        {"inline:{ {list= , } }", "list@h.test", "warning: no recipient in alias lookup result for list\nalias database unavailable\n"},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        const char *got = ask(&(struct question){.aliases = rows[i].aliases, .address = rows[i].address});
        if (rows[i].want)
            ck_assert_msg(strcmp(got, rows[i].want) == 0, "row %zu: got \"%s\" want \"%s\"", i, got, rows[i].want);
        else
            ck_assert_msg(strlen(got) < 1000, "row %zu: got \"%s\"", i, got);
    }
    buffer_release(&said);
}
END_TEST

TEST_MAIN("local/members", items_of_an_alias, items_of_a_file, includes, aliases_nest_and_loop)
