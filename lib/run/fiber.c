/* fiber.c - fibers: the ready queue, waiting and waking, cancellation, the watchdog, the sweep of idle stacks */
#include "run/internal.h"

#if defined(__SANITIZE_ADDRESS__)
#define SLOWED_DOWN true
#else
#define SLOWED_DOWN false
#endif

enum { POOL_KEPT_IDLE = 32 };
#define STRETCH_MAX (50 * MICROSECONDS / 1000)     /* longest run without a wait that -v leaves unremarked */
#define STRETCH_LONG MICROSECONDS                  /* and that goes unremarked without -v: a busy machine, a start with large tables are no news */
#define DRAIN_MAX (10 * MICROSECONDS / 1000)       /* after that long, look at the descriptors again */
#define WARNING_INTERVAL (10 * MICROSECONDS)

static struct list ready = {&ready, &ready};
static struct list yielded = {&yielded, &yielded}; /* ready in the next turn */
static struct list everyone = {&everyone, &everyone};
static struct fiber *current;
static size_t count;
static bool draining;
static bool have_run; /* since the last sweep */

/* ---- starting and ending ------------------------------------------------------------------------------------------ */

static void make_ready(struct fiber *fiber)
{
    fiber->state = FIBER_READY;
    list_append(&ready, &fiber->link);
    if (!draining)
        loop_has_ready();
}

/* body - the lowest frame of each fiber. */
static void body(void)
{
    fiber_stack_entered();
    struct fiber *self = current;
    self->fn(self->arg);
    self->state = FIBER_ENDED;
    fiber_stack_leave(self, true);
    log_panic("fiber %s runs after its end", self->name);
}

struct fiber *fiber_start(const char *name, void (*fn)(void *arg), void *arg)
{
    struct fiber *fiber = fiber_stack_new(body);
    fiber->name = name;
    fiber->fn = fn;
    fiber->arg = arg;
    list_init(&fiber->link);
    list_append(&everyone, &fiber->all);
    count++;
    make_ready(fiber);
    return fiber;
}

static void forget(struct fiber *fiber)
{
    deadline_forget(fiber);
    list_remove(&fiber->link);
    list_remove(&fiber->all);
    count--;
}

static void discard(struct fiber *fiber)
{
    forget(fiber);
    fiber_stack_free(fiber);
}

struct fiber *fiber_current(void)
{
    return current;
}

size_t fiber_count(void)
{
    return count;
}

struct fiber *fiber_must_be_inside(const char *function)
{
    if (!current)
        log_panic("%s called outside a fiber", function);
    return current;
}

/* ---- waiting and waking ------------------------------------------------------------------------------------------- */

enum wait_result fiber_suspend(int64_t deadline)
{
    struct fiber *self = current;
    if (self->cancelled && !self->deaf) {
        self->cancelled = false;
        list_remove(&self->link);
        return WAIT_CANCELLED;
    }
    self->state = FIBER_WAITING;
    self->deadline = deadline;
    if (deadline != CLOCK_NEVER)
        deadline_add(self);
    fiber_stack_leave(self, false);
    return (enum wait_result)self->result;
}

void fiber_wake(struct fiber *fiber, enum wait_result result)
{
    if (fiber->state != FIBER_WAITING)
        return;
    if (fiber->deadline != CLOCK_NEVER)
        deadline_done();
    fiber->result = (uint8_t)result;
    list_remove(&fiber->link);
    make_ready(fiber);
}

void fiber_cancel(struct fiber *fiber)
{
    if (fiber->state == FIBER_WAITING && !fiber->deaf)
        fiber_wake(fiber, WAIT_CANCELLED);
    else
        fiber->cancelled = true;
}

bool fiber_interrupt(struct fiber *fiber)
{
    if (fiber->state != FIBER_WAITING || fiber->deaf)
        return false;
    fiber_wake(fiber, WAIT_CANCELLED);
    return true;
}

void fiber_sleep(int64_t microseconds)
{
    fiber_must_be_inside("fiber_sleep");
    fiber_suspend(clock_after(microseconds > 0 ? microseconds : 0));
}

void fiber_yield(void)
{
    struct fiber *self = fiber_must_be_inside("fiber_yield");
    self->state = FIBER_READY;
    list_append(&yielded, &self->link);
    fiber_stack_leave(self, false);
}

/* ---- running ------------------------------------------------------------------------------------------------------ */

/* rough_time - monotonic microseconds, some milliseconds coarse, a quarter of the cost. */
static int64_t rough_time(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    return (int64_t)now.tv_sec * MICROSECONDS + now.tv_nsec / 1000;
}

static int watchdog_off = -1;

void run_may_block(void)
{
    watchdog_off = 1;
}

static void watchdog(const char *name, int64_t stretch, int64_t now)
{
    static int64_t quiet_until;
    if (watchdog_off < 0)
        watchdog_off = SLOWED_DOWN || getenv("POSTERN_NO_WATCHDOG") != NULL;
    if (watchdog_off || now < quiet_until || (stretch < STRETCH_LONG && log_verbose == 0))
        return;
    quiet_until = now + WARNING_INTERVAL;
    log_warning("fiber %s ran %d ms without a wait", name, (int)(stretch / 1000));
}

static void run_one(struct fiber *fiber)
{
    list_remove(&fiber->link);
    fiber->state = FIBER_RUNNING;
    fiber->runs++;
    fiber->trimmed = false;
    current = fiber;
    fiber_stack_enter(fiber);
    current = NULL;
}

bool fibers_drain(void)
{
    if (list_is_empty(&ready) && list_is_empty(&yielded))
        return false;
    int64_t start = rough_time(), before = start;
    draining = have_run = true;
    while (!list_is_empty(&yielded)) {
        struct list *link = yielded.next;
        list_remove(link);
        list_append(&ready, link);
    }
    while (!list_is_empty(&ready) && before - start < DRAIN_MAX) {
        struct fiber *fiber = LIST_ENTRY(ready.next, struct fiber, link);
        const char *name = fiber->name;
        run_one(fiber);
        if (fiber->state == FIBER_ENDED)
            discard(fiber);
        int64_t now = rough_time();
        if (now - before > STRETCH_MAX)
            watchdog(name, now - before, now);
        before = now;
    }
    draining = false;
    return !list_is_empty(&ready) || !list_is_empty(&yielded);
}

/* ---- idle memory -------------------------------------------------------------------------------------------------- */

bool fibers_have_run(void)
{
    return have_run;
}

/* fibers_sweep - a fiber that has not moved since the last sweep waits for something slow: its stack shrinks to what is in
   use.  So an idle session costs a page or two however deep it once was. */
bool fibers_sweep(void)
{
    bool more = false;
    have_run = false;
    LIST_EACH(&everyone, link) {
        struct fiber *fiber = LIST_ENTRY(link, struct fiber, all);
        if (fiber->trimmed)
            continue;
        if (fiber->runs == fiber->swept_runs && fiber->state == FIBER_WAITING) {
            fiber_stack_trim(fiber);
            fiber->trimmed = true;
        } else {
            fiber->swept_runs = fiber->runs;
            more = true;
        }
    }
    fiber_stack_shrink_pool(POOL_KEPT_IDLE + count / 4);
    return more;
}

void fibers_discard(void)
{
    LIST_EACH(&everyone, link) {
        struct fiber *fiber = LIST_ENTRY(link, struct fiber, all);
        forget(fiber);
        fiber_stack_abandon(fiber);
    }
    fiber_stack_shrink_pool(0);
    have_run = false;
}
