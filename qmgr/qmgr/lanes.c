/* lanes.c - deliveries: fibers that claim work from the scheduler and hand it to delivery agents over lanes

   A worker is a fiber with at most one lane.  It claims a delivery, makes the call, and goes on with the same destination when nobody else is
   kept waiting by that.  With nothing to do it stays for a while, so that the agent can use its open connection again. */
#include "address/mail_address.h"
#include "qmgr.h"

#include "base/log.h"
#include "verp.h"

enum { BROKEN_LANES_MAX = 2 /* of one message; then its transport is left alone for a while */ };
static const int64_t idle_patience = 20 * MICROSECONDS, break_pause = MICROSECONDS / 10;

/* The workers of one transport. */
struct lanes {
    struct list idle; /* struct worker, the last used first */
    unsigned workers;
    unsigned waking;  /* workers that were told of work and did not yet look for it */
};

struct worker {
    struct qmgr *q;
    struct transport *transport;
    struct lane *lane;
    struct condition wake;
    struct list idle_link;        /* lanes.idle */
    struct list destination_link; /* destination->idle_lanes */
    struct destination *target;   /* why it was woken, or what it served last */
    bool woken, kept;             /* kept: the agent holds an open connection */
    int64_t content_key;          /* of the file that the agent has */
    struct arena *arena;
};

static unsigned in_flight_total;

static struct lanes *lanes_of(struct transport *transport)
{
    if (!transport->lanes) {
        struct lanes *lanes = memory_zalloc(1, sizeof(*lanes));
        list_init(&lanes->idle);
        transport->lanes = lanes;
    }
    return transport->lanes;
}

unsigned lanes_busy(const struct qmgr *q UNUSED)
{
    return in_flight_total;
}

void lanes_stop(struct qmgr *q)
{
    size_t position = 0;
    q->stopping = true;
    for (struct transport *t; (t = scheduler_next_transport(q->scheduler, &position));) {
        LIST_EACH(&lanes_of(t)->idle, link)
            condition_signal(&LIST_ENTRY(link, struct worker, idle_link)->wake);
    }
}

/* ---- waking ------------------------------------------------------------------------------------------------------- */

static void worker_run(void *arg);

static void start_worker(struct qmgr *q, struct destination *d)
{
    struct worker *w = memory_zalloc(1, sizeof(*w));
    struct lanes *lanes = lanes_of(d->transport);
    *w = (struct worker){.q = q, .transport = d->transport, .target = d, .content_key = -1};
    condition_init(&w->wake);
    list_init(&w->idle_link);
    list_init(&w->destination_link);
    w->arena = arena_new(0);
    lanes->workers++;
    lanes->waking++;
    fiber_start("delivery", worker_run, w);
}

static void wake_worker(struct worker *w, struct destination *d)
{
    list_remove(&w->idle_link);
    list_remove(&w->destination_link);
    w->target = d;
    w->woken = true;
    lanes_of(w->transport)->waking++;
    condition_signal(&w->wake);
}

/* idle_for - an idle worker: one that served the destination last, else one without an open connection. */
static struct worker *idle_for(struct lanes *lanes, const struct destination *d)
{
    if (!list_is_empty(&d->idle_lanes))
        return LIST_ENTRY(d->idle_lanes.next, struct worker, destination_link);
    struct worker *w = list_is_empty(&lanes->idle) ? NULL : LIST_ENTRY(lanes->idle.next, struct worker, idle_link);
    return w && !w->kept ? w : NULL;
}

void lanes_ready(void *context, struct destination *d)
{
    struct qmgr *q = context;
    struct lanes *lanes = lanes_of(d->transport);
    if (retry_is(d->transport)) {
        retry_ready(q);
        return;
    }
    /* One at a time: each looks for more work and wakes the next before it delivers. */
    if (lanes->waking || q->stopping)
        return;
    struct worker *w = idle_for(lanes, d);
    if (!w && lanes->workers < d->transport->limits.lane_limit) {
        start_worker(q, d);
        return;
    }
    if (!w && !list_is_empty(&lanes->idle)) /* give up the connection that was used least recently */
        w = LIST_ENTRY(lanes->idle.previous, struct worker, idle_link);
    if (w)
        wake_worker(w, d);
}

/* ---- one delivery ------------------------------------------------------------------------------------------------- */

/* by_address - recipients of one delivery go out ordered by domain, then by address, as Postfix's users see them in its logs. */
static int by_address(const void *a, const void *b)
{
    const struct recipient *left = a, *right = b;
    struct slice domain = mail_address_domain(left->address), other = mail_address_domain(right->address);
    int order = slice_compare_case(domain, other);
    return order ? order : slice_compare_case(left->address, right->address);
}

static void fill_request(struct worker *w, const struct claim *claim, struct delivery_request *request)
{
    const struct message *m = claim->message;
    struct recipient *recipients = arena_alloc(w->arena, claim->count * sizeof(*recipients));
    for (uint32_t i = 0; i < claim->count; i++)
        recipients[i] = *message_recipient(m, &m->slots[claim->slots[i]]);
    qsort(recipients, claim->count, sizeof(*recipients), by_address);
    *request = (struct delivery_request){.transport = w->transport->name, .next_hop = claim->destination->next_hop, .envelope = m->envelope,
                                         .content_offset = (int64_t)m->place.content_offset,
                                         .content_length = (int64_t)m->place.content_length, .active_time = m->active_time};
    request->envelope.recipients = recipients;
    request->envelope.recipients_count = claim->count;
    request->envelope.expanded_count = 0; /* told here, and not again by a message that an agent makes of this one */
    if (m->envelope.verp_delimiters.len)
        request->envelope.sender = verp_sender(m->envelope.verp_delimiters, m->envelope.sender, recipient_original(&recipients[0]), w->arena);
    request->flags = (m->envelope.trace & TRACE_VERBOSE ? DELIVERY_TRACE : 0) | (message_is_probe(m) ? DELIVERY_PROBE : 0) |
                     (claim->more_follows ? DELIVERY_KEEP_CONNECTION : 0) | DELIVERY_TELL_WRITTEN;
}

static struct slot *slot_of_index(const struct claim *claim, size_t guess, int64_t index)
{
    struct slot *slots = claim->message->slots;
    uint32_t low = 0, high = claim->count;
    if (guess < claim->count && slots[claim->slots[guess]].index == index)
        return &slots[claim->slots[guess]];
    while (low < high) { /* they are in the order of the record */
        uint32_t middle = low + (high - low) / 2;
        struct slot *slot = &slots[claim->slots[middle]];
        if (slot->index == index)
            return slot;
        if (slot->index < index)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

static void take_results(struct worker *w, const struct claim *claim, const struct delivery_reply *reply)
{
    struct message *m = claim->message;
    for (size_t i = 0; i < reply->results_count; i++) {
        struct slot *slot = slot_of_index(claim, i, reply->results[i].index);
        if (slot)
            finish_slot(w->q, m, slot, &reply->results[i]);
    }
    for (uint32_t i = 0; i < claim->count; i++) {
        struct slot *slot = &m->slots[claim->slots[i]];
        if (slot->state == SLOT_IN_FLIGHT)
            finish_slot_text(w->q, m, slot, OUTCOME_DEFERRED, "4.3.0 the delivery agent gave no result");
    }
}

static char *site_reason(struct worker *w, const struct delivery_reply *reply)
{
    return arena_printf(w->arena, SLICE_FORMAT " " SLICE_FORMAT, SLICE_ARGS(reply->site_status.len ? reply->site_status : SLICE("4.4.1")),
                        SLICE_ARGS(reply->site_reason.len ? reply->site_reason : SLICE("site failure")));
}

/* give_back - the delivery is over; the message may be gone afterwards. */
static void give_back(struct worker *w, const struct claim *claim, enum claim_end end, const char *reason)
{
    scheduler_done(claim, end, reason, clock_monotonic());
    in_flight_total--;
    claim->message->in_flight--;
    finish_part(w->q, claim->message);
}

static void delivered(struct worker *w, const struct claim *claim, const struct delivery_reply *reply)
{
    take_results(w, claim, reply);
    w->kept = reply->connection_kept;
    if (reply->site_failure)
        give_back(w, claim, CLAIM_SITE_FAILED, site_reason(w, reply));
    else
        give_back(w, claim, CLAIM_DELIVERED, NULL);
}

/* unreachable - the transport is left alone for a while; this delivery and all others for it are deferred. */
static void unreachable(struct worker *w, const struct claim *claim, const char *reason)
{
    scheduler_throttle(w->transport, reason, clock_monotonic());
    if (!claim->message->deleted)
        message_divert(w->q, claim->message, claim->slots, claim->count, reason);
    give_back(w, claim, CLAIM_RELEASED, NULL);
}

/* broken - the agent went away in the middle: what became of the delivery is not known. */
static void broken(struct worker *w, const struct claim *claim)
{
    struct message *m = claim->message;
    lane_free(w->lane);
    w->lane = NULL;
    if (w->q->stopping) {
        in_flight_total--; /* the message stays as it is: the next start tries again */
        return;
    }
    log_warning(SLICE_FORMAT ": the delivery agent of transport " SLICE_FORMAT " broke off", SLICE_ARGS(m->envelope.queue_id),
                SLICE_ARGS(w->transport->name));
    if (++m->broken_lanes >= BROKEN_LANES_MAX) {
        log_warning("transport " SLICE_FORMAT " failure -- see a previous warning/fatal/panic logfile record for the problem description",
                    SLICE_ARGS(w->transport->name));
        unreachable(w, claim, "4.3.0 unknown mail transport error");
        return;
    }
    fiber_sleep(break_pause);
    if (m->hold_wanted || m->requeue != REQUEUE_NOT)
        message_wait(m, claim->slots, claim->count);
    else if (!m->deleted)
        message_requeue(m, claim->destination, claim->slots, claim->count);
    give_back(w, claim, CLAIM_RELEASED, NULL);
}

static void content_lost(struct worker *w, const struct claim *claim)
{
    struct message *m = claim->message;
    log_warning(SLICE_FORMAT ": the message content cannot be read", SLICE_ARGS(m->envelope.queue_id));
    for (uint32_t i = 0; i < claim->count; i++)
        finish_slot_text(w->q, m, &m->slots[claim->slots[i]], OUTCOME_DEFERRED, "4.3.0 queue file read error");
    give_back(w, claim, CLAIM_RELEASED, NULL);
}

static bool open_lane(struct worker *w)
{
    if (w->lane && lane_is_idle_broken(w->lane)) {
        lane_free(w->lane);
        w->lane = NULL;
    }
    if (w->lane)
        return true;
    char path[256];
    snprintf(path, sizeof(path), "private/" SLICE_FORMAT, SLICE_ARGS(slice_first(w->transport->name, 200)));
    w->content_key = -1;
    w->lane = lane_connect(path, clock_after(w->q->params.qmgr_ipc_timeout));
    if (!w->lane && !w->q->stopping)
        log_warning("connect to transport %s: %s", path, strerror(errno));
    return w->lane != NULL;
}

/* ask_agent - the reply; NULL: the lane broke. */
static const struct delivery_reply *ask_agent(struct worker *w, struct claim *claim, const struct delivery_request *request, int fd)
{
    int64_t deadline = clock_after(w->q->params.daemon_timeout);
    void *value;
    int type;
    lane_send(w->lane, MESSAGE_delivery_request, request, request->content_attached ? fd : -1);
    if (!lane_flush(w->lane, deadline))
        return NULL;
    while ((type = lane_receive(w->lane, w->arena, &value, deadline)) == MESSAGE_delivery_written)
        scheduler_syncing(claim, clock_monotonic());
    return type == MESSAGE_delivery_reply ? value : NULL;
}

static void deliver(struct worker *w, struct claim *claim)
{
    struct message *m = claim->message;
    struct delivery_request request;
    uint64_t key;
    int fd;
    arena_reset(w->arena);
    for (uint32_t i = 0; i < claim->count; i++)
        m->slots[claim->slots[i]].state = SLOT_IN_FLIGHT;
    m->in_flight++;
    in_flight_total++;
    if (!open_lane(w)) {
        unreachable(w, claim, "4.3.0 mail transport unavailable");
        return;
    }
    if (m->deleted) {
        give_back(w, claim, CLAIM_RELEASED, NULL);
        return;
    }
    if (!store_content(w->q->store, &m->place, &fd, &key)) {
        content_lost(w, claim);
        return;
    }
    fill_request(w, claim, &request);
    request.content_key = (int64_t)key;
    request.content_attached = w->content_key != (int64_t)key;
    w->content_key = (int64_t)key;
    const struct delivery_reply *reply = ask_agent(w, claim, &request, fd);
    if (w->q->closed)
        return;
    if (reply)
        delivered(w, claim, reply);
    else
        broken(w, claim);
}

/* ---- a worker's life ---------------------------------------------------------------------------------------------- */

/* wake_next - before this one starts to wait: is there more that could be done now? */
static void wake_another(struct worker *w)
{
    struct destination *d = scheduler_peek(w->transport, clock_monotonic());
    if (d)
        lanes_ready(w->q, d);
}

static bool work(struct worker *w)
{
    struct claim claim;
    while (!w->q->stopping && scheduler_next(w->transport, w->target, clock_monotonic(), &claim)) {
        wake_another(w);
        deliver(w, &claim);
        w->target = claim.destination;
        if (!w->lane)
            return false;
    }
    return !w->q->stopping;
}

/* rest - wait for work; false: it is time to end. */
static bool rest(struct worker *w)
{
    w->woken = false;
    list_prepend(&lanes_of(w->transport)->idle, &w->idle_link);
    if (w->kept && w->target)
        list_prepend(&w->target->idle_lanes, &w->destination_link);
    condition_wait(&w->wake, clock_after(idle_patience));
    list_remove(&w->idle_link);
    list_remove(&w->destination_link);
    return w->woken;
}

static void worker_run(void *arg)
{
    struct worker *w = arg;
    struct lanes *lanes = lanes_of(w->transport);
    do {
        lanes->waking--;
    } while (work(w) && w->lane && rest(w));
    lane_free(w->lane);
    arena_free(w->arena);
    lanes->workers--;
    if (!w->q->stopping)
        wake_another(w); /* it may have been at the limit */
    free(w);
}
