/* remote.c - anvil's side of the processes that talk to Redis */
#include "remote.h"

#include <sys/socket.h>

#include "base/list.h"
#include "child.h"
#include "remote_worker.h"
#include "run/run.h"
#include "service/store.h"

enum { WORKERS = 4, UNDER_WAY_MAX = 64 /* requests; more wait */, ROOM = 4 * REMOTE_MESSAGE_MAX };
#define PATIENCE (3 * MICROSECONDS)  /* below that of the clients */
#define DOWN_TIME (10 * MICROSECONDS)

struct remote {
    int fd; /* -1: the processes are gone */
    struct run_watch *watch;
    struct list waiters;
    struct semaphore places;
    struct condition room, ended;
    bool is_closing;
    uint32_t last_serial;
    int64_t down_until;
};

struct waiter {
    struct list link;
    uint32_t serial;
    struct condition done;
    bool is_done;
    struct arena *arena;
    struct store_reply *reply;
};

struct remote *remote_open(struct config *config, const struct remote_place *places, size_t count)
{
    int pair[2];
    bool needed = false;

    for (size_t i = 0; i < count; i++)
        needed |= *places[i].where;
    if (!needed)
        return NULL;
    struct remote *remote = memory_zalloc(1, sizeof(*remote));
    list_init(&remote->waiters);
    semaphore_init(&remote->places, UNDER_WAY_MAX);
    condition_init(&remote->room);
    condition_init(&remote->ended);
    child_pair(pair, ROOM);
    for (int i = 0; i < WORKERS; i++)
        if (child_fork(config, pair, "anvil-redis", remote_worker_line))
            remote_worker_main(pair[1], config, places, count);
    close(pair[1]);
    remote->fd = pair[0];
    return remote;
}

bool remote_is_alive(const struct remote *remote)
{
    return !remote || remote->fd >= 0;
}

void remote_free(struct remote *remote)
{
    if (!remote)
        return;
    if (remote->watch)
        run_unwatch(remote->watch);
    if (remote->fd >= 0)
        close(remote->fd);
    free(remote);
}

/* ---- replies -------------------------------------------------------------------------------------------------------- */

static void wake(struct waiter *waiter)
{
    list_remove(&waiter->link);
    waiter->is_done = true;
    condition_signal(&waiter->done);
}

static void take_reply(struct remote *remote, struct slice message)
{
    uint32_t serial;
    size_t number;
    struct store_reply reply = {0};

    if (!remote_take_head(&message, &serial, &number))
        return;
    if (serial == 0) {
        log_pass_on((unsigned)number, message);
        return;
    }
    LIST_EACH(&remote->waiters, link) {
        struct waiter *waiter = LIST_ENTRY(link, struct waiter, link);
        if (waiter->serial != serial)
            continue;
        if (MESSAGE_DECODE(store_reply, message, waiter->arena, &reply))
            MESSAGE_COPY(store_reply, &reply, waiter->arena, waiter->reply);
        wake(waiter);
        return;
    }
}

static void lose_workers(struct remote *remote)
{
    if (!remote->is_closing)
        log_warning("the processes that talk to Redis have ended");
    run_unwatch(remote->watch);
    remote->watch = NULL;
    close(remote->fd);
    remote->fd = -1;
    LIST_EACH(&remote->waiters, link)
        wake(LIST_ENTRY(link, struct waiter, link));
    condition_broadcast(&remote->room);
    condition_broadcast(&remote->ended);
}

static void on_message(void *arg, int events)
{
    static char message[REMOTE_MESSAGE_MAX];
    struct remote *remote = arg;

    if (events & WAIT_WRITE) {
        run_watch_change(remote->watch, WAIT_READ);
        condition_broadcast(&remote->room);
    }
    for (;;) {
        ssize_t got = recv(remote->fd, message, sizeof(message), MSG_DONTWAIT);
        if (got > 0) {
            take_reply(remote, slice_make(message, (size_t)got));
            continue;
        }
        if (got == 0 || (errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR))
            lose_workers(remote);
        return;
    }
}

void remote_start(struct remote *remote)
{
    if (remote)
        remote->watch = run_watch(remote->fd, WAIT_READ, on_message, remote);
}

void remote_close(struct remote *remote, int64_t deadline)
{
    if (!remote || remote->fd < 0)
        return;
    remote->is_closing = true;
    shutdown(remote->fd, SHUT_WR);
    while (remote->fd >= 0 && condition_wait(&remote->ended, deadline) == WAIT_READY)
        ;
}

/* ---- requests ------------------------------------------------------------------------------------------------------- */

/* send_request - Waits. */
static bool send_request(struct remote *remote, uint32_t serial, size_t place, struct slice data, int64_t deadline)
{
    uint8_t head[REMOTE_HEAD];
    struct iovec parts[] = {{head, sizeof(head)}, {(void *)(uintptr_t)data.data, data.len}};
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = COUNT_OF(parts)};

    remote_put_head(head, serial, place);
    while (remote->fd >= 0 && sendmsg(remote->fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL) < 0) {
        if (errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR)
            return false;
        run_watch_change(remote->watch, WAIT_READ | WAIT_WRITE);
        if (condition_wait(&remote->room, deadline) != WAIT_READY)
            return false;
    }
    return remote->fd >= 0;
}

/* exchange - Waits. */
static bool exchange(struct remote *remote, size_t place, struct slice data, struct arena *arena, struct store_reply *reply, int64_t deadline)
{
    struct waiter waiter = {.serial = ++remote->last_serial ? remote->last_serial : ++remote->last_serial, .arena = arena, .reply = reply};

    condition_init(&waiter.done);
    list_append(&remote->waiters, &waiter.link);
    bool sent = send_request(remote, waiter.serial, place, data, deadline);
    while (sent && !waiter.is_done && condition_wait(&waiter.done, deadline) == WAIT_READY)
        ;
    list_remove(&waiter.link);
    return waiter.is_done;
}

void remote_request(struct remote *remote, size_t place, const struct store_request *request, struct arena *arena, struct store_reply *reply)
{
    int64_t deadline = clock_after(PATIENCE);
    struct buffer data = BUFFER_INIT;

    *reply = (struct store_reply){.outcome = STORE_OUTCOME_FAILED};
    if (clock_monotonic() < remote->down_until || remote->fd < 0)
        return;
    if (semaphore_take(&remote->places, deadline) != WAIT_READY)
        return;
    MESSAGE_ENCODE(store_request, request, &data);
    if (!exchange(remote, place, buffer_slice(&data), arena, reply, deadline) && clock_monotonic() >= remote->down_until) {
        remote->down_until = clock_after(DOWN_TIME);
        log_warning("no answer from Redis within %lld seconds", (long long)(PATIENCE / MICROSECONDS));
    }
    buffer_release(&data);
    semaphore_give(&remote->places);
}
