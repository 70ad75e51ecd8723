/* forward.c - what is sent on becomes a new message: Received and Delivered-To in front, one message per sender */
#include "local.h"

#include "address/mail_address.h"
#include "base/log.h"

#define SUBMIT_TIME (3600 * MICROSECONDS)
#define PIECE (64 * 1024)

static struct forward *forward_for(struct job *job, struct slice sender, struct slice report_address)
{
    for (size_t i = 0; i < job->forward_count; i++)
        if (slice_equal(job->forwards[i].sender, sender) && slice_equal(job->forwards[i].report_address, report_address))
            return &job->forwards[i];
    if (job->forward_count == COUNT_OF(job->forwards))
        forward_flush(job);
    struct forward *forward = &job->forwards[job->forward_count++];
    *forward = (struct forward){.sender = sender, .report_address = report_address};
    return forward;
}

void forward_add(struct job *job, struct slice address)
{
    struct slice from = job->delivery->recipients[job->recipient].address;

    if (seen(job, "address", address, 0))
        return;
    if (job->probe) {
        report_format(job, address, OUTCOME_SENT, "2.0.0", "forwards to " SLICE_FORMAT, SLICE_ARGS(mail_address_internal(address, job->arena)));
        return;
    }
    struct forward *forward = forward_for(job, job->sender, from);
    if ((forward->count & (forward->count - 1)) == 0) {
        struct slice *larger = arena_alloc(job->arena, (forward->count == 0 ? 1 : 2 * forward->count) * sizeof(*larger));
        if (forward->count > 0)
            memcpy(larger, forward->addresses, forward->count * sizeof(*larger));
        forward->addresses = larger;
    }
    forward->addresses[forward->count++] = address;
}

static void fill_envelope(const struct job *job, const struct forward *forward, struct slice queue_id, struct envelope *envelope)
{
    const struct envelope *old = &job->delivery->request->envelope;
    const struct recipient *recipient = &job->delivery->recipients[job->recipient];
    bool owner = !slice_equal(forward->sender, old->sender);

    *envelope = *old;
    envelope->queue_id = queue_id;
    envelope->arrival_time = clock_wall();
    envelope->sender = forward->sender;
    envelope->source = SOURCE_FORWARD;
    envelope->rewrite_context = SLICE("local");
    envelope->content_filter = envelope->redirect = (struct slice){0};
    envelope->trace = 0;
    envelope->hold = false;
    if (owner) { /* a mailing list: the old sender's wishes end here (RFC 3461 6.2.7.3) */
        envelope->envelope_id = (struct slice){0};
        envelope->ret = 0;
    }
    envelope->recipients = arena_alloc(job->arena, forward->count * sizeof(*envelope->recipients));
    envelope->recipients_count = forward->count;
    struct recipient wishes = {0};
    if (!owner) {
        wishes.notify = recipient->notify;
        if (job->expanded && (wishes.notify & NOTIFY_SUCCESS)) {
            wishes.notify &= ~NOTIFY_SUCCESS;
            wishes.notify = wishes.notify == 0 ? NOTIFY_NEVER : wishes.notify;
        }
        wishes.original = recipient_original(recipient);
        wishes.orcpt = recipient->orcpt;
    }
    for (size_t i = 0; i < forward->count; i++) {
        envelope->recipients[i] = wishes;
        envelope->recipients[i].address = forward->addresses[i];
    }
}

static bool send_content(struct job *job, struct submission *submission)
{
    struct buffer piece = BUFFER_INIT, head = BUFFER_INIT;
    const struct delivery *delivery = job->delivery;
    int64_t position = 0;

    buffer_printf(&head, "Received: by %s (%s)\r\n\tid " SLICE_FORMAT "; ", job->params->myhostname, job->params->mail_name, SLICE_ARGS(submit_queue_id(submission)));
    clock_rfc5322(&head, clock_wall());
    buffer_append_string(&head, "\r\n");
    struct slice delivered = arena_lower(job->arena, job->delivered); /* what is compared when it comes back knows no case */
    if (config_list_has(job->params->prepend_delivered_header, "forward"))
        buffer_printf(&head, "Delivered-To: " SLICE_FORMAT "\r\n", SLICE_ARGS(delivered));
    submit_content(submission, buffer_slice(&head));
    buffer_release(&head);
    while (position < delivery->content_length) {
        buffer_clear(&piece);
        if (!content_read(delivery, position, PIECE, &piece) || piece.len == 0)
            break;
        position += (int64_t)piece.len;
        submit_content(submission, buffer_slice(&piece));
    }
    buffer_release(&piece);
    return position >= delivery->content_length;
}

static void send_on(struct job *job, const struct forward *forward)
{
    struct submit_outcome outcome = {0};
    struct envelope envelope;
    struct submission *submission = submit_open(local_cleanup, clock_after(SUBMIT_TIME));

    if (submission == NULL) {
        log_warning("connect to the cleanup service: %s", strerror(errno));
        report_format(job, forward->report_address, OUTCOME_DEFERRED, "4.3.0", "unable to forward message");
        return;
    }
    struct slice queue_id = arena_slice(job->arena, submit_queue_id(submission));
    fill_envelope(job, forward, queue_id, &envelope);
    submit_envelope(submission, &envelope, SUBMIT_NO_BCC | SUBMIT_NO_HEADER_BODY_CHECKS | SUBMIT_NO_MILTERS);
    if (!send_content(job, submission)) {
        submit_cancel(submission);
        report_format(job, forward->report_address, OUTCOME_DEFERRED, "4.3.0", "unable to forward message: cannot read the message in the queue");
        return;
    }
    submit_finish(submission, job->delivery->request->envelope.message_size, job->arena, &outcome, clock_after(SUBMIT_TIME));
    if (outcome.status == SUBMIT_STATUS_ACCEPTED) {
        report_format(job, forward->report_address, OUTCOME_SENT, "2.0.0", "forwarded as " SLICE_FORMAT, SLICE_ARGS(queue_id));
        return;
    }
    bool temporary = outcome.status == SUBMIT_STATUS_TEMPORARY;
    report_format(job, forward->report_address, temporary ? OUTCOME_DEFERRED : OUTCOME_BOUNCED, temporary ? "4.3.0" : "5.3.0",
                  "unable to forward message: " SLICE_FORMAT, SLICE_ARGS(outcome.reply));
}

bool forward_is_due(const struct job *job, const struct target *target)
{
    return target->level == 0 || !job->params->frozen_delivered_to;
}

void forward_flush(struct job *job)
{
    size_t count = job->forward_count;

    job->forward_count = 0;
    if (job->deferred) /* all of it is tried again: what is sent on now would be sent on twice */
        return;
    for (size_t i = 0; i < count; i++)
        send_on(job, &job->forwards[i]);
}
