/* anvil_client.c - the stub of the anvil service */
#include "anvil_client.h"

#include "base/clock.h"
#include "ipc/lane_pool.h"

enum { PATIENCE = 10, RETRY_INTERVAL = 1 /* seconds */ };

struct anvil_client {
    struct lane_pool *lane;
};

struct anvil_client *anvil_client_new(const char *path)
{
    struct anvil_client *anvil = memory_zalloc(1, sizeof(*anvil));

    anvil->lane = lane_pool_new(&(struct lane_pool_settings){.path = path, .lanes = 1, .kept = 1, .pause = RETRY_INTERVAL * MICROSECONDS,
                                                             .loss = "clients are not counted"});
    return anvil;
}

void anvil_client_free(struct anvil_client *anvil)
{
    lane_pool_free(anvil->lane);
    free(anvil);
}

bool anvil_client_ask(struct anvil_client *anvil, int verb, struct slice ident, struct anvil_reply *reply)
{
    struct anvil_request request = {.verb = verb, .ident = ident};
    struct lane_question question = {.type = MESSAGE_anvil_request, .value = &request, .reply_type = MESSAGE_anvil_reply,
                                     .deadline = clock_after(PATIENCE * MICROSECONDS), .tries = 1};
    struct arena *arena = arena_new(256);
    const struct anvil_reply *answer = lane_pool_ask(anvil->lane, &question, arena);

    *reply = answer ? *answer : (struct anvil_reply){0};
    arena_free(arena);
    return answer != NULL;
}
