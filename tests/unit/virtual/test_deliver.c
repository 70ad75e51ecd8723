/* test_deliver.c - which mailbox a recipient has and who may own it: each test asks as a probe does */
#include "testing.h"

#include "../../../local/virtual/virtual.h"
#include "base/log.h"
#include "run/run.h"

static struct buffer said; /* warnings, then what would be done, a line each */

struct question {
    const char *address, *base, *maps, *uids, *gids;
    int64_t minimum;
};

static void hear(enum log_severity severity, const char *text, void *context UNUSED)
{
    if (severity == LOG_SEVERITY_WARNING)
        buffer_printf(&said, "%s\n", text);
}

static void ask_fiber(void *arg)
{
    const struct question *q = arg;
    struct config *config = config_empty();
    struct arena *arena = arena_new(0);
    struct virtual v = {.params = {.virtual_mailbox_base = q->base, .virtual_mailbox_maps = q->maps, .virtual_minimum_uid = q->minimum},
                        .mailbox_maps = table_list_new("virtual_mailbox_maps", q->maps, 0, config),
                        .uid_maps = table_list_new("virtual_uid_maps", q->uids, 0, config),
                        .gid_maps = table_list_new("virtual_gid_maps", q->gids, 0, config),
                        .keys = {.delimiters = SLICE("+")}};
    struct recipient recipient = {.address = slice_of(q->address)};
    struct delivery_request request = {.flags = DELIVERY_PROBE};
    struct service_context context = {.config = config, .service_name = "virtual"};
    bool settled[1] = {false};
    struct delivery delivery = {.request = &request, .recipients = &recipient, .recipient_count = 1, .arena = arena, .content_fd = -1,
                                .context = &context, .settled = settled, .reply = {.results = arena_alloc(arena, 8 * sizeof(struct delivery_result))}};
    virtual_deliver(&v, &delivery, 0);
    ck_assert(settled[0]);
    for (size_t i = 0; i < delivery.reply.results_count; i++)
        buffer_printf(&said, SLICE_FORMAT " " SLICE_FORMAT "\n", SLICE_ARGS(delivery.reply.results[i].status), SLICE_ARGS(delivery.reply.results[i].reason));
    table_list_free(v.mailbox_maps);
    table_list_free(v.uid_maps);
    table_list_free(v.gid_maps);
    arena_free(arena);
    config_free(config);
}

static const char *ask(const struct question *q)
{
    buffer_clear(&said);
    log_set_watcher(hear, NULL);
    run_main(ask_fiber, (void *)q);
    log_set_watcher(NULL, NULL);
    return buffer_string(&said);
}

#define MAPS "inline:{ {box@v.test=box}, {dir@v.test=dir/}, {@catch.test=all/}, {ext+full@v.test=full}, {ext@v.test=part/} }"
#define UIDS "inline:{ {low@v.test=99}, {box@v.test=5000}, {dir@v.test=x}, {@catch.test=5000}, {ext@v.test=5000} }"

static const struct {
    struct question question;
    const char *want;
} rows[] = {
    {{"box@v.test", "/b", MAPS, "static:5000", "static:5000", 100}, "2.0.0 delivers to mailbox\n"},
    {{"dir@v.test", "/b", MAPS, "static:5000", "static:5000", 100}, "2.0.0 delivers to maildir\n"},
    {{"any@catch.test", "/b", MAPS, "static:5000", "static:5000", 100}, "2.0.0 delivers to maildir\n"},
    {{"ext+full@v.test", "/b", MAPS, UIDS, "static:5000", 100}, "2.0.0 delivers to mailbox\n"},
    {{"ext+other@v.test", "/b", MAPS, UIDS, "static:5000", 100}, "2.0.0 delivers to maildir\n"},
    {{"no@v.test", "/b", MAPS, "static:5000", "static:5000", 100}, "5.1.1 unknown user: \"no@v.test\"\n"},
    {{"\"q s\"@v.test", "/b", MAPS, "static:5000", "static:5000", 100}, "5.1.1 unknown user: \"q s@v.test\"\n"},
    {{"box@v.test", "", MAPS, "static:5000", "static:5000", 100},
     "warning: virtual_mailbox_base is empty: do not specify mailboxes without a base directory\n4.3.5 mail system configuration error\n"},
    {{"box@v.test", "/b", MAPS, "static:99", "static:5000", 100},
     "warning: recipient box@v.test: bad uid 99 in virtual_uid_maps\n4.3.5 mail system configuration error\n"},
    {{"dir@v.test", "/b", MAPS, UIDS, "static:5000", 100}, "warning: recipient dir@v.test: bad uid x in virtual_uid_maps\n4.3.5 mail system configuration error\n"},
    {{"box@v.test", "/b", MAPS, "static:5000", "static:0", 100},
     "warning: recipient box@v.test: bad gid 0 in virtual_gid_maps\n4.3.5 mail system configuration error\n"},
    {{"box@v.test", "/b", MAPS, "static:5000", "inline:{ {x@v.test=1} }", 100},
     "warning: recipient box@v.test: not found in virtual_gid_maps\n4.3.5 mail system configuration error\n"},
    {{"box@v.test", "/b", MAPS, "static:4294967296", "static:5000", 100},
     "warning: recipient box@v.test: bad uid 4294967296 in virtual_uid_maps\n4.3.5 mail system configuration error\n"},
    {{"box@v.test", "/b", "fail:1", "static:5000", "static:5000", 100}, NULL},
};

START_TEST(mailboxes_and_owners)
{
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        const char *got = ask(&rows[i].question);
        if (rows[i].want)
            ck_assert_msg(strcmp(got, rows[i].want) == 0, "%s: got \"%s\" want \"%s\"", rows[i].question.address, got, rows[i].want);
        else
            ck_assert_msg(strstr(got, "4.3.5 mail system configuration error\n") != NULL, "%s: got \"%s\"", rows[i].question.address, got);
    }
    buffer_release(&said);
}
END_TEST

TEST_MAIN("virtual/deliver", mailboxes_and_owners)
