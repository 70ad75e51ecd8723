/* core.c - putting the parts together: configuration, start, regular work, end */
#include "core.h"

#include <signal.h>
#include <unistd.h>

#include "arrive.h"
#include "base/log.h"
#include "probes.h"
#include "service/agent.h"
#include "service/sandbox.h"

static const int64_t sync_interval = MICROSECONDS, idle_work_interval = 2 * MICROSECONDS, end_grace = MICROSECONDS * 33 / 10;

static struct qmgr *self; /* for watch_scheduler, which gets no argument */
static struct run_timer *scheduler_timer;
static int64_t scheduler_timer_set; /* for when; CLOCK_NEVER: not */

/* ---- configuration ------------------------------------------------------------------------------------------------ */

static void limits(void *context, struct slice transport, struct transport_limits *out)
{
    qmgr_params_limits(&((struct qmgr *)context)->params, transport, out);
}

static struct routing *routing_new(struct config *config)
{
    struct routing *routing = memory_zalloc(1, sizeof(*routing));
    routing->route = route_new(config);
    return routing;
}

/* routing_retire - when the last resolution in it has ended: it uses strings of the old configuration.  Waits. */
static void routing_retire(struct routing *routing)
{
    while (routing->users)
        fiber_sleep(MICROSECONDS / 100);
    route_free(routing->route);
    free(routing);
}

static void find_owner(struct qmgr *q)
{
    struct sandbox_owner owner;
    q->owner = sandbox_owner_find(q->params.config, &owner) ? owner.uid : geteuid();
}

void core_configure(struct qmgr *q, struct config *config)
{
    qmgr_params_fill(&q->params, config);
    q->routing = routing_new(config);
    probes_configure(config);
    delivery_log_digits(q->params.delay_logging_resolution_limit);
    find_owner(q);
}

void core_reconfigure(struct qmgr *q, struct config *config)
{
    struct routing *old = q->routing;
    q->routing = routing_new(config);
    qmgr_params_release(&q->params);
    qmgr_params_fill(&q->params, config);
    probes_configure(config);
    delivery_log_digits(q->params.delay_logging_resolution_limit);
    scheduler_reload(q->scheduler, clock_monotonic());
    routing_retire(old);
}

/* ---- time --------------------------------------------------------------------------------------------------------- */

static void on_scheduler_timer(void *arg)
{
    struct qmgr *q = arg;
    scheduler_timer_set = CLOCK_NEVER;
    scheduler_run_timers(q->scheduler, clock_monotonic());
}

/* watch_scheduler - at the end of each turn: does its next event come earlier than the timer? */
static void watch_scheduler(void)
{
    int64_t next = scheduler_next_timer(self->scheduler);
    if (next >= scheduler_timer_set)
        return;
    int64_t delay = next - clock_monotonic();
    scheduler_timer_set = next;
    run_timer_set(scheduler_timer, delay > 1000 ? delay : 1000, 0);
}

/* Fibers that are at work in the store now: it is not closed before they are done. */
static unsigned at_work;

static void sync_fiber(void *arg)
{
    struct qmgr *q = arg;
    while (fiber_sleep(sync_interval), !q->stopping) {
        if (index_is_damaged(q->index))
            log_fatal("the queue index is damaged: starting again to rebuild it from the segments");
        at_work++;
        store_sync(q->store);
        at_work--;
    }
}

/* watchdog_ends - nothing else will ever run: master starts another.  Should the log be where it is stuck, the next signal ends it without words. */
static void watchdog_ends(int number UNUSED)
{
    alarm(5);
    log_fatal("watchdog timeout"); /* NOLINT(bugprone-signal-handler): see above */
}

/* watchdog_fiber - qmgr_daemon_timeout: if no fiber has its turn for that long, the process ends. */
static void watchdog_fiber(void *arg)
{
    struct qmgr *q = arg;
    struct sigaction action = {.sa_handler = watchdog_ends, .sa_flags = SA_NODEFER | SA_RESETHAND};
    sigaction(SIGALRM, &action, NULL);
    while (!q->stopping) {
        int64_t timeout = q->params.qmgr_daemon_timeout, pause = timeout / 4;
        alarm((unsigned)(timeout > MICROSECONDS ? timeout / MICROSECONDS : 1));
        fiber_sleep(pause < 10 * MICROSECONDS ? pause : 10 * MICROSECONDS);
    }
    alarm(0);
}

/* moved - the cleaner copied a message to another segment. */
static void moved(void *context, struct slice queue_id, const struct queue_place *from UNUSED, const struct queue_place *to)
{
    struct message *m = message_find(context, queue_id);
    if (m)
        m->place = *to;
}

static void idle_work_fiber(void *arg)
{
    struct qmgr *q = arg;
    while (fiber_sleep(idle_work_interval), !q->stopping) {
        at_work++;
        store_idle_work(q->store, moved, q);
        at_work--;
    }
}

/* ---- life --------------------------------------------------------------------------------------------------------- */

static void open_store(struct qmgr *q)
{
    static const struct store_events events = {.found = arrive_found, .corrupt = arrive_corrupt};
    char *why = NULL;
    q->store = store_open(".", &events, q, &why);
    if (!q->store)
        log_fatal("cannot open the queue: %s", why);
    q->index = store_index(q->store);
}

static void recover_fiber(void *arg)
{
    struct qmgr *q = arg;
    at_work++;
    store_recover(q->store);
    at_work--;
    if (q->stopping)
        return;
    arrive_start(q);
    pull_start(q);
    fiber_start("sync", sync_fiber, q);
    fiber_start("cleaner", idle_work_fiber, q);
    fiber_start("watchdog", watchdog_fiber, q);
}

void core_start(struct qmgr *q)
{
    static const struct scheduler_hooks hooks = {
        .limits = limits, .ready = lanes_ready, .suspend = message_suspended, .drained = pull_drained};
    char path[256];
    self = q;
    list_init(&q->active);
    arrive_init();
    requeue_init();
    q->messages = map_new(NULL);
    q->scheduler = scheduler_new(&hooks, q);
    q->notices = notices_new();
    q->pull = pull_new();
    snprintf(path, sizeof(path), "public/%s", q->params.cleanup_service_name);
    q->cleanup = submit_pool_new(path);
    scheduler_timer = run_timer_new(on_scheduler_timer, q);
    scheduler_timer_set = CLOCK_NEVER;
    open_store(q);
    run_at_turn(watch_scheduler);
    fiber_start("recover", recover_fiber, q);
}

void core_end(struct qmgr *q)
{
    int64_t until = clock_after(end_grace);
    alarm(0);
    lanes_stop(q);
    while (at_work > 0 || (lanes_busy(q) && clock_monotonic() < until))
        fiber_sleep(MICROSECONDS / 50);
    store_sync(q->store);
    q->closed = true;
    store_close(q->store);
}
