/* loop.c - the turn of the loop: timers and descriptors wake fibers, the fibers run, the hooks run, the loop blocks */
#include <signal.h>

#include "run/internal.h"

enum { HOOKS_MAX = 8, SWEEP_SECONDS = 2 };

static uv_loop_t loop;
static bool started;
static uv_prepare_t prepare; /* just before the loop blocks: where fibers run */
static uv_idle_t idle;       /* active while fibers are ready: keeps the loop from blocking */
static uv_timer_t sweep;
static bool sweep_due;       /* the sweep timer is set */
static void (*hooks[HOOKS_MAX])(void);
static size_t hook_count;

struct uv_loop_s *run_loop(void)
{
    if (!started)
        log_panic("run_start has not been called");
    return &loop;
}

static void on_idle(uv_idle_t *handle UNUSED) {}

void loop_has_ready(void)
{
    uv_idle_start(&idle, on_idle); /* nothing when active */
}

static void run_hooks(void)
{
    for (size_t i = 0; i < hook_count; i++)
        hooks[i]();
}

static void on_sweep(uv_timer_t *handle UNUSED)
{
    sweep_due = false;
    if (fibers_sweep()) {
        sweep_due = true;
        uv_timer_start(&sweep, on_sweep, SWEEP_SECONDS * 1000, 0);
    }
}

static void on_prepare(uv_prepare_t *handle UNUSED)
{
    if (fibers_drain())
        loop_has_ready();
    else
        uv_idle_stop(&idle);
    if (!sweep_due && fibers_have_run()) {
        sweep_due = true;
        uv_timer_start(&sweep, on_sweep, SWEEP_SECONDS * 1000, 0);
    }
    run_hooks();
}

void run_start(void)
{
    if (started)
        log_panic("run_start called twice");
    int error = uv_loop_init(&loop);
    if (error < 0)
        log_fatal("cannot make an event loop: %s", uv_strerror(error));
    started = true;
    /* A peer that has gone away is an error of the write, not the death of the process. */
    signal(SIGPIPE, SIG_IGN);
    uv_prepare_init(&loop, &prepare);
    uv_prepare_start(&prepare, on_prepare);
    uv_unref((uv_handle_t *)&prepare);
    uv_idle_init(&loop, &idle);
    uv_timer_init(&loop, &sweep);
    uv_unref((uv_handle_t *)&sweep);
    deadlines_start();
}

void run_until_stopped(void)
{
    uv_run(run_loop(), UV_RUN_DEFAULT);
    run_hooks();
}

void run_stop(void)
{
    uv_stop(run_loop());
}

void run_at_turn(void (*hook)(void))
{
    if (hook_count == HOOKS_MAX)
        log_panic("run_at_turn: too many hooks");
    hooks[hook_count++] = hook;
}

/* finish - give everything back, so that a leak checker sees only the leaks of others. */
static void finish(void)
{
    wait_fd_discard(); /* before the fibers it points at */
    fibers_discard();
    signals_discard();
    uv_close((uv_handle_t *)&prepare, NULL);
    uv_close((uv_handle_t *)&idle, NULL);
    uv_close((uv_handle_t *)&sweep, NULL);
    deadlines_close();
    /* Timers and watches that their owners left open would keep a default run from ending. */
    for (int turns = 0; turns < 100 && uv_run(&loop, UV_RUN_NOWAIT); turns++)
        continue;
    uv_loop_close(&loop);
    deadlines_discard();
    sweep_due = false;
    hook_count = 0;
    started = false;
}

struct main_call {
    void (*fn)(void *arg);
    void *arg;
};

static void run_main_fiber(void *arg)
{
    struct main_call *call = arg;
    call->fn(call->arg);
    run_stop();
}

void run_main(void (*fn)(void *arg), void *arg)
{
    struct main_call call = {fn, arg};
    run_start();
    fiber_start("main", run_main_fiber, &call);
    run_until_stopped();
    finish();
}
