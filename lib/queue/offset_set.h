/* offset_set.h - a set of record offsets (multiples of 8): which live messages of a segment only memory knows */
#ifndef POSTERN_QUEUE_OFFSET_SET_H
#define POSTERN_QUEUE_OFFSET_SET_H

#include "base/base.h"

struct offset_set {
    uint32_t *slots; /* offset / 8; 0: free */
    size_t capacity; /* power of two, or 0 */
    size_t count;
};

void offset_set_release(struct offset_set *set);
/* offset_set_add, _remove - false: nothing changed.  Offsets are over 0 and under 32 GiB. */
bool offset_set_add(struct offset_set *set, uint64_t offset);
bool offset_set_remove(struct offset_set *set, uint64_t offset);
bool offset_set_has(const struct offset_set *set, uint64_t offset);

#endif
