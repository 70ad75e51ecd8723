/* main.c - pipe(8): delivery to an external command named in master.cf (compat.md g.4) */
#include <grp.h>
#include <pwd.h>

#include "../common/command.h"
#include "base/log.h"
#include "pipe.h"

#define SUCCESS_OUTPUT_MAX 100

static struct pipe_arguments pipe_service;

static void check_identity(struct service_context *context)
{
    struct passwd *owner = getpwnam(config_string(context->config, "mail_owner"));

    if (!context->running_as_root)
        return;
    if (pipe_service.uid == 0)
        log_fatal("user= command-line attribute specifies root privileges");
    if (owner != NULL && (pipe_service.uid == owner->pw_uid || pipe_service.gid == owner->pw_gid))
        log_fatal("user= command-line attribute specifies mail system owner %s", owner->pw_name);
    struct group *drop = getgrnam(config_string(context->config, "setgid_group"));
    if (drop != NULL && pipe_service.gid == drop->gr_gid)
        log_fatal("user= command-line attribute specifies mail system setgid_group %s", drop->gr_name);
}

static void open_service(struct service_context *context)
{
    struct config *config = context->config;

    arguments_parse(&pipe_service, context->arguments, context->argument_count);
    check_identity(context);
    pipe_service.time_limit = config_transport_time(config, context->transport, "time_limit");
    pipe_service.export_environment = config_string(config, "export_environment");
    snprintf(pipe_service.delimiter, sizeof(pipe_service.delimiter), "%s", config_string(config, "recipient_delimiter"));
    pipe_service.owner_request_special = config_bool(config, "owner_request_special");
}

/* ---- delivery ---- */

static bool loops(const struct delivery *delivery)
{
    struct buffer head = BUFFER_INIT;
    struct slice rest, line;
    bool found = false;

    content_read(delivery, 0, 256 * 1024, &head);
    rest = buffer_slice(&head);
    while (!found && slice_next_line(&rest, &line) && slice_trim_right(line).len > 0)
        found = slice_starts_case(line, SLICE("Delivered-To:")) && slice_equal_case(slice_trim(slice_from(line, 13)), delivery->recipients[0].address);
    buffer_release(&head);
    return found;
}

static void settle_all(struct delivery *delivery, const struct delivery_status *status)
{
    for (size_t i = 0; i < delivery->recipient_count; i++)
        delivery_result(delivery, i, status);
}

static void prepare_copy(struct delivery *delivery, struct copy *copy)
{
    const struct recipient *first = &delivery->recipients[0];
    int f = pipe_service.flags;

    struct slice sender = delivery->request->envelope.sender;
    *copy = (struct copy){.delivery = delivery, .sender = sender.len > 0 ? sender : slice_of(pipe_service.null_sender), .end_of_line = pipe_service.end_of_line,
                          .delivered_to = first->address, .original_to = recipient_original(first)};
    copy->flags = (f & FLAG_FROM ? COPY_FROM_LINE : 0) | (f & FLAG_RETURN_PATH ? COPY_RETURN_PATH : 0) | (f & FLAG_ORIGINAL_TO ? COPY_ORIGINAL_TO : 0) |
                  (f & FLAG_DELIVERED_TO ? COPY_DELIVERED_TO : 0) | (f & FLAG_QUOTE_FROM ? COPY_QUOTE_FROM : 0) | (f & FLAG_DOT ? COPY_DOT_STUFF : 0) |
                  (f & FLAG_EMPTY_LINE ? COPY_EMPTY_LINE : 0);
}

static void set_success(struct delivery *delivery, const struct buffer *output, struct delivery_status *status)
{
    struct slice printed = slice_trim(slice_first(buffer_slice(output), SUCCESS_OUTPUT_MAX));

    status->action = pipe_service.flags & FLAG_FINAL ? "delivered" : "relayed";
    status->reason = printed.len > 0 ? arena_format(delivery->arena, "delivered via %s service (" SLICE_FORMAT ")", delivery->context->service_name, SLICE_ARGS(printed))
                                     : arena_format(delivery->arena, "delivered via %s service", delivery->context->service_name);
}

static void run(struct delivery *delivery, struct delivery_status *status)
{
    struct environment environment;
    struct buffer output = BUFFER_INIT;
    struct copy copy;
    const char *const *words = words_expand(&pipe_service, delivery);

    if (words == NULL) {
        *status = (struct delivery_status){.outcome = OUTCOME_DEFERRED, .status = "4.3.5", .reason = SLICE("mail system configuration error")};
        return;
    }
    prepare_copy(delivery, &copy);
    environment_init(&environment, delivery->arena, NULL);
    environment_add_exported(&environment, pipe_service.export_environment);
    struct command command = {.text = words[0], .argv = words, .environment = environment_list(&environment), .directory = pipe_service.directory,
                              .root = pipe_service.root, .uid = pipe_service.uid, .gid = pipe_service.gid, .time_limit = pipe_service.time_limit,
                              .running_as_root = delivery->context->running_as_root};
    command_run(&copy, &command, (struct slice){0}, &output, status);
    if (status->outcome == OUTCOME_SENT)
        set_success(delivery, &output, status);
    buffer_release(&output);
}

/* names_one_recipient - flags that name a recipient in the message cannot serve several. */
static bool names_one_recipient(const struct delivery *delivery)
{
    int flags = pipe_service.flags & (FLAG_DELIVERED_TO | FLAG_ORIGINAL_TO);

    if (flags == 0 || delivery->recipient_count == 1)
        return false;
    log_warning("pipe flag `%c' requires %s_destination_recipient_limit = 1", flags & FLAG_DELIVERED_TO ? 'D' : 'O', delivery->context->transport);
    return true;
}

static void deliver(struct delivery *delivery)
{
    struct delivery_status status = {0};

    delivery->connected_time = delivery->agent_time;
    if (delivery->recipient_count == 0)
        return;
    if (names_one_recipient(delivery))
        status = (struct delivery_status){.outcome = OUTCOME_DEFERRED, .status = "4.3.5", .reason = SLICE("mail system configuration error")};
    else if (pipe_service.size_limit > 0 && delivery->request->envelope.message_size > pipe_service.size_limit)
        status = (struct delivery_status){.outcome = OUTCOME_BOUNCED, .status = "5.2.3", .reason = SLICE("message too large")};
    else if ((pipe_service.flags & FLAG_DELIVERED_TO) && loops(delivery))
        status = (struct delivery_status){.outcome = OUTCOME_BOUNCED, .status = "5.4.6",
                                          .reason = arena_format(delivery->arena, "mail forwarding loop for " SLICE_FORMAT, SLICE_ARGS(delivery->recipients[0].address))};
    else if (delivery->request->flags & DELIVERY_PROBE)
        status = (struct delivery_status){.outcome = OUTCOME_SENT, .status = "2.0.0",
                                          .reason = arena_format(delivery->arena, "delivers to command: %s", pipe_service.argv[0])};
    else
        run(delivery, &status);
    status.relay = delivery->context->service_name;
    settle_all(delivery, &status);
}

int main(int argc, char **argv)
{
    static const struct agent agent = {.service = {.name = "pipe", .flags = SERVICE_PRIVILEGED, .open = open_service}, .deliver = deliver};

    return agent_main(argc, argv, &agent);
}
