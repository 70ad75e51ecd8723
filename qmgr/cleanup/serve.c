/* serve.c - one lane of a submitter (smtpd, pickup, bounce, local): see lib/ipc/submit.c for the protocol */
#include "base/log.h"
#include "transaction.h"

#define HELLO_TIME (100 * MICROSECONDS)
#define DRAIN_LOOK (5 * MICROSECONDS)
#define DRAIN_TIME (30 * MICROSECONDS)

struct session {
    struct cleanup *cleanup;
    struct service_client *client;
    struct lane *lane;
    struct arena *frame;           /* of the message just received */
    char queue_id[QUEUE_ID_MAX];   /* promised for the next transaction; empty: none */
    struct transaction *transaction;
    struct milters *milters;       /* smtpd's mail filters, for the next transaction; NULL: there are none */
};

static struct slice promise_queue_id(struct session *s)
{
    return queue_id_make(&s->cleanup->ids, s->queue_id);
}

static bool flush(struct session *s)
{
    return lane_flush(s->lane, clock_after(s->cleanup->params.ipc_timeout));
}

static bool on_open(struct session *s)
{
    struct submit_opened opened = {.queue_id = promise_queue_id(s)};
    lane_send(s->lane, MESSAGE_submit_opened, &opened, -1);
    return flush(s);
}

/* on_milter - smtpd hands over its connection to a mail filter. */
static bool on_milter(struct session *s, const struct submit_milter *milter)
{
    if (!s->milters)
        s->milters = milters_new(NULL, NULL, NULL);
    milters_take(s->milters, milter, lane_take_fd(s->lane));
    return true;
}

/* on_envelope - the transaction keeps the frame's memory. */
static bool on_envelope(struct session *s, const struct submit_envelope *envelope)
{
    if (!s->queue_id[0]) {
        log_warning("a submitter sent an envelope without asking for a queue id");
        return false;
    }
    struct arena *arena = s->frame;
    s->frame = arena_new(0);
    s->transaction = transaction_begin(s->cleanup, arena, slice_of(s->queue_id), envelope);
    s->queue_id[0] = '\0';
    transaction_filter(s->transaction, s->milters);
    s->milters = NULL;
    return true;
}

/* on_end - when this process is to be replaced the lane ends here, and promises nothing: the submitter, which may use the lane before it
   sees the end, must ask for a queue id first, and opens another lane, to the new process, when there is no answer. */
static bool on_end(struct session *s, const struct submit_end *end)
{
    struct refusal refusal;
    transaction_decide(s->transaction, end);
    transaction_finish(s->transaction, &refusal);
    bool is_last = service_is_draining();
    struct submit_reply reply = {.status = refusal.status, .reply = refusal.reply, .reply_code = refusal.reply_code,
                                 .next_queue_id = is_last ? SLICE("") : promise_queue_id(s)};
    lane_send(s->lane, MESSAGE_submit_reply, &reply, -1);
    bool good = flush(s);
    transaction_free(s->transaction);
    s->transaction = NULL;
    return good && !is_last;
}

/* handle - one message; false: the lane is to be closed. */
static bool handle(struct session *s, int type, void *value)
{
    if (type == MESSAGE_submit_abort) {
        transaction_free(s->transaction);
        s->transaction = NULL;
        milters_free(s->milters);
        s->milters = NULL;
        s->queue_id[0] = '\0';
        return true;
    }
    if (type == MESSAGE_submit_open && !s->transaction)
        return on_open(s);
    if (type == MESSAGE_submit_envelope && !s->transaction)
        return on_envelope(s, value);
    if (type == MESSAGE_submit_milter && !s->transaction)
        return on_milter(s, value);
    if (type == MESSAGE_submit_content && s->transaction) {
        transaction_content(s->transaction, ((const struct submit_content *)value)->data);
        return true;
    }
    if (type == MESSAGE_submit_end && s->transaction)
        return on_end(s, value);
    log_warning("unexpected message %d from a submitter", type);
    return false;
}

/* receive_reserved - the submitter holds a queue id that it may have shown to its client: when this process is to be replaced (not when
   all stops) it gets a while to use it.  A lane that is closed meanwhile costs that client a "try again". */
static int receive_reserved(struct session *s, void **value)
{
    int64_t give_up = 0;
    while (!service_is_stopping()) {
        service_interruptible(s->client, INTERRUPTIBLE_AT_STOP);
        int type = lane_receive(s->lane, s->frame, value, clock_after(DRAIN_LOOK));
        service_interruptible(s->client, INTERRUPTIBLE_NEVER);
        if (type != 0)
            return type;
        if (service_is_draining() && give_up == 0)
            give_up = clock_after(DRAIN_TIME);
        if (give_up && clock_monotonic() >= give_up)
            break;
    }
    return -1;
}

static int receive(struct session *s, void **value)
{
    int64_t deadline = clock_after(s->cleanup->params.ipc_timeout);
    arena_reset(s->frame);
    if (s->transaction)
        return lane_receive(s->lane, s->frame, value, deadline);
    if (s->queue_id[0])
        return receive_reserved(s, value);
    return service_receive(s->client, s->lane, s->frame, value, deadline);
}

void cleanup_serve(struct service_context *context, struct service_client *client)
{
    struct session s = {.cleanup = context->state, .client = client};
    struct stream *stream = client->stream;
    client->stream = NULL;
    s.lane = lane_accept(stream, clock_after(HELLO_TIME));
    if (!s.lane)
        return;
    s.frame = arena_new(0);
    for (;;) {
        void *value;
        int type = receive(&s, &value);
        if (type <= 0 || !handle(&s, type, value))
            break;
    }
    transaction_free(s.transaction);
    milters_free(s.milters);
    arena_free(s.frame);
    lane_free(s.lane);
}
