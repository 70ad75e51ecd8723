/* segment_writer.h - inside of the segment writer, for content_sink.c and the cleaner; the public face is segment.h */
#ifndef POSTERN_QUEUE_SEGMENT_WRITER_H
#define POSTERN_QUEUE_SEGMENT_WRITER_H

#include "queue/segment_file.h"
#include "run/run.h"

/* One segment that is being written.  It lives on after the writer went to the next one, until its last commit has ended. */
struct open_segment {
    struct segment_writer *writer;
    struct segment_header header;
    int fd;
    uint64_t end;          /* where the next record goes */
    uint64_t allocated;    /* disk blocks are reserved up to here; UINT64_MAX: no longer tried */
    struct list gathering; /* struct commit_waiter: appended since the running sync began */
    bool committing;       /* its committer fiber runs */
    bool retired;          /* nothing is appended any more */
};

struct segment_writer {
    struct segment_writer_options options;
    char *queue_directory;
    struct segment_directory directory;
    uint32_t kind;                /* SEGMENT_KIND_ */
    struct open_segment *current; /* NULL: made by the next append */
    bool opening;
    struct condition changed;     /* a segment was opened or closed */
    size_t open_count;
    struct run_timer *timer;      /* retires a segment that nobody writes to */
    uint64_t end_at_tick;         /* of the current segment */
    size_t buffered;              /* bytes of heap in all content sinks */
    size_t buffered_max;          /* above it contents go to files early */
    int64_t idle_time;            /* a segment is retired after that long without a record (microseconds) */
    int64_t free_space;           /* as last seen, less what was written since */
    int64_t free_space_until;     /* when to look again (clock_monotonic) */
    struct segment_writer_counters counters;
};

/* A record before it has its place. */
struct new_record {
    struct record_header header;   /* all but segment, offset, mark */
    struct slice states, envelope; /* header.recipient_count states */
    struct slice content;          /* empty when it has a file of its own */
    uint64_t content_segment;      /* in whose folder the content file is now */
    bool keep_content;             /* the content file stays there too (copies) */
};

/* segment_writer_current - the segment to write to, a new one if need be; NULL with errno.  Waits. */
struct open_segment *segment_writer_current(struct segment_writer *writer);
/* segment_writer_has_room - false (errno ENOSPC) when writing that much would leave less than minimum_free. */
bool segment_writer_has_room(struct segment_writer *writer, uint64_t bytes);
/* segment_writer_append - write, wait for the commit; as segment_append.  The file of a large content is complete and its bytes are durable;
   its name is not yet.  Waits. */
int segment_writer_append(struct segment_writer *writer, struct new_record *record, struct queue_place *place);

/* content_sink_finish - write out what is buffered and make a content file durable; false with errno.  Fills the content part of the
   record.  Waits when the content has its own file.  content_sink_settle - after the append: accepted, the file stays; else it goes with the
   sink, from the folder where it is now. */
bool content_sink_finish(struct content_sink *sink, struct new_record *record);
void content_sink_settle(struct content_sink *sink, const struct new_record *record, bool accepted);

#endif
