/* store.c - the client stub of anvil's stores: a few lanes, kept for the next call */
#include "service/store.h"

#include "base/clock.h"
#include "ipc/lane_pool.h"

enum { PATIENCE = 5, RETRY_INTERVAL = 1 /* seconds */, LANES_MAX = 8 };

struct shared_store {
    struct lane_pool *lanes;
};

struct shared_store *store_new(const char *path)
{
    struct shared_store *store = memory_zalloc(1, sizeof(*store));

    store->lanes = lane_pool_new(&(struct lane_pool_settings){.path = path, .lanes = LANES_MAX, .kept = LANES_MAX, .pause = RETRY_INTERVAL * MICROSECONDS,
                                                              .loss = "going on without cache "});
    return store;
}

void store_free(struct shared_store *store)
{
    if (!store)
        return;
    lane_pool_free(store->lanes);
    free(store);
}

/* call - anvil may just have been replaced (a reload): the new one is asked, unless that could count twice. */
static struct store_reply *call(struct shared_store *store, const struct store_request *request, const char *cache, struct arena *arena)
{
    struct lane_question question = {.type = MESSAGE_store_request, .value = request, .reply_type = MESSAGE_store_reply,
                                     .deadline = clock_after(PATIENCE * MICROSECONDS), .tries = request->verb == STORE_ADD ? 1 : 2, .about = cache};
    struct store_reply *reply = lane_pool_ask(store->lanes, &question, arena);

    return reply && reply->outcome != STORE_OUTCOME_FAILED ? reply : NULL;
}

enum store_outcome store_get(struct shared_store *store, const char *cache, struct slice key, struct arena *arena, struct slice *value, int64_t *expires)
{
    struct store_request request = {.verb = STORE_GET, .cache = slice_of(cache), .key = key};
    struct store_reply *reply = call(store, &request, cache, arena);

    *value = reply ? reply->value : slice_of(NULL);
    if (expires)
        *expires = reply ? reply->expires : 0;
    return reply ? (enum store_outcome)reply->outcome : STORE_OUTCOME_FAILED;
}

/* done - a call whose answer is only whether it was done. */
static bool done(struct shared_store *store, const struct store_request *request, const char *cache)
{
    struct arena *arena = arena_new(256);
    bool good = call(store, request, cache, arena) != NULL;

    arena_free(arena);
    return good;
}

bool store_put(struct shared_store *store, const char *cache, struct slice key, struct slice value, int64_t lifetime)
{
    return done(store, &(struct store_request){.verb = STORE_PUT, .cache = slice_of(cache), .key = key, .value = value, .lifetime = lifetime},
                cache);
}

bool store_delete(struct shared_store *store, const char *cache, struct slice key)
{
    return done(store, &(struct store_request){.verb = STORE_DELETE, .cache = slice_of(cache), .key = key}, cache);
}

bool store_add(struct shared_store *store, const char *cache, struct slice key, int64_t amount, int64_t lifetime, int64_t *sum, int64_t *expires)
{
    struct store_request request = {.verb = STORE_ADD, .cache = slice_of(cache), .key = key, .amount = amount, .lifetime = lifetime};
    struct arena *arena = arena_new(256);
    struct store_reply *reply = call(store, &request, cache, arena);

    *sum = reply ? reply->sum : 0;
    if (expires)
        *expires = reply ? reply->expires : 0;
    arena_free(arena);
    return reply != NULL;
}
