/* content_sink.c - content that arrives in pieces: in memory, or when it is large in a file of its own */
#include <fcntl.h>

#include "queue/crc32c.h"
#include "queue/segment_writer.h"

enum { FLUSH_SIZE = 256 * 1024, EARLY_SIZE = 16 * 1024 };

struct content_sink {
    struct segment_writer *writer;
    struct buffer memory; /* all of it, or what the file has not got yet */
    uint64_t size;
    uint32_t checksum;
    int fd;               /* -1: no file */
    uint64_t segment, number;
    uint64_t written;     /* bytes in the file */
    int error;            /* sticky */
};

struct content_sink *content_sink_new(struct segment_writer *writer)
{
    struct content_sink *sink = memory_zalloc(1, sizeof(*sink));
    sink->writer = writer;
    sink->fd = -1;
    return sink;
}

struct flush_work {
    struct content_sink *sink;
    int error;
};

/* account - heap that this sink holds, as it was before and as it is. */
static void account(struct content_sink *sink, size_t before)
{
    sink->writer->buffered += sink->memory.capacity - before;
}

/* memory_is_short - many clients send at the same time: what they have sent goes to files before it is large. */
static bool memory_is_short(const struct content_sink *sink)
{
    return sink->writer->buffered > sink->writer->buffered_max && sink->memory.len >= EARLY_SIZE;
}

static void flush_in_pool(void *arg)
{
    struct flush_work *work = arg;
    struct content_sink *sink = work->sink;
    if (!segment_file_write(sink->fd, sink->memory.data, sink->memory.len, sink->written))
        work->error = errno;
    else
        sync_file_range(sink->fd, (off_t)sink->written, (off_t)sink->memory.len, SYNC_FILE_RANGE_WRITE); /* so that the last sync is short */
}

/* flush - what is in memory goes to the file. */
static bool flush(struct content_sink *sink)
{
    if (!segment_writer_has_room(sink->writer, sink->memory.len))
        sink->error = errno;
    if (sink->error)
        return false;
    struct flush_work work = {.sink = sink};
    segment_file_work(flush_in_pool, &work);
    sink->error = work.error;
    sink->written += sink->memory.len;
    size_t before = sink->memory.capacity;
    if (memory_is_short(sink))
        buffer_release(&sink->memory);
    else
        buffer_clear(&sink->memory);
    account(sink, before);
    return !sink->error;
}

/* spill - begin a file in the folder of the segment that is being written. */
static bool spill(struct content_sink *sink)
{
    struct open_segment *segment = segment_writer_current(sink->writer);
    if (segment) {
        sink->segment = segment->header.number;
        sink->fd = content_file_create(&sink->writer->directory, sink->segment, &sink->number);
    }
    if (sink->fd < 0)
        sink->error = errno;
    return !sink->error;
}

bool content_sink_write(struct content_sink *sink, struct slice data)
{
    while (data.len > 0 && !sink->error) {
        /* Pieces, so that a giant slice neither doubles the memory nor overflows the buffer. */
        struct slice piece = slice_first(data, FLUSH_SIZE);
        data = slice_from(data, piece.len);
        sink->checksum = crc32c(sink->checksum, piece.data, piece.len);
        sink->size += piece.len;
        size_t before = sink->memory.capacity;
        buffer_append_slice(&sink->memory, piece);
        account(sink, before);
        if (sink->fd < 0 && (sink->size > sink->writer->options.large_content || memory_is_short(sink)))
            spill(sink);
        if (sink->fd >= 0 && (sink->memory.len >= FLUSH_SIZE || memory_is_short(sink)))
            flush(sink);
    }
    errno = sink->error;
    return !sink->error;
}

uint64_t content_sink_size(const struct content_sink *sink)
{
    return sink->size;
}

bool content_sink_export(struct content_sink *sink, int fd)
{
    uint64_t copied = 0;
    char piece[8192];
    while (copied < sink->written) {
        size_t wanted = sink->written - copied < sizeof(piece) ? (size_t)(sink->written - copied) : sizeof(piece);
        ssize_t n = pread(sink->fd, piece, wanted, (off_t)copied);
        if (n <= 0 || !segment_file_write(fd, piece, (size_t)n, copied))
            return false;
        copied += (uint64_t)n;
    }
    return segment_file_write(fd, sink->memory.data, sink->memory.len, copied);
}

ssize_t content_sink_read(struct content_sink *sink, uint64_t offset, void *bytes, size_t size)
{
    size_t from_file = offset >= sink->written ? 0 : sink->written - offset < size ? (size_t)(sink->written - offset) : size;
    ssize_t n = from_file ? segment_file_read(sink->fd, bytes, from_file, offset) : 0;
    if (n != (ssize_t)from_file) {
        errno = n < 0 ? errno : EIO;
        return -1;
    }
    if (from_file == size)
        return (ssize_t)size;
    struct slice rest = slice_from(buffer_slice(&sink->memory), (size_t)(offset + from_file - sink->written));
    rest = slice_first(rest, size - from_file);
    if (rest.len)
        memcpy((char *)bytes + from_file, rest.data, rest.len);
    return (ssize_t)(from_file + rest.len);
}

struct sync_work {
    const struct segment_directory *directory;
    uint64_t segment;
    int fd;
    int error;
};

static void sync_in_pool(void *arg)
{
    struct sync_work *work = arg;
    if (!content_file_sync(work->directory, work->segment, work->fd))
        work->error = errno;
}

bool content_sink_finish(struct content_sink *sink, struct new_record *record)
{
    record->header.content_length = sink->size;
    record->header.content_checksum = sink->checksum;
    if (sink->fd >= 0 && !sink->error && flush(sink)) {
        struct sync_work work = {&sink->writer->directory, sink->segment, sink->fd, 0};
        segment_file_work(sync_in_pool, &work);
        sink->error = work.error;
        record->header.content_file = sink->number;
        record->content_segment = sink->segment;
    } else {
        record->content = buffer_slice(&sink->memory);
    }
    errno = sink->error;
    return !sink->error;
}

void content_sink_settle(struct content_sink *sink, const struct new_record *record, bool accepted)
{
    if (sink->fd < 0)
        return;
    if (record->content_segment)
        sink->segment = record->content_segment;
    if (accepted) {
        close(sink->fd);
        sink->fd = -1;
    }
}

void content_sink_free(struct content_sink *sink)
{
    if (!sink)
        return;
    if (sink->fd >= 0) {
        close(sink->fd);
        content_file_remove(&sink->writer->directory, sink->segment, sink->number);
    }
    size_t before = sink->memory.capacity;
    buffer_release(&sink->memory);
    account(sink, before);
    free(sink);
}
