/* condition.c - conditions, semaphores, and the offload pool */
#include "run/internal.h"

void condition_init(struct condition *c)
{
    list_init(&c->waiters);
}

enum wait_result condition_wait(struct condition *c, int64_t deadline)
{
    struct fiber *self = fiber_must_be_inside("condition_wait");
    list_append(&c->waiters, &self->link);
    return fiber_suspend(deadline);
}

void condition_signal(struct condition *c)
{
    if (!list_is_empty(&c->waiters))
        fiber_wake(LIST_ENTRY(c->waiters.next, struct fiber, link), WAIT_READY);
}

void condition_broadcast(struct condition *c)
{
    while (!list_is_empty(&c->waiters))
        condition_signal(c);
}

void semaphore_init(struct semaphore *s, unsigned places)
{
    s->free = places;
    condition_init(&s->freed);
}

enum wait_result semaphore_take(struct semaphore *s, int64_t deadline)
{
    if (s->free) {
        s->free--;
        return WAIT_READY;
    }
    return condition_wait(&s->freed, deadline);
}

/* semaphore_give - the place goes straight to the first who waits: nobody can overtake. */
void semaphore_give(struct semaphore *s)
{
    if (list_is_empty(&s->freed.waiters))
        s->free++;
    else
        condition_signal(&s->freed);
}

/* ---- offload ------------------------------------------------------------------------------------------------------ */

struct offload {
    uv_work_t work;
    void (*fn)(void *arg);
    void *arg;
    struct fiber *fiber;
};

static void in_pool(uv_work_t *work)
{
    struct offload *offload = CONTAINER_OF(work, struct offload, work);
    offload->fn(offload->arg);
}

static void on_done(uv_work_t *work, int status UNUSED)
{
    fiber_wake(CONTAINER_OF(work, struct offload, work)->fiber, WAIT_READY);
}

void run_offload(void (*fn)(void *arg), void *arg)
{
    struct fiber *self = fiber_must_be_inside("run_offload");
    struct offload offload = {.fn = fn, .arg = arg, .fiber = self};
    int error = uv_queue_work(run_loop(), &offload.work, in_pool, on_done);
    if (error < 0)
        log_fatal("cannot use the thread pool: %s", uv_strerror(error));
    /* The pool works on this frame: not even a cancellation may end the wait early. */
    self->deaf = true;
    fiber_suspend(CLOCK_NEVER);
    self->deaf = false;
}
