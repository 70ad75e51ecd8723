/* test_fiber.c - fibers: order, waiting, deadlines, cancellation, conditions, offload */
#include "testing.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>

#include "base/log.h"
#include "run/run.h"

/* trace - what happened, in order. */
static char trace[256];
static size_t trace_len;

static void note(char c)
{
    if (trace_len < sizeof(trace) - 1)
        trace[trace_len++] = c;
    trace[trace_len] = '\0';
}

static void trace_clear(void)
{
    trace_len = 0;
    trace[0] = '\0';
}

/* ---- order -------------------------------------------------------------------------------------------------------- */

static void noting(void *arg)
{
    char c = *(const char *)arg;
    note(c);
    fiber_yield();
    note(c);
}

static void order_main(void *arg UNUSED)
{
    fiber_start("a", noting, "a");
    fiber_start("b", noting, "b");
    note('m');
    ck_assert_uint_eq(fiber_count(), 3);
    fiber_yield();
    fiber_yield();
    fiber_yield();
    ck_assert_uint_eq(fiber_count(), 1);
}

START_TEST(fibers_take_turns)
{
    run_main(order_main, NULL);
    ck_assert_str_eq(trace, "mabab");
    ck_assert_ptr_null(fiber_current());
}
END_TEST

START_TEST(run_main_can_be_repeated)
{
    for (int i = 0; i < 3; i++) {
        trace_clear();
        run_main(order_main, NULL);
        ck_assert_str_eq(trace, "mabab");
    }
}
END_TEST

/* ---- time --------------------------------------------------------------------------------------------------------- */

static void sleeper(void *arg)
{
    int tenths = *(const char *)arg - '0';
    fiber_sleep(tenths * MICROSECONDS / 100);
    note(*(const char *)arg);
}

static void sleep_main(void *arg UNUSED)
{
    int64_t start = clock_monotonic();
    fiber_start("3", sleeper, "3");
    fiber_start("1", sleeper, "1");
    fiber_start("2", sleeper, "2");
    fiber_sleep(MICROSECONDS / 20);
    int64_t took = clock_monotonic() - start;
    ck_assert_int_ge(took, MICROSECONDS / 20);
    ck_assert_int_lt(took, MICROSECONDS / 2);
}

START_TEST(sleeps_end_in_order)
{
    run_main(sleep_main, NULL);
    ck_assert_str_eq(trace, "123");
}
END_TEST

/* ---- descriptors -------------------------------------------------------------------------------------------------- */

static int pair[2];

static void make_pair(void)
{
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair), 0);
}

static void close_pair(void)
{
    for (int i = 0; i < 2; i++) {
        fiber_forget_fd(pair[i]);
        close(pair[i]);
    }
}

static void writer(void *arg UNUSED)
{
    for (int i = 0; i < 3; i++) {
        fiber_sleep(MICROSECONDS / 200);
        ck_assert_int_eq(write(pair[1], "x", 1), 1);
    }
}

static void fd_main(void *arg UNUSED)
{
    char byte;
    make_pair();
    ck_assert_int_eq(fiber_wait_fd(pair[0], WAIT_WRITE, CLOCK_NEVER), WAIT_READY);
    ck_assert_int_eq(fiber_wait_fd(pair[0], WAIT_READ, clock_after(MICROSECONDS / 100)), WAIT_TIMEOUT);
    fiber_start("writer", writer, NULL);
    for (int i = 0; i < 3; i++) {
        ck_assert_int_eq(fiber_wait_fd(pair[0], WAIT_READ, clock_after(MICROSECONDS)), WAIT_READY);
        ck_assert_int_eq(read(pair[0], &byte, 1), 1);
    }
    /* Nobody waits for this one: the registration is disarmed and armed again. */
    ck_assert_int_eq(write(pair[1], "y", 1), 1);
    fiber_sleep(MICROSECONDS / 50);
    ck_assert_int_eq(fiber_wait_fd(pair[0], WAIT_READ, clock_after(MICROSECONDS)), WAIT_READY);
    ck_assert_int_eq(fiber_wait_fd(pair[0], WAIT_READ | WAIT_WRITE, clock_after(MICROSECONDS)), WAIT_READY);
    close_pair();
}

START_TEST(descriptors_wake)
{
    run_main(fd_main, NULL);
}
END_TEST

static void reuse_main(void *arg UNUSED)
{
    for (int i = 0; i < 20; i++) {
        make_pair();
        ck_assert_int_eq(fiber_wait_fd(pair[0], WAIT_READ, clock_after(1000)), WAIT_TIMEOUT);
        ck_assert_int_eq(write(pair[1], "x", 1), 1);
        ck_assert_int_eq(fiber_wait_fd(pair[0], WAIT_READ, clock_after(MICROSECONDS)), WAIT_READY);
        close_pair();
    }
    int file = open("/etc/passwd", O_RDONLY | O_CLOEXEC);
    ck_assert_int_eq(fiber_wait_fd(file, WAIT_READ, CLOCK_NEVER), WAIT_READY); /* a file is always ready */
    close(file);
}

START_TEST(descriptor_numbers_are_reused)
{
    run_main(reuse_main, NULL);
}
END_TEST

static void forgotten(void *arg)
{
    *(int *)arg = (int)fiber_wait_fd(pair[0], WAIT_READ, CLOCK_NEVER);
}

static void forget_main(void *arg UNUSED)
{
    int result = -1;
    make_pair();
    fiber_start("forgotten", forgotten, &result);
    fiber_yield();
    fiber_yield();
    ck_assert_int_eq(result, -1);
    close_pair();
    fiber_yield();
    ck_assert_int_eq(result, WAIT_CANCELLED);
}

START_TEST(forgetting_wakes_the_waiter)
{
    run_main(forget_main, NULL);
}
END_TEST

static void both_ways(void *arg UNUSED)
{
    ck_assert_int_eq(fiber_wait_fd(pair[0], WAIT_WRITE, clock_after(MICROSECONDS)), WAIT_READY);
    note('w');
}

static void two_main(void *arg UNUSED)
{
    char block[4096] = {0};
    make_pair();
    while (write(pair[0], block, sizeof(block)) > 0)
        continue;
    fiber_start("both ways", both_ways, NULL);
    fiber_yield();
    ck_assert_int_eq(fiber_wait_fd(pair[0], WAIT_READ, clock_after(MICROSECONDS / 100)), WAIT_TIMEOUT);
    while (read(pair[1], block, sizeof(block)) > 0)
        continue;
    fiber_sleep(MICROSECONDS / 100);
    close_pair();
}

START_TEST(reader_and_writer_of_one_descriptor)
{
    run_main(two_main, NULL);
    ck_assert_str_eq(trace, "w");
}
END_TEST

/* ---- cancellation ------------------------------------------------------------------------------------------------- */

static struct condition condition;

static void cancelled(void *arg UNUSED)
{
    ck_assert_int_eq(condition_wait(&condition, CLOCK_NEVER), WAIT_CANCELLED);
    note('1');
    ck_assert_int_eq(condition_wait(&condition, clock_after(1000)), WAIT_TIMEOUT);
    note('2');
    fiber_cancel(fiber_current());
    ck_assert_int_eq(condition_wait(&condition, CLOCK_NEVER), WAIT_CANCELLED);
    note('3');
}

static void cancel_main(void *arg UNUSED)
{
    condition_init(&condition);
    struct fiber *fiber = fiber_start("cancelled", cancelled, NULL);
    fiber_yield();
    fiber_cancel(fiber);
    fiber_sleep(MICROSECONDS / 50);
    ck_assert(list_is_empty(&condition.waiters));
    ck_assert_uint_eq(fiber_count(), 1);
}

START_TEST(cancelling_ends_one_wait)
{
    run_main(cancel_main, NULL);
    ck_assert_str_eq(trace, "123");
}
END_TEST

/* ---- conditions and semaphores ------------------------------------------------------------------------------------ */

static void waiter(void *arg)
{
    ck_assert_int_eq(condition_wait(&condition, CLOCK_NEVER), WAIT_READY);
    note(*(const char *)arg);
}

static void condition_main(void *arg UNUSED)
{
    condition_init(&condition);
    fiber_start("a", waiter, "a");
    fiber_start("b", waiter, "b");
    fiber_start("c", waiter, "c");
    condition_signal(&condition); /* nobody waits yet: lost */
    fiber_yield();
    condition_signal(&condition);
    fiber_yield();
    note('.');
    condition_broadcast(&condition);
    fiber_yield();
}

START_TEST(conditions_wake_in_order)
{
    run_main(condition_main, NULL);
    ck_assert_str_eq(trace, "a.bc");
}
END_TEST

static struct semaphore places;
static int inside, most_inside;

static void visitor(void *arg UNUSED)
{
    ck_assert_int_eq(semaphore_take(&places, CLOCK_NEVER), WAIT_READY);
    inside++;
    if (inside > most_inside)
        most_inside = inside;
    fiber_sleep(1000);
    inside--;
    semaphore_give(&places);
    note('v');
}

static void semaphore_main(void *arg UNUSED)
{
    semaphore_init(&places, 2);
    for (int i = 0; i < 6; i++)
        fiber_start("visitor", visitor, NULL);
    fiber_yield();
    ck_assert_int_eq(semaphore_take(&places, clock_after(0)), WAIT_TIMEOUT);
    while (fiber_count() > 1)
        fiber_sleep(1000);
    ck_assert_uint_eq(places.free, 2);
}

START_TEST(semaphores_bound)
{
    run_main(semaphore_main, NULL);
    ck_assert_int_eq(most_inside, 2);
    ck_assert_str_eq(trace, "vvvvvv");
}
END_TEST

/* ---- the pool, timers, signals, hooks ------------------------------------------------------------------------------ */

static void blocking(void *arg)
{
    usleep(20000);
    *(int *)arg = 42;
}

static void offload_main(void *arg UNUSED)
{
    int result = 0;
    fiber_cancel(fiber_current()); /* must not end the wait for the pool */
    run_offload(blocking, &result);
    ck_assert_int_eq(result, 42);
    ck_assert_int_eq(condition_wait(&condition, CLOCK_NEVER), WAIT_CANCELLED);
}

START_TEST(offload_waits_for_the_function)
{
    condition_init(&condition);
    run_main(offload_main, NULL);
}
END_TEST

static void on_timer(void *arg)
{
    note(*(const char *)arg);
}

static void on_signal(int number)
{
    note(number == SIGUSR1 ? 's' : '?');
}

static void hook(void)
{
    if (trace_len == 0)
        note('h');
}

static void on_ready(void *arg, int events)
{
    char byte;
    ck_assert_int_eq(events, WAIT_READ);
    if (read(pair[0], &byte, 1) == 1)
        note(byte);
    condition_signal(arg);
}

static void event_main(void *arg UNUSED)
{
    run_at_turn(hook);
    fiber_yield();
    struct run_timer *timer = run_timer_new(on_timer, "t");
    run_timer_set(timer, 1000, 1000);
    while (trace_len < 3)
        fiber_sleep(1000);
    run_timer_stop(timer);
    trace_clear();
    note('-');
    run_timer_free(timer);
    run_signal(SIGUSR1, on_signal);
    kill(getpid(), SIGUSR1);
    fiber_sleep(MICROSECONDS / 50);
    make_pair();
    condition_init(&condition);
    struct run_watch *watch = run_watch(pair[0], WAIT_READ, on_ready, &condition);
    ck_assert_int_eq(write(pair[1], "w", 1), 1);
    ck_assert_int_eq(condition_wait(&condition, clock_after(MICROSECONDS)), WAIT_READY);
    run_unwatch(watch);
    close_pair();
}

START_TEST(events_call_handlers)
{
    run_main(event_main, NULL);
    ck_assert_str_eq(trace, "-sw");
}
END_TEST

START_TEST(loop_ends_when_nothing_is_left)
{
    run_start();
    fiber_start("a", noting, "a");
    run_until_stopped();
    ck_assert_str_eq(trace, "aa");
    ck_assert_uint_eq(fiber_count(), 0);
}
END_TEST

/* ---- many, deep ---------------------------------------------------------------------------------------------------- */

static unsigned finished;

static void one_of_many(void *arg)
{
    char frame[2000];
    memset(frame, (int)(uintptr_t)arg, sizeof(frame));
    fiber_sleep((int64_t)((uintptr_t)arg % 17) * 1000);
    for (size_t i = 0; i < sizeof(frame); i++)
        ck_assert_int_eq(frame[i], (char)(uintptr_t)arg);
    finished++;
}

static void many_main(void *arg UNUSED)
{
    for (int round = 0; round < 3; round++) {
        for (uintptr_t i = 0; i < 2000; i++)
            fiber_start("one of many", one_of_many, (void *)i);
        while (fiber_count() > 1)
            fiber_sleep(5000);
    }
}

START_TEST(many_fibers)
{
    run_main(many_main, NULL);
    ck_assert_uint_eq(finished, 6000);
}
END_TEST

static char watched[200];

static void watch_log(enum log_severity severity UNUSED, const char *text, void *context UNUSED)
{
    snprintf(watched, sizeof(watched), "%s", text);
}

static void busy_main(void *arg UNUSED)
{
    int64_t until = clock_after(MICROSECONDS * 9 / 8);
    while (clock_monotonic() < until)
        continue;
    fiber_yield();
    fiber_yield();
}

START_TEST(watchdog_names_the_fiber)
{
#ifndef __SANITIZE_ADDRESS__
    unsetenv("POSTERN_NO_WATCHDOG");
    log_set_watcher(watch_log, NULL);
    run_main(busy_main, NULL);
    ck_assert(strncmp(watched, "warning: fiber main ran 1", 25) == 0);
#else
    (void)watch_log, (void)busy_main;
#endif
}
END_TEST

TEST_MAIN("run/fiber", fibers_take_turns, run_main_can_be_repeated, sleeps_end_in_order, descriptors_wake,
          descriptor_numbers_are_reused, forgetting_wakes_the_waiter, reader_and_writer_of_one_descriptor,
          cancelling_ends_one_wait, conditions_wake_in_order, semaphores_bound, offload_waits_for_the_function,
          events_call_handlers, loop_ends_when_nothing_is_left, many_fibers, watchdog_names_the_fiber)
