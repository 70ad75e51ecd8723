/* fuzz_members.c - the items of an alias (first byte even) or of a .forward file (odd), asked as a probe asks: nothing is run or written
   uses: local/local/ local/common/ */
#include "../../local/local/local.h"
#include "base/log.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What main.c has otherwise. */
struct table_list *local_alias_maps, *local_mailbox_transport_maps, *local_fallback_transport_maps, *local_mailbox_command_maps;
struct submit_pool *local_cleanup;

static const struct local_params params = {
    .recipient_delimiter = "+", .allow_mail_to_commands = "alias,forward", .allow_mail_to_files = "alias,forward", .mailbox_transport = "",
    .fallback_transport = "", .luser_relay = "", .home_mailbox = "", .mail_spool_directory = "/nonexistent", .mailbox_command = "",
    .forward_path = "", .prepend_delivered_header = "", .propagate_unmatched_extensions = "alias", .mailbox_transport_maps = "",
    .fallback_transport_maps = "", .mailbox_command_maps = "", .duplicate_filter_limit = 1000, .default_uid = 65534, .default_gid = 65534,
    .owner_request_special = true};
static struct config *config;
static struct route *route;

static void quiet(enum log_severity severity, const char *text, void *context)
{
    (void)severity, (void)text, (void)context;
}

static void start(void)
{
    static const char settings[] = "myhostname = h.test\nmydomain = h.test\nmyorigin = h.test\nmydestination = h.test\nmynetworks =\n"
                                   "inet_interfaces = 127.0.0.1\nrecipient_delimiter = +\nlocal_recipient_maps =\nalias_maps =\n";
    log_set_watcher(quiet, NULL);
    config = config_empty();
    if (!config_parse(config, slice_of(settings), "main.cf"))
        abort();
    route = route_new(config);
    local_alias_maps = table_list_new("alias_maps", "inline:{ {a=b, |x} {b=a, /c} }", 0, config);
    local_mailbox_transport_maps = local_fallback_transport_maps = local_mailbox_command_maps = table_list_new("none", "", 0, config);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0 || size > 4096)
        return 0;
    if (!config)
        start();
    struct slice text = slice_make(data + 1, size - 1);
    /* other files of this machine would be read */
    if (slice_search(text, SLICE(":")) < text.len)
        return 0;
    struct arena *arena = arena_new(0);
    struct recipient recipient = {.address = SLICE("list+ext@h.test")};
    struct delivery_request request = {.flags = DELIVERY_PROBE};
    struct service_context context = {.config = config, .service_name = "local"};
    bool settled[1] = {false};
    struct delivery delivery = {.request = &request, .recipients = &recipient, .recipient_count = 1, .arena = arena, .content_fd = -1,
                                .context = &context, .settled = settled, .reply = {.results = arena_alloc(arena, 64 * sizeof(struct delivery_result))}};
    struct job job = {.params = &params, .route = route, .delivery = &delivery, .arena = arena, .probe = true, .delivered = recipient.address,
                      .sender = SLICE("s@x.test"), .done = map_new(NULL)};
    struct account owner = {.name = "list", .home = "/nonexistent", .uid = 65534, .gid = 65534, .exists = true};
    struct target target = {.origin = data[0] % 2 ? ORIGIN_FORWARD : ORIGIN_ALIAS, .owner = data[0] % 2 ? &owner : NULL,
                            .rights = {.uid = 65534, .gid = 65534}};
    target_init(&job, &target, recipient.address);
    size_t count = members_deliver(&job, &target, text, data[0] % 2);
    if (count > size || (count == 0 && delivery.reply.results_count > 0))
        abort();
    map_free(job.done);
    arena_free(arena);
    return 0;
}
