/* wake.h - a heap of things that have to be looked at later, the earliest first */
#ifndef POSTERN_QMGR_WAKE_H
#define POSTERN_QMGR_WAKE_H

#include "base/base.h"

/* Inside the thing; zeroed: not in the heap. */
struct wake {
    int64_t when;
    size_t place; /* 1 + index in the heap; 0: not there */
};

struct wake_heap {
    struct wake **entries;
    size_t count, capacity;
};

/* wake_set - (again) at that time; wake_cancel - not at all (harmless when not set). */
void wake_set(struct wake_heap *heap, struct wake *wake, int64_t when);
void wake_cancel(struct wake_heap *heap, struct wake *wake);
/* wake_due - take out the earliest when its time has come, else NULL.  wake_next - time of the earliest, INT64_MAX when there is none. */
struct wake *wake_due(struct wake_heap *heap, int64_t now);
int64_t wake_next(const struct wake_heap *heap);
void wake_heap_release(struct wake_heap *heap);

#endif
