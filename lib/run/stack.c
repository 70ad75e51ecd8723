/* stack.c - stacks of fibers and the switch between them

   A stack is mapped lazily with a page nobody may touch at its low end.  The switch saves the registers that the calling
   convention calls preserved, on the stack that is left, and loads those of the other.  Processors other than x86-64 and
   aarch64 use swapcontext(), which costs two system calls a switch (-DPORTABLE_SWITCH: try it here). */
#include <sys/mman.h>

#include "run/internal.h"

#if defined(__SANITIZE_ADDRESS__)
#define WITH_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define WITH_ASAN 1
#endif
#endif
#ifdef WITH_ASAN
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#include <sanitizer/lsan_interface.h>
#endif

#if __has_include(<valgrind/valgrind.h>)
#include <valgrind/valgrind.h>
#else
#define VALGRIND_STACK_REGISTER(low, high) 0u
#define VALGRIND_STACK_DEREGISTER(id) ((void)(id))
#endif

enum {
#ifdef WITH_ASAN
    STACK_SIZE = 1024 * 1024, /* red zones make frames several times larger */
#else
    STACK_SIZE = 256 * 1024, /* touched pages count, not this: a hundred nested aliases need 160 KiB */
#endif
    POOL_MAX = 1024,
    /* Stacks are a multiple of the page size apart, so without this the busy lines of all fibers would compete for the same
       few lines of the first-level cache. */
    COLOURS = 8,
    COLOUR_STEP = 128
};

/* A pooled stack keeps the pool's link at its top, in a page that was touched anyway. */
struct pooled {
    struct pooled *next;
};

static struct pooled *pool;
static size_t pool_count;
static size_t page_size;
static unsigned serial;
static void *loop_stack_pointer;

/* ---- the switch --------------------------------------------------------------------------------------------------- */

#if defined(__x86_64__) && !defined(PORTABLE_SWITCH)

/* stack_switch - push the preserved registers, store the stack pointer in *save, continue where load was saved.  The jump
   is notrack because its target, the place after some call, carries no endbr64. */
void stack_switch(void **save, void *load) __attribute__((visibility("hidden")));
__asm__(".text\n"
        ".p2align 4\n"
        ".hidden stack_switch\n"
        ".globl stack_switch\n"
        ".type stack_switch, @function\n"
        "stack_switch:\n"
        "    endbr64\n"
        "    pushq %rbp\n"
        "    pushq %rbx\n"
        "    pushq %r12\n"
        "    pushq %r13\n"
        "    pushq %r14\n"
        "    pushq %r15\n"
        "    movq %rsp, (%rdi)\n"
        "    movq %rsi, %rsp\n"
        "    popq %r15\n"
        "    popq %r14\n"
        "    popq %r13\n"
        "    popq %r12\n"
        "    popq %rbx\n"
        "    popq %rbp\n"
        "    popq %rcx\n"
        "    notrack jmp *%rcx\n"
        ".size stack_switch, .-stack_switch\n");

/* prepare - what stack_switch will find: six registers, the entry, and a return address of zero that ends backtraces. */
static void *prepare(char *top, char *low UNUSED, void (*entry)(void))
{
    uintptr_t *at = (uintptr_t *)((uintptr_t)top & ~(uintptr_t)15);
    *--at = 0; /* the return address: the stack is aligned as after a call */
    *--at = (uintptr_t)entry;
    for (int i = 0; i < 6; i++)
        *--at = 0;
    return at;
}

#elif defined(__aarch64__) && !defined(PORTABLE_SWITCH)

void stack_switch(void **save, void *load) __attribute__((visibility("hidden")));
__asm__(".text\n"
        ".p2align 4\n"
        ".hidden stack_switch\n"
        ".globl stack_switch\n"
        ".type stack_switch, %function\n"
        "stack_switch:\n"
        "    hint #34\n" /* bti c */
        "    sub sp, sp, #160\n"
        "    stp x19, x20, [sp, #0]\n"
        "    stp x21, x22, [sp, #16]\n"
        "    stp x23, x24, [sp, #32]\n"
        "    stp x25, x26, [sp, #48]\n"
        "    stp x27, x28, [sp, #64]\n"
        "    stp x29, x30, [sp, #80]\n"
        "    stp d8, d9, [sp, #96]\n"
        "    stp d10, d11, [sp, #112]\n"
        "    stp d12, d13, [sp, #128]\n"
        "    stp d14, d15, [sp, #144]\n"
        "    mov x9, sp\n"
        "    str x9, [x0]\n"
        "    mov sp, x1\n"
        "    ldp x19, x20, [sp, #0]\n"
        "    ldp x21, x22, [sp, #16]\n"
        "    ldp x23, x24, [sp, #32]\n"
        "    ldp x25, x26, [sp, #48]\n"
        "    ldp x27, x28, [sp, #64]\n"
        "    ldp x29, x30, [sp, #80]\n"
        "    ldp d8, d9, [sp, #96]\n"
        "    ldp d10, d11, [sp, #112]\n"
        "    ldp d12, d13, [sp, #128]\n"
        "    ldp d14, d15, [sp, #144]\n"
        "    add sp, sp, #160\n"
        "    ret\n"
        ".size stack_switch, .-stack_switch\n");

static void *prepare(char *top, char *low UNUSED, void (*entry)(void))
{
    uintptr_t *at = (uintptr_t *)((uintptr_t)top & ~(uintptr_t)15) - 20;
    memset(at, 0, 20 * sizeof(*at));
    at[11] = (uintptr_t)entry; /* x30 */
    return at;
}

#else

#include <ucontext.h>

/* The context of whoever does not run lies on its own stack. */
static void stack_switch(void **save, void *load)
{
    ucontext_t own;
    /* cppcheck-suppress autoVariables */
    *save = &own;
    swapcontext(&own, load);
}

static void *prepare(char *top, char *low, void (*entry)(void))
{
    ucontext_t *context = (ucontext_t *)(((uintptr_t)top - sizeof(*context)) & ~(uintptr_t)63);
    getcontext(context);
    context->uc_stack.ss_sp = low;
    context->uc_stack.ss_size = (size_t)((char *)context - low);
    context->uc_link = NULL;
    makecontext(context, entry, 0);
    return context;
}

#endif

/* ---- mapping and pooling ------------------------------------------------------------------------------------------ */

/* Where the struct of a fiber is, seen from the low end of its mapping, varies by colour: the low end is found by rounding. */
static char *mapping_of(const void *inside)
{
    return (char *)((uintptr_t)inside & ~(uintptr_t)(STACK_SIZE - 1));
}

/* map_stack - STACK_SIZE bytes at a multiple of STACK_SIZE (mapping_of needs that), the lowest page closed. */
static char *map_stack(void)
{
    char *area = mmap(NULL, 2 * STACK_SIZE, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);
    if (area == MAP_FAILED)
        log_fatal("cannot map the stack of a fiber: %s", strerror(errno));
    char *low = mapping_of(area + STACK_SIZE - 1);
    if (low > area)
        munmap(area, (size_t)(low - area));
    munmap(low + STACK_SIZE, (size_t)(area + STACK_SIZE - low));
    if (mprotect(low, page_size, PROT_NONE) < 0)
        log_fatal("cannot protect the stack of a fiber: %s", strerror(errno));
    return low;
}

static char *take_mapping(void)
{
    if (!pool)
        return map_stack();
    struct pooled *first = pool;
    pool = first->next;
    pool_count--;
    return mapping_of(first);
}

struct fiber *fiber_stack_new(void (*entry)(void))
{
    if (!page_size)
        page_size = (size_t)sysconf(_SC_PAGESIZE);
    char *low = take_mapping();
    char *top = low + STACK_SIZE - (serial++ % COLOURS) * COLOUR_STEP;
    struct fiber *fiber = (struct fiber *)(((uintptr_t)top - sizeof(*fiber)) & ~(uintptr_t)63);
    memset(fiber, 0, sizeof(*fiber));
    fiber->stack_pointer = prepare((char *)fiber, low + page_size, entry);
    fiber->valgrind_id = VALGRIND_STACK_REGISTER(low, low + STACK_SIZE);
#ifdef WITH_ASAN
    __lsan_register_root_region(low + page_size, STACK_SIZE - page_size);
#endif
    return fiber;
}

void fiber_stack_free(struct fiber *fiber)
{
    char *low = mapping_of(fiber);
    VALGRIND_STACK_DEREGISTER(fiber->valgrind_id);
#ifdef WITH_ASAN
    __lsan_unregister_root_region(low + page_size, STACK_SIZE - page_size);
    __asan_unpoison_memory_region(low + page_size, STACK_SIZE - page_size);
#endif
    if (pool_count >= POOL_MAX) {
        munmap(low, STACK_SIZE);
        return;
    }
    struct pooled *entry = (struct pooled *)(low + STACK_SIZE - sizeof(*entry));
    entry->next = pool;
    pool = entry;
    pool_count++;
}

void fiber_stack_abandon(struct fiber *fiber)
{
#ifndef WITH_ASAN
    fiber_stack_free(fiber);
#else
    (void)fiber;
#endif
}

void fiber_stack_trim(struct fiber *fiber)
{
    char *low = mapping_of(fiber) + page_size;
    char *used = (char *)((uintptr_t)fiber->stack_pointer & ~(uintptr_t)(page_size - 1));
#ifndef WITH_ASAN
    if (used > low)
        madvise(low, (size_t)(used - low), MADV_DONTNEED);
#else
    (void)low, (void)used;
#endif
}

void fiber_stack_shrink_pool(size_t keep)
{
    while (pool_count > keep)
        munmap(take_mapping(), STACK_SIZE);
}

/* ---- entering and leaving ----------------------------------------------------------------------------------------- */

#ifdef WITH_ASAN
static void *loop_fake_stack;
static const void *loop_bottom;
static size_t loop_size;
#endif

void fiber_stack_enter(struct fiber *fiber)
{
#ifdef WITH_ASAN
    __sanitizer_start_switch_fiber(&loop_fake_stack, mapping_of(fiber) + page_size, STACK_SIZE - page_size);
#endif
    stack_switch(&loop_stack_pointer, fiber->stack_pointer);
#ifdef WITH_ASAN
    __sanitizer_finish_switch_fiber(loop_fake_stack, NULL, NULL);
#endif
}

void fiber_stack_entered(void)
{
#ifdef WITH_ASAN
    __sanitizer_finish_switch_fiber(NULL, &loop_bottom, &loop_size);
#endif
}

void fiber_stack_leave(struct fiber *fiber, bool for_ever UNUSED)
{
#ifdef WITH_ASAN
    __sanitizer_start_switch_fiber(for_ever ? NULL : &fiber->fake_stack, loop_bottom, loop_size);
#endif
    stack_switch(&fiber->stack_pointer, loop_stack_pointer);
#ifdef WITH_ASAN
    __sanitizer_finish_switch_fiber(fiber->fake_stack, &loop_bottom, &loop_size);
#endif
}
