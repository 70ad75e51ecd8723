/* notify.c - see notify.h */
#include "notify.h"

#include "base/list.h"
#include "base/log.h"
#include "ipc/lane.h"
#include "run/run.h"

enum { WAITING_MAX = 2000 /* arrivals */, WAITING_MUCH = 500 /* besides what is in the socket */ };
#define RETRY_DELAY MICROSECONDS
#define CONNECT_TIME (5 * MICROSECONDS)
#define SEND_TIME (10 * MICROSECONDS)

struct news {
    struct list link;
    struct arena *arena;
    const struct queue_arrival *arrival;
};

struct notifier {
    char *path;
    struct lane *lane;
    struct list waiting; /* of struct news, oldest first */
    struct list sending; /* those that the fiber is sending; it alone touches this list */
    size_t waiting_count;
    struct condition changed;
    struct condition taken; /* waiting is empty again */
    bool finishing, ended;
    bool warned; /* that qmgr is away */
};

static void drop(struct list *link)
{
    struct news *news = LIST_ENTRY(link, struct news, link);
    list_remove(link);
    arena_free(news->arena); /* holds news as well */
}

static void drop_oldest_waiting(struct notifier *n)
{
    drop(n->waiting.next);
    n->waiting_count--;
}

/* take_waiting - behind what is left from last time. */
static void take_waiting(struct notifier *n)
{
    while (!list_is_empty(&n->waiting)) {
        struct list *link = n->waiting.next;
        list_remove(link);
        list_append(&n->sending, link);
    }
    n->waiting_count = 0;
    condition_broadcast(&n->taken);
}

static bool connect_qmgr(struct notifier *n)
{
    if (n->lane && !lane_is_broken(n->lane) && !lane_is_idle_broken(n->lane))
        return true;
    lane_free(n->lane);
    n->lane = lane_connect(n->path, clock_after(CONNECT_TIME));
    if (!n->lane && !n->warned)
        log_warning("connect to %s: %s -- new mail waits for qmgr", n->path, strerror(errno));
    n->warned = !n->lane;
    return n->lane != NULL;
}

/* send_all - false: qmgr may have missed some of it. */
static bool send_all(struct notifier *n)
{
    if (!connect_qmgr(n))
        return false;
    take_waiting(n);
    LIST_EACH(&n->sending, link)
        lane_send(n->lane, MESSAGE_queue_arrival, LIST_ENTRY(link, struct news, link)->arrival, -1);
    if (lane_flush(n->lane, clock_after(SEND_TIME))) {
        LIST_EACH(&n->sending, link)
            drop(link);
        return true;
    }
    lane_free(n->lane);
    n->lane = NULL;
    return false;
}

static void notify_fiber(void *arg)
{
    struct notifier *n = arg;
    for (;;) {
        if (list_is_empty(&n->waiting) && list_is_empty(&n->sending)) {
            if (n->finishing)
                break;
            condition_wait(&n->changed, CLOCK_NEVER);
        } else if (!send_all(n)) {
            if (n->finishing)
                break; /* qmgr is gone as well: the next one looks at the tails of the segments first */
            /* qmgr will look for itself once it hears of the latest. */
            take_waiting(n);
            while (n->sending.next != n->sending.previous)
                drop(n->sending.next);
            for (int64_t until = clock_after(RETRY_DELAY); !n->finishing && condition_wait(&n->changed, until) == WAIT_READY;)
                ;
        }
    }
    n->ended = true;
    condition_broadcast(&n->changed);
}

struct notifier *notifier_start(const char *path)
{
    struct notifier *n = memory_zalloc(1, sizeof(*n));
    n->path = memory_string(path);
    list_init(&n->waiting);
    list_init(&n->sending);
    condition_init(&n->changed);
    condition_init(&n->taken);
    fiber_start("notify qmgr", notify_fiber, n);
    return n;
}

void notifier_wait(struct notifier *n, int64_t patience)
{
    int64_t until = clock_after(patience);
    while (n && patience > 0 && n->lane && n->waiting_count >= WAITING_MUCH && condition_wait(&n->taken, until) == WAIT_READY)
        ;
}

void notifier_tell(struct notifier *n, struct arena *arena, const struct queue_arrival *arrival)
{
    if (!n) {
        arena_free(arena);
        return;
    }
    struct news *news = arena_alloc(arena, sizeof(*news));
    news->arena = arena;
    news->arrival = arrival;
    list_append(&n->waiting, &news->link);
    if (++n->waiting_count > WAITING_MAX)
        drop_oldest_waiting(n);
    condition_signal(&n->changed);
}

void notifier_finish(struct notifier *n, int64_t deadline)
{
    if (!n)
        return;
    n->finishing = true;
    condition_broadcast(&n->changed);
    while (!n->ended && condition_wait(&n->changed, deadline) == WAIT_READY)
        ;
    if (n->ended)
        lane_free(n->lane);
    /* The rest goes with the process: this is its end. */
}
