/* offset_set.c - open addressing with linear probing; removal moves the followers back, so there are no gravestones */
#include "queue/offset_set.h"

static size_t home_of(const struct offset_set *set, uint32_t key)
{
    return (size_t)(key * UINT64_C(0x9e3779b97f4a7c15) >> 32) & (set->capacity - 1);
}

/* slot_of - where the key is, or the free slot where it would go. */
static size_t slot_of(const struct offset_set *set, uint32_t key)
{
    size_t at = home_of(set, key);
    while (set->slots[at] && set->slots[at] != key)
        at = (at + 1) & (set->capacity - 1);
    return at;
}

static void resize(struct offset_set *set, size_t capacity)
{
    struct offset_set bigger = {memory_zalloc(capacity, sizeof(uint32_t)), capacity, set->count};
    for (size_t i = 0; i < set->capacity; i++) {
        if (set->slots[i])
            bigger.slots[slot_of(&bigger, set->slots[i])] = set->slots[i];
    }
    free(set->slots);
    *set = bigger;
}

void offset_set_release(struct offset_set *set)
{
    free(set->slots);
    *set = (struct offset_set){0};
}

bool offset_set_has(const struct offset_set *set, uint64_t offset)
{
    uint32_t key = (uint32_t)(offset / 8);
    return set->count > 0 && set->slots[slot_of(set, key)] == key;
}

bool offset_set_add(struct offset_set *set, uint64_t offset)
{
    uint32_t key = (uint32_t)(offset / 8);
    if (set->count * 4 >= set->capacity * 3)
        resize(set, set->capacity ? set->capacity * 2 : 16);
    size_t at = slot_of(set, key);
    if (set->slots[at])
        return false;
    set->slots[at] = key;
    set->count++;
    return true;
}

bool offset_set_remove(struct offset_set *set, uint64_t offset)
{
    if (!offset_set_has(set, offset))
        return false;
    size_t mask = set->capacity - 1, hole = slot_of(set, (uint32_t)(offset / 8));
    for (size_t at = (hole + 1) & mask; set->slots[at]; at = (at + 1) & mask) {
        size_t home = home_of(set, set->slots[at]);
        /* May move to the hole unless its home lies (cyclically) behind the hole. */
        if (((at - home) & mask) >= ((at - hole) & mask)) {
            set->slots[hole] = set->slots[at];
            hole = at;
        }
    }
    set->slots[hole] = 0;
    if (--set->count == 0)
        offset_set_release(set);
    return true;
}
