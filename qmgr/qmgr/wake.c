/* wake.c - binary heap by time */
#include "wake.h"

static void put(struct wake_heap *heap, size_t at, struct wake *wake)
{
    heap->entries[at] = wake;
    wake->place = at + 1;
}

static void move_up(struct wake_heap *heap, size_t at)
{
    struct wake *wake = heap->entries[at];
    while (at > 0 && heap->entries[(at - 1) / 2]->when > wake->when) {
        put(heap, at, heap->entries[(at - 1) / 2]);
        at = (at - 1) / 2;
    }
    put(heap, at, wake);
}

static void move_down(struct wake_heap *heap, size_t at)
{
    struct wake *wake = heap->entries[at];
    for (;;) {
        size_t child = 2 * at + 1;
        if (child + 1 < heap->count && heap->entries[child + 1]->when < heap->entries[child]->when)
            child++;
        if (child >= heap->count || heap->entries[child]->when >= wake->when)
            break;
        put(heap, at, heap->entries[child]);
        at = child;
    }
    put(heap, at, wake);
}

void wake_set(struct wake_heap *heap, struct wake *wake, int64_t when)
{
    if (wake->place && wake->when == when)
        return;
    wake_cancel(heap, wake);
    wake->when = when;
    if (heap->count == heap->capacity) {
        heap->capacity = heap->capacity ? 2 * heap->capacity : 64;
        heap->entries = memory_resize(heap->entries, heap->capacity * sizeof(void *));
    }
    heap->entries[heap->count++] = wake;
    move_up(heap, heap->count - 1);
}

void wake_cancel(struct wake_heap *heap, struct wake *wake)
{
    if (!wake->place)
        return;
    size_t at = wake->place - 1;
    struct wake *last = heap->entries[--heap->count];
    wake->place = 0;
    if (last == wake)
        return;
    put(heap, at, last);
    move_up(heap, at);
    move_down(heap, last->place - 1);
}

struct wake *wake_due(struct wake_heap *heap, int64_t now)
{
    if (heap->count == 0 || heap->entries[0]->when > now)
        return NULL;
    struct wake *wake = heap->entries[0];
    wake_cancel(heap, wake);
    return wake;
}

int64_t wake_next(const struct wake_heap *heap)
{
    return heap->count ? heap->entries[0]->when : INT64_MAX;
}

void wake_heap_release(struct wake_heap *heap)
{
    free(heap->entries);
    *heap = (struct wake_heap){0};
}
