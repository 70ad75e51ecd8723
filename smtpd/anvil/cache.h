/* cache.h - one cache of the store in memory: entries that end by themselves, the oldest of which make room for new ones */
#ifndef POSTERN_ANVIL_CACHE_H
#define POSTERN_ANVIL_CACHE_H

#include "base/buffer.h"
#include "base/list.h"

struct cache;

/* What a cache may hold at most. */
struct cache_limits {
    size_t entries;
    size_t bytes; /* keys, values and what it takes to keep them */
};

struct cache *cache_new(struct cache_limits limits) MUST_CHECK;
void cache_free(struct cache *cache);
size_t cache_count(const struct cache *cache);

/* cache_get - a view of the value that is valid until the next change.  False: there is none, or it has ended.  now, expires: clock_wall. */
bool cache_get(struct cache *cache, struct slice key, int64_t now, struct slice *value, int64_t *expires);
/* cache_put - set; the oldest entries (by when they were last set) go when there are too many.  cache_delete - false when there was none. */
void cache_put(struct cache *cache, struct slice key, struct slice value, int64_t expires);
bool cache_delete(struct cache *cache, struct slice key);
/* cache_load - what a file held: only when nothing newer is here, and not to be written to it again. */
void cache_load(struct cache *cache, struct slice key, struct slice value, int64_t expires);

/* cache_next - walk, from *at = NULL, without a change or a wait; false at the end. */
bool cache_next(const struct cache *cache, const struct list **at, struct slice *key, int64_t *expires);

/* cache_clean - remove ended entries: looks at up to steps of them, from where the last call left off; false when it has been all around (*kept and
   *dropped, which are added to, are complete). */
bool cache_clean(struct cache *cache, int64_t now, size_t steps, size_t *kept, size_t *dropped);

/* ---- what a file has to be told ---- */

/* cache_track - from now on changes are kept for cache_take_changes. */
void cache_track(struct cache *cache);
/* cache_take_changes - append changes (cache_change_next reads them) until about that many bytes are there; false when there is none left. */
bool cache_take_changes(struct cache *cache, size_t bytes, struct buffer *out);
/* cache_change_all - every entry is a change again: the file is to be written anew. */
void cache_change_all(struct cache *cache);

struct cache_change {
    bool is_delete;
    struct slice key, value;
    int64_t expires;
};

/* cache_change_put - the encoding of one change; cache_change_next - take the next off the front; false at the end, or where it is broken. */
void cache_change_put(struct buffer *out, const struct cache_change *change);
bool cache_change_next(struct slice *rest, struct cache_change *change);

#endif
