/* index_bdb.h - inside of the Berkeley DB engine: index_bdb.c (environment), index_bdb_entry.c (entries), index_bdb_segment.c
   (counters), index_bdb_scan.c, index_bdb_change.c (many entries at once)

   Two B-trees with page checksums in one environment that is private to the process, so that no region files are left behind:

     entries.db   sort key of the id                       -> the entry (index_entry.h), which tells its queue
     keys.db      'n', next attempt, sort key              -> nothing (deferred entries)
                  'd', hash of destination, sort key       -> nothing (incoming entries)
                  'S', number of segment                   -> how far it was read, entries by queue
                  'M'                                      -> version of this layout

   Numbers in keys are big-endian, so that they sort.  The sort key of an id begins with its time: new entries go to the right edge.  A change of the queue
   leaves the entry where it is: a million can be put on hold by writing over some bytes of each. */
#ifndef POSTERN_QUEUE_INDEX_BDB_H
#define POSTERN_QUEUE_INDEX_BDB_H

/* db.h declares members with names that base.h bans. */
#include <db.h>

#include "base/list.h"
#include "base/map.h"
#include "queue/index_entry.h"
#include "queue/queue_id.h"
#include "run/run.h"

enum { INDEX_KEY_MAX = 1 + 8 + QUEUE_ID_MAX };

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

struct index_change_note {
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
    bool test_fails;       /* index_test_fail */
    bool damaged;          /* rebuild at the next start */
    bool maintaining;
    struct condition maintained;
    struct map *segments;  /* 8 bytes of number -> struct index_segment */
    struct list dirty;
    int64_t counts[INDEX_QUEUE_COUNT]; /* with what the open transaction adds */
    struct index_change_note *changes; /* of the open transaction */
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
struct index_key index_bdb_entry_key(struct slice sort_key);
struct index_key index_bdb_order_key(char tag, uint64_t value, struct slice sort_key);
/* index_bdb_key_of - the key in keys.db of an entry with these facts; len 0: none. */
struct index_key index_bdb_key_of(const struct index_entry_facts *facts, struct slice sort_key);
bool index_bdb_same_key(const struct index_key *a, const struct index_key *b);
int index_bdb_remove_pair(struct index *index, DB *db, const struct index_key *key);
int index_bdb_put_pair(struct index *index, DB *db, const struct index_key *key, struct slice value);
/* index_bdb_account - one entry was put; old: what it replaced, NULL: nothing.  index_bdb_account_gone - it was deleted. */
void index_bdb_account(struct index *index, const struct index_entry_facts *old, const struct index_entry_facts *facts);
void index_bdb_account_gone(struct index *index, const struct index_entry_facts *old);
/* index_bdb_count_damaged - report and count a damaged entry. */
void index_bdb_count_damaged(struct index *index, struct slice sort_key);
/* index_bdb_read_entry - 1, 0 or -1 as index_get; a damaged entry is reported, dropped and counted. */
int index_bdb_read_entry(struct index *index, struct slice sort_key, struct arena *arena, struct index_entry *entry);

/* index_bdb_scan.c.  index_bdb_scan_* - of a scan by id, for who walks on his own: the queue, and the key from which to go on. */
struct index *index_bdb_scan_index(const struct index_scan *scan);
enum index_queue index_bdb_scan_queue(const struct index_scan *scan);
struct index_key index_bdb_scan_position(const struct index_scan *scan);
void index_bdb_scan_move(struct index_scan *scan, const struct index_key *from);

/* index_bdb_segment.c */
bool index_bdb_load_segments(struct index *index);
void index_bdb_forget_segments(struct index *index);
void index_bdb_count(struct index *index, uint64_t segment, enum index_queue queue, int change);
/* index_bdb_write_segments - into the transaction; index_bdb_settle_segments - it was committed or aborted. */
int index_bdb_write_segments(struct index *index);
void index_bdb_settle_segments(struct index *index, bool committed);

#endif
