/* tls_manager.c - see tls_manager.h: a few lanes for questions, one for what is told */
#include "service/tls_manager.h"

#include "ipc/lane_pool.h"
#include "run/run.h"

enum {
    PATIENCE = 75, TELL_PATIENCE = 10, FINISH_PATIENCE = 2, /* seconds */
    LANES_MAX = 256, /* questions at once: some domains are slow, and must not hold up others */
    IDLE_MAX = 16,   /* lanes that are kept */
    WAITING_MAX = 10000, TRIES = 2
};

/* What is to be told, in the order it happened. */
struct told {
    struct list link;
    struct arena *arena;
    struct tls_session session;
};

struct tls_manager {
    struct lane_pool *lanes;
    struct list waiting;
    size_t waiting_count;
    bool telling; /* a fiber sends */
    struct condition told;
};

struct tls_manager *tls_manager_new(const char *path)
{
    struct tls_manager *manager = memory_zalloc(1, sizeof(*manager));

    manager->lanes = lane_pool_new(&(struct lane_pool_settings){.path = path, .lanes = LANES_MAX, .kept = IDLE_MAX,
                                                                .loss = "going on without MTA-STS policies and TLS reports"});
    list_init(&manager->waiting);
    condition_init(&manager->told);
    return manager;
}

static void told_free(struct tls_manager *manager, struct told *told)
{
    list_remove(&told->link);
    manager->waiting_count--;
    arena_free(told->arena);
}

void tls_manager_free(struct tls_manager *manager)
{
    if (!manager)
        return;
    LIST_EACH(&manager->waiting, link)
        told_free(manager, LIST_ENTRY(link, struct told, link));
    lane_pool_free(manager->lanes);
    free(manager);
}

/* call - asks again where tlsmgr died over the question: what protects the mail must not be lost with a process. */
static void *call(struct tls_manager *manager, enum message_type type, const void *request, enum message_type reply_type, int seconds,
                  struct arena *arena)
{
    struct lane_question question = {.type = type, .value = request, .reply_type = reply_type, .deadline = clock_after(seconds * MICROSECONDS), .tries = TRIES};

    return lane_pool_ask(manager->lanes, &question, arena);
}

void tls_manager_wake(struct tls_manager *manager)
{
    lane_pool_connect(manager->lanes, clock_after(TELL_PATIENCE * MICROSECONDS));
}

struct mta_sts_reply *tls_manager_policy(struct tls_manager *manager, struct slice domain, struct arena *arena)
{
    struct mta_sts_request request = {.domain = domain};

    return call(manager, MESSAGE_mta_sts_request, &request, MESSAGE_mta_sts_reply, PATIENCE, arena);
}

/* ---- telling ---- */

static void tell_all(void *arg)
{
    struct tls_manager *manager = arg;
    struct arena *arena = arena_new(256);

    while (!list_is_empty(&manager->waiting)) {
        struct told *told = LIST_ENTRY(manager->waiting.next, struct told, link);
        call(manager, MESSAGE_tls_session, &told->session, MESSAGE_tls_session_reply, TELL_PATIENCE, arena);
        told_free(manager, told);
        arena_reset(arena);
    }
    arena_free(arena);
    manager->telling = false;
    condition_broadcast(&manager->told);
}

void tls_manager_tell(struct tls_manager *manager, const struct tls_session *session)
{
    if (manager->waiting_count >= WAITING_MAX)
        return; /* tlsmgr does not answer, which was complained of */
    struct arena *arena = arena_new(1024);
    struct told *told = arena_alloc(arena, sizeof(*told));
    told->arena = arena;
    MESSAGE_COPY(tls_session, session, arena, &told->session);
    list_append(&manager->waiting, &told->link);
    manager->waiting_count++;
    if (!manager->telling) {
        manager->telling = true;
        fiber_start("results of TLS", tell_all, manager);
    }
}

void tls_manager_finish(struct tls_manager *manager)
{
    if (manager->telling)
        condition_wait(&manager->told, clock_after(FINISH_PATIENCE * MICROSECONDS));
}
