/* pull.c - messages out of the index: deferred ones when they are due, spilled ones when their destination has less to do */
#include "qmgr.h"

#include "address/mail_address.h"
#include "base/log.h"

enum {
    BATCH = 20,         /* entries between two looks at the rest of the world */
    FETCH_MAX = 100,    /* spilled messages fetched for a destination at once */
    BACKLOG = 100,      /* jobs of a destination that has enough to do */
    FULL_FACTOR = 4,    /* times qmgr_message_active_limit and _recipient_limit: the end for all that have something to do */
    OVERFULL_FACTOR = 8 /* and the end for all */
};
static const int64_t scan_pause = MICROSECONDS / 2, full_pause = MICROSECONDS / 10, longest_pause = 60 * MICROSECONDS;

struct pull {
    struct condition wake;
    int64_t next_due;     /* of the entries not in memory, as far as known (microseconds since 1970) */
    unsigned paused;      /* see pull_pause */
    bool flushing;
    int64_t flush_time;   /* entries attempted since then are through */
};

struct pull *pull_new(void)
{
    struct pull *p = memory_zalloc(1, sizeof(*p));
    condition_init(&p->wake);
    return p;
}

bool pull_has_room(const struct qmgr *q)
{
    return (int64_t)q->active_count <= q->params.qmgr_message_active_limit &&
           (int64_t)q->recipient_count <= q->params.qmgr_message_recipient_limit;
}

static bool is_above(const struct qmgr *q, int64_t factor)
{
    return (int64_t)q->active_count > factor * q->params.qmgr_message_active_limit ||
           (int64_t)q->recipient_count > factor * q->params.qmgr_message_recipient_limit;
}

bool pull_is_full(const struct qmgr *q)
{
    return is_above(q, FULL_FACTOR);
}

void pull_pause(struct qmgr *q, bool pause)
{
    q->pull->paused += pause ? 1U : -1U;
    if (q->pull->paused == 0)
        condition_signal(&q->pull->wake);
}

void pull_soon(struct qmgr *q, int64_t next_attempt)
{
    struct pull *p = q->pull;
    if (next_attempt >= p->next_due)
        return;
    p->next_due = next_attempt;
    condition_signal(&p->wake);
}

/* ---- one entry ---------------------------------------------------------------------------------------------------- */

/* destination_of - of an entry ("transport:key"), when that destination is in memory. */
static struct destination *destination_of(struct qmgr *q, const struct index_entry *entry)
{
    struct slice transport, key;
    if (!slice_cut(entry->destination, ':', &transport, &key))
        return NULL;
    return scheduler_find(q->scheduler, transport, key);
}

/* forget - the record says that there is nothing to do. */
static void forget(struct qmgr *q, const struct index_entry *entry)
{
    index_delete(q->index, entry->queue_id);
}

/* hold - the record says so: a kill came between. */
static void hold(struct qmgr *q, const struct index_entry *entry)
{
    struct index_entry held = *entry;
    held.queue = INDEX_HOLD;
    index_put(q->index, &held);
}

/* begin - what was read is put to work.  Waits. */
static void begin(struct qmgr *q, const struct queue_record *record, const struct index_entry *entry, bool flushed, bool may_spill)
{
    struct message *m = message_of_record(q, record, entry);
    if (!m)
        return;
    m->flushed = flushed;
    m->forced_expire |= entry->forced_expire;
    if (m->requeue == REQUEUE_NOT)
        message_activate(q, m, may_spill);
    else
        requeue_message(q, m);
}

/* load - into memory and to work.  Waits. */
static void load(struct qmgr *q, const struct index_entry *entry, bool flushed, bool may_spill)
{
    struct arena *arena = arena_new(0);
    struct queue_record record;
    uint64_t drops = q->drops;
    bool known = message_find(q, entry->queue_id) != NULL;
    bool there = !known && store_read(q->store, &entry->place, arena, &record);
    if (known || drops != q->drops || q->pull->paused || q->closed) {
        arena_free(arena);
        return;
    }
    if (!there) {
        forget(q, entry); /* gone, or damaged: the store has set it aside and said so */
    } else if (record.state == MESSAGE_STATE_LIVE) {
        begin(q, &record, entry, flushed, may_spill);
    } else if (record.state == MESSAGE_STATE_HELD) {
        hold(q, entry);
    } else {
        forget(q, entry);
    }
    arena_free(arena);
}

/* set_aside - its destination has enough to do: the entry waits for that instead of for a time. */
static bool set_aside(struct qmgr *q, struct index_entry *entry)
{
    struct destination *d = destination_of(q, entry);
    size_t enough = pull_is_full(q) ? 1 : BACKLOG;
    if (!d || d->job_count < enough || scheduler_suspended(d))
        return false;
    entry->queue = INDEX_INCOMING;
    if (index_put(q->index, entry) <= 0)
        return false;
    d->spilled = true;
    return true;
}

static void wait_while_paused(struct qmgr *q)
{
    while (q->pull->paused && !q->stopping)
        fiber_sleep(full_pause);
}

static void wait_for_room(struct qmgr *q)
{
    while ((pull_is_full(q) || q->pull->paused) && !q->stopping)
        fiber_sleep(full_pause);
}

/* ---- deferred ----------------------------------------------------------------------------------------------------- */

/* take_due - one entry of the scan; false: it and all that follow are not due. */
static bool take_due(struct qmgr *q, struct index_entry *entry)
{
    struct pull *p = q->pull;
    bool due = entry->next_attempt <= clock_wall();
    if (!due && !p->flushing) {
        p->next_due = entry->next_attempt;
        return false;
    }
    bool attempted = p->flushing && entry->last_attempt >= p->flush_time;
    if ((!due && attempted) || message_find(q, entry->queue_id))
        return true;
    if (entry->requeue) {
        requeue_start(q, entry->queue_id);
        return true;
    }
    if (!pull_has_room(q) && set_aside(q, entry))
        return true;
    while (is_above(q, OVERFULL_FACTOR) && !q->stopping)
        fiber_sleep(full_pause);
    load(q, entry, p->flushing, false);
    return true;
}

static void scan_due(struct qmgr *q)
{
    struct pull *p = q->pull;
    struct arena *arena = arena_new(0);
    struct index_entry entry;
    int64_t flush_time = p->flush_time;
    struct index_scan *scan = index_scan_start(q->index, INDEX_BY_NEXT_ATTEMPT, INDEX_DEFERRED, (struct slice){NULL, 0});
    int found = 1;
    p->next_due = INT64_MAX;
    for (int i = 1; !q->stopping && (found = index_scan_next(scan, arena, &entry)) > 0; i++) {
        if (!take_due(q, &entry))
            break;
        arena_reset(arena);
        if (i % BATCH == 0)
            fiber_yield();
        if (p->flush_time != flush_time || p->paused)
            break; /* asked for once more, or not now: from the start */
    }
    index_scan_free(scan);
    arena_free(arena);
    if (found <= 0 && p->flush_time == flush_time && !p->paused)
        p->flushing = false;
}

/* pause_after_scan - until something is due, but not at once again, unless a flush was asked for. */
static void pause_after_scan(struct qmgr *q)
{
    struct pull *p = q->pull;
    int64_t earliest = clock_wall() + scan_pause;
    while (!q->stopping && (p->paused || !p->flushing)) {
        int64_t wait = (p->next_due > earliest ? p->next_due : earliest) - clock_wall();
        if (p->paused)
            wait = longest_pause;
        if (wait <= 0)
            return;
        condition_wait(&p->wake, clock_after(wait < longest_pause ? wait : longest_pause));
    }
}

static void pull_fiber(void *arg)
{
    struct qmgr *q = arg;
    while (!q->stopping) {
        scan_due(q);
        pause_after_scan(q);
    }
}

void pull_flush(struct qmgr *q)
{
    q->pull->flushing = true;
    q->pull->flush_time = clock_wall();
    scheduler_forget(q->scheduler, clock_monotonic());
    condition_signal(&q->pull->wake);
}

int pull_id(struct qmgr *q, struct slice queue_id)
{
    struct arena *arena = arena_new(0);
    struct index_entry entry;
    struct message *m = message_find(q, queue_id);
    int found = m ? 1 : index_get(q->index, queue_id, arena, &entry);
    if (m)
        m->flushed = true;
    else if (found > 0 && entry.queue == INDEX_DEFERRED)
        load(q, &entry, true, false);
    else
        found = 0;
    arena_free(arena);
    return found;
}

bool pull_id_with_room(struct qmgr *q, struct slice queue_id)
{
    struct index_entry entry;
    struct message *m = message_find(q, queue_id);
    if (m) {
        m->flushed = true;
        return true;
    }
    wait_for_room(q);
    struct arena *arena = arena_new(0);
    bool found = index_get(q->index, queue_id, arena, &entry) > 0 && entry.queue == INDEX_DEFERRED;
    if (found)
        load(q, &entry, true, true);
    arena_free(arena);
    return found;
}

/* ---- one site (ETRN, postqueue -s) -------------------------------------------------------------------------------- */

static bool has_recipient_in(const struct index_entry *entry, struct slice site)
{
    for (size_t i = 0; i < entry->recipient_count; i++) {
        if (slice_equal_case(mail_address_domain(entry->recipients[i].address), site))
            return true;
    }
    return false;
}

struct site_flush {
    struct qmgr *q;
    char *site;
};

static void site_fiber(void *arg)
{
    struct site_flush *flush = arg;
    struct qmgr *q = flush->q;
    struct arena *arena = arena_new(0);
    struct index_entry entry;
    struct index_scan *scan = index_scan_start(q->index, INDEX_BY_ID, INDEX_DEFERRED, (struct slice){NULL, 0});
    for (int i = 1; !q->stopping && index_scan_next(scan, arena, &entry) > 0; i++) {
        if (has_recipient_in(&entry, slice_of(flush->site))) {
            wait_for_room(q);
            load(q, &entry, true, true);
        }
        arena_reset(arena);
        if (i % BATCH == 0)
            fiber_yield();
    }
    index_scan_free(scan);
    arena_free(arena);
    free(flush->site);
    free(flush);
}

void pull_flush_site(struct qmgr *q, struct slice site)
{
    struct site_flush *flush = memory_alloc(sizeof(*flush));
    *flush = (struct site_flush){q, slice_string(site)};
    fiber_start("flush site", site_fiber, flush);
}

/* ---- spilled ------------------------------------------------------------------------------------------------------ */

struct fetch {
    struct qmgr *q;
    struct destination *destination;
};

/* fetch_more - a destination with nothing to do gets something even when memory is full of what waits for others. */
static bool fetch_more(const struct qmgr *q, const struct destination *d, int loaded)
{
    return loaded < FETCH_MAX && d->job_count < BACKLOG && (!pull_is_full(q) || (loaded == 0 && d->job_count == 0));
}

/* fetch_some - false when the index has no more for it, or there is no room. */
static bool fetch_some(struct qmgr *q, struct destination *d, struct slice key)
{
    struct arena *arena = arena_new(0);
    struct index_entry entry;
    int loaded = 0;
    d->spilled = false; /* set again by whoever spills meanwhile */
    struct index_scan *scan = index_scan_start(q->index, INDEX_BY_DESTINATION, INDEX_INCOMING, key);
    bool more = true;
    while (fetch_more(q, d, loaded) && (more = index_scan_next(scan, arena, &entry) > 0)) {
        if (!message_find(q, entry.queue_id)) {
            load(q, &entry, false, false);
            loaded++;
        }
        arena_reset(arena);
    }
    index_scan_free(scan);
    arena_free(arena);
    if (more)
        d->spilled = true;
    return loaded > 0;
}

static void fetch_fiber(void *arg)
{
    struct fetch *fetch = arg;
    struct destination *d = fetch->destination;
    struct buffer key = BUFFER_INIT;
    buffer_printf(&key, SLICE_FORMAT ":" SLICE_FORMAT, SLICE_ARGS(d->transport->name), SLICE_ARGS(d->key));
    wait_while_paused(fetch->q);
    while (!fetch->q->stopping && d->spilled && d->job_count < BACKLOG / 2 && fetch_some(fetch->q, d, buffer_slice(&key))) {
        fiber_yield();
        wait_while_paused(fetch->q);
    }
    d->fetching = false;
    buffer_release(&key);
    free(fetch);
}

void pull_drained(void *context, struct destination *d)
{
    if (d->fetching)
        return;
    struct fetch *fetch = memory_alloc(sizeof(*fetch));
    *fetch = (struct fetch){context, d};
    d->fetching = true;
    fiber_start("fetch", fetch_fiber, fetch);
}

/* spilled_fiber - after start: put to work what was spilled before, or remember its destination when that has enough to do. */
static void spilled_fiber(void *arg)
{
    struct qmgr *q = arg;
    struct arena *arena = arena_new(0);
    struct index_entry entry;
    struct index_scan *scan = index_scan_start(q->index, INDEX_BY_ID, INDEX_INCOMING, (struct slice){NULL, 0});
    for (int i = 1; !q->stopping && index_scan_next(scan, arena, &entry) > 0; i++) {
        struct destination *d = destination_of(q, &entry);
        if (d && d->job_count >= BACKLOG) {
            d->spilled = true;
        } else {
            wait_for_room(q);
            load(q, &entry, false, false);
        }
        arena_reset(arena);
        if (i % BATCH == 0)
            fiber_yield();
    }
    index_scan_free(scan);
    arena_free(arena);
}

void pull_start(struct qmgr *q)
{
    fiber_start("spilled", spilled_fiber, q);
    fiber_start("pull", pull_fiber, q);
}
