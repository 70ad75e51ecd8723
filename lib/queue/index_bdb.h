/* index_bdb.h - inside of the Berkeley DB engine: index_bdb.c (environment), index_bdb_entry.c (entries), index_bdb_segment.c
   (counters), index_bdb_scan.c

   Two B-trees with page checksums in one environment that is private to the process, so that no region files are left behind:

     entries.db   queue byte, sort key of the id                 -> the entry (index_entry.h)
     keys.db      'n', queue byte, next attempt, sort key        -> nothing
                  'd', queue byte, hash of destination, sort key -> nothing
                  's', queue byte, hash of sender, sort key      -> nothing
                  'S', number of segment                         -> how far it was read, entries by queue
                  'M'                                            -> version of this layout

   Numbers in keys are big-endian, so that they sort.  The sort key of an id begins with its time: new entries go to the right edge. */
#ifndef POSTERN_QUEUE_INDEX_BDB_H
#define POSTERN_QUEUE_INDEX_BDB_H

/* db.h declares members with names that base.h bans. */
#include <db.h>

#include "base/list.h"
#include "base/map.h"
#include "queue/index_entry.h"
#include "queue/queue_id.h"
#include "run/run.h"

enum { INDEX_KEY_MAX = 2 + 8 + QUEUE_ID_MAX };

/* Key of keys.db or entries.db. */
struct index_key {
    uint8_t bytes[INDEX_KEY_MAX];
    size_t len;
};

/* What is known of a segment; the sums of all make index_count.  delta is what the open transaction adds. */
struct index_segment {
    struct list dirty; /* in index.dirty while the transaction has changed it */
    uint64_t number;
    bool known, known_new;   /* index_segment_put was called */
    uint64_t read_until, read_until_new;
    int64_t counts[INDEX_QUEUE_COUNT], delta[INDEX_QUEUE_COUNT];
    bool deleted_new;
};

struct index_change {
    uint64_t segment, offset;
    bool present;
};

struct index {
    char *directory;
    DB_ENV *env;
    DB *entries, *keys;
    DB_TXN *txn;
    unsigned depth;        /* of index_write_begin */
    bool failed;           /* something in the open transaction failed */
    bool damaged;          /* rebuild at the next start */
    bool maintaining;
    struct condition maintained;
    struct map *segments;  /* 8 bytes of number -> struct index_segment */
    struct list dirty;
    int64_t counts[INDEX_QUEUE_COUNT]; /* with what the open transaction adds */
    struct index_change *changes; /* of the open transaction */
    size_t change_count, change_capacity;
    void (*watcher)(void *context, uint64_t segment, uint64_t offset, bool present);
    void *watcher_context;
    struct buffer value, old; /* scratch */
    uint64_t damaged_entries;
};

/* index_bdb.c */
DBT index_bdb_in(const void *bytes, size_t len);
/* index_bdb_get - value of a key into out: 0, DB_NOTFOUND, or an error. */
int index_bdb_get(struct index *index, DB *db, const struct index_key *key, struct buffer *out);
/* index_bdb_failed - log; a damaged environment is remembered. */
void index_bdb_failed(struct index *index, const char *what, int error);

/* index_bdb_entry.c */
struct index_key index_bdb_entry_key(enum index_queue queue, struct slice sort_key);
struct index_key index_bdb_order_key(char tag, enum index_queue queue, uint64_t value, struct slice sort_key);
/* index_bdb_read_entry - 1, 0 or -1 as index_get; a damaged entry is reported, dropped and counted. */
int index_bdb_read_entry(struct index *index, enum index_queue queue, struct slice sort_key, struct arena *arena, struct index_entry *entry);

/* index_bdb_segment.c */
bool index_bdb_load_segments(struct index *index);
void index_bdb_forget_segments(struct index *index);
void index_bdb_count(struct index *index, uint64_t segment, enum index_queue queue, int change);
/* index_bdb_write_segments - into the transaction; index_bdb_settle_segments - it was committed or aborted. */
int index_bdb_write_segments(struct index *index);
void index_bdb_settle_segments(struct index *index, bool committed);

#endif
