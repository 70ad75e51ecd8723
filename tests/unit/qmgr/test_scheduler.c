/* test_scheduler.c - fairness, windows, dead destinations, rate delays, with fake agents and fake time */
#include "testing.h"

#include "../../../qmgr/qmgr/scheduler.h"
#include "base/arena.h"
#include "base/clock.h"

/* ---- a world with fake agents ---- */

static struct arena *jobs;

struct fake {
    struct scheduler *scheduler;
    struct transport_limits limits;
    unsigned ready_calls, drained_calls;
    unsigned suspended;
    char reason[200];
};

static void limits(void *context, struct slice transport UNUSED, struct transport_limits *out)
{
    *out = ((struct fake *)context)->limits;
}

static void ready(void *context, struct destination *d UNUSED)
{
    ((struct fake *)context)->ready_calls++;
}

static void suspended(void *context, struct job *job, const char *reason)
{
    struct fake *f = context;
    f->suspended++;
    list_remove(&job->message_link);
    snprintf(f->reason, sizeof(f->reason), "%s", reason);
}

static void drained(void *context, struct destination *d)
{
    d->spilled = false;
    ((struct fake *)context)->drained_calls++;
}

static const struct scheduler_hooks hooks = {.limits = limits, .ready = ready, .suspend = suspended, .drained = drained};

static void fake_start(struct fake *f)
{
    *f = (struct fake){.limits = {.initial_concurrency = 5, .concurrency_limit = 20, .recipient_limit = 50, .failed_cohort_limit = 1,
                                  .positive = {.amount = 1}, .negative = {.amount = 1}, .retry_time = 60 * MICROSECONDS,
                                  .dead_time = 300 * MICROSECONDS, .lane_limit = 100}};
    f->scheduler = scheduler_new(&hooks, f);
    jobs = arena_new(0);
}

/* Jobs belong to their messages; here all go together at the end. */
static void fake_stop(struct fake *f)
{
    scheduler_free(f->scheduler);
    arena_free(jobs);
}

static struct destination *site(struct fake *f, const char *name)
{
    return scheduler_destination(scheduler_transport(f->scheduler, SLICE("smtp")), slice_of(name), slice_of(name));
}

/* The scheduler never looks into a message: a number will do. */
static struct job *add(struct destination *d, uintptr_t message, uint32_t recipients, int64_t now)
{
    struct job *job = arena_alloc(jobs, sizeof(*job));
    uint32_t *slots = arena_alloc(jobs, recipients * sizeof(*slots));
    for (uint32_t i = 0; i < recipients; i++)
        slots[i] = i;
    *job = (struct job){.message = (struct message *)message, .destination = d, .slots = slots, .count = recipients};
    list_init(&job->message_link);
    scheduler_add(job, false, now);
    return job;
}

static void add_many(struct destination *d, unsigned count, int64_t now)
{
    for (unsigned i = 0; i < count; i++)
        add(d, 1000 + i, 1, now);
}

/* start_all - claim until nothing can be claimed; the count. */
static unsigned start_all(struct transport *t, int64_t now, struct claim *claims, unsigned max)
{
    unsigned count = 0;
    while (count < max && scheduler_next(t, NULL, now, &claims[count]))
        count++;
    return count;
}

/* ---- windows ---- */

START_TEST(window_grows_to_the_limit)
{
    struct fake f;
    fake_start(&f);
    struct destination *d = site(&f, "a");
    struct claim claims[100];
    add_many(d, 500, 0);
    unsigned busy = start_all(d->transport, 0, claims, 100);
    ck_assert_uint_eq(busy, 5);
    for (int round = 0; round < 10; round++) {
        unsigned old = busy;
        for (unsigned i = 0; i < old; i++)
            scheduler_done(&claims[i], CLAIM_DELIVERED, NULL, 1);
        busy = start_all(d->transport, 1, claims, 100);
    }
    ck_assert_uint_eq(busy, 20);
    fake_stop(&f);
}
END_TEST

START_TEST(window_shrinks_and_the_destination_dies)
{
    struct fake f;
    fake_start(&f);
    f.limits.failed_cohort_limit = 1;
    struct destination *d = site(&f, "a");
    struct claim claims[100];
    add_many(d, 50, 0);
    ck_assert_uint_eq(start_all(d->transport, 0, claims, 100), 5);
    scheduler_done(&claims[0], CLAIM_SITE_FAILED, "4.4.1 connect to a: refused", 0);
    ck_assert_uint_eq(d->window, 4);
    ck_assert_int_eq(d->dead_until, 0);
    for (int i = 1; i < 5 && !d->dead_until; i++)
        scheduler_done(&claims[i], CLAIM_SITE_FAILED, "4.4.1 connect to a: refused", 0);
    ck_assert_int_ne(d->dead_until, 0);
    ck_assert_uint_eq(f.suspended, 45);
    ck_assert_str_eq(f.reason, "4.4.1 delivery temporarily suspended: connect to a: refused");
    ck_assert_str_eq(scheduler_suspended(d), f.reason);
    fake_stop(&f);
}
END_TEST

START_TEST(connections_are_kept_for_what_follows)
{
    struct fake f;
    fake_start(&f);
    f.limits.initial_concurrency = 4;
    struct destination *d = site(&f, "a");
    struct claim claims[8];
    add_many(d, 5, 0);
    ck_assert_uint_eq(start_all(d->transport, 0, claims, 8), 4);
    ck_assert(!claims[0].more_follows && !claims[1].more_follows); /* what Postfix does, too */
    ck_assert(claims[2].more_follows && claims[3].more_follows);
    for (size_t i = 0; i < 4; i++)
        scheduler_done(&claims[i], CLAIM_DELIVERED, NULL, MICROSECONDS);
    ck_assert(scheduler_next(d->transport, NULL, MICROSECONDS, &claims[0]) && claims[0].more_follows); /* the others were just here */
    scheduler_done(&claims[0], CLAIM_DELIVERED, NULL, MICROSECONDS);
    d = site(&f, "a");
    add(d, 9, 1, 3 * MICROSECONDS);
    ck_assert(scheduler_next(d->transport, NULL, 3 * MICROSECONDS, &claims[0]) && !claims[0].more_follows);
    fake_stop(&f);
}
END_TEST

START_TEST(dead_destination_comes_back)
{
    struct fake f;
    fake_start(&f);
    f.limits.initial_concurrency = 1;
    struct destination *d = site(&f, "a");
    struct claim claim;
    add(d, 1, 1, 0);
    ck_assert(scheduler_next(d->transport, NULL, 0, &claim));
    scheduler_done(&claim, CLAIM_SITE_FAILED, "4.4.1 no", 0);
    ck_assert_ptr_nonnull(scheduler_suspended(d));
    scheduler_run_timers(f.scheduler, 299 * MICROSECONDS);
    ck_assert_ptr_nonnull(scheduler_suspended(d));
    scheduler_run_timers(f.scheduler, 301 * MICROSECONDS);
    ck_assert_ptr_null(scheduler_suspended(site(&f, "a")));
    d = site(&f, "a");
    add(d, 2, 1, 302 * MICROSECONDS);
    ck_assert(scheduler_next(d->transport, NULL, 302 * MICROSECONDS, &claim));
    fake_stop(&f);
}
END_TEST

START_TEST(flush_forgets_the_dead)
{
    struct fake f;
    fake_start(&f);
    f.limits.initial_concurrency = 1;
    struct destination *d = site(&f, "a");
    struct claim claim;
    add(d, 1, 1, 0);
    ck_assert(scheduler_next(d->transport, NULL, 0, &claim));
    scheduler_done(&claim, CLAIM_SITE_FAILED, "4.4.1 no", 0);
    scheduler_forget(f.scheduler, 1);
    ck_assert_ptr_null(scheduler_suspended(d));
    fake_stop(&f);
}
END_TEST

START_TEST(success_makes_up_for_failure)
{
    struct fake f;
    fake_start(&f);
    struct destination *d = site(&f, "a");
    struct claim claims[100];
    add_many(d, 2000, 0);
    for (int i = 0; i < 50; i++) { /* one of two fails: it never dies */
        ck_assert_uint_ge(start_all(d->transport, 0, claims, 100), 1);
        scheduler_done(&claims[0], i % 2 ? CLAIM_SITE_FAILED : CLAIM_DELIVERED, "4.4.1 no", 0);
        unsigned left = d->in_flight;
        for (unsigned j = 1; j <= left; j++)
            scheduler_done(&claims[j], CLAIM_RELEASED, NULL, 0);
    }
    ck_assert_int_eq(d->dead_until, 0);
    fake_stop(&f);
}
END_TEST

START_TEST(what_waits_for_the_disk_makes_room)
{
    struct fake f;
    fake_start(&f);
    f.limits.initial_concurrency = f.limits.concurrency_limit = 2;
    struct destination *d = site(&f, "a");
    struct claim claims[100];
    add_many(d, 50, 0);
    ck_assert_uint_eq(start_all(d->transport, 0, claims, 100), 2);
    scheduler_syncing(&claims[0], 0);
    scheduler_syncing(&claims[0], 0); /* said twice, counted once */
    ck_assert_uint_eq(start_all(d->transport, 0, claims + 2, 98), 1);
    scheduler_done(&claims[0], CLAIM_DELIVERED, NULL, 0);
    ck_assert_uint_eq(start_all(d->transport, 0, claims + 3, 97), 0);
    scheduler_done(&claims[1], CLAIM_DELIVERED, NULL, 0);
    scheduler_done(&claims[2], CLAIM_DELIVERED, NULL, 0);
    ck_assert_uint_eq(d->in_flight + d->syncing, 0);
    unsigned started = 0;
    for (unsigned got; (got = start_all(d->transport, 0, claims + started, 100 - started)) > 0; started += got) {
        for (unsigned i = started; i < started + got; i++)
            scheduler_syncing(&claims[i], 0);
    }
    ck_assert_uint_lt(started, 12); /* a handful, not all */
    for (unsigned i = 0; i < started; i++)
        scheduler_done(&claims[i], CLAIM_DELIVERED, NULL, 0);
    ck_assert_uint_eq(d->in_flight + d->syncing, 0);
    fake_stop(&f);
}
END_TEST

/* ---- fairness ---- */

START_TEST(slow_site_does_not_delay_others)
{
    struct fake f;
    fake_start(&f);
    struct destination *slow = site(&f, "slow");
    struct claim claims[100], claim;
    add_many(slow, 24000, 0);
    ck_assert_uint_eq(start_all(slow->transport, 0, claims, 100), 5);
    struct destination *healthy = site(&f, "healthy");
    f.ready_calls = 0;
    add(healthy, 7, 1, 1);
    ck_assert_uint_ge(f.ready_calls, 1);
    ck_assert(scheduler_next(slow->transport, slow, 1, &claim));
    ck_assert_ptr_eq(claim.destination, healthy);
    fake_stop(&f);
}
END_TEST

START_TEST(many_slow_sites_leave_lanes_for_fresh_ones)
{
    struct fake f;
    fake_start(&f);
    f.limits.lane_limit = 16;
    char name[16];
    struct claim claims[100], claim;
    for (int i = 0; i < 5; i++) {
        snprintf(name, sizeof(name), "slow%d", i);
        add_many(site(&f, name), 100, 0);
    }
    struct transport *t = scheduler_transport(f.scheduler, SLICE("smtp"));
    ck_assert_uint_eq(start_all(t, 0, claims, 100), 14); /* an eighth of 16 is kept */
    struct destination *healthy = site(&f, "healthy");
    add(healthy, 7, 1, 1);
    ck_assert(scheduler_next(t, claims[0].destination, 1, &claim));
    ck_assert_ptr_eq(claim.destination, healthy);
    fake_stop(&f);
}
END_TEST

START_TEST(destinations_take_turns)
{
    struct fake f;
    fake_start(&f);
    f.limits.lane_limit = 8;
    struct destination *a = site(&f, "a"), *b = site(&f, "b");
    struct claim claims[8];
    add_many(a, 100, 0);
    add_many(b, 100, 0);
    unsigned count = start_all(a->transport, 0, claims, 8);
    unsigned for_a = 0;
    for (unsigned i = 0; i < count; i++)
        for_a += claims[i].destination == a;
    ck_assert_uint_eq(count, 7);
    ck_assert_uint_ge(for_a, 3);
    ck_assert_uint_le(for_a, 4);
    fake_stop(&f);
}
END_TEST

START_TEST(large_mailing_lets_others_go_first)
{
    struct fake f;
    fake_start(&f);
    struct destination *d = site(&f, "a");
    struct claim claim;
    add(d, 1, 100000, 0);
    add(d, 2, 1, 0);
    ck_assert(scheduler_next(d->transport, NULL, 0, &claim));
    ck_assert_uint_eq((uintptr_t)claim.message, 1);
    ck_assert_uint_eq(claim.count, 50);
    ck_assert(scheduler_next(d->transport, NULL, 0, &claim));
    ck_assert_uint_eq((uintptr_t)claim.message, 2);
    ck_assert(scheduler_next(d->transport, NULL, 0, &claim));
    ck_assert_uint_eq((uintptr_t)claim.message, 1);
    ck_assert_uint_eq(claim.slots[0], 50);
    fake_stop(&f);
}
END_TEST

START_TEST(the_last_destination_is_preferred)
{
    struct fake f;
    fake_start(&f);
    struct destination *a = site(&f, "a"), *b = site(&f, "b");
    struct claim claim;
    add_many(a, 3, 0);
    add_many(b, 3, 0);
    ck_assert(scheduler_next(a->transport, b, 0, &claim));
    ck_assert_ptr_eq(claim.destination, b);
    scheduler_done(&claim, CLAIM_DELIVERED, NULL, 0);
    ck_assert(scheduler_next(a->transport, b, 0, &claim));
    ck_assert_ptr_eq(claim.destination, b);
    fake_stop(&f);
}
END_TEST

/* ---- delays, throttling ---- */

START_TEST(destination_rate_delay)
{
    struct fake f;
    fake_start(&f);
    f.limits.destination_rate_delay = 10 * MICROSECONDS;
    struct destination *d = site(&f, "a");
    struct claim claim;
    add_many(d, 5, 0);
    ck_assert(scheduler_next(d->transport, NULL, 0, &claim));
    ck_assert(!scheduler_next(d->transport, NULL, 0, &(struct claim){0}));
    scheduler_done(&claim, CLAIM_DELIVERED, NULL, MICROSECONDS);
    ck_assert(!scheduler_next(d->transport, NULL, 2 * MICROSECONDS, &claim));
    ck_assert_int_eq(scheduler_next_timer(f.scheduler), 11 * MICROSECONDS);
    f.ready_calls = 0;
    scheduler_run_timers(f.scheduler, 11 * MICROSECONDS);
    ck_assert_uint_eq(f.ready_calls, 1);
    ck_assert(scheduler_next(d->transport, NULL, 11 * MICROSECONDS, &claim));
    fake_stop(&f);
}
END_TEST

START_TEST(transport_rate_delay)
{
    struct fake f;
    fake_start(&f);
    f.limits.transport_rate_delay = 10 * MICROSECONDS;
    struct destination *a = site(&f, "a"), *b = site(&f, "b");
    struct transport *t = a->transport;
    struct claim claim;
    add(a, 1, 1, 0);
    add(b, 2, 1, 0);
    ck_assert(scheduler_next(t, NULL, 0, &claim));
    ck_assert(!scheduler_next(t, NULL, 0, &(struct claim){0}));
    scheduler_done(&claim, CLAIM_DELIVERED, NULL, MICROSECONDS);
    ck_assert(!scheduler_next(t, NULL, 5 * MICROSECONDS, &claim));
    f.ready_calls = 0;
    scheduler_run_timers(f.scheduler, 11 * MICROSECONDS);
    ck_assert_uint_ge(f.ready_calls, 1);
    ck_assert(scheduler_next(t, NULL, 11 * MICROSECONDS, &claim));
    fake_stop(&f);
}
END_TEST

START_TEST(throttled_transport)
{
    struct fake f;
    fake_start(&f);
    struct destination *a = site(&f, "a");
    struct claim claim;
    add_many(a, 10, 0);
    scheduler_throttle(a->transport, "4.3.0 mail transport unavailable", 0);
    ck_assert_uint_eq(f.suspended, 10);
    ck_assert_str_eq(scheduler_suspended(a), "4.3.0 mail transport unavailable");
    ck_assert(!scheduler_next(a->transport, NULL, 1, &claim));
    scheduler_run_timers(f.scheduler, 61 * MICROSECONDS);
    a = site(&f, "a");
    add(a, 1, 1, 61 * MICROSECONDS);
    ck_assert(scheduler_next(a->transport, NULL, 61 * MICROSECONDS, &claim));
    fake_stop(&f);
}
END_TEST

START_TEST(idle_destinations_are_forgotten)
{
    struct fake f;
    fake_start(&f);
    char name[16];
    struct claim claim;
    for (int i = 0; i < 1000; i++) {
        snprintf(name, sizeof(name), "d%d", i);
        struct destination *d = site(&f, name);
        add(d, 1, 1, 0), scheduler_next(d->transport, NULL, 0, &claim), scheduler_done(&claim, CLAIM_DELIVERED, NULL, 0);
    }
    ck_assert_uint_eq(scheduler_destination_count(f.scheduler), 1000);
    scheduler_run_timers(f.scheduler, 100 * MICROSECONDS);
    ck_assert_uint_eq(scheduler_destination_count(f.scheduler), 0);
    fake_stop(&f);
}
END_TEST

START_TEST(spilled_destination_asks_for_more)
{
    struct fake f;
    fake_start(&f);
    struct destination *d = site(&f, "a");
    struct claim claim;
    add_many(d, 51, 0);
    d->spilled = true;
    ck_assert(scheduler_next(d->transport, NULL, 0, &claim));
    ck_assert_uint_eq(f.drained_calls, 0);
    ck_assert(scheduler_next(d->transport, NULL, 0, &claim));
    ck_assert_uint_eq(f.drained_calls, 1);
    fake_stop(&f);
}
END_TEST

START_TEST(withdrawn_jobs)
{
    struct fake f;
    fake_start(&f);
    struct destination *d = site(&f, "a");
    struct claim claim;
    struct job *first = add(d, 1, 1, 0);
    add(d, 2, 1, 0);
    scheduler_withdraw(first, 0);
    ck_assert(scheduler_next(d->transport, NULL, 0, &claim));
    ck_assert_uint_eq((uintptr_t)claim.message, 2);
    ck_assert(!scheduler_next(d->transport, NULL, 0, &claim));
    fake_stop(&f);
}
END_TEST

START_TEST(feedback_forms)
{
    struct feedback f;
    static const struct { const char *text; bool ok; double at_four; } rows[] = {
        {"1", true, 1}, {"0.5", true, 0.5}, {"1/8", true, 0.125}, {"1/concurrency", true, 0.25}, {"1/sqrt_concurrency", true, 0.5},
        {" 1 / concurrency ", true, 0.25}, {"2", false, 0}, {"x", false, 0}, {"1/0", false, 0}, {"", false, 0}, {"1/", false, 0}};
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        ck_assert_msg(feedback_parse(slice_of(rows[i].text), &f) == rows[i].ok, "\"%s\"", rows[i].text);
        if (rows[i].ok)
            ck_assert_double_eq_tol(feedback_step(&f, 4), rows[i].at_four, 1e-9);
    }
}
END_TEST

START_TEST(wakes_come_in_order)
{
    struct wake_heap heap = {0};
    static struct wake wakes[1000];
    uint32_t seed = 1;
    for (size_t i = 0; i < COUNT_OF(wakes); i++) {
        seed = seed * 1103515245 + 12345;
        wake_set(&heap, &wakes[i], seed >> 8);
    }
    for (size_t i = 0; i < COUNT_OF(wakes); i += 3)
        wake_cancel(&heap, &wakes[i]);
    for (size_t i = 1; i < COUNT_OF(wakes); i += 3)
        wake_set(&heap, &wakes[i], wakes[i].when / 2);
    int64_t last = -1;
    size_t count = 0;
    for (struct wake *w; (w = wake_due(&heap, INT64_MAX)); count++) {
        ck_assert_int_ge(w->when, last);
        last = w->when;
    }
    ck_assert_uint_eq(count, 666);
    wake_heap_release(&heap);
}
END_TEST

TEST_MAIN("qmgr/scheduler", window_grows_to_the_limit, window_shrinks_and_the_destination_dies, dead_destination_comes_back, connections_are_kept_for_what_follows,
          flush_forgets_the_dead, success_makes_up_for_failure,
          what_waits_for_the_disk_makes_room, slow_site_does_not_delay_others, many_slow_sites_leave_lanes_for_fresh_ones,
          destinations_take_turns, large_mailing_lets_others_go_first, the_last_destination_is_preferred, destination_rate_delay,
          transport_rate_delay, throttled_transport, idle_destinations_are_forgotten, spilled_destination_asks_for_more, withdrawn_jobs,
          feedback_forms, wakes_come_in_order)
