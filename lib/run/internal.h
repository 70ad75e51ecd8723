/* internal.h - what the files of this room share; nobody else includes it */
#ifndef POSTERN_RUN_INTERNAL_H
#define POSTERN_RUN_INTERNAL_H

#include <uv.h>

#include "base/log.h"
#include "run/run.h"

/* The life of a fiber: READY <-> RUNNING -> WAITING -> READY; ENDED comes from RUNNING only. */
enum fiber_state {
    FIBER_READY,   /* its link is in the ready queue (or among the yielded) */
    FIBER_RUNNING, /* it is fiber_current() */
    FIBER_WAITING, /* its link is in a condition's waiters, or in no list */
    FIBER_ENDED    /* its function has returned; the loop takes the stack back */
};

/* struct fiber lives at the top of its own stack, so that a waiting fiber costs one page where possible. */
struct fiber {
    void *stack_pointer; /* while it does not run: where its saved registers are */
    struct list link;
    struct list all; /* every living fiber, for the sweep */
    const char *name;
    void (*fn)(void *arg);
    void *arg;
    int64_t deadline;    /* of the present wait */
    int64_t heap_key;    /* when the deadline heap looks at it: never later than deadline */
    uint32_t heap_index; /* position + 1 in the deadline heap; 0: not in it */
    uint32_t runs;       /* how often it ran: the sweep sees whether it moved */
    uint32_t swept_runs; /* value of runs at the last sweep */
    uint8_t state;       /* enum fiber_state */
    uint8_t result;      /* enum wait_result of the present wait */
    bool cancelled;      /* the next wait returns WAIT_CANCELLED */
    bool deaf;           /* the present wait cannot be cancelled */
    bool trimmed;        /* stack given back below the stack pointer since it last ran */
    void *fake_stack;    /* AddressSanitizer's */
    unsigned valgrind_id;
};

/* ---- stack.c ------------------------------------------------------------------------------------------------------ */

/* fiber_stack_new - a stack whose top holds a zeroed struct fiber, ready to enter entry().  fiber_stack_free - back to the
   pool.  fiber_stack_trim - give untouched-again pages below the stack pointer back to the kernel. */
struct fiber *fiber_stack_new(void (*entry)(void)) MUST_CHECK;
void fiber_stack_free(struct fiber *fiber);
void fiber_stack_trim(struct fiber *fiber);
/* fiber_stack_abandon - free the stack of a fiber that did not come to its end.  With the sanitizers it stays: what such a fiber holds
   when the process ends is not lost. */
void fiber_stack_abandon(struct fiber *fiber);
/* fiber_stack_shrink_pool - unmap pooled stacks beyond the given number. */
void fiber_stack_shrink_pool(size_t keep);
/* fiber_stack_enter - from the loop into the fiber, until it leaves.  fiber_stack_leave - from the fiber back. */
void fiber_stack_enter(struct fiber *fiber);
void fiber_stack_leave(struct fiber *fiber, bool for_ever);
/* fiber_stack_entered - first thing on a fresh stack. */
void fiber_stack_entered(void);

/* ---- fiber.c ------------------------------------------------------------------------------------------------------ */

/* fiber_suspend - the current fiber waits until fiber_wake or the deadline.  The caller has put its link or address where
   the waker finds it.  Returns at once with WAIT_CANCELLED when a cancellation is due.  Waits. */
enum wait_result fiber_suspend(int64_t deadline);
/* fiber_wake - end the wait of the fiber with that result; nothing when it does not wait. */
void fiber_wake(struct fiber *fiber, enum wait_result result);
/* fiber_must_be_inside - a programming error otherwise. */
struct fiber *fiber_must_be_inside(const char *function);
/* fibers_drain - run what is ready.  Returns whether something is still ready.  fibers_sweep - trim idle stacks; returns
   whether there may be more to do later.  fibers_have_run - since the last sweep.  fibers_discard - end of all. */
bool fibers_drain(void);
bool fibers_sweep(void);
bool fibers_have_run(void);
void fibers_discard(void);

/* ---- deadline.c --------------------------------------------------------------------------------------------------- */

void deadlines_start(void);
void deadlines_close(void);
void deadlines_discard(void);
/* deadline_add - the fiber starts a wait with fiber->deadline (not CLOCK_NEVER); deadline_done - the wait is over;
   deadline_forget - the fiber ends. */
void deadline_add(struct fiber *fiber);
void deadline_done(void);
void deadline_forget(struct fiber *fiber);

/* ---- wait_fd.c, signal.c, loop.c ---------------------------------------------------------------------------------- */

void wait_fd_discard(void);
void signals_discard(void);
/* loop_has_ready - something became ready outside a drain: the loop must not block. */
void loop_has_ready(void);

#endif
