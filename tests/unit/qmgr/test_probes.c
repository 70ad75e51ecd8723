/* test_probes.c - address probes: nothing is delivered, no notice is sent, what was found out is in the store */
#include "world.h"

/* ---- anvil's store ---- */

static char cache_key[100], cache_value[300]; /* one entry: written by the last put */
static unsigned puts_seen;

static void answer_store(struct lane *lane, const struct store_request *r)
{
    struct store_reply reply = {.outcome = 1};
    if (r->verb == 2) { /* put */
        puts_seen++;
        snprintf(cache_key, sizeof(cache_key), SLICE_FORMAT, SLICE_ARGS(r->key));
        snprintf(cache_value, sizeof(cache_value), SLICE_FORMAT, SLICE_ARGS(r->value));
        /* the times are different in every run */
        const char *text = strrchr(cache_value, ':');
        note("store " SLICE_FORMAT " %s %c %s %lld", SLICE_ARGS(r->cache), cache_key, cache_value[0], text ? text + 1 : "",
             (long long)((r->lifetime / MICROSECONDS + 1800) / 3600));
    } else if (cache_value[0] && slice_equal(r->key, slice_of(cache_key))) {
        reply.value = slice_of(cache_value);
    } else {
        reply.outcome = 2;
    }
    lane_send(lane, MESSAGE_store_reply, &reply, -1);
}

static void serve_store(void *arg)
{
    struct lane *lane = lane_accept(stream_new_fd((int)(intptr_t)arg), clock_after(5 * MICROSECONDS));
    struct arena *arena = arena_new(0);
    void *value;
    while (lane && lane_receive(lane, arena, &value, CLOCK_NEVER) == MESSAGE_store_request) {
        answer_store(lane, value);
        lane_flush(lane, clock_after(5 * MICROSECONDS));
        arena_reset(arena);
    }
    lane_free(lane);
    arena_free(arena);
}

static void store_fiber(void *arg)
{
    int listener = (int)(intptr_t)arg, fd;
    while (fiber_wait_fd(listener, WAIT_READ, CLOCK_NEVER) == WAIT_READY) {
        if ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0)
            fiber_start("store", serve_store, (void *)(intptr_t)fd);
    }
}

static void start_store(void)
{
    struct net_address address;
    ck_assert(net_address_unix(&address, SLICE("private/anvil")));
    int fd = net_listen(&address, 100);
    ck_assert_int_ge(fd, 0);
    puts_seen = 0;
    cache_value[0] = '\0';
    fiber_start("listen", store_fiber, (void *)(intptr_t)fd);
}

static void probe(const char *address)
{
    send_mail("double-bounce@h.test", address, true, (struct envelope){.trace = TRACE_PROBE, .source = SOURCE_BOUNCE});
    wait_for(": removed", 3000);
}

/* ---- tests ---- */

QMGR_TEST(good_address, "")
{
    start();
    start_store();
    probe("yes@far.test");
    ck_assert(happened("store verify yes@far.test 0 ok 744\n"));
    ck_assert(!happened("notice"));
    ck_assert_uint_eq(qmgr.probe_count, 0);
    core_end(&qmgr);
}

QMGR_TEST(bad_address, "")
{
    start();
    start_store();
    probe("no@far.test");
    ck_assert(happened("store verify no@far.test 2 no such user 72\n"));
    ck_assert(!happened("notice"));
    core_end(&qmgr);
}

QMGR_TEST(address_that_waits, "")
{
    start();
    start_store();
    probe("later@far.test"); /* no second attempt */
    ck_assert(happened("store verify later@far.test 1 come back later 72\n"));
    ck_assert_uint_eq(times("deliver "), 1);
    ck_assert(!happened("notice"));
    core_end(&qmgr);
}

QMGR_TEST(failure_does_not_undo_success, "")
{
    start();
    start_store();
    snprintf(cache_key, sizeof(cache_key), "no@far.test");
    snprintf(cache_value, sizeof(cache_value), "0:0:%lld:was good", (long long)(clock_wall() / MICROSECONDS - 1000));
    probe("no@far.test");
    ck_assert(!happened("store verify"));
    core_end(&qmgr);
}

QMGR_TEST(failures_are_not_kept, "address_verify_negative_cache = no\n")
{
    start();
    start_store();
    probe("no@far.test");
    ck_assert(!happened("store verify"));
    core_end(&qmgr);
}

QMGR_TEST(store_is_away, "")
{
    start();
    probe("yes@far.test");
    ck_assert(happened("removed"));
    core_end(&qmgr);
}

QMGR_TEST(alias_of_several, "")
{
    start();
    start_store();
    send_mail("double-bounce@h.test", "list@far.test", true, (struct envelope){.trace = TRACE_PROBE | TRACE_SEVERAL});
    wait_for(": removed", 3000);
    ck_assert(happened("dsn=2.0.0, status=deliverable (aliased to multiple recipients)\n"));
    ck_assert(happened("store verify list@far.test 0 aliased to multiple recipients 744\n"));
    ck_assert(!happened("deliver smtp"));
    core_end(&qmgr);
}

QMGR_TEST(too_many, "address_verify_pending_request_limit = 1\n")
{
    start();
    start_store();
    delay_ms = 300;
    send_mail("", "yes@far.test", true, (struct envelope){.trace = TRACE_PROBE});
    send_mail("", "yes2@far.test", true, (struct envelope){.trace = TRACE_PROBE});
    wait_for("store verify yes@far.test 0 ok", 3000);
    ck_assert(happened("status=undeliverable (Too many address verification requests)"));
    ck_assert(happened("store verify yes2@far.test 1 Too many address verification requests 72\n"));
    core_end(&qmgr);
}

QMGR_TEST(routes_of_their_own, "address_verify_transport_maps = inline:{{far.test=error:not for probes}}\naddress_verify_relayhost = [probes.test]\n")
{
    start();
    start_store();
    probe("yes@else.test");
    ck_assert(happened("deliver smtp:[probes.test] yes@else.test"));
    probe("yes@far.test");
    wait_for("deliver error:not for probes yes@far.test", 3000);
    core_end(&qmgr);
}

TEST_MAIN("qmgr/probes", good_address, bad_address, address_that_waits, failure_does_not_undo_success, failures_are_not_kept, store_is_away,
          alias_of_several, too_many, routes_of_their_own)
