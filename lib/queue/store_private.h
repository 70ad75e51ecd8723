/* store_private.h - inside of the store: store.c (open, arrivals, reading), store_file.c (open files), store_mark.c (marks, sync,
   reclaim), store_scan.c (reading segments), store_damage.c (setting aside), store_clean.c (moving survivors) */
#ifndef POSTERN_QUEUE_STORE_PRIVATE_H
#define POSTERN_QUEUE_STORE_PRIVATE_H

#include "base/list.h"
#include "base/map.h"
#include "queue/offset_set.h"
#include "queue/segment_writer.h"
#include "queue/store.h"
#include "run/run.h"

/* Bytes of a segment that are known before those in front of them were read. */
struct known_range {
    uint64_t from, to;
};

struct store_segment {
    struct list recent; /* in store.recent, least recently used first, while a file is open */
    uint64_t number;
    uint32_t kind;      /* SEGMENT_KIND_ */
    int fd;             /* for reading and marks; -1: not open */
    int read_fd;        /* read-only, for delivery agents; -1: not open */
    uint64_t read_key;
    int64_t last_used;
    uint64_t read_until;        /* everything in front of it is known */
    uint64_t persisted;         /* what the index has as read_until */
    struct known_range *ahead;  /* sorted, apart from each other */
    size_t ahead_count, ahead_capacity;
    struct offset_set in_memory; /* live messages without an index entry */
    uint64_t *contents_done;     /* content files of done messages, removed after the marks are on disk */
    size_t contents_done_count;
    bool closed;        /* its writer is gone */
    bool complete;      /* closed and read to its end */
    bool dirty;         /* has marks that may not be on disk */
    unsigned failed_syncs;
    uint64_t damage_seen;      /* offset where damage was seen while the writer was at work, 0: none */
    int64_t damage_seen_at;
    int64_t clean_not_before;  /* the cleaner was here (clock_monotonic) */
    unsigned users;     /* functions that wait and need it to stay */
};

/* A large content that is open for delivery agents. */
struct store_content_file {
    struct list recent; /* in store.recent_contents */
    uint64_t segment, number, key;
    int fd;
    int64_t last_used;
    bool checked;
};

struct store {
    const struct store_events *events;
    void *context;
    int lock_fd;
    int corrupt_fd; /* directory, -1: could not be made */
    struct segment_directory directory;
    struct segment_writer_options copier_options;
    struct segment_writer *copier; /* of the cleaner; NULL until needed */
    char *queue_directory;
    struct index *index;
    struct map *segments; /* 8 bytes of number -> struct store_segment */
    struct map *contents; /* 16 bytes -> struct store_content_file */
    struct list recent, recent_contents;
    size_t open_segments, open_contents;
    uint64_t last_key;
    bool busy;            /* one of scan, sync, idle work, drop all at a time */
    struct condition free;
    unsigned readers;     /* in store_read, which may wait: the store is not closed meanwhile */
    uint64_t damaged_entries; /* of the index, when an audit was last made */
    uint64_t cleaning;        /* number of the segment whose survivors are being moved, 0: none */
    uint64_t clean_offset;
    int64_t clean_age;        /* younger segments are left alone (microseconds) */
};

/* store.c */
void store_take(struct store *store); /* one at a time.  Waits. */
void store_give(struct store *store);

/* store_file.c.  segment_find - NULL when unknown.  segment_learn - known from now on; NULL with errno when there is no such file. */
struct store_segment *store_segment_find(struct store *store, uint64_t number);
struct store_segment *store_segment_learn(struct store *store, uint64_t number);
/* store_segment_fd - open for reading and marks; -1 with errno. */
int store_segment_fd(struct store *store, struct store_segment *segment);
void store_segment_forget(struct store *store, struct store_segment *segment);
struct store_content_file *store_content_file(struct store *store, uint64_t segment, uint64_t number);
void store_content_forget(struct store *store, uint64_t segment, uint64_t number);
void store_segment_free(void *segment);
void store_content_free(void *content);
/* store_segment_note - [from, to) is known; store_segment_knows. */
void store_segment_note(struct store_segment *segment, uint64_t from, uint64_t to);
bool store_segment_knows(struct store_segment *segment, uint64_t offset);

/* store_scan.c.  store_scan_segment - read on from read_until.  Waits. */
void store_scan_segment(struct store *store, struct store_segment *segment);
void store_scan_directory(struct store *store);
bool store_needs_audit(const struct store *store);
void store_audit(struct store *store);

/* store_damage.c.  store_set_aside - damaged bytes to corrupt/, reported.  Waits.
   mark_done: the place is certain, so that its state byte can be set; queue_id may be NULL. */
void store_set_aside(struct store *store, struct store_segment *segment, const struct queue_place *place, const char *queue_id,
                     bool mark_done, const char *reason);

/* store_mark.c.  store_mark_byte - at an offset of the record. */
bool store_mark_byte(struct store *store, const struct queue_place *place, uint64_t at, char value);
void store_index_changed(void *context, uint64_t segment, uint64_t offset, bool present); /* watcher of the index */

#endif
