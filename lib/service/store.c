/* store.c - the client stub of anvil's stores: a few lanes, kept for the next call */
#include "service/store.h"

#include "base/log.h"
#include "run/run.h"

enum { PATIENCE = 5, COMPLAINT_INTERVAL = 60, RETRY_INTERVAL = 1 /* seconds */, LANES_MAX = 8 };

struct shared_store {
    char *path;
    struct lane *idle[LANES_MAX];
    size_t idle_count;
    struct semaphore turns; /* LANES_MAX calls at a time */
    int64_t next_complaint, next_try;
};

struct shared_store *store_new(const char *path)
{
    struct shared_store *store = memory_zalloc(1, sizeof(*store));

    store->path = memory_string(path);
    semaphore_init(&store->turns, LANES_MAX);
    return store;
}

void store_free(struct shared_store *store)
{
    if (!store)
        return;
    while (store->idle_count)
        lane_free(store->idle[--store->idle_count]);
    free(store->path);
    free(store);
}

static void complain(struct shared_store *store, const char *cache, const char *why)
{
    int64_t now = clock_monotonic();

    store->next_try = now + RETRY_INTERVAL * MICROSECONDS;
    if (now < store->next_complaint)
        return;
    store->next_complaint = now + COMPLAINT_INTERVAL * MICROSECONDS;
    log_warning("problem talking to service %s: %s: going on without cache %s", store->path, why, cache);
}

static struct lane *take_lane(struct shared_store *store, int64_t deadline)
{
    while (store->idle_count) {
        struct lane *lane = store->idle[--store->idle_count];
        if (!lane_is_idle_broken(lane))
            return lane;
        lane_free(lane);
    }
    return clock_monotonic() >= store->next_try ? lane_connect(store->path, deadline) : NULL;
}

/* ask - over a lane that is kept for the next question when this one is answered, else freed. */
static struct store_reply *ask(struct shared_store *store, struct lane *lane, const struct store_request *request, struct arena *arena, int64_t deadline)
{
    struct store_reply *reply = lane_call(lane, MESSAGE_store_request, request, -1, MESSAGE_store_reply, arena, deadline);

    if (reply)
        store->idle[store->idle_count++] = lane;
    else
        lane_free(lane);
    return reply;
}

static struct store_reply *call(struct shared_store *store, const struct store_request *request, const char *cache, struct arena *arena)
{
    int64_t deadline = clock_after(PATIENCE * MICROSECONDS);

    if (semaphore_take(&store->turns, deadline) != WAIT_READY)
        return NULL;
    struct lane *lane = take_lane(store, deadline);
    struct store_reply *reply = lane ? ask(store, lane, request, arena, deadline) : NULL;
    /* anvil may just have been replaced (a reload): the new one is asked, unless that could count twice */
    if (lane && !reply && request->verb != STORE_ADD && (lane = lane_connect(store->path, deadline)) != NULL)
        reply = ask(store, lane, request, arena, deadline);
    if (!reply)
        complain(store, cache, lane ? "no answer" : strerror(errno));
    semaphore_give(&store->turns);
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
