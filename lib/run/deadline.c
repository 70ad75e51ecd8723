/* deadline.c - deadlines of waiting fibers: one binary heap under one timer

   Most waits end long before their deadline, and the next wait of the same fiber has a later one.  So a fiber stays in the
   heap when its wait ends, under a key that is at most its real deadline; only when the key comes due is it looked at:
   woken, moved to its present deadline, or taken out.  An ordinary wait then costs no heap operation at all. */
#include "run/internal.h"

static struct fiber **heap;
static size_t used, capacity;
static uv_timer_t timer;
static int64_t armed_for; /* when the timer fires; CLOCK_NEVER: not armed */
static size_t timed_waits; /* fibers in a wait with a deadline */

static void place(struct fiber *fiber, size_t at)
{
    heap[at] = fiber;
    fiber->heap_index = (uint32_t)at + 1;
}

static void sift_up(size_t at)
{
    struct fiber *moving = heap[at];
    while (at > 0 && heap[(at - 1) / 2]->heap_key > moving->heap_key) {
        place(heap[(at - 1) / 2], at);
        at = (at - 1) / 2;
    }
    place(moving, at);
}

static void sift_down(size_t at)
{
    struct fiber *moving = heap[at];
    for (;;) {
        size_t child = 2 * at + 1;
        if (child >= used)
            break;
        if (child + 1 < used && heap[child + 1]->heap_key < heap[child]->heap_key)
            child++;
        if (heap[child]->heap_key >= moving->heap_key)
            break;
        place(heap[child], at);
        at = child;
    }
    place(moving, at);
}

void deadline_forget(struct fiber *fiber)
{
    if (!fiber->heap_index)
        return;
    size_t at = fiber->heap_index - 1;
    struct fiber *last = heap[--used];
    fiber->heap_index = 0;
    if (last == fiber)
        return;
    place(last, at);
    sift_up(at);
    sift_down(last->heap_index - 1);
}

static void on_timer(uv_timer_t *handle);

/* arm - make the timer fire for the earliest key; firing too early is harmless, so an earlier setting stays. */
static void arm(void)
{
    if (used == 0 || heap[0]->heap_key >= armed_for)
        return;
    armed_for = heap[0]->heap_key;
    int64_t delay = armed_for - clock_monotonic();
    uv_update_time(run_loop());
    uv_timer_start(&timer, on_timer, delay > 0 ? (uint64_t)(delay + 999) / 1000 : 0, 0);
}

static void on_timer(uv_timer_t *handle UNUSED)
{
    int64_t now = clock_monotonic();
    armed_for = CLOCK_NEVER;
    while (used && heap[0]->heap_key <= now) {
        struct fiber *fiber = heap[0];
        bool waiting = fiber->state == FIBER_WAITING && fiber->deadline != CLOCK_NEVER;
        if (waiting && fiber->deadline > now) {
            fiber->heap_key = fiber->deadline;
            sift_down(0);
            continue;
        }
        deadline_forget(fiber);
        if (waiting)
            fiber_wake(fiber, WAIT_TIMEOUT);
    }
    arm();
}

void deadline_add(struct fiber *fiber)
{
    if (timed_waits++ == 0)
        uv_ref((uv_handle_t *)&timer);
    if (fiber->heap_index && fiber->heap_key <= fiber->deadline)
        return;
    fiber->heap_key = fiber->deadline;
    if (!fiber->heap_index) {
        if (used == capacity) {
            capacity = capacity ? capacity * 2 : 64;
            heap = memory_resize(heap, capacity * sizeof(struct fiber *));
        }
        place(fiber, used++);
    }
    sift_up(fiber->heap_index - 1);
    arm();
}

void deadline_done(void)
{
    if (--timed_waits == 0)
        uv_unref((uv_handle_t *)&timer);
}

void deadlines_start(void)
{
    uv_timer_init(run_loop(), &timer);
    uv_unref((uv_handle_t *)&timer);
    armed_for = CLOCK_NEVER;
    timed_waits = 0;
}

void deadlines_close(void)
{
    uv_close((uv_handle_t *)&timer, NULL);
}

void deadlines_discard(void)
{
    free(heap);
    heap = NULL;
    used = capacity = 0;
}
