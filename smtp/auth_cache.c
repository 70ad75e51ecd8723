/* auth_cache.c - logins that a server has refused */
#include "auth_cache.h"

#include <openssl/evp.h>

#include "base/clock.h"
#include "base/map.h"

enum { ENTRIES_MAX = 1000 };

struct entry {
    int64_t until; /* clock_monotonic */
    char *reply;
    char status[12];
};

struct auth_cache {
    int64_t lifetime;
    struct map *entries; /* "host" NUL, hash of the credentials -> struct entry */
};

static void release_entry(void *value)
{
    struct entry *entry = value;

    free(entry->reply);
    free(entry);
}

struct auth_cache *auth_cache_new(int64_t lifetime)
{
    struct auth_cache *cache = memory_zalloc(1, sizeof(*cache));

    cache->lifetime = lifetime;
    cache->entries = map_new(release_entry);
    return cache;
}

void auth_cache_free(struct auth_cache *cache)
{
    if (!cache)
        return;
    map_free(cache->entries);
    free(cache);
}

/* make_key - the password itself is not kept. */
static bool make_key(struct slice host, struct slice credentials, struct buffer *key)
{
    uint8_t hash[EVP_MAX_MD_SIZE];
    unsigned len = 0;

    buffer_append_lower(key, host);
    buffer_append_byte(key, '\0');
    return EVP_Digest(credentials.data, credentials.len, hash, &len, EVP_sha256(), NULL) == 1 && buffer_append(key, hash, len);
}

bool auth_cache_find(struct auth_cache *cache, struct slice host, struct slice credentials, struct arena *arena, struct slice *reply, const char **status)
{
    struct buffer key = BUFFER_INIT;
    struct entry *entry = make_key(host, credentials, &key) ? map_get(cache->entries, buffer_slice(&key)) : NULL;

    if (entry && clock_monotonic() >= entry->until) {
        map_remove(cache->entries, buffer_slice(&key));
        entry = NULL;
    }
    if (entry) {
        *reply = arena_slice(arena, slice_of(entry->reply));
        *status = arena_strdup(arena, entry->status);
    }
    buffer_release(&key);
    return entry != NULL;
}

/* make_room - drop what has expired, or else the oldest. */
static void make_room(struct auth_cache *cache)
{
    size_t position = 0;
    struct slice key;
    void *value;
    int64_t now = clock_monotonic();

    if (map_count(cache->entries) < ENTRIES_MAX)
        return;
    while (map_next(cache->entries, &position, &key, &value))
        if (((struct entry *)value)->until <= now)
            map_remove(cache->entries, key);
    position = 0;
    if (map_count(cache->entries) >= ENTRIES_MAX && map_next(cache->entries, &position, &key, &value))
        map_remove(cache->entries, key);
}

void auth_cache_add(struct auth_cache *cache, struct slice host, struct slice credentials, struct slice reply, const char *status)
{
    struct buffer key = BUFFER_INIT;

    make_room(cache);
    if (make_key(host, credentials, &key)) {
        struct entry *entry = memory_zalloc(1, sizeof(*entry));
        entry->until = clock_after(cache->lifetime);
        entry->reply = slice_string(reply);
        snprintf(entry->status, sizeof(entry->status), "%s", status);
        map_set(cache->entries, buffer_slice(&key), entry);
    }
    buffer_release(&key);
}
