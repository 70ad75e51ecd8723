/* owner.c - what a list with an owner cannot deliver is told to the owner, not to whoever wrote to the list (compat.md g.2) */
#include "local.h"

#include "base/log.h"

#define BOUNCE_PATH "private/bounce"
#define BOUNCE_TIME (100 * MICROSECONDS)

static bool ask_bounce(struct job *job, struct bounce_request *request)
{
    const struct delivery *delivery = job->delivery;
    struct lane *lane = lane_connect(BOUNCE_PATH, clock_after(BOUNCE_TIME));

    if (lane == NULL) {
        log_warning(SLICE_FORMAT ": connect to the bounce service: %s", SLICE_ARGS(request->envelope.queue_id), strerror(errno));
        return false;
    }
    request->content_attached = delivery->content_fd >= 0;
    request->content_offset = delivery->content_offset;
    request->content_length = delivery->content_length;
    const struct bounce_reply *reply =
        lane_call(lane, MESSAGE_bounce_request, request, delivery->content_fd, MESSAGE_bounce_reply, job->arena, clock_after(BOUNCE_TIME));
    bool done = reply != NULL && reply->done;
    lane_free(lane);
    return done;
}

bool owner_hears(struct job *job, struct slice address, const struct delivery_status *status)
{
    struct delivery *delivery = job->delivery;
    const struct envelope *envelope = &delivery->request->envelope;
    struct recipient shown = {.address = address};
    struct bounce_recipient item = {.recipient = shown, .result = {.outcome = OUTCOME_BOUNCED, .status = slice_of(status->status), .action = SLICE("failed"),
                                                                   .reason = slice_trim_right(status->reason), .relay = SLICE("local"),
                                                                   .diagnostic_type = slice_of(status->diagnostic_type), .diagnostic = status->diagnostic}};
    struct bounce_request request = {.kind = NOTICE_FAILURE, .envelope = *envelope, .recipients = &item, .recipients_count = 1};
    struct delivery_times times = {.arrival = envelope->arrival_time, .active = delivery->request->active_time, .agent = delivery->agent_time,
                                   .connected = delivery->connected_time, .done = clock_wall()};

    if (slice_equal(job->sender, envelope->sender) || job->probe || config_bool(delivery->context->config, "soft_bounce"))
        return false;
    request.envelope.dsn_sender = job->sender;
    request.envelope.recipients = NULL;
    request.envelope.recipients_count = 0;
    request.envelope.envelope_id = (struct slice){0}; /* the old sender's wishes end at the list (RFC 3461 6.2.7.3) */
    request.envelope.ret = 0;
    if (!ask_bounce(job, &request))
        return false; /* better the old sender hears of it than nobody */
    delivery_log(envelope->queue_id, &shown, &times, 0, status);
    delivery_result_relay(delivery, job->recipient,
                          &(struct delivery_result){.outcome = OUTCOME_SENT, .status = SLICE("2.0.0"), .action = SLICE("delivered"), .relay = SLICE("local"),
                                                    .reason = SLICE("the owner of the list was told"), .notice_passed_on = true, .address = address});
    return true;
}
