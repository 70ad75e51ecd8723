/* main.c - anvil: connection and event counters of the SMTP servers' clients (compat.md d.4, i.5), and the store of what is remembered across sessions */
#include "counters.h"
#include "base/log.h"
#include "service/service.h"
#include "shared_counters.h"
#include "store.h"

struct anvil {
    struct counters *counters;
    struct anvil_store *store;
    int64_t status_interval;
};

#define LAST_WORDS (MICROSECONDS * 4 / 5) /* for what the files do not know yet: below the grace that the end has */
enum { LANE_PATIENCE = 30 * 1000000, IDENT_MAX = 300 };

static void open_anvil(struct service_context *context)
{
    struct anvil *anvil = memory_zalloc(1, sizeof(*anvil));

    anvil->counters = counters_new(config_time(context->config, "anvil_rate_time_unit"));
    anvil->store = anvil_store_open(context->config);
    anvil->status_interval = config_time(context->config, "anvil_status_update_time");
    context->state = anvil;
}

/* report - statistics, and forgetting, now and then. */
static void report(void *arg)
{
    struct anvil *anvil = arg;

    for (;;) {
        fiber_sleep(anvil->status_interval);
        counters_log(anvil->counters);
        counters_expire(anvil->counters, clock_monotonic());
    }
}

static void refresh(void *arg)
{
    struct anvil *anvil = arg;

    for (;;) {
        fiber_sleep(SHARED_COUNTERS_INTERVAL * MICROSECONDS);
        shared_counters_refresh(anvil->store, anvil->counters);
    }
}

static void start(struct service_context *context)
{
    struct anvil *anvil = context->state;

    fiber_start("anvil statistics", report, anvil);
    anvil_store_start(anvil->store);
    if (anvil_store_shares_counters(anvil->store))
        fiber_start("anvil shared counters", refresh, anvil);
}

/* answer - one request of either kind; false: it is none.  Waits. */
static bool answer(struct anvil *anvil, struct counter_owner *owner, struct lane *lane, int type, const void *value, struct arena *arena)
{
    if (type == MESSAGE_anvil_request) {
        const struct anvil_request *request = value;
        struct anvil_reply reply;
        struct slice ident = slice_first(request->ident, IDENT_MAX);
        counters_event(owner, (int)request->verb, ident, clock_monotonic(), clock_wall(), &reply);
        shared_counters_event(anvil->store, anvil->counters, (int)request->verb, ident, arena, &reply);
        lane_send(lane, MESSAGE_anvil_reply, &reply, -1);
        return true;
    }
    if (type == MESSAGE_store_request) {
        struct store_reply reply;
        anvil_store_request(anvil->store, value, arena, &reply);
        lane_send(lane, MESSAGE_store_reply, &reply, -1);
        return true;
    }
    return false;
}

static void serve(struct service_context *context, struct service_client *client)
{
    struct anvil *anvil = context->state;
    struct lane *lane = lane_accept(client->stream, clock_after(LANE_PATIENCE));

    client->stream = NULL;
    if (!lane)
        return;
    struct counter_owner *owner = counter_owner_new(anvil->counters);
    struct arena *arena = arena_new(512);
    void *value = NULL;
    bool good = true;
    while (good) {
        int type = service_receive(client, lane, arena, &value, CLOCK_NEVER);
        good = answer(anvil, owner, lane, type, value, arena) && lane_flush(lane, clock_after(LANE_PATIENCE));
        arena_reset(arena);
    }
    arena_free(arena);
    counter_owner_free(owner);
    lane_free(lane);
}

static void end(struct service_context *context)
{
    struct anvil *anvil = context->state;

    counters_log(anvil->counters);
    if (!anvil_store_close(anvil->store, clock_after(LAST_WORDS)))
        log_warning("the files of the store are written late");
}

int main(int argc, char **argv)
{
    static const struct service service = {
        .name = "anvil",
        .flags = SERVICE_MANY_CLIENTS | SERVICE_SINGLE | SERVICE_NO_FILES | SERVICE_NEVER_IDLE_EXIT,
        .open = open_anvil,
        .start = start,
        .serve = serve,
        .end = end,
    };

    return service_main(argc, argv, &service);
}
