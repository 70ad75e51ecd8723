/* bounce.c - who gets which notification (compat.md g.6): the sender, the postmaster, or nobody */
#include "bounce.h"

#include "base/log.h"
#include "ipc/submit.h"
#include "notice.h"

#define SUBMIT_TIME (3600 * MICROSECONDS)
#define LANE_TIME (100 * MICROSECONDS)
#define IDLE_TIME (5 * MICROSECONDS) /* then look whether we are told to finish */

static struct bounce_params params;
static struct submit_pool *cleanup;

/* The names of two parameters cannot be C identifiers as they are; hence this table by hand. */
#define ROW(type, name) {#name, PARAMETER_##type, offsetof(struct bounce_params, name)}
static const struct config_binding bindings[] = {
    ROW(STRING, myhostname), ROW(STRING, mail_name), ROW(STRING, notify_classes), ROW(STRING, bounce_notice_recipient),
    {"2bounce_notice_recipient", PARAMETER_STRING, offsetof(struct bounce_params, twice_bounce_notice_recipient)},
    ROW(STRING, delay_notice_recipient), ROW(STRING, double_bounce_sender), ROW(STRING, bounce_template_file), ROW(STRING, header_from_format),
    ROW(STRING, internal_mail_filter_classes), ROW(STRING, empty_address_recipient), ROW(INT, bounce_size_limit), ROW(BOOL, smtputf8_enable),
    ROW(BOOL, requiretls_enable), ROW(BOOL, requiretls_redact_dsn), ROW(BOOL, tls_required_enable), ROW(BOOL, enable_threaded_bounces),
    ROW(TIME, maximal_queue_lifetime)};

void bounce_open(struct service_context *context)
{
    config_fill(context->config, bindings, COUNT_OF(bindings), &params);
    params.config = context->config;
    params.memory = arena_new(0);
    bounce_templates_load(params.bounce_template_file, params.memory, params.templates);
}

void bounce_start(struct service_context *context UNUSED)
{
    cleanup = submit_pool_new("public/cleanup");
}

/* wants_notice - RFC 3461 4.1: without NOTIFY failures and delays are reported, successes are not. */
static bool wants_notice(const struct recipient *recipient, int64_t kind)
{
    switch (kind) {
    case NOTICE_FAILURE:
        return recipient->notify == 0 || (recipient->notify & NOTIFY_FAILURE);
    case NOTICE_DELAY:
        return recipient->notify == 0 || (recipient->notify & NOTIFY_DELAY);
    default: /* whoever asks knows who wants to hear of success */
        return true;
    }
}

static const char *notice_name(int64_t kind)
{
    return kind == NOTICE_FAILURE ? "non-delivery notification" : kind == NOTICE_DELAY ? "delay notification" : "delivery status notification";
}

static void write_to_submission(void *context, struct slice data)
{
    submit_content(context, data);
}

static void fill_envelope(const struct bounce_request *request, struct slice queue_id, struct slice sender, struct recipient *to, struct envelope *envelope)
{
    *envelope = (struct envelope){.queue_id = queue_id, .arrival_time = clock_wall(), .sender = sender, .recipients = to, .recipients_count = 1,
                                  .encoding = request->envelope.encoding.len > 0 ? request->envelope.encoding : SLICE("8bit"),
                                  .smtputf8 = request->envelope.smtputf8, .rewrite_context = SLICE("local"),
                                  .log_message_origin = SLICE("local"), .source = SOURCE_BOUNCE};
    to->notify = NOTIFY_NEVER;
}

/* send_notice - one notice to one address.  False: not queued, try again. */
static bool send_notice(struct notice *notice, struct slice sender, struct slice to_address, struct arena *arena, struct slice *queue_id)
{
    struct submit_outcome outcome;
    struct envelope envelope;
    struct recipient to = {.address = to_address};
    int options = SUBMIT_NO_BCC;

    struct submission *submission = submit_open(cleanup, clock_after(SUBMIT_TIME));
    if (submission == NULL) {
        log_warning("connect to the cleanup service: %s", strerror(errno));
        return false;
    }
    if (!config_list_has(params.internal_mail_filter_classes, "bounce"))
        options |= SUBMIT_NO_HEADER_BODY_CHECKS | SUBMIT_NO_MILTERS;
    *queue_id = arena_slice(arena, submit_queue_id(submission));
    notice->queue_id = *queue_id;
    notice->to = arena_string(arena, to_address);
    fill_envelope(notice->request, *queue_id, sender, &to, &envelope);
    envelope.send_options = notice_send_options(notice);
    submit_envelope(submission, &envelope, options);
    notice_write(notice, write_to_submission, submission);
    submit_finish(submission, 0, arena, &outcome, clock_after(SUBMIT_TIME));
    if (outcome.status != SUBMIT_STATUS_ACCEPTED)
        log_warning(SLICE_FORMAT ": cannot queue a notification: " SLICE_FORMAT, SLICE_ARGS(notice->request->envelope.queue_id), SLICE_ARGS(outcome.reply));
    /* What cleanup refuses for good (a loop of notices) must not be tried for ever. */
    return outcome.status != SUBMIT_STATUS_TEMPORARY;
}

static struct slice double_bounce_address(struct arena *arena)
{
    return arena_format(arena, "%s@%s", params.double_bounce_sender, params.myhostname);
}

static bool is_double_bounce(struct slice sender, struct arena *arena)
{
    return slice_equal_case(sender, double_bounce_address(arena)) || slice_equal_case(sender, slice_of(params.double_bounce_sender));
}

static bool notify_sender(struct notice *notice, struct arena *arena)
{
    const struct envelope *envelope = &notice->request->envelope;
    struct slice queue_id;

    struct slice to = envelope->dsn_sender.len > 0 ? envelope->dsn_sender : envelope->sender; /* a list's owner hears in the sender's place */
    if (notice->request->verp_sender.len > 0)
        to = notice->request->verp_sender;
    if (!send_notice(notice, (struct slice){0}, to, arena, &queue_id))
        return false;
    log_info(SLICE_FORMAT ": sender %s: " SLICE_FORMAT, SLICE_ARGS(envelope->queue_id), notice_name(notice->request->kind), SLICE_ARGS(queue_id));
    return true;
}

static bool notify_postmaster(struct notice *notice, const char *to, struct arena *arena)
{
    const struct envelope *envelope = &notice->request->envelope;
    struct slice queue_id;

    notice->postmaster = true;
    if (!send_notice(notice, double_bounce_address(arena), slice_of(to), arena, &queue_id))
        return false;
    log_info(SLICE_FORMAT ": postmaster %s: " SLICE_FORMAT, SLICE_ARGS(envelope->queue_id), notice_name(notice->request->kind), SLICE_ARGS(queue_id));
    return true;
}

/* failure_notices - the table of compat.md g.6: ordinary sender, null sender, double bounce. */
static bool failure_notices(struct notice *notice, struct notice *everybody, struct arena *arena)
{
    struct slice sender = notice->request->envelope.sender;

    if (is_double_bounce(sender, arena)) {
        log_warning(SLICE_FORMAT ": undeliverable postmaster notification discarded", SLICE_ARGS(notice->request->envelope.queue_id));
        return true;
    }
    if (sender.len == 0 && notice->request->envelope.dsn_sender.len == 0) {
        if (config_list_has(params.notify_classes, "bounce") || config_list_has(params.notify_classes, "2bounce"))
            return notify_postmaster(everybody, params.twice_bounce_notice_recipient, arena);
        return true;
    }
    if (notice->recipient_count > 0 && !notify_sender(notice, arena))
        return false;
    if (config_list_has(params.notify_classes, "bounce"))
        return notify_postmaster(everybody, params.bounce_notice_recipient, arena);
    return true;
}

static bool delay_notices(struct notice *notice, struct notice *everybody, struct arena *arena)
{
    struct slice sender = notice->request->envelope.sender;

    if (sender.len == 0 || is_double_bounce(sender, arena))
        return true;
    if (notice->recipient_count > 0 && !notify_sender(notice, arena))
        return false;
    if (config_list_has(params.notify_classes, "delay"))
        return notify_postmaster(everybody, params.delay_notice_recipient, arena);
    return true;
}

/* handle - send what the request asks for. */
static bool handle(const struct bounce_request *request, int content_fd, struct arena *arena)
{
    struct notice notice = {.params = &params, .request = request, .content_fd = content_fd}, everybody;

    notice.recipients = arena_alloc(arena, (request->recipients_count + 1) * sizeof(*notice.recipients));
    everybody = notice;
    everybody.recipients = arena_alloc(arena, (request->recipients_count + 1) * sizeof(*notice.recipients));
    for (size_t i = 0; i < request->recipients_count; i++) {
        everybody.recipients[everybody.recipient_count++] = &request->recipients[i];
        if (wants_notice(&request->recipients[i].recipient, request->kind))
            notice.recipients[notice.recipient_count++] = &request->recipients[i];
    }
    if (request->kind == NOTICE_FAILURE)
        return failure_notices(&notice, &everybody, arena);
    if (request->kind == NOTICE_DELAY)
        return delay_notices(&notice, &everybody, arena);
    if (request->envelope.sender.len == 0 || notice.recipient_count == 0)
        return true;
    return notify_sender(&notice, arena);
}

void bounce_serve(struct service_context *context UNUSED, struct service_client *client)
{
    struct lane *lane = lane_accept(client->stream, clock_after(LANE_TIME));
    struct arena *arena = arena_new(0);
    void *value;
    int type;

    client->stream = NULL;
    while (lane != NULL && !lane_is_broken(lane)) {
        arena_reset(arena);
        type = lane_receive(lane, arena, &value, clock_after(IDLE_TIME));
        if (type == 0 && service_is_draining())
            break;
        if (type == 0)
            continue;
        if (type != MESSAGE_bounce_request)
            break;
        int fd = lane_take_fd(lane);
        struct bounce_reply reply = {.done = handle(value, fd, arena)};
        if (fd >= 0)
            close(fd);
        lane_send(lane, MESSAGE_bounce_reply, &reply, -1);
        if (!lane_flush(lane, clock_after(LANE_TIME)))
            break;
    }
    lane_free(lane);
    arena_free(arena);
}
