/* online.c - through the queue manager that is running */
#include "base/clock.h"
#include "base/log.h"
#include "ipc/lane.h"
#include "postsuper.h"

enum { GROUP = 1000 /* ids in one request */ };
#define CONNECT_TIME (100 * MICROSECONDS)
#define ANSWER_TIME (3600 * MICROSECONDS)

struct lane *online_open(struct config *config)
{
    char path[256];
    snprintf(path, sizeof(path), "public/%s", config_string(config, "queue_service_name"));
    return lane_connect(path, clock_after(CONNECT_TIME));
}

static void name_queues(int queues, struct buffer *names)
{
    static const struct { int queue; const char *name; } all[] = {
        {QUEUE_HOLD, "hold"}, {QUEUE_INCOMING, "incoming"}, {QUEUE_ACTIVE, "active"}, {QUEUE_DEFERRED, "deferred"}};
    for (size_t i = 0; i < COUNT_OF(all); i++) {
        if (queues & all[i].queue)
            buffer_printf(names, "%s%s", names->len ? " " : "", all[i].name);
    }
}

/* take_reply - counts; false: refused. */
static bool take_reply(const struct action *action, const struct queue_control_reply *reply, struct outcome *outcome)
{
    if (reply->error.len) {
        log_error("queue manager: " SLICE_FORMAT, SLICE_ARGS(reply->error));
        return false;
    }
    for (size_t i = 0; i < reply->ids_count; i++)
        outcome->changed(action, reply->ids[i].queue_id);
    outcome->count += reply->count > 0 ? (uint64_t)reply->count : 0;
    return true;
}

static bool ask(struct lane *lane, const struct action *action, const struct queue_control *request, struct outcome *outcome)
{
    struct arena *arena = arena_new(0);
    const struct queue_control_reply *reply =
        lane_call(lane, MESSAGE_queue_control, request, -1, MESSAGE_queue_control_reply, arena, clock_after(ANSWER_TIME));
    bool ok = reply && take_reply(action, reply, outcome);
    while (ok && reply->more) {
        void *value;
        int type = lane_receive(lane, arena, &value, clock_after(ANSWER_TIME));
        reply = value;
        ok = type == MESSAGE_queue_control_reply && take_reply(action, reply, outcome);
    }
    arena_free(arena);
    return ok;
}

static bool ask_by_id(struct lane *lane, const struct action *action, const struct queue_control *base, struct outcome *outcome)
{
    struct queue_id_item *items = memory_zalloc(GROUP, sizeof(*items));
    bool ok = true;
    for (size_t at = 0; ok && at < action->count; at += GROUP) {
        struct queue_control request = *base;
        request.ids = items;
        request.ids_count = action->count - at < GROUP ? action->count - at : GROUP;
        for (size_t i = 0; i < request.ids_count; i++)
            items[i].queue_id = action->ids[at + i];
        ok = ask(lane, action, &request, outcome);
    }
    free(items);
    return ok;
}

bool online_do(struct lane *lane, const struct action *action, int queues, struct outcome *outcome)
{
    struct buffer names = BUFFER_INIT;
    name_queues(queues, &names);
    struct queue_control request = {.verb = action->verb, .all = action->all, .queues = buffer_slice(&names)};
    if (action->selection) {
        request.selected = true;
        request.selection = *action->selection;
    }
    bool ok = action->all ? ask(lane, action, &request, outcome) : ask_by_id(lane, action, &request, outcome);
    buffer_release(&names);
    return ok;
}
