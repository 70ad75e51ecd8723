/* scheduler.c - transports, destinations, jobs: who is delivered next */
#include "scheduler.h"

#include "base/clock.h"
#include "base/log.h"

enum {
    SYNCING_MAX = 6,        /* a larger number only makes more processes: the disk has enough to merge */
    RESERVE_SHARE = 8,      /* one lane in so many is kept for destinations that have none */
    LOW_WATER = 50,         /* jobs below which a spilled destination is filled up again */
    RECIPIENTS_MAX = 10000, /* in a delivery when there is no limit */
    DEAD_REASON_MAX = 1000
};
static const int64_t idle_time = 10 * MICROSECONDS; /* a destination with nothing to do is forgotten after that */

struct scheduler {
    struct scheduler_hooks hooks;
    void *context;
    struct map *transports;
    struct wake_heap transport_wakes, destination_wakes;
    size_t destination_count;
};

/* ---- making and finding ------------------------------------------------------------------------------------------- */

static void free_destination(void *value)
{
    struct destination *d = value;
    struct scheduler *s = d->transport->scheduler;
    wake_cancel(&s->destination_wakes, &d->wake);
    list_remove(&d->link);
    list_remove(&d->ready_link);
    s->destination_count--;
    free(d->dead_reason);
    free(d);
}

static void free_transport(void *value)
{
    struct transport *t = value;
    wake_cancel(&t->scheduler->transport_wakes, &t->wake);
    map_free(t->destinations);
    free(t->throttle_reason);
    free((char *)t->name.data);
    free(t);
}

struct scheduler *scheduler_new(const struct scheduler_hooks *hooks, void *context)
{
    struct scheduler *s = memory_zalloc(1, sizeof(*s));
    s->hooks = *hooks;
    s->context = context;
    s->transports = map_new(free_transport);
    return s;
}

void scheduler_free(struct scheduler *s)
{
    if (!s)
        return;
    map_free(s->transports);
    wake_heap_release(&s->transport_wakes);
    wake_heap_release(&s->destination_wakes);
    free(s);
}

struct transport *scheduler_transport(struct scheduler *s, struct slice name)
{
    struct transport *t = map_get(s->transports, name);
    if (t)
        return t;
    t = memory_zalloc(1, sizeof(*t));
    t->scheduler = s;
    t->name = slice_make(slice_string(name), name.len);
    t->destinations = map_new(free_destination);
    list_init(&t->all);
    list_init(&t->fresh);
    list_init(&t->busy);
    s->hooks.limits(s->context, name, &t->limits);
    map_set(s->transports, name, t);
    return t;
}

static unsigned initial_window(const struct transport *t)
{
    int64_t window = t->limits.initial_concurrency;
    if (t->limits.concurrency_limit > 0 && window > t->limits.concurrency_limit)
        window = t->limits.concurrency_limit;
    return window < 1 ? 1 : (unsigned)window;
}

static void set_idle_wake(struct destination *d, int64_t now)
{
    wake_set(&d->transport->scheduler->destination_wakes, &d->wake, now + idle_time);
}

struct destination *scheduler_destination(struct transport *t, struct slice key, struct slice next_hop)
{
    struct destination *d = map_get(t->destinations, key);
    if (d)
        return d;
    d = memory_zalloc(1, sizeof(*d) + key.len + next_hop.len);
    char *text = (char *)(d + 1);
    if (key.len)
        memcpy(text, key.data, key.len);
    if (next_hop.len)
        memcpy(text + key.len, next_hop.data, next_hop.len);
    d->transport = t;
    d->key = slice_make(text, key.len);
    d->next_hop = slice_make(text + key.len, next_hop.len);
    list_init(&d->jobs);
    list_init(&d->ready_link);
    list_init(&d->idle_lanes);
    d->window = initial_window(t);
    list_append(&t->all, &d->link);
    t->scheduler->destination_count++;
    map_set(t->destinations, key, d);
    set_idle_wake(d, 0); /* looked at with the next timers: it gets its jobs before */
    return d;
}

struct destination *scheduler_find(struct scheduler *s, struct slice transport, struct slice key)
{
    struct transport *t = map_get(s->transports, transport);
    return t ? map_get(t->destinations, key) : NULL;
}

const char *scheduler_suspended(const struct destination *d)
{
    return d->transport->throttled_until ? d->transport->throttle_reason : d->dead_until ? d->dead_reason : NULL;
}

size_t scheduler_destination_count(const struct scheduler *s)
{
    return s->destination_count;
}

struct transport *scheduler_next_transport(struct scheduler *s, size_t *position)
{
    struct slice key;
    void *value;
    return map_next(s->transports, position, &key, &value) ? value : NULL;
}

/* ---- readiness ---------------------------------------------------------------------------------------------------- */

static unsigned window_of(const struct destination *d)
{
    return d->transport->limits.destination_rate_delay > 0 ? 1 : d->window;
}

static enum readiness wanted_readiness(const struct destination *d, int64_t now)
{
    if (list_is_empty(&d->jobs) || d->dead_until || d->not_before > now || d->in_flight >= window_of(d))
        return NOT_READY;
    return d->in_flight ? READY_BUSY : READY_FRESH;
}

static void set_wake(struct destination *d, int64_t now)
{
    struct wake_heap *heap = &d->transport->scheduler->destination_wakes;
    if (d->dead_until)
        wake_set(heap, &d->wake, d->dead_until);
    else if (d->not_before > now && !list_is_empty(&d->jobs))
        wake_set(heap, &d->wake, d->not_before);
    else if (list_is_empty(&d->jobs) && d->in_flight == 0 && d->syncing == 0)
        set_idle_wake(d, now);
    else
        wake_cancel(heap, &d->wake);
}

static bool transport_is_open(const struct transport *t, int64_t now)
{
    if (t->throttled_until || t->in_flight >= t->limits.lane_limit)
        return false;
    return t->limits.transport_rate_delay <= 0 || (t->in_flight == 0 && t->not_before <= now);
}

/* settle - put the destination where it belongs after anything about it changed. */
static void settle(struct destination *d, int64_t now)
{
    struct transport *t = d->transport;
    enum readiness wanted = wanted_readiness(d, now);
    if (wanted != d->readiness) {
        list_remove(&d->ready_link);
        if (wanted != NOT_READY)
            list_append(wanted == READY_FRESH ? &t->fresh : &t->busy, &d->ready_link);
        d->readiness = wanted;
    }
    set_wake(d, now);
    if (wanted != NOT_READY && transport_is_open(t, now))
        t->scheduler->hooks.ready(t->scheduler->context, d);
}

static void tell_drained(struct destination *d)
{
    struct scheduler *s = d->transport->scheduler;
    if (d->spilled && d->job_count < LOW_WATER && s->hooks.drained)
        s->hooks.drained(s->context, d);
}

/* ---- jobs --------------------------------------------------------------------------------------------------------- */

void scheduler_add(struct job *job, bool front, int64_t now)
{
    struct destination *d = job->destination;
    if (front)
        list_prepend(&d->jobs, &job->link);
    else
        list_append(&d->jobs, &job->link);
    d->job_count++;
    settle(d, now);
}

static void take_out(struct job *job)
{
    list_remove(&job->link);
    job->destination->job_count--;
}

void scheduler_withdraw(struct job *job, int64_t now)
{
    take_out(job);
    settle(job->destination, now);
    tell_drained(job->destination);
}

static struct destination *first_of(const struct list *ready)
{
    return list_is_empty(ready) ? NULL : LIST_ENTRY(ready->next, struct destination, ready_link);
}

/* may_take_busy - enough lanes are left for destinations that have none. */
static bool may_take_busy(const struct transport *t)
{
    return t->limits.lane_limit - t->in_flight > t->limits.lane_limit / RESERVE_SHARE;
}

struct destination *scheduler_peek(struct transport *t, int64_t now)
{
    if (!transport_is_open(t, now))
        return NULL;
    struct destination *fresh = first_of(&t->fresh);
    return fresh ? fresh : may_take_busy(t) ? first_of(&t->busy) : NULL;
}

static void make_claim(struct destination *d, struct claim *claim)
{
    struct job *job = LIST_ENTRY(d->jobs.next, struct job, link);
    int64_t limit = d->transport->limits.recipient_limit;
    uint32_t left = job->count - job->taken;
    uint32_t most = job->one_by_one ? 1 : limit > 0 && limit < RECIPIENTS_MAX ? (uint32_t)limit : RECIPIENTS_MAX;
    uint32_t count = left < most ? left : most;
    *claim = (struct claim){.destination = d, .message = job->message, .slots = job->slots + job->taken, .count = count};
    job->taken += count;
    if (job->taken == job->count) {
        list_remove(&job->message_link);
        take_out(job);
    } else { /* a large mailing lets the others go first now */
        list_remove(&job->link);
        list_append(&d->jobs, &job->link);
    }
}

/* more_follows - two deliveries are under way beside this one, one ended a moment ago, or there is mail that cannot start now.  For less the server
   need not be kept waiting. */
static bool more_follows(const struct destination *d, int64_t now)
{
    return d->spilled || d->in_flight + d->syncing > 2 || (d->job_count > 0 && d->in_flight >= window_of(d)) ||
           (d->last_done && now - d->last_done < MICROSECONDS);
}

bool scheduler_next(struct transport *t, struct destination *preferred, int64_t now, struct claim *claim)
{
    struct destination *d = scheduler_peek(t, now);
    if (!d)
        return false;
    bool harmless = preferred && preferred->readiness != NOT_READY && may_take_busy(t);
    if (harmless)
        d = preferred;
    make_claim(d, claim);
    t->in_flight++;
    d->in_flight++;
    claim->more_follows = more_follows(d, now);
    list_remove(&d->ready_link); /* to the end of its line */
    d->readiness = NOT_READY;
    settle(d, now);
    tell_drained(d);
    return true;
}

/* ---- feedback ----------------------------------------------------------------------------------------------------- */

/* tell - destination_concurrency_feedback_debug: how it stands now, in Postfix's words.  step: 0: none to speak of. */
static void tell(const struct destination *d, const char *what, double step)
{
    const struct transport_limits *limits = &d->transport->limits;
    if (!limits->debug)
        return;
    if (step > 0)
        log_info("%s: feedback %g", what, step);
    log_info("%s: queue " SLICE_FORMAT ": limit %lld window %u success %g failure %g fail_cohorts %g", what, SLICE_ARGS(d->key),
             (long long)limits->concurrency_limit, d->dead_until ? 0 : d->window, d->success, d->failure, d->cohorts);
}

static void grow(struct destination *d)
{
    const struct transport_limits *limits = &d->transport->limits;
    double step = feedback_step(&limits->positive, d->window);
    d->cohorts = 0;
    d->failure = 0;
    bool at_limit = limits->concurrency_limit > 0 && d->window >= limits->concurrency_limit;
    bool used = d->in_flight + 1 + limits->initial_concurrency >= d->window; /* do not grow for a trickle of mail */
    if (at_limit || !used) {
        tell(d, "qmgr_queue_unthrottle", 0);
        return;
    }
    d->success += step;
    for (; d->success >= 1 && !(limits->concurrency_limit > 0 && d->window >= limits->concurrency_limit); d->success -= 1)
        d->window++;
    tell(d, "qmgr_queue_unthrottle", step);
}

static void suspend_jobs(struct destination *d, const char *reason)
{
    struct scheduler *s = d->transport->scheduler;
    while (!list_is_empty(&d->jobs)) {
        struct job *job = LIST_ENTRY(d->jobs.next, struct job, link);
        take_out(job);
        s->hooks.suspend(s->context, job, reason);
    }
}

/* suspension_text - "4.4.1 delivery temporarily suspended: why" */
static char *suspension_text(const char *reason)
{
    struct buffer text = BUFFER_INIT_MAX(DEAD_REASON_MAX + 64);
    struct slice all = slice_first(slice_of(reason), DEAD_REASON_MAX), status, why;
    if (!slice_cut(all, ' ', &status, &why)) {
        status = SLICE("4.3.0");
        why = all;
    }
    buffer_printf(&text, SLICE_FORMAT " delivery temporarily suspended: " SLICE_FORMAT, SLICE_ARGS(status), SLICE_ARGS(why));
    return buffer_steal(&text);
}

static void die(struct destination *d, const char *reason, int64_t now)
{
    free(d->dead_reason);
    d->dead_reason = suspension_text(reason);
    d->dead_until = now + d->transport->limits.dead_time;
    d->success = d->failure = d->cohorts = 0;
    settle(d, now);
    suspend_jobs(d, d->dead_reason);
    tell_drained(d); /* what is spilled is to be deferred as well */
}

static void shrink(struct destination *d, const char *reason, int64_t now)
{
    const struct transport_limits *limits = &d->transport->limits;
    if (d->dead_until)
        return;
    d->success = 0;
    d->cohorts += 1.0 / d->window;
    if (limits->failed_cohort_limit > 0 && d->cohorts >= (double)limits->failed_cohort_limit) {
        double cohorts = d->cohorts;
        die(d, reason, now);
        if (limits->debug)
            log_info("qmgr_queue_throttle: queue " SLICE_FORMAT ": limit %lld window 0 success 0 failure 0 fail_cohorts %g", SLICE_ARGS(d->key),
                     (long long)limits->concurrency_limit, cohorts);
        return;
    }
    double step = feedback_step(&limits->negative, d->window);
    d->failure += step;
    for (; d->failure >= 1; d->failure -= 1) {
        if (d->window > 1)
            d->window--;
    }
    tell(d, "qmgr_queue_throttle", step);
}

void scheduler_syncing(struct claim *claim, int64_t now)
{
    struct destination *d = claim->destination;
    if (claim->syncing || d->syncing >= SYNCING_MAX || d->transport->limits.destination_rate_delay > 0)
        return;
    claim->syncing = true;
    d->in_flight--;
    d->syncing++;
    settle(d, now);
}

void scheduler_done(const struct claim *claim, enum claim_end end, const char *reason, int64_t now)
{
    struct destination *d = claim->destination;
    struct transport *t = d->transport;
    t->in_flight--;
    if (claim->syncing)
        d->syncing--;
    else
        d->in_flight--;
    d->last_done = now;
    if (t->limits.destination_rate_delay > 0)
        d->not_before = now + t->limits.destination_rate_delay;
    if (t->limits.transport_rate_delay > 0) {
        t->not_before = now + t->limits.transport_rate_delay;
        wake_set(&t->scheduler->transport_wakes, &t->wake, t->not_before);
    }
    if (end == CLAIM_DELIVERED)
        grow(d);
    else if (end == CLAIM_SITE_FAILED)
        shrink(d, reason, now);
    settle(d, now);
}

/* ---- dead and alive ----------------------------------------------------------------------------------------------- */

void scheduler_throttle(struct transport *t, const char *reason, int64_t now)
{
    free(t->throttle_reason);
    t->throttle_reason = memory_string(reason);
    t->throttled_until = now + t->limits.retry_time;
    wake_set(&t->scheduler->transport_wakes, &t->wake, t->throttled_until);
    LIST_EACH(&t->all, link) {
        struct destination *d = LIST_ENTRY(link, struct destination, link);
        suspend_jobs(d, t->throttle_reason);
        settle(d, now);
    }
}

void scheduler_revive(struct destination *d, int64_t now)
{
    if (!d->dead_until)
        return;
    d->dead_until = 0;
    free(d->dead_reason);
    d->dead_reason = NULL;
    d->window = initial_window(d->transport);
    settle(d, now);
}

/* open_transport - it may go on: tell of the first that is ready (the others follow from it). */
static void open_transport(struct transport *t, int64_t now)
{
    if (t->throttled_until > now) {
        wake_set(&t->scheduler->transport_wakes, &t->wake, t->throttled_until);
        return;
    }
    t->throttled_until = 0;
    struct destination *d = scheduler_peek(t, now);
    if (d)
        t->scheduler->hooks.ready(t->scheduler->context, d);
}

void scheduler_forget(struct scheduler *s, int64_t now)
{
    size_t position = 0;
    for (struct transport *t; (t = scheduler_next_transport(s, &position));) {
        t->throttled_until = 0;
        LIST_EACH(&t->all, link)
            scheduler_revive(LIST_ENTRY(link, struct destination, link), now);
        open_transport(t, now);
    }
}

static bool is_forgettable(const struct destination *d)
{
    return list_is_empty(&d->jobs) && d->in_flight == 0 && d->syncing == 0 && !d->dead_until && list_is_empty(&d->idle_lanes) && !d->fetching;
}

static void wake_destination(struct destination *d, int64_t now)
{
    if (d->dead_until && d->dead_until <= now)
        scheduler_revive(d, now);
    if (is_forgettable(d) && !d->spilled && d->not_before <= now) {
        map_remove(d->transport->destinations, d->key);
        return;
    }
    settle(d, now);
    tell_drained(d);
}

int64_t scheduler_next_timer(const struct scheduler *s)
{
    int64_t a = wake_next(&s->transport_wakes), b = wake_next(&s->destination_wakes);
    return a < b ? a : b;
}

void scheduler_run_timers(struct scheduler *s, int64_t now)
{
    struct wake *wake;
    while ((wake = wake_due(&s->transport_wakes, now)))
        open_transport(CONTAINER_OF(wake, struct transport, wake), now);
    while ((wake = wake_due(&s->destination_wakes, now)))
        wake_destination(CONTAINER_OF(wake, struct destination, wake), now);
}

void scheduler_reload(struct scheduler *s, int64_t now)
{
    size_t position = 0;
    for (struct transport *t; (t = scheduler_next_transport(s, &position));) {
        s->hooks.limits(s->context, t->name, &t->limits);
        LIST_EACH(&t->all, link) {
            struct destination *d = LIST_ENTRY(link, struct destination, link);
            if (t->limits.concurrency_limit > 0 && d->window > t->limits.concurrency_limit)
                d->window = (unsigned)t->limits.concurrency_limit;
            settle(d, now);
        }
    }
}
