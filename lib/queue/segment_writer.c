/* segment_writer.c - appending records and making them durable by group commit

   Appends go straight to the file.  One committer per segment loops: take everybody who has appended, sync, release them;
   whoever appends meanwhile is in the next round.  There is no artificial delay: under load the rounds grow by themselves. */
#include "queue/segment_writer.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/statvfs.h>
#include <sys/uio.h>

#include "base/log.h"
#include "queue/crc32c.h"

enum { ALLOCATE_AHEAD = 8 << 20, ALLOCATE_WHEN_LEFT = 2 << 20 };
#define FREE_SPACE_INTERVAL (MICROSECONDS / 10)
#define BUFFERED_MAX ((size_t)64 << 20)
#define IDLE_TIME (10 * MICROSECONDS)

struct commit_waiter {
    struct list link;
    struct condition done;
    uint64_t offset; /* of the record */
    bool finished;
    int error;
};

/* ---- the writer --------------------------------------------------------------------------------------------------- */

struct segment_writer *segment_writer_open(const struct segment_writer_options *options)
{
    struct segment_directory directory;
    if (!segment_directory_open(&directory, options->queue_directory))
        return NULL;
    /* A file that grows beyond the limit of the process is a full disk, not a deadly signal. */
    signal(SIGXFSZ, SIG_IGN);
    struct segment_writer *writer = memory_zalloc(1, sizeof(*writer));
    writer->options = *options;
    writer->options.queue_directory = writer->queue_directory = memory_string(options->queue_directory);
    writer->directory = directory;
    writer->buffered_max = BUFFERED_MAX;
    writer->idle_time = IDLE_TIME;
    condition_init(&writer->changed);
    return writer;
}

const struct segment_writer_counters *segment_writer_counters(const struct segment_writer *writer)
{
    return &writer->counters;
}

/* close_segment - after its last commit: give back what was reserved, drop a segment without any record. */
static void close_segment(struct open_segment *segment)
{
    struct segment_writer *writer = segment->writer;
    if (segment->end == SEGMENT_HEADER_SIZE)
        segment_file_remove(&writer->directory, segment->header.number);
    else if (segment->allocated != UINT64_MAX && segment->allocated > segment->end && ftruncate(segment->fd, (off_t)segment->end) < 0)
        log_warning("segment %016llX: cannot give back reserved space: %s", (unsigned long long)segment->header.number, strerror(errno));
    close(segment->fd); /* and with it the lock: the segment is closed for its owner */
    free(segment);
    writer->open_count--;
    condition_broadcast(&writer->changed);
}

static void retire(struct open_segment *segment)
{
    segment->retired = true;
    if (segment->writer->current == segment)
        segment->writer->current = NULL;
    if (!segment->committing)
        close_segment(segment);
}

void segment_writer_close(struct segment_writer *writer)
{
    if (!writer)
        return;
    while (writer->opening || writer->open_count > 0) {
        struct open_segment *last = writer->current;
        writer->current = NULL;
        if (last)
            retire(last);
        else
            condition_wait(&writer->changed, CLOCK_NEVER);
    }
    run_timer_free(writer->timer);
    segment_directory_close(&writer->directory);
    free(writer->queue_directory);
    free(writer);
}

/* on_tick - mail that was delivered should not lie in an open segment for days because there is so little of it: a segment that got nothing
   since the last tick is closed, and its owner removes it. */
static void on_tick(void *arg)
{
    struct segment_writer *writer = arg;
    struct open_segment *segment = writer->current;
    if (!segment)
        run_timer_stop(writer->timer);
    else if (segment->end == writer->end_at_tick)
        retire(segment);
    else
        writer->end_at_tick = segment->end;
}

static void watch_idleness(struct segment_writer *writer)
{
    if (!writer->timer)
        writer->timer = run_timer_new(on_tick, writer);
    writer->end_at_tick = 0;
    run_timer_set(writer->timer, writer->idle_time, writer->idle_time);
}

/* ---- the current segment ------------------------------------------------------------------------------------------ */

struct create_work {
    const struct segment_writer *writer;
    struct segment_header header;
    int fd, error;
};

static void create_in_pool(void *arg)
{
    struct create_work *work = arg;
    work->fd = segment_file_create(&work->writer->directory, work->writer->kind, &work->header);
    work->error = errno;
}

static void open_next(struct segment_writer *writer)
{
    struct create_work work = {.writer = writer, .fd = -1};
    writer->opening = true;
    segment_file_work(create_in_pool, &work);
    writer->opening = false;
    if (work.fd >= 0) {
        struct open_segment *segment = memory_zalloc(1, sizeof(*segment));
        segment->writer = writer;
        segment->header = work.header;
        segment->fd = work.fd;
        segment->end = segment->allocated = SEGMENT_HEADER_SIZE;
        list_init(&segment->gathering);
        writer->current = segment;
        writer->open_count++;
        writer->counters.segments++;
        watch_idleness(writer);
    }
    condition_broadcast(&writer->changed);
    errno = work.error;
}

struct open_segment *segment_writer_current(struct segment_writer *writer)
{
    if (writer->current && writer->current->end >= writer->options.segment_size && writer->current->end > SEGMENT_HEADER_SIZE)
        retire(writer->current);
    while (!writer->current && writer->opening)
        condition_wait(&writer->changed, CLOCK_NEVER);
    if (!writer->current)
        open_next(writer);
    return writer->current;
}

/* ---- free space --------------------------------------------------------------------------------------------------- */

int64_t segment_free_space(struct segment_writer *writer)
{
    struct statvfs status;
    if (fstatvfs(writer->directory.segment_fd, &status) < 0)
        return -1;
    uint64_t blocks = geteuid() == 0 ? status.f_bfree : status.f_bavail;
    uint64_t size = status.f_frsize ? status.f_frsize : status.f_bsize;
    return blocks > (uint64_t)INT64_MAX / (size ? size : 1) ? INT64_MAX : (int64_t)(blocks * size);
}

bool segment_writer_has_room(struct segment_writer *writer, uint64_t bytes)
{
    int64_t now = clock_monotonic();
    if (now >= writer->free_space_until || writer->free_space < (int64_t)bytes + 2 * writer->options.minimum_free) {
        writer->free_space = segment_free_space(writer);
        writer->free_space_until = now + FREE_SPACE_INTERVAL;
        if (writer->free_space < 0)
            writer->free_space = INT64_MAX; /* unknown: the write will tell */
    }
    if (writer->free_space - (int64_t)bytes < writer->options.minimum_free) {
        /* What was delivered can only go when its segment is closed. */
        if (writer->current && writer->current->end > SEGMENT_HEADER_SIZE)
            retire(writer->current);
        errno = ENOSPC;
        return false;
    }
    writer->free_space -= (int64_t)bytes;
    return true;
}

/* ---- group commit ------------------------------------------------------------------------------------------------- */

struct sync_work {
    int fd;
    uint64_t allocate_from, allocate_to; /* the same: nothing to reserve */
    bool allocated;
    int error;
};

/* sync_in_pool - reserve blocks ahead (measured: a sync that finds its blocks reserved takes half the time), then make durable. */
static void sync_in_pool(void *arg)
{
    struct sync_work *work = arg;
    if (work->allocate_to > work->allocate_from)
        work->allocated = fallocate(work->fd, FALLOC_FL_KEEP_SIZE, (off_t)work->allocate_from,
                                    (off_t)(work->allocate_to - work->allocate_from)) == 0;
    work->error = segment_file_datasync(work->fd) < 0 ? errno : 0;
}

static int sync_segment(struct open_segment *segment)
{
    struct sync_work work = {.fd = segment->fd};
    if (!segment->retired && segment->allocated != UINT64_MAX && segment->end + ALLOCATE_WHEN_LEFT > segment->allocated) {
        work.allocate_from = segment->end > segment->allocated ? segment->end : segment->allocated;
        work.allocate_to = work.allocate_from + ALLOCATE_AHEAD;
    }
    run_offload(sync_in_pool, &work);
    if (work.allocate_to > work.allocate_from)
        segment->allocated = work.allocated ? work.allocate_to : UINT64_MAX;
    segment->writer->counters.syncs++;
    return work.error;
}

static void take_all(struct list *from, struct list *to)
{
    while (!list_is_empty(from)) {
        struct list *link = from->next;
        list_remove(link);
        list_append(to, link);
    }
}

/* fail_all - a file whose sync failed is never trusted again: what waits is marked dead, so that it is not delivered although
   its sender was told to try again, and the segment is retired. */
static void fail_all(struct open_segment *segment, struct list *batch)
{
    take_all(&segment->gathering, batch);
    segment->retired = true;
    if (segment->writer->current == segment)
        segment->writer->current = NULL;
    LIST_EACH(batch, link) {
        char dead = MESSAGE_STATE_DEAD;
        if (!segment_file_write(segment->fd, &dead, 1, LIST_ENTRY(link, struct commit_waiter, link)->offset + RECORD_STATE_OFFSET))
            log_warning("segment %016llX: cannot mark a record dead: %s", (unsigned long long)segment->header.number, strerror(errno));
    }
    sync_segment(segment); /* the marks; nothing more can be done when this fails as well */
}

static void release_all(struct list *batch, int error)
{
    LIST_EACH(batch, link) {
        struct commit_waiter *waiter = LIST_ENTRY(link, struct commit_waiter, link);
        list_remove(link);
        waiter->error = error;
        waiter->finished = true;
        condition_signal(&waiter->done);
    }
}

static void commit_fiber(void *arg)
{
    struct open_segment *segment = arg;
    while (!list_is_empty(&segment->gathering)) {
        struct list batch;
        list_init(&batch);
        fiber_yield(); /* who has already sent the end of a message comes along */
        take_all(&segment->gathering, &batch);
        int error = sync_segment(segment);
        if (error) {
            log_error("segment %016llX: cannot make mail durable: %s", (unsigned long long)segment->header.number, strerror(error));
            fail_all(segment, &batch);
        }
        release_all(&batch, error);
    }
    segment->committing = false;
    if (segment->retired)
        close_segment(segment);
}

/* wait_for_commit - 0 or the error of the sync that covered the record. */
static int wait_for_commit(struct open_segment *segment, uint64_t offset)
{
    struct commit_waiter waiter = {.offset = offset};
    condition_init(&waiter.done);
    list_append(&segment->gathering, &waiter.link);
    if (!segment->committing) {
        segment->committing = true;
        fiber_start("commit", commit_fiber, segment);
    }
    /* The record is on its way to the disk: a cancellation has to wait for the answer. */
    bool cancelled = false;
    while (!waiter.finished)
        cancelled |= condition_wait(&waiter.done, CLOCK_NEVER) == WAIT_CANCELLED;
    if (cancelled)
        fiber_cancel(fiber_current());
    return waiter.error;
}

/* ---- appending ---------------------------------------------------------------------------------------------------- */

static bool write_parts(int fd, struct iovec *parts, int count, uint64_t offset)
{
    while (count > 0) {
        ssize_t n = pwritev(fd, parts, count, (off_t)offset);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            errno = n < 0 ? errno : ENOSPC;
            return false;
        }
        offset += (uint64_t)n;
        for (; count > 0 && (size_t)n >= parts->iov_len; parts++, count--)
            n -= (ssize_t)parts->iov_len;
        if (count > 0) {
            parts->iov_base = (char *)parts->iov_base + n;
            parts->iov_len -= (size_t)n;
        }
    }
    return true;
}

/* write_record - at the end of the segment; leaves nothing behind when it fails. */
static bool write_record(struct open_segment *segment, struct new_record *record)
{
    static const char zeros[8];
    uint8_t head[RECORD_RECIPIENTS_OFFSET];
    struct record_header *header = &record->header;
    header->segment = segment->header.number;
    header->offset = segment->end;
    header->mark = segment->header.mark;
    record_header_build(header, head);
    header->length = record_size(header);
    struct slice parts[] = {
        slice_make(head, sizeof(head)),
        record->states,
        slice_make(zeros, record_envelope_offset(header) - RECORD_RECIPIENTS_OFFSET - header->recipient_count),
        record->envelope,
        record->content,
        slice_make(zeros, header->length - record_content_offset(header) - record->content.len),
    };
    struct iovec vector[COUNT_OF(parts)];
    int count = 0;
    for (size_t i = 0; i < COUNT_OF(parts); i++) {
        if (parts[i].len > 0)
            vector[count++] = (struct iovec){(void *)(uintptr_t)parts[i].data, parts[i].len};
    }
    if (write_parts(segment->fd, vector, count, segment->end)) {
        segment->end += header->length;
        return true;
    }
    int error = errno;
    if (ftruncate(segment->fd, (off_t)segment->end) < 0)
        retire(segment); /* half a record at its end is dropped by the reader */
    else if (segment->allocated != UINT64_MAX)
        segment->allocated = segment->end;
    errno = error;
    return false;
}

struct move_work {
    const struct segment_directory *directory;
    uint64_t from, to, number;
    bool keep;
    int error;
};

static void move_in_pool(void *arg)
{
    struct move_work *work = arg;
    if (!content_file_move(work->directory, work->from, work->to, work->number, work->keep) ||
        !content_file_sync(work->directory, work->to, -1))
        work->error = errno;
}

/* segment_for - the segment to write to, the content file of the record being in its folder. */
static struct open_segment *segment_for(struct segment_writer *writer, struct new_record *record)
{
    struct open_segment *segment;
    while ((segment = segment_writer_current(writer)) != NULL && record->header.content_file &&
           record->content_segment != segment->header.number) {
        struct move_work work = {&writer->directory, record->content_segment, segment->header.number, record->header.content_file,
                                 record->keep_content, 0};
        segment_file_work(move_in_pool, &work);
        if (work.error) {
            errno = work.error;
            return NULL;
        }
        record->content_segment = work.to; /* and look again: the segment may have been retired meanwhile */
    }
    return segment;
}

int segment_writer_append(struct segment_writer *writer, struct new_record *record, struct queue_place *place)
{
    if (!segment_writer_has_room(writer, record_size(&record->header)))
        return -1;
    struct open_segment *segment = segment_for(writer, record);
    if (!segment || !write_record(segment, record))
        return -1;
    writer->counters.records++;
    writer->counters.bytes += record->header.length;
    struct queue_place written = record_place(&record->header);
    int error = wait_for_commit(segment, written.offset);
    if (error) {
        errno = error;
        return -1;
    }
    *place = written;
    return 0;
}

static bool encode(const struct envelope *envelope, struct buffer *encoded, struct record_header *header)
{
    if (!MESSAGE_ENCODE(envelope, envelope, encoded) || encoded->len > RECORD_ENVELOPE_MAX ||
        envelope->queue_id.len >= QUEUE_ID_MAX || envelope->recipients_count > RECORD_RECIPIENTS_MAX) {
        errno = EMSGSIZE;
        return false;
    }
    header->recipient_count = (uint32_t)envelope->recipients_count;
    header->envelope_length = (uint32_t)encoded->len;
    header->envelope_checksum = crc32c(0, encoded->data, encoded->len);
    header->arrival_time = envelope->arrival_time;
    header->state = envelope->hold ? MESSAGE_STATE_HELD : MESSAGE_STATE_LIVE;
    memcpy(header->queue_id, envelope->queue_id.data ? envelope->queue_id.data : "", envelope->queue_id.len);
    return true;
}

int segment_append(struct segment_writer *writer, const struct envelope *envelope, struct content_sink *sink, struct queue_place *place)
{
    struct new_record record = {0};
    struct buffer encoded = BUFFER_INIT;
    char *states = memory_alloc(envelope->recipients_count + 1);
    memset(states, RECIPIENT_STATE_PENDING, envelope->recipients_count);
    int result = -1;
    if (encode(envelope, &encoded, &record.header) && content_sink_finish(sink, &record)) {
        record.states = slice_make(states, envelope->recipients_count);
        record.envelope = buffer_slice(&encoded);
        result = segment_writer_append(writer, &record, place);
    }
    int error = errno;
    content_sink_settle(sink, &record, result == 0);
    free(states);
    buffer_release(&encoded);
    errno = error;
    return result;
}
