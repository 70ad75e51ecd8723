/* event.c - events for code that is no dialogue: timers, watched descriptors, signals */
#include "run/internal.h"

/* ---- timers ------------------------------------------------------------------------------------------------------- */

struct run_timer {
    uv_timer_t timer;
    void (*fn)(void *arg);
    void *arg;
};

static void on_timer(uv_timer_t *handle)
{
    struct run_timer *timer = CONTAINER_OF(handle, struct run_timer, timer);
    timer->fn(timer->arg);
}

struct run_timer *run_timer_new(void (*fn)(void *arg), void *arg)
{
    struct run_timer *timer = memory_zalloc(1, sizeof(*timer));
    timer->fn = fn;
    timer->arg = arg;
    uv_timer_init(run_loop(), &timer->timer);
    return timer;
}

/* milliseconds - rounded up, so that nothing fires early. */
static uint64_t milliseconds(int64_t microseconds)
{
    return microseconds > 0 ? (uint64_t)microseconds / 1000 + (microseconds % 1000 != 0) : 0;
}

void run_timer_set(struct run_timer *timer, int64_t delay, int64_t repeat)
{
    uv_update_time(run_loop());
    uv_timer_start(&timer->timer, on_timer, milliseconds(delay), milliseconds(repeat));
}

void run_timer_stop(struct run_timer *timer)
{
    uv_timer_stop(&timer->timer);
}

static void on_timer_closed(uv_handle_t *handle)
{
    free(CONTAINER_OF((uv_timer_t *)handle, struct run_timer, timer));
}

void run_timer_free(struct run_timer *timer)
{
    if (timer)
        uv_close((uv_handle_t *)&timer->timer, on_timer_closed);
}

/* ---- watched descriptors ------------------------------------------------------------------------------------------ */

struct run_watch {
    uv_poll_t poll;
    void (*fn)(void *arg, int events);
    void *arg;
};

/* on_event - an error counts as ready for everything: the handler's system call will show it.  libuv has then stopped the
   watch, and the handler is expected to unwatch. */
static void on_event(uv_poll_t *poll, int status, int events)
{
    struct run_watch *watch = CONTAINER_OF(poll, struct run_watch, poll);
    watch->fn(watch->arg, status < 0 ? WAIT_READ | WAIT_WRITE : events & (WAIT_READ | WAIT_WRITE));
}

struct run_watch *run_watch(int fd, int events, void (*fn)(void *arg, int events), void *arg)
{
    struct run_watch *watch = memory_zalloc(1, sizeof(*watch));
    watch->fn = fn;
    watch->arg = arg;
    int error = uv_poll_init(run_loop(), &watch->poll, fd);
    if (error < 0)
        log_fatal("cannot watch descriptor %d: %s", fd, uv_strerror(error));
    run_watch_change(watch, events);
    return watch;
}

void run_watch_change(struct run_watch *watch, int events)
{
    uv_poll_start(&watch->poll, events, on_event);
}

static void on_watch_closed(uv_handle_t *handle)
{
    free(CONTAINER_OF((uv_poll_t *)handle, struct run_watch, poll));
}

void run_unwatch(struct run_watch *watch)
{
    if (watch)
        uv_close((uv_handle_t *)&watch->poll, on_watch_closed);
}

/* ---- signals ------------------------------------------------------------------------------------------------------ */

struct signal_record {
    uv_signal_t signal;
    void (*fn)(int signal_number);
};

static struct signal_record *signals[NSIG];

static void on_signal(uv_signal_t *handle, int number)
{
    CONTAINER_OF(handle, struct signal_record, signal)->fn(number);
}

void run_signal(int number, void (*fn)(int signal_number))
{
    if (number <= 0 || number >= NSIG)
        log_panic("run_signal: no signal %d", number);
    struct signal_record *record = signals[number];
    if (record) {
        record->fn = fn;
        return;
    }
    record = signals[number] = memory_zalloc(1, sizeof(*record));
    record->fn = fn;
    uv_signal_init(run_loop(), &record->signal);
    /* A handler alone is nothing to wait for. */
    uv_unref((uv_handle_t *)&record->signal);
    int error = uv_signal_start(&record->signal, on_signal, number);
    if (error < 0)
        log_fatal("cannot handle signal %d: %s", number, uv_strerror(error));
}

static void on_signal_closed(uv_handle_t *handle)
{
    free(CONTAINER_OF((uv_signal_t *)handle, struct signal_record, signal));
}

void signals_discard(void)
{
    for (size_t i = 0; i < COUNT_OF(signals); i++) {
        if (signals[i])
            uv_close((uv_handle_t *)&signals[i]->signal, on_signal_closed);
        signals[i] = NULL;
    }
}
