/* lane_pool.c - see lane_pool.h */
#include "ipc/lane_pool.h"

#include "base/log.h"
#include "run/run.h"

enum { COMPLAINT_INTERVAL = 60 /* seconds */ };

struct lane_pool {
    struct lane_pool_settings settings;
    char *path;
    struct semaphore turns;
    int64_t next_complaint, next_try;
    size_t idle_count;
    struct lane *idle[];
};

struct lane_pool *lane_pool_new(const struct lane_pool_settings *settings)
{
    struct lane_pool *pool = memory_zalloc(1, sizeof(*pool) + settings->kept * sizeof(struct lane *));

    pool->settings = *settings;
    pool->path = memory_string(settings->path);
    semaphore_init(&pool->turns, settings->lanes);
    return pool;
}

void lane_pool_free(struct lane_pool *pool)
{
    if (!pool)
        return;
    while (pool->idle_count)
        lane_free(pool->idle[--pool->idle_count]);
    free(pool->path);
    free(pool);
}

/* take_idle - NULL when there is none that is still good. */
static struct lane *take_idle(struct lane_pool *pool)
{
    while (pool->idle_count) {
        struct lane *lane = pool->idle[--pool->idle_count];
        if (!lane_is_idle_broken(lane))
            return lane;
        lane_free(lane);
    }
    return NULL;
}

static void keep(struct lane_pool *pool, struct lane *lane)
{
    if (pool->idle_count < pool->settings.kept)
        pool->idle[pool->idle_count++] = lane;
    else
        lane_free(lane);
}

static void complain(struct lane_pool *pool, const char *why, const char *about)
{
    int64_t now = clock_monotonic();

    pool->next_try = now + pool->settings.pause;
    if (now < pool->next_complaint)
        return;
    pool->next_complaint = now + COMPLAINT_INTERVAL * MICROSECONDS;
    log_warning("problem talking to service %s: %s: %s%s", pool->path, why, pool->settings.loss, about ? about : "");
}

/* ask - lane: the one to begin with; NULL: a new one. */
static void *ask(struct lane_pool *pool, struct lane *lane, const struct lane_question *q, struct arena *arena)
{
    const char *why = "no answer";

    for (int i = 0; i < q->tries && (i == 0 || clock_monotonic() < q->deadline); i++) {
        if (!lane && !(lane = lane_connect(pool->path, q->deadline))) {
            why = strerror(errno);
            break;
        }
        void *reply = lane_call(lane, q->type, q->value, -1, q->reply_type, arena, q->deadline);
        if (reply) {
            keep(pool, lane);
            return reply;
        }
        lane_free(lane);
        lane = NULL;
    }
    complain(pool, why, q->about);
    return NULL;
}

void *lane_pool_ask(struct lane_pool *pool, const struct lane_question *question, struct arena *arena)
{
    void *reply = NULL;

    if (semaphore_take(&pool->turns, question->deadline) != WAIT_READY)
        return NULL;
    struct lane *lane = take_idle(pool);
    if (lane || clock_monotonic() >= pool->next_try)
        reply = ask(pool, lane, question, arena);
    semaphore_give(&pool->turns);
    return reply;
}

void lane_pool_connect(struct lane_pool *pool, int64_t deadline)
{
    if (semaphore_take(&pool->turns, deadline) != WAIT_READY)
        return;
    struct lane *lane = take_idle(pool);
    if (!lane)
        lane = lane_connect(pool->path, deadline);
    if (lane)
        keep(pool, lane);
    else
        complain(pool, strerror(errno), NULL);
    semaphore_give(&pool->turns);
}
