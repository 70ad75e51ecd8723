/* segment.h - segment files: append-only logs of messages, made durable by group commit (design: the queue is a log with an index)

   spool/segment/NNNN is written by one cleanup worker; large contents are files of their own in spool/content/NNNN.  The record format is
   documented in docs/formats.md and in record.c.  Who may write what: cleanup appends; qmgr alone changes state bytes in place and unlinks. */
#ifndef POSTERN_QUEUE_SEGMENT_H
#define POSTERN_QUEUE_SEGMENT_H

#include "ipc/message.h"

/* Where a message is. */
struct queue_place {
    uint64_t segment;        /* number of the segment file */
    uint64_t offset, length; /* of the record */
    uint64_t content_file;   /* 0: content lies in the segment; else number of its own file */
    uint64_t content_offset; /* from the start of that file */
    uint64_t content_length;
};

/* Message states (one byte in the record), recipient states (one byte each).  Any two differ in at least two bits: a flipped bit makes
   an unknown state, and the record counts as corrupt. */
enum { MESSAGE_STATE_LIVE = 'A', MESSAGE_STATE_HELD = 'H', MESSAGE_STATE_DONE = 'D', MESSAGE_STATE_DEAD = 'K' /* commit failed */ };
enum { RECIPIENT_STATE_PENDING = 'P', RECIPIENT_STATE_DONE = 'D' /* delivered or its notice is queued */,
       RECIPIENT_STATE_FAILED = 'B' /* bounced, notice owed */, RECIPIENT_STATE_DELIVERED_NOTICE_OWED = 'S' };

/* ---- writing (cleanup) ---- */
struct segment_writer;

struct segment_writer_options {
    const char *queue_directory; /* spool: segment/ and content/ are below it */
    uint64_t segment_size;       /* a new segment after that many bytes (64 MiB) */
    uint64_t large_content;      /* contents over this many bytes get a file of their own (256 KiB) */
    int64_t minimum_free;        /* queue_minfree and 1.5 x message_size_limit: below it nothing is accepted */
};

/* segment_writer_open - creates directories that are missing and opens them, so that it works after chroot; the first append makes the
   first segment.  NULL with errno.  segment_writer_close: waits for the commit of what was appended.  Content sinks must be freed before. */
struct segment_writer *segment_writer_open(const struct segment_writer_options *options) MUST_CHECK;
void segment_writer_close(struct segment_writer *writer);

/* What the writer has done so far. */
struct segment_writer_counters { uint64_t records, bytes, syncs, segments; };
const struct segment_writer_counters *segment_writer_counters(const struct segment_writer *writer);

/* Content that arrives in pieces: kept in memory up to large_content, then in a file of its own. */
struct content_sink;
struct content_sink *content_sink_new(struct segment_writer *writer) MUST_CHECK;
/* content_sink_write - false with errno (ENOSPC, ...); sticky.  Waits (large contents only).  content_sink_size - bytes so far. */
bool content_sink_write(struct content_sink *sink, struct slice data);
uint64_t content_sink_size(const struct content_sink *sink);
/* content_sink_export - write all of it to another file from its present position (a refused message that goes back to its sender). */
bool content_sink_export(struct content_sink *sink, int fd);
/* content_sink_read - up to size bytes at an offset: what there is (fewer only at the end), -1 with errno.  Waits (large contents only). */
ssize_t content_sink_read(struct content_sink *sink, uint64_t offset, void *bytes, size_t size);
void content_sink_free(struct content_sink *sink); /* drops what was not appended; NULL is fine */

/* segment_append - write the record (envelope and the sink's content, which is consumed), wait for the group commit.  0 and *place, or -1
   with errno: nothing was accepted (the record, if any, is marked dead and the segment retired).  Waits. */
int segment_append(struct segment_writer *writer, const struct envelope *envelope, struct content_sink *sink, struct queue_place *place);
/* segment_free_space - bytes free for us on the spool's file system, -1 unknown. */
int64_t segment_free_space(struct segment_writer *writer);

/* ---- reading one record (qmgr, postcat) ---- */
struct queue_record {
    struct queue_place place;
    uint32_t generation;
    char state;             /* MESSAGE_STATE_ */
    bool warned;            /* the delay notice was sent (mutable byte) */
    bool expired;           /* forced expiry (mutable byte) */
    struct envelope envelope; /* recipients[i].index == i */
    char *recipient_states; /* one per recipient */
    uint32_t content_checksum; /* CRC-32C of the content */
};

enum record_result { RECORD_OK, RECORD_END /* nothing more yet */, RECORD_INCOMPLETE /* torn tail */, RECORD_CORRUPT };

/* record_read - parse and verify (checksums, ranges) the record at an offset of an open segment; everything lives in the arena.
   *next: after RECORD_OK the end of the record; after RECORD_CORRUPT the offset of the next intact record (looked for in the rest of the
   file), or 0: none; record->place.offset and .length then tell the damaged bytes.  Waits when called from a fiber and the bytes are not in memory
   (so do the others that read); may be called without a fiber. */
enum record_result record_read(int segment_fd, uint64_t segment, uint64_t offset, struct arena *arena, struct queue_record *record,
                               uint64_t *next);
/* record_check_content - the content checksum (reads it all). */
bool record_check_content(int content_fd, const struct queue_record *record);

#endif
