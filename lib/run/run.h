/* run.h - fibers: straight-line code that waits without holding a thread

   One thread runs everything.  A fiber runs until it waits (for a descriptor, a time, a condition, an offloaded function);
   data shared between fibers changes only between two waits.  Functions that may wait end their comment with *Waits.*
   and must be called from a fiber.  Built on a libuv loop; the switch is a saved-register jump. */
#ifndef POSTERN_RUN_RUN_H
#define POSTERN_RUN_RUN_H

#include "base/base.h"
#include "base/clock.h"
#include "base/list.h"

struct uv_loop_s;
struct fiber;

/* run_start - make the loop (once per process, after any fork).  run_loop - the libuv loop, for c-ares and the like.
   run_until_stopped - turn the loop until run_stop() is called or nothing is left to wait for.
   run_main - convenience for tools and tests: start the loop, run fn(arg) in a fiber, return when it has returned. */
void run_start(void);
struct uv_loop_s *run_loop(void);
void run_until_stopped(void);
void run_stop(void);
void run_main(void (*fn)(void *arg), void *arg);
/* run_at_turn - called once at the end of each turn of the loop (log flush and the like); a few hooks at most. */
void run_at_turn(void (*hook)(void));
/* run_may_block - this process serves one client at a time and may block: long stretches without a wait are no news. */
void run_may_block(void);

/* fiber_start - a new fiber that runs fn(arg), from the next turn on; its stack is pooled and goes back when fn returns.
   The name (a literal) shows in the watchdog's log line.  fiber_count - fibers alive. */
struct fiber *fiber_start(const char *name, void (*fn)(void *arg), void *arg);
struct fiber *fiber_current(void); /* NULL outside a fiber */
size_t fiber_count(void);
/* fiber_sleep - Waits that many microseconds.  fiber_yield - lets the others run first.  Waits. */
void fiber_sleep(int64_t microseconds);
void fiber_yield(void);

enum { WAIT_READ = 1, WAIT_WRITE = 2 };
enum wait_result { WAIT_READY, WAIT_TIMEOUT, WAIT_CANCELLED };

/* fiber_wait_fd - until the non-blocking descriptor is readable / writable (events: WAIT_READ | WAIT_WRITE), the deadline
   (clock_monotonic value) passes, or fiber_cancel.  One fiber may wait for reading and one for writing of a descriptor.
   The runtime may keep a registration after the wait: call fiber_forget_fd before close().  Waits. */
enum wait_result fiber_wait_fd(int fd, int events, int64_t deadline);
void fiber_forget_fd(int fd);
/* fiber_cancel - makes the fiber's present or next wait return WAIT_CANCELLED (once); for shutting down. */
void fiber_cancel(struct fiber *fiber);
/* fiber_interrupt - ends the fiber's present wait with WAIT_CANCELLED; nothing happens, and false, when it does not wait now. */
bool fiber_interrupt(struct fiber *fiber);

/* Conditions: wait until somebody signals.  Zero-initialise with condition_init. */
struct condition { struct list waiters; };
void condition_init(struct condition *c);
enum wait_result condition_wait(struct condition *c, int64_t deadline); /* Waits. */
void condition_signal(struct condition *c);    /* wakes one waiter */
void condition_broadcast(struct condition *c); /* wakes all */

/* Semaphores: count of free places. */
struct semaphore { unsigned free; struct condition freed; };
void semaphore_init(struct semaphore *s, unsigned places);
enum wait_result semaphore_take(struct semaphore *s, int64_t deadline); /* Waits. */
void semaphore_give(struct semaphore *s);

/* run_offload - run a blocking function in the thread pool and wait for its end.  The function may use nothing but its
   argument: no log, no fiber call, no arena that others use meanwhile.  Waits. */
void run_offload(void (*fn)(void *arg), void *arg);

/* Timers, for coordinators that hold no dialogue: fn(arg) runs on the loop's own stack and must not wait. */
struct run_timer;
struct run_timer *run_timer_new(void (*fn)(void *arg), void *arg) MUST_CHECK;
void run_timer_set(struct run_timer *timer, int64_t delay, int64_t repeat); /* microseconds; repeat 0: once */
void run_timer_stop(struct run_timer *timer);
void run_timer_free(struct run_timer *timer);

/* run_watch - call fn(arg, events) on the loop's stack whenever fd is ready; event handlers (master, qmgr).
   Ended by run_unwatch, which must come before close(). */
struct run_watch;
struct run_watch *run_watch(int fd, int events, void (*fn)(void *arg, int events), void *arg) MUST_CHECK;
void run_watch_change(struct run_watch *watch, int events);
void run_unwatch(struct run_watch *watch);

/* run_signal - fn(signal_number) runs on the loop when the signal arrives; replaces an earlier handler. */
void run_signal(int signal_number, void (*fn)(int signal_number));

#endif
