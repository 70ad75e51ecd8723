/* anvil_client.c - the stub of the anvil service */
#include "anvil_client.h"

#include "base/log.h"
#include "run/run.h"

enum { PATIENCE = 10, COMPLAINT_INTERVAL = 60, RETRY_INTERVAL = 1 /* seconds */ };

struct anvil_client {
    char *path;
    struct lane *lane;
    struct semaphore turn; /* a lane carries one request at a time */
    int64_t next_complaint, next_try;
};

struct anvil_client *anvil_client_new(const char *path)
{
    struct anvil_client *anvil = memory_zalloc(1, sizeof(*anvil));

    anvil->path = memory_string(path);
    semaphore_init(&anvil->turn, 1);
    return anvil;
}

void anvil_client_free(struct anvil_client *anvil)
{
    lane_free(anvil->lane);
    free(anvil->path);
    free(anvil);
}

static void complain(struct anvil_client *anvil, const char *why)
{
    int64_t now = clock_monotonic();

    anvil->next_try = now + RETRY_INTERVAL * MICROSECONDS;
    if (now < anvil->next_complaint)
        return;
    anvil->next_complaint = now + COMPLAINT_INTERVAL * MICROSECONDS;
    log_warning("problem talking to service %s: %s: clients are not counted", anvil->path, why);
}

static bool call(struct anvil_client *anvil, const struct anvil_request *request, struct anvil_reply *reply)
{
    int64_t deadline = clock_after(PATIENCE * MICROSECONDS);

    if (anvil->lane && lane_is_idle_broken(anvil->lane)) {
        lane_free(anvil->lane);
        anvil->lane = NULL;
    }
    if (!anvil->lane && clock_monotonic() >= anvil->next_try)
        anvil->lane = lane_connect(anvil->path, deadline);
    if (!anvil->lane) {
        complain(anvil, strerror(errno));
        return false;
    }
    struct arena *arena = arena_new(256);
    struct anvil_reply *answer = lane_call(anvil->lane, MESSAGE_anvil_request, request, -1, MESSAGE_anvil_reply, arena, deadline);
    if (answer)
        *reply = *answer;
    arena_free(arena);
    if (!answer) {
        lane_free(anvil->lane);
        anvil->lane = NULL;
        complain(anvil, "no answer");
    }
    return answer != NULL;
}

bool anvil_client_ask(struct anvil_client *anvil, int verb, struct slice ident, struct anvil_reply *reply)
{
    struct anvil_request request = {.verb = verb, .ident = ident};

    *reply = (struct anvil_reply){0};
    if (semaphore_take(&anvil->turn, CLOCK_NEVER) != WAIT_READY)
        return false;
    bool good = call(anvil, &request, reply);
    semaphore_give(&anvil->turn);
    return good;
}
