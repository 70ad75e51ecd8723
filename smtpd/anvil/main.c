/* main.c - anvil: connection and event counters of the SMTP servers' clients (compat.md d.4, i.5) */
#include "counters.h"
#include "service/service.h"

struct anvil {
    struct counters *counters;
    int64_t status_interval;
};

enum { LANE_PATIENCE = 30 * 1000000, IDENT_MAX = 300 };

static void open_anvil(struct service_context *context)
{
    struct anvil *anvil = memory_zalloc(1, sizeof(*anvil));

    anvil->counters = counters_new(config_time(context->config, "anvil_rate_time_unit"));
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

static void start(struct service_context *context)
{
    fiber_start("anvil statistics", report, context->state);
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
    void *value;
    while (service_receive(client, lane, arena, &value, CLOCK_NEVER) == MESSAGE_anvil_request) {
        const struct anvil_request *request = value;
        struct anvil_reply reply;
        counters_event(owner, (int)request->verb, slice_first(request->ident, IDENT_MAX), clock_monotonic(), clock_wall(), &reply);
        lane_send(lane, MESSAGE_anvil_reply, &reply, -1);
        if (!lane_flush(lane, clock_after(LANE_PATIENCE)))
            break;
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
}

int main(int argc, char **argv)
{
    static const struct service service = {
        .name = "anvil",
        .flags = SERVICE_MANY_CLIENTS | SERVICE_SINGLE | SERVICE_NO_FILES,
        .open = open_anvil,
        .start = start,
        .serve = serve,
        .end = end,
    };

    return service_main(argc, argv, &service);
}
