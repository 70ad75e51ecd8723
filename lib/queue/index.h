/* index.h - the index of what waits: a small engine interface (put, get, scan, count) over Berkeley DB

   A cache of the segments, owned by qmgr alone: transactional, no sync per commit.  Primary by queue id; of deferred entries also by next
   attempt, of incoming ones by destination: what nobody asks for costs nothing to change.  An entry read back is as untrusted as the network: version, length, checksum, ranges; a bad one
   is reported and skipped.  Another engine (LMDB) is one more file with the same functions. */
#ifndef POSTERN_QUEUE_INDEX_H
#define POSTERN_QUEUE_INDEX_H

#include "queue/segment.h"

struct index;

enum index_queue { INDEX_DEFERRED = 'd', INDEX_HOLD = 'h', INDEX_INCOMING = 'i' };
enum { INDEX_QUEUE_COUNT = 3 };
/* index_queue_number - 0.. for arrays by queue. */
unsigned index_queue_number(enum index_queue queue);

/* Per recipient what a listing shows and a retry needs. */
struct index_recipient {
    struct slice address;
    struct slice original;
    uint32_t index;      /* in the record */
    struct slice status; /* "4.4.1", empty: no attempt yet */
    struct slice reason;
};

struct index_entry {
    struct slice queue_id;
    enum index_queue queue;
    struct queue_place place;
    int64_t arrival_time, next_attempt; /* microseconds since 1970 */
    int64_t last_attempt;
    uint32_t attempts;
    int64_t message_size;
    bool forced_expire, warned;
    bool requeue;        /* is to go through cleanup once more */
    struct slice sender;
    struct slice destination; /* "transport:next_hop" of the first waiting recipient */
    struct index_recipient *recipients; /* those still pending */
    size_t recipient_count;
};

/* index_open - in DIRECTORY/index; *fresh is true when it was not there or was damaged and is empty now.  NULL with *why (heap). */
struct index *index_open(const char *directory, bool *fresh, char **why) MUST_CHECK;
void index_close(struct index *index);
/* Results: 1 done/found, 0 not there, -1 error (logged).  queue_id must be valid (queue_id_is_valid).  Putting an id again replaces its entry,
   whatever queue it is in. */
int index_put(struct index *index, const struct index_entry *entry);
int index_get(struct index *index, struct slice queue_id, struct arena *arena, struct index_entry *entry);
int index_delete(struct index *index, struct slice queue_id);
uint64_t index_count(struct index *index, enum index_queue queue); /* kept in memory, O(1) */
void index_drop_all(struct index *index); /* empties everything quickly */
/* index_write_begin/end - several changes in one transaction (a batch: far cheaper than one by one); may be nested; must not be left open over
   a wait.  When the commit fails index_write_end ends the process (fatal): what was told to be done is not, and recovery begins anew. */
void index_write_begin(struct index *index);
void index_write_end(struct index *index);
/* index_write_end_one - ends what index_write_begin began; false: undone, nothing changed.  For the engine and for a batch that the caller can
   do again. */
bool index_write_end_one(struct index *index) MUST_CHECK;
/* index_maintain - checkpoint and so on, in the offload pool; once a second (store_sync does it).  Waits. */
void index_maintain(struct index *index);
/* index_is_damaged - the database itself is broken: nothing works until the process starts again, which rebuilds it from the segments.
   index_damaged_entries - how many single entries were found damaged (their messages are found again by store_idle_work). */
bool index_is_damaged(const struct index *index);
uint64_t index_damaged_entries(const struct index *index);
/* index_set_watcher - the store's: told after each commit which places got or lost an entry. */
void index_set_watcher(struct index *index, void (*watcher)(void *context, uint64_t segment, uint64_t offset, bool present), void *context);

/* index_test_fail - tests: changes fail, as on a full disk, until told otherwise.  index_test_spoil - tests: damage the bytes of an entry. */
void index_test_fail(struct index *index, bool fail);
void index_test_spoil(struct index *index, struct slice sort_key);

/* Scans.  order: by arrival (primary key order) within a queue, by next attempt (INDEX_DEFERRED only), by destination (INDEX_INCOMING only). */
enum index_order { INDEX_BY_NEXT_ATTEMPT, INDEX_BY_ID, INDEX_BY_DESTINATION };
struct index_scan;
/* index_scan_start - key: the destination for that order, else ignored.  The scan sees changes made while it runs or not; it may be
   kept open across waits (it holds no lock between steps: each step re-positions).  index_scan_next: 1 and entry in the arena, 0 end, -1 error.
   By id it may have to step over many entries of other queues: then it Waits (yields), but not within index_write_begin/end. */
struct index_scan *index_scan_start(struct index *index, enum index_order order, enum index_queue queue, struct slice key) MUST_CHECK;
int index_scan_next(struct index_scan *scan, struct arena *arena, struct index_entry *entry);
void index_scan_free(struct index_scan *scan);

/* The same change for many entries: several times as fast as putting each. */
struct index_change {
    enum index_queue queue; /* where they go, or are */
    int64_t next_attempt;   /* 0: as it was */
    bool expire;            /* set forced_expire */
    bool requeue;           /* set requeue; else it is cleared */
    bool remove;            /* delete the entries, nothing else */
};
/* index_change_some - the next entries (a few milliseconds of work) of a scan by id, in one transaction; choose is asked for each and may mark its record
   in the segment; it must not wait or use the index.  1: there may be more, 0: the end, -1: failed, nothing of this piece was changed.
   *changed is increased.  Entries that went where the scan has not yet been are met again. */
int index_change_some(struct index_scan *scan, const struct index_change *change,
                      bool (*choose)(void *context, struct slice queue_id, const struct queue_place *place), void *context, uint64_t *changed);

/* Per segment: how far it was read (recovery goes on from there), and free-form state of the owner. */
int index_segment_get(struct index *index, uint64_t segment, uint64_t *read_until);
int index_segment_put(struct index *index, uint64_t segment, uint64_t read_until);
int index_segment_delete(struct index *index, uint64_t segment); /* no entry may point into it */
uint64_t index_segment_count(struct index *index, uint64_t segment); /* entries that point into it, O(1) */
/* index_segment_set_counts - put the counts right, after an audit. */
int index_segment_set_counts(struct index *index, uint64_t segment, const uint64_t counts[INDEX_QUEUE_COUNT]);
/* index_segment_next - walk over all segments the index has heard of: start with *position = 0. */
bool index_segment_next(struct index *index, size_t *position, uint64_t *segment);

#endif
