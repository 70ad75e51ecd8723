/* main.c - local(8): delivery to the users of this machine; runs as root and becomes the recipient */
#include <grp.h>

#include "base/log.h"
#include "local.h"
#include "message/header.h"

#define HEADER_MAX (256 * 1024) /* of a message's header that is searched for Delivered-To */

struct table_list *local_alias_maps, *local_mailbox_transport_maps, *local_fallback_transport_maps, *local_mailbox_command_maps;
struct submit_pool *local_cleanup;
static struct local_params params;
static struct route *route;

#define CONFIG_STRUCT struct local_params
static const struct config_binding bindings[] = {CONFIG_BINDINGS(LOCAL_PARAMETERS)};

static void find_default_privileges(struct service_context *context)
{
    struct passwd *entry = getpwnam(params.default_privs);

    if (entry == NULL && context->running_as_root)
        log_fatal("file %s/main.cf: parameter default_privs: unknown user name value: %s", config_directory(context->config), params.default_privs);
    params.default_uid = entry != NULL ? entry->pw_uid : getuid();
    params.default_gid = entry != NULL ? entry->pw_gid : getgid();
    if (params.default_uid == 0 && context->running_as_root)
        log_fatal("file %s/main.cf: parameter default_privs: user %s has privileged user ID", config_directory(context->config), params.default_privs);
}

static void open_service(struct service_context *context)
{
    struct config *config = context->config;
    int paranoid = TABLE_NO_SUBSTITUTION | TABLE_PARANOID;

    config_fill(config, bindings, COUNT_OF(bindings), &params);
    if (params.mailbox_size_limit > 0 && params.message_size_limit > params.mailbox_size_limit)
        log_fatal("main.cf configuration error: mailbox_size_limit is smaller than message_size_limit");
    find_default_privileges(context);
    local_alias_maps = table_list_new("alias_maps", params.alias_maps, paranoid, config);
    local_mailbox_transport_maps = table_list_new("mailbox_transport_maps", params.mailbox_transport_maps, TABLE_NO_SUBSTITUTION, config);
    local_fallback_transport_maps = table_list_new("fallback_transport_maps", params.fallback_transport_maps, TABLE_NO_SUBSTITUTION, config);
    local_mailbox_command_maps = table_list_new("mailbox_command_maps", params.mailbox_command_maps, paranoid, config);
    route = route_new(config);
}

static void start_service(struct service_context *context UNUSED)
{
    local_cleanup = submit_pool_new("public/cleanup");
}

/* find_delivered - the Delivered-To headers that the message has. */
static void find_delivered(struct job *job)
{
    struct buffer head = BUFFER_INIT_MAX(HEADER_MAX);
    struct slice rest, line;
    size_t capacity = 0;

    content_read(job->delivery, 0, HEADER_MAX, &head);
    rest = arena_slice(job->arena, buffer_slice(&head));
    buffer_release(&head);
    while (slice_next_line(&rest, &line) && slice_trim_right(line).len > 0) {
        if (!slice_starts_case(line, SLICE("Delivered-To:")))
            continue;
        if (job->delivered_count == capacity) {
            capacity = capacity ? capacity * 2 : 8;
            struct slice *larger = arena_alloc(job->arena, capacity * sizeof(*larger));
            if (job->delivered_count > 0)
                memcpy(larger, job->delivered_headers, job->delivered_count * sizeof(*larger));
            job->delivered_headers = larger;
        }
        job->delivered_headers[job->delivered_count++] = slice_trim(slice_from(line, 13));
    }
}

static void deliver_recipient(struct delivery *delivery, size_t recipient)
{
    struct job job = {.params = &params, .route = route, .delivery = delivery, .recipient = recipient, .arena = delivery->arena,
                      .sender = delivery->request->envelope.sender, .delivered = delivery->recipients[recipient].address,
                      .probe = (delivery->request->flags & DELIVERY_PROBE) != 0,
                      .address_probe = (delivery->request->envelope.trace & TRACE_PROBE) != 0};
    struct target target = {.origin = ORIGIN_REQUEST};

    job.done = map_new(NULL);
    find_delivered(&job);
    target_init(&job, &target, delivery->recipients[recipient].address);
    target_deliver(&job, &target);
    forward_flush(&job);
    if (!delivery->settled[recipient]) /* everything was a duplicate of something already delivered */
        report_format(&job, target.address, OUTCOME_SENT, "2.0.0", "discarded");
    map_free(job.done);
}

static void deliver(struct delivery *delivery)
{
    delivery->connected_time = delivery->agent_time;
    for (size_t i = 0; i < delivery->recipient_count; i++)
        deliver_recipient(delivery, i);
}

int main(int argc, char **argv)
{
    static const struct agent agent = {
        .service = {.name = "local", .flags = SERVICE_PRIVILEGED, .open = open_service, .start = start_service}, .deliver = deliver};

    return agent_main(argc, argv, &agent);
}
