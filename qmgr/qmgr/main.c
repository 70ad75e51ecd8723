/* main.c - qmgr: owns the queue and schedules deliveries */
#include "qmgr.h"

#include "arrive.h"
#include "base/log.h"
#include "service/agent.h"
#include "service/sandbox.h"

static const int64_t sync_interval = MICROSECONDS, idle_work_interval = 5 * MICROSECONDS, end_grace = MICROSECONDS * 8 / 10;

static struct qmgr qmgr;
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

static void qmgr_open(struct service_context *context)
{
    qmgr.context = context;
    qmgr_params_fill(&qmgr.params, context->config);
    qmgr.routing = routing_new(context->config);
    delivery_log_digits(qmgr.params.delay_logging_resolution_limit);
    find_owner(&qmgr);
}

static void qmgr_reload(struct service_context *context)
{
    struct routing *old = qmgr.routing;
    qmgr.routing = routing_new(context->config);
    qmgr_params_release(&qmgr.params);
    qmgr_params_fill(&qmgr.params, context->config);
    delivery_log_digits(qmgr.params.delay_logging_resolution_limit);
    scheduler_reload(qmgr.scheduler, clock_monotonic());
    routing_retire(old);
}

/* ---- time --------------------------------------------------------------------------------------------------------- */

static void on_scheduler_timer(void *arg UNUSED)
{
    scheduler_timer_set = CLOCK_NEVER;
    scheduler_run_timers(qmgr.scheduler, clock_monotonic());
}

/* watch_scheduler - at the end of each turn: does its next event come earlier than the timer? */
static void watch_scheduler(void)
{
    int64_t next = scheduler_next_timer(qmgr.scheduler);
    if (next >= scheduler_timer_set)
        return;
    int64_t delay = next - clock_monotonic();
    scheduler_timer_set = next;
    run_timer_set(scheduler_timer, delay > 1000 ? delay : 1000, 0);
}

static void sync_fiber(void *arg UNUSED)
{
    while (!qmgr.stopping) {
        fiber_sleep(sync_interval);
        store_sync(qmgr.store);
    }
}

/* moved - the cleaner copied a message to another segment. */
static void moved(void *context UNUSED, struct slice queue_id, const struct queue_place *from UNUSED, const struct queue_place *to)
{
    struct message *m = message_find(&qmgr, queue_id);
    if (m)
        m->place = *to;
}

static void idle_work_fiber(void *arg UNUSED)
{
    while (!qmgr.stopping) {
        fiber_sleep(idle_work_interval);
        store_idle_work(qmgr.store, moved, NULL);
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
    store_recover(q->store);
    arrive_start(q);
    pull_start(q);
    fiber_start("sync", sync_fiber, NULL);
    fiber_start("cleaner", idle_work_fiber, NULL);
}

static void qmgr_start(struct service_context *context UNUSED)
{
    static const struct scheduler_hooks hooks = {
        .limits = limits, .ready = lanes_ready, .suspend = message_suspended, .drained = pull_drained};
    list_init(&qmgr.active);
    arrive_init();
    qmgr.messages = map_new(NULL);
    qmgr.scheduler = scheduler_new(&hooks, &qmgr);
    qmgr.notices = notices_new(&qmgr);
    qmgr.pull = pull_new(&qmgr);
    char path[256];
    snprintf(path, sizeof(path), "public/%s", qmgr.params.cleanup_service_name);
    qmgr.cleanup = submit_pool_new(path);
    scheduler_timer = run_timer_new(on_scheduler_timer, NULL);
    scheduler_timer_set = CLOCK_NEVER;
    open_store(&qmgr);
    run_at_turn(watch_scheduler);
    fiber_start("recover", recover_fiber, &qmgr);
}

static void qmgr_serve(struct service_context *context UNUSED, struct service_client *client)
{
    clients_serve(&qmgr, client);
}

static void qmgr_drain(struct service_context *context UNUSED)
{
    lanes_stop(&qmgr);
}

/* qmgr_end - give running deliveries a moment to report, so that they need not be repeated after the next start. */
static void qmgr_end(struct service_context *context UNUSED)
{
    int64_t until = clock_after(end_grace);
    while (lanes_busy(&qmgr) && clock_monotonic() < until)
        fiber_sleep(MICROSECONDS / 50);
    store_sync(qmgr.store);
    store_close(qmgr.store);
}

int main(int argc, char **argv)
{
    static const struct service service = {
        .name = "qmgr", .flags = SERVICE_MANY_CLIENTS | SERVICE_SINGLE | SERVICE_RELOADS | SERVICE_NEVER_IDLE_EXIT, .open = qmgr_open,
        .start = qmgr_start, .serve = qmgr_serve, .reload = qmgr_reload, .drain = qmgr_drain, .end = qmgr_end};
    return service_main(argc, argv, &service);
}
