/* store.h - the queue as its one owner sees it: all segments, marks in place, reclaim, recovery (qmgr; offline tools under the same lock)

   Segments are the truth, the index is a cache.  The store keeps per segment: how far it was read, how many messages in it are not done,
   whether marks wait for the disk.  A segment is unlinked when it is closed (its writer went on or is gone), all its messages are done, and the
   marks are on disk. */
#ifndef POSTERN_QUEUE_STORE_H
#define POSTERN_QUEUE_STORE_H

#include "queue/index.h"
#include "queue/segment.h"

struct store;

/* What start-up and tail scans find. */
struct store_events {
    /* A live message that is not in the index (new mail, or the index was lost).  The record is valid during the call. */
    void (*found)(void *context, const struct queue_record *record);
    /* A damaged record: it was set aside in corrupt/ and is reported; text is for the log. */
    void (*corrupt)(void *context, const struct queue_place *place, const char *text);
};

/* store_is_locked - somebody owns the queue at the moment (for commands: qmgr is running). */
bool store_is_locked(const char *queue_directory);

/* store_open - lock the queue directory (one owner), open or rebuild the index.  NULL with *why (heap).  May take long when rebuilding.
   It waits up to ten seconds for a predecessor
   to let go of the lock.  store_recover - read every segment from where it was read before: index entries are not touched again, unknown live
   records go to found().  Call once after store_open.  Waits. */
struct store *store_open(const char *queue_directory, const struct store_events *events, void *context, char **why) MUST_CHECK;
void store_recover(struct store *store);
void store_close(struct store *store);
struct index *store_index(struct store *store);

/* store_arrived - cleanup told us of a record: true: it is new and now known (the owner takes it from here; in any order); false: it is known
   already (found() was called for it, or it was told before): nothing to do.  store_scan - look for new segments and read the tails of all, found()
   for each live record nobody has told us of; call it every few seconds and when a lane to cleanup breaks.  Waits. */
bool store_arrived(struct store *store, const struct queue_place *place);
void store_scan(struct store *store);

/* store_read - the record again (deferred mail).  store_content - open file with the content: *fd belongs to the store and stays open while
   the segment is in use (at least a minute after the call), read-only; key identifies this open file for delivery_request.content_key.
   False: damaged (then it is set aside in corrupt/ and was reported by events->corrupt) or gone: the owner deletes its index entry.  A record
   that is already done is returned as such (record->state).  store_read Waits and checks all checksums. */
bool store_read(struct store *store, const struct queue_place *place, struct arena *arena, struct queue_record *record);
bool store_content(struct store *store, const struct queue_place *place, int *fd, uint64_t *key);

/* Marks: one byte written in place; on disk with the next store_sync.  store_mark_done ends the message: when it was the last of a closed
   segment, the segment goes (in store_sync).  Of a message that has an index entry: mark it done first, then index_delete (in the same turn);
   an entry that is deleted while its message lives makes it a message that only memory knows. */
bool store_mark_recipient(struct store *store, const struct queue_place *place, size_t index, char state);
bool store_mark_state(struct store *store, const struct queue_place *place, char state); /* LIVE or HELD */
bool store_mark_warned(struct store *store, const struct queue_place *place);
bool store_mark_expired(struct store *store, const struct queue_place *place);
bool store_mark_done(struct store *store, const struct queue_place *place);
/* store_sync - fdatasync segments with marks (offloaded), then unlink what is finished; call it every second from a fiber of its own.
   store_idle_work - a bounded piece of cleaning: copies survivors of an old, mostly done segment to a current one (only messages with an index entry,
   which is changed here) and calls moved() for each: from then on marks must go to the new place, also those of a delivery in flight; and the search
   for messages whose index entries were damaged (found()).  Call it about once a second when there is little else to do.  Both Wait; there may be
   only one fiber that calls each. */
void store_sync(struct store *store);
void store_idle_work(struct store *store, void (*moved)(void *context, struct slice queue_id, const struct queue_place *from,
                     const struct queue_place *to), void *context);
/* store_drop_all - every message of the index is deleted at once (postsuper -d ALL): segments without other live messages are unlinked
   without marking each.  Returns the count. */
uint64_t store_drop_all(struct store *store);

#endif
