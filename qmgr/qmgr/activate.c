/* activate.c - where each recipient goes, and the jobs that follow from it (compat.md f.1) */
#include "qmgr.h"

#include "address/mail_address.h"
#include "arrive.h"
#include "base/log.h"
#include "probes.h"
#include "service/address_log.h"

enum { BACKLOG = 100 /* jobs of a destination that has enough to do for now */ };

/* Where one recipient goes. */
struct target {
    struct slice transport, key, next_hop;
    struct destination *destination;
    uint32_t group; /* index of the job */
    const char *sink; /* not NULL: nothing is to be done, and why */
};

/* ---- resolving ---------------------------------------------------------------------------------------------------- */

static void target_fails(struct target *target, struct slice transport, struct slice reason)
{
    target->transport = transport;
    target->next_hop = reason;
}

/* target_ends - nothing is left to be done. */
static void target_ends(struct target *target, const char *why)
{
    target_fails(target, SLICE(RETRY_TRANSPORT), (struct slice){0});
    target->sink = why;
}

/* by_filter - content_filter and FILTER override everything: "transport:next_hop". */
static void by_filter(struct qmgr *q, const struct message *m, struct slice recipient, struct target *target)
{
    struct slice transport, next_hop = {NULL, 0};
    slice_cut(m->envelope.content_filter, ':', &transport, &next_hop);
    target->transport = slice_trim(transport);
    target->next_hop = slice_trim(next_hop);
    if (target->next_hop.len == 0)
        target->next_hop = slice_of(q->params.default_filter_nexthop);
    if (target->next_hop.len == 0)
        target->next_hop = mail_address_domain(recipient);
}

/* is_double_bounce - mail to the double-bounce address of this system is a notification that came back. */
static bool is_double_bounce(const struct qmgr *q, const struct route_result *result)
{
    return result->class == ADDRESS_CLASS_LOCAL && result->flags == 0 &&
           slice_equal_case(mail_address_local(result->recipient), slice_of(q->params.double_bounce_sender));
}

static void by_route(struct qmgr *q, struct message *m, struct slot *slot, struct arena *arena, struct target *target)
{
    struct recipient *recipient = message_recipient(m, slot);
    struct route_result result;
    struct routing *routing = q->routing; /* a reload may put another in its place meanwhile */
    routing->users++;
    route_resolve(routing->route, m->envelope.sender, recipient->address, (m->envelope.trace & TRACE_PROBE) != 0, arena, &result);
    routing->users--;
    target->transport = arena_slice(arena, result.transport);
    target->next_hop = arena_slice(arena, result.next_hop);
    if (result.flags & ROUTE_BAD_SYNTAX)
        target_fails(target, slice_of(q->params.error_service_name), SLICE("5.1.3 bad address syntax"));
    else if (result.flags & ROUTE_TRY_AGAIN)
        target_fails(target, SLICE(RETRY_TRANSPORT), SLICE("4.3.0 address resolver failure"));
    else
        target->sink = is_double_bounce(q, &result) ? "2.0.0 undeliverable postmaster notification discarded" : NULL;
    if (slice_equal(result.recipient, recipient->address))
        return;
    if (recipient->original.len == 0)
        recipient->original = recipient->address;
    recipient->address = arena_slice(m->arena, result.recipient);
}

/* key_of - what has its own queue: the next hop, or (one recipient a delivery) the mailbox there. */
static struct slice key_of(struct qmgr *q, const struct transport *transport, struct slice recipient, struct slice next_hop,
                           struct arena *arena)
{
    if (transport->limits.recipient_limit != 1)
        return arena_lower(arena, next_hop);
    struct slice user, extension;
    address_split_extension(mail_address_local(recipient), slice_of(q->params.recipient_delimiter), q->params.owner_request_special, &user,
                            &extension);
    return arena_lower(arena, arena_format(arena, SLICE_FORMAT "@" SLICE_FORMAT, SLICE_ARGS(user), SLICE_ARGS(next_hop)));
}

static void resolve_slot(struct qmgr *q, struct message *m, struct slot *slot, struct arena *arena, struct target *target)
{
    struct recipient *recipient = message_recipient(m, slot);
    *target = (struct target){.sink = NULL};
    if (m->forced_expire)
        target_fails(target, SLICE(RETRY_TRANSPORT), SLICE("4.7.0 message is administratively expired"));
    else if (recipient->address.len == 0)
        target_fails(target, slice_of(q->params.error_service_name), SLICE("5.1.3 null recipient address"));
    else if (probes_are(m) && probes_too_many(q))
        target_fails(target, SLICE(RETRY_TRANSPORT), SLICE("4.3.2 Too many address verification requests"));
    else if (m->envelope.trace & TRACE_SEVERAL)
        target_ends(target, "2.0.0 aliased to multiple recipients");
    else if (m->envelope.content_filter.len)
        by_filter(q, m, recipient->address, target);
    else
        by_route(q, m, slot, arena, target);
    struct transport *transport = scheduler_transport(q->scheduler, target->transport);
    if (transport->limits.deferred && !m->flushed && !target->sink) {
        target_fails(target, SLICE(RETRY_TRANSPORT), SLICE("4.3.2 deferred transport"));
        transport = scheduler_transport(q->scheduler, target->transport);
    }
    target->key = key_of(q, transport, recipient->address, target->next_hop, arena);
}

/* ---- making jobs -------------------------------------------------------------------------------------------------- */

static struct job *new_job(struct message *m, struct destination *destination, const uint32_t *slots, uint32_t count)
{
    struct job *job = arena_alloc(m->arena, sizeof(*job));
    *job = (struct job){.message = m, .destination = destination, .slots = slots, .count = count,
                        .one_by_one = m->envelope.verp_delimiters.len > 0};
    list_append(&m->jobs, &job->message_link);
    return job;
}

/* divert_to - a destination in the retry transport for that reason; NULL: that one is not to be reached either. */
static struct destination *divert_to(struct qmgr *q, const struct transport *from, const char *reason, struct arena *arena)
{
    struct transport *retry = scheduler_transport(q->scheduler, SLICE(RETRY_TRANSPORT));
    if (from->limits.is_sink || retry->throttled_until)
        return NULL;
    struct slice next_hop = slice_of(reason);
    struct destination *d = scheduler_destination(retry, arena_lower(arena, next_hop), next_hop);
    return scheduler_suspended(d) ? NULL : d;
}

static void defer_here(struct qmgr *q, struct message *m, const uint32_t *slots, uint32_t count, const char *reason)
{
    for (uint32_t i = 0; i < count; i++)
        finish_slot_text(q, m, &m->slots[slots[i]], OUTCOME_DEFERRED, reason);
}

void message_wait(struct message *m, const uint32_t *slots, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        m->slots[slots[i]].state = SLOT_WAITING;
}

static void divert(struct qmgr *q, struct message *m, const struct transport *from, const uint32_t *slots, uint32_t count, const char *reason)
{
    struct arena *arena = arena_new(0);
    struct destination *d = divert_to(q, from, reason, arena);
    message_wait(m, slots, count);
    if (d)
        scheduler_add(new_job(m, d, slots, count), false, clock_monotonic());
    else
        defer_here(q, m, slots, count, reason);
    arena_free(arena);
}

void message_divert(struct qmgr *q, struct message *m, const uint32_t *slots, uint32_t count, const char *reason)
{
    divert(q, m, scheduler_transport(q->scheduler, m->slots[slots[0]].transport), slots, count, reason);
}

/* A job that was suspended while its message is still making others must not end the message: finish_part looks at in_flight and jobs. */
void message_suspended(void *context, struct job *job, const char *reason)
{
    struct qmgr *q = context;
    struct message *m = job->message;
    list_remove(&job->message_link);
    divert(q, m, job->destination->transport, job->slots + job->taken, job->count - job->taken, reason);
    finish_part(q, m);
}

void message_requeue(struct message *m, struct destination *destination, const uint32_t *slots, uint32_t count)
{
    message_wait(m, slots, count);
    scheduler_add(new_job(m, destination, slots, count), true, clock_monotonic());
}

void message_withdraw(struct message *m)
{
    while (!list_is_empty(&m->jobs)) {
        struct job *job = LIST_ENTRY(m->jobs.next, struct job, message_link);
        list_remove(&job->message_link);
        scheduler_withdraw(job, clock_monotonic());
    }
}

/* ---- activation --------------------------------------------------------------------------------------------------- */

/* group - number the destinations of the targets in order of appearance; the count.  first: where each appears first. */
static uint32_t group(struct target *targets, uint32_t count, uint32_t *first)
{
    uint32_t groups = 0;
    for (uint32_t i = 0; i < count; i++)
        targets[i].destination->scratch = 0;
    for (uint32_t i = 0; i < count; i++) {
        if (targets[i].destination->scratch == 0) {
            first[groups] = i;
            targets[i].destination->scratch = ++groups;
        }
        targets[i].group = targets[i].destination->scratch - 1;
    }
    return groups;
}

static void add_jobs(struct qmgr *q, struct message *m, struct target *targets, const uint32_t *waiting, uint32_t count, struct arena *arena)
{
    uint32_t *first = arena_alloc(arena, (count + 1) * sizeof(*first)), *sizes = arena_alloc(arena, (count + 1) * sizeof(*sizes));
    uint32_t groups = group(targets, count, first);
    uint32_t *all = arena_alloc(m->arena, (count + 1) * sizeof(*all)), *at = all;
    uint32_t **next = arena_alloc(arena, (groups + 1) * sizeof(*next)), **begin = arena_alloc(arena, (groups + 1) * sizeof(*begin));
    for (uint32_t i = 0; i < count; i++)
        sizes[targets[i].group]++;
    for (uint32_t g = 0; g < groups; at += sizes[g++])
        next[g] = begin[g] = at;
    for (uint32_t i = 0; i < count; i++)
        *next[targets[i].group]++ = waiting[i];
    for (uint32_t g = 0; g < groups; g++) {
        struct destination *d = targets[first[g]].destination;
        const char *reason = m->flushed ? NULL : scheduler_suspended(d);
        if (reason)
            divert(q, m, d->transport, begin[g], sizes[g], reason);
        else
            scheduler_add(new_job(m, d, begin[g], sizes[g]), false, clock_monotonic());
    }
}

/* find_destinations - no waits from here on: destinations may vanish in a wait. */
static void find_destinations(struct qmgr *q, struct message *m, struct target *targets, const uint32_t *waiting, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        struct target *t = &targets[i];
        struct slot *slot = &m->slots[waiting[i]];
        t->destination = scheduler_destination(scheduler_transport(q->scheduler, t->transport), t->key, t->next_hop);
        slot->transport = t->destination->transport->name;
        slot->key = i > 0 && t->destination == targets[i - 1].destination ? m->slots[waiting[i - 1]].key : arena_slice(m->arena, t->key);
        if (m->flushed)
            scheduler_revive(t->destination, clock_monotonic());
    }
}

/* is_backlogged - all its destinations have enough to do. */
static bool is_backlogged(const struct qmgr *q, const struct target *targets, uint32_t count)
{
    bool full = pull_is_full(q);
    for (uint32_t i = 0; i < count; i++) {
        const struct destination *d = targets[i].destination;
        if ((d->job_count < BACKLOG && !full) || d->transport->limits.is_sink || scheduler_suspended(d))
            return false;
    }
    return count > 0;
}

/* spill - into the index until its destination has less to do.  False: it stays. */
static bool spill(struct qmgr *q, struct message *m, struct destination *d)
{
    if (message_index(q, m, INDEX_INCOMING, m->envelope.arrival_time))
        d->spilled = true;
    else if (!pull_is_full(q))
        return false;
    else if (!m->indexed)
        arrive_later(&m->place);
    message_free(q, m);
    return true;
}

/* settle_sinks - take those out that end here; the count of the others. */
static uint32_t settle_sinks(struct qmgr *q, struct message *m, struct target *targets, uint32_t *waiting, uint32_t count)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < count; i++) {
        if (targets[i].sink) {
            log_speak_for(m->envelope.trace & TRACE_SEVERAL ? "cleanup" : NULL); /* who found that */
            finish_slot_text(q, m, &m->slots[waiting[i]], OUTCOME_SENT, targets[i].sink);
            log_speak_for(NULL);
            continue;
        }
        targets[kept] = targets[i];
        waiting[kept++] = waiting[i];
    }
    return kept;
}

static void log_active(const struct message *m)
{
    const struct envelope *e = &m->envelope;
    struct buffer line = BUFFER_INIT;
    buffer_printf(&line, SLICE_FORMAT ":", SLICE_ARGS(e->queue_id));
    address_log_append(&line, "from", e->sender);
    log_info("%s, size=%lld, nrcpt=%zu (queue active)", buffer_string(&line), (long long)e->message_size, e->recipients_count);
    buffer_release(&line);
}

void message_activate(struct qmgr *q, struct message *m, bool may_spill)
{
    struct arena *arena = arena_new(0);
    struct target *targets = arena_alloc(arena, (m->slot_count + 1) * sizeof(*targets));
    uint32_t *waiting = arena_alloc(arena, (m->slot_count + 1) * sizeof(*waiting)), count = 0;
    m->in_flight++;
    for (uint32_t i = 0; i < m->slot_count; i++) {
        if (m->slots[i].state != SLOT_WAITING)
            continue;
        resolve_slot(q, m, &m->slots[i], arena, &targets[count]);
        waiting[count++] = i;
    }
    m->in_flight--;
    if (!m->deleted && !m->hold_wanted) {
        find_destinations(q, m, targets, waiting, count);
        if (may_spill && !pull_has_room(q) && is_backlogged(q, targets, count) && spill(q, m, targets[0].destination)) {
            arena_free(arena);
            return;
        }
        log_active(m);
        m->active_time = clock_wall();
        m->in_flight++;
        count = settle_sinks(q, m, targets, waiting, count);
        add_jobs(q, m, targets, waiting, count, arena);
        m->in_flight--;
    }
    arena_free(arena);
    finish_part(q, m);
}
