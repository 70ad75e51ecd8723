/* cache.c - entries in memory: a map by key, a list by age, a list of what the file does not know yet */
#include "cache.h"

#include "base/cursor.h"
#include "base/map.h"

/* What an entry takes besides key (twice: the map has its own) and value, roughly; and what may wait of deletions for the file. */
enum { ENTRY_OVERHEAD = 160, DELETIONS_MAX = 16 << 20 };

struct entry {
    struct list age;    /* in cache->by_age */
    struct list change; /* in cache->changed, or alone */
    int64_t expires;
    uint32_t key_len, value_len;
    char bytes[]; /* key, value */
};

struct cache {
    struct cache_limits limits;
    struct map *entries;
    struct list by_age, changed;
    struct list *cleaner; /* where cache_clean goes on; NULL: at the beginning */
    struct buffer deletions;
    size_t bytes;
    bool tracked;
};

struct cache *cache_new(struct cache_limits limits)
{
    struct cache *cache = memory_zalloc(1, sizeof(*cache));

    cache->limits = limits;
    cache->entries = map_new(NULL);
    list_init(&cache->by_age);
    list_init(&cache->changed);
    cache->deletions.max = DELETIONS_MAX;
    return cache;
}

void cache_free(struct cache *cache)
{
    if (!cache)
        return;
    LIST_EACH(&cache->by_age, at)
        free(LIST_ENTRY(at, struct entry, age));
    map_free(cache->entries);
    buffer_release(&cache->deletions);
    free(cache);
}

size_t cache_count(const struct cache *cache)
{
    return map_count(cache->entries);
}

static struct slice key_of(const struct entry *entry)
{
    return slice_make(entry->bytes, entry->key_len);
}

static struct slice value_of(const struct entry *entry)
{
    return slice_make(entry->bytes + entry->key_len, entry->value_len);
}

static size_t cost_of(const struct entry *entry)
{
    return ENTRY_OVERHEAD + 2 * (size_t)entry->key_len + entry->value_len;
}

/* unlink_entry - out of the lists and off the books; the map is the caller's. */
static void unlink_entry(struct cache *cache, struct entry *entry)
{
    if (cache->cleaner == &entry->age)
        cache->cleaner = entry->age.next;
    list_remove(&entry->age);
    list_remove(&entry->change);
    cache->bytes -= cost_of(entry);
}

/* remove_entry - a deletion that does not fit is not told to the file, where the entry ends by itself. */
static void remove_entry(struct cache *cache, struct entry *entry)
{
    unlink_entry(cache, entry);
    if (cache->tracked)
        cache_change_put(&cache->deletions, &(struct cache_change){.is_delete = true, .key = key_of(entry)});
    map_remove(cache->entries, key_of(entry));
    free(entry);
}

static struct entry *set(struct cache *cache, struct slice key, struct slice value, int64_t expires)
{
    struct entry *old = map_get(cache->entries, key);
    struct entry *entry = memory_alloc(sizeof(*entry) + key.len + value.len);

    entry->expires = expires;
    entry->key_len = (uint32_t)key.len;
    entry->value_len = (uint32_t)value.len;
    memcpy(entry->bytes, key.data, key.len);
    if (value.len)
        memcpy(entry->bytes + key.len, value.data, value.len);
    if (old)
        unlink_entry(cache, old);
    map_set(cache->entries, key_of(entry), entry);
    free(old);
    list_append(&cache->by_age, &entry->age);
    list_init(&entry->change);
    cache->bytes += cost_of(entry);
    return entry;
}

static void make_room(struct cache *cache)
{
    while ((map_count(cache->entries) > cache->limits.entries || cache->bytes > cache->limits.bytes) && !list_is_empty(&cache->by_age))
        remove_entry(cache, LIST_ENTRY(cache->by_age.next, struct entry, age)); /* NOLINT(clang-analyzer-unix.Malloc): as in list_remove */
}

bool cache_get(struct cache *cache, struct slice key, int64_t now, struct slice *value, int64_t *expires)
{
    const struct entry *entry = map_get(cache->entries, key);

    if (!entry || entry->expires <= now)
        return false;
    *value = value_of(entry);
    *expires = entry->expires;
    return true;
}

void cache_put(struct cache *cache, struct slice key, struct slice value, int64_t expires)
{
    struct entry *entry = set(cache, key, value, expires);

    if (cache->tracked)
        list_append(&cache->changed, &entry->change);
    make_room(cache);
}

bool cache_delete(struct cache *cache, struct slice key)
{
    struct entry *entry = map_get(cache->entries, key);

    if (!entry)
        return false;
    remove_entry(cache, entry);
    return true;
}

void cache_load(struct cache *cache, struct slice key, struct slice value, int64_t expires)
{
    if (map_get(cache->entries, key))
        return;
    set(cache, key, value, expires);
    make_room(cache);
}

bool cache_next(const struct cache *cache, const struct list **at, struct slice *key, int64_t *expires)
{
    *at = *at ? (*at)->next : cache->by_age.next;
    if (*at == &cache->by_age)
        return false;
    const struct entry *entry = LIST_ENTRY(*at, const struct entry, age);
    *key = key_of(entry);
    *expires = entry->expires;
    return true;
}

bool cache_clean(struct cache *cache, int64_t now, size_t steps, size_t *kept, size_t *dropped)
{
    if (!cache->cleaner)
        cache->cleaner = cache->by_age.next;
    while (steps-- > 0 && cache->cleaner != &cache->by_age) {
        struct entry *entry = LIST_ENTRY(cache->cleaner, struct entry, age);
        cache->cleaner = entry->age.next;
        if (entry->expires <= now) {
            remove_entry(cache, entry);
            ++*dropped;
        } else {
            ++*kept;
        }
    }
    if (cache->cleaner != &cache->by_age)
        return true;
    cache->cleaner = NULL;
    return false;
}

/* ---- what a file has to be told ---- */

void cache_track(struct cache *cache)
{
    cache->tracked = true;
}

void cache_change_all(struct cache *cache)
{
    LIST_EACH(&cache->by_age, at) {
        struct entry *entry = LIST_ENTRY(at, struct entry, age);
        list_remove(&entry->change);
        list_append(&cache->changed, &entry->change);
    }
}

bool cache_take_changes(struct cache *cache, size_t bytes, struct buffer *out)
{
    /* Deletions first: a key that was deleted and set again is there in the end. */
    struct slice deletions = buffer_slice(&cache->deletions), rest = deletions;
    struct cache_change change;

    while (out->len < bytes && cache_change_next(&rest, &change))
        cache_change_put(out, &change);
    buffer_consume(&cache->deletions, deletions.len - rest.len);
    cache->deletions.overflow = false;
    while (out->len < bytes && !list_is_empty(&cache->changed)) {
        struct entry *entry = LIST_ENTRY(cache->changed.next, struct entry, change);
        cache_change_put(out, &(struct cache_change){.key = key_of(entry), .value = value_of(entry), .expires = entry->expires});
        list_remove(&entry->change);
    }
    return cache->deletions.len > 0 || !list_is_empty(&cache->changed);
}

void cache_change_put(struct buffer *out, const struct cache_change *change)
{
    struct buffer piece = BUFFER_INIT;

    put_u8(&piece, change->is_delete);
    put_u64(&piece, (uint64_t)change->expires);
    put_counted(&piece, change->key);
    put_counted(&piece, change->value);
    buffer_append_slice(out, buffer_slice(&piece)); /* whole, or not at all */
    buffer_release(&piece);
}

bool cache_change_next(struct slice *rest, struct cache_change *change)
{
    struct cursor cursor = cursor_of(*rest);

    if (rest->len == 0)
        return false;
    change->is_delete = cursor_u8(&cursor) != 0;
    change->expires = (int64_t)cursor_u64(&cursor);
    change->key = cursor_counted(&cursor);
    change->value = cursor_counted(&cursor);
    *rest = slice_from(*rest, rest->len - cursor_left(&cursor));
    return !cursor.failed;
}
