/* map.c - hash table: entries in insertion order in one array, found through an open-addressed index of positions */
#include "base/map.h"

struct entry {
    char *key; /* NULL: removed */
    size_t key_len;
    uint64_t hash;
    void *value;
};

struct map {
    void (*release)(void *value);
    struct entry *entries;
    size_t used;     /* entries, removed ones too */
    size_t capacity; /* of entries; the index is twice as large */
    size_t count;    /* living entries */
    uint32_t *index; /* position + 1; 0: empty */
};

struct map *map_new(void (*release)(void *value))
{
    struct map *map = memory_zalloc(1, sizeof(*map));
    map->release = release;
    return map;
}

static void drop(struct map *map, struct entry *entry)
{
    free(entry->key);
    entry->key = NULL;
    if (map->release && entry->value)
        map->release(entry->value);
    entry->value = NULL;
}

void map_free(struct map *map)
{
    if (!map)
        return;
    for (size_t i = 0; i < map->used; i++) {
        if (map->entries[i].key)
            drop(map, &map->entries[i]);
    }
    free(map->entries);
    free(map->index);
    free(map);
}

static size_t index_mask(const struct map *map)
{
    return map->capacity * 2 - 1; /* capacity is a power of two */
}

static void index_insert(struct map *map, size_t position)
{
    size_t mask = index_mask(map), slot = (size_t)map->entries[position].hash & mask;
    while (map->index[slot])
        slot = (slot + 1) & mask;
    map->index[slot] = (uint32_t)(position + 1);
}

/* rebuild - drop removed entries, make room for more when needed, index anew. */
static void rebuild(struct map *map)
{
    size_t kept = 0;
    for (size_t i = 0; i < map->used; i++) {
        if (map->entries[i].key)
            map->entries[kept++] = map->entries[i];
    }
    map->used = kept;
    size_t capacity = map->capacity ? map->capacity : 8;
    while (kept >= capacity - capacity / 4)
        capacity *= 2;
    if (capacity > UINT32_MAX / 2)
        abort();
    if (capacity != map->capacity)
        map->entries = memory_resize(map->entries, capacity * sizeof(*map->entries));
    map->capacity = capacity;
    free(map->index);
    map->index = memory_zalloc(capacity * 2, sizeof(*map->index));
    for (size_t i = 0; i < kept; i++)
        index_insert(map, i);
}

static struct entry *find(const struct map *map, struct slice key, uint64_t hash)
{
    if (map->count == 0)
        return NULL;
    size_t mask = index_mask(map);
    for (size_t slot = (size_t)hash & mask; map->index[slot]; slot = (slot + 1) & mask) {
        struct entry *entry = &map->entries[map->index[slot] - 1];
        if (entry->key && entry->hash == hash && slice_equal(slice_make(entry->key, entry->key_len), key))
            return entry;
    }
    return NULL;
}

void map_set(struct map *map, struct slice key, void *value)
{
    uint64_t hash = slice_hash(key);
    struct entry *old = find(map, key, hash);
    if (old) {
        void *replaced = old->value;
        old->value = value;
        if (map->release && replaced && replaced != value)
            map->release(replaced);
        return;
    }
    if (map->used == map->capacity)
        rebuild(map);
    map->entries[map->used] = (struct entry){slice_string(key), key.len, hash, value};
    index_insert(map, map->used++);
    map->count++;
}

void *map_get(const struct map *map, struct slice key)
{
    struct entry *entry = find(map, key, slice_hash(key));
    return entry ? entry->value : NULL;
}

bool map_remove(struct map *map, struct slice key)
{
    struct entry *entry = find(map, key, slice_hash(key));
    if (!entry)
        return false;
    drop(map, entry);
    map->count--;
    return true;
}

size_t map_count(const struct map *map)
{
    return map->count;
}

bool map_next(const struct map *map, size_t *position, struct slice *key, void **value)
{
    while (*position < map->used) {
        const struct entry *entry = &map->entries[(*position)++];
        if (entry->key) {
            *key = slice_make(entry->key, entry->key_len);
            *value = entry->value;
            return true;
        }
    }
    return false;
}
