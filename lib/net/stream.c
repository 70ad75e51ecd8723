/* stream.c - buffered reading and writing over a transport */
#include "base/log.h"
#include "net/socket_transport.h"
#include "net/stream.h"
#include "run/run.h"

enum {
    LAYERS_MAX = 3,
    INPUT_FIRST = 4 * 1024,    /* first size of the input buffer */
    INPUT_BUSY = 64 * 1024,    /* what it grows to while reads fill it */
    OUTPUT_FIRST = 512,
    OUTPUT_FLUSH = 64 * 1024
};

struct layer {
    const struct stream_transport *transport;
    void *context;
};

struct stream {
    struct layer layers[LAYERS_MAX]; /* bottom first */
    unsigned top;
    enum stream_error error;
    int saved_errno;
    int64_t deadline;
    char *input;
    size_t start, end, capacity; /* of input: unread bytes are start .. end */
    size_t scanned;              /* bytes after start known to hold no delimiter */
    bool filled;                 /* the last read filled all the room it had */
    struct buffer output;
    struct socket_transport socket;
};

struct stream *stream_new(const struct stream_transport *transport, void *context)
{
    struct stream *s = memory_zalloc(1, sizeof(*s));
    s->layers[0] = (struct layer){transport, context};
    s->deadline = CLOCK_NEVER;
    s->socket.fd = -1;
    return s;
}

struct stream *stream_new_fd(int fd)
{
    struct stream *s = stream_new(&socket_transport, NULL);
    s->layers[0].context = &s->socket;
    socket_transport_init(&s->socket, fd);
    return s;
}

void stream_free(struct stream *s)
{
    if (!s)
        return;
    for (unsigned i = s->top + 1; i-- > 0;)
        s->layers[i].transport->close(s->layers[i].context);
    free(s->input);
    buffer_release(&s->output);
    free(s);
}

int stream_release_fd(struct stream *s)
{
    int fd = s->socket.fd;
    if (fd >= 0)
        fiber_forget_fd(fd);
    s->socket.fd = -1;
    stream_free(s);
    return fd;
}

int stream_fd(const struct stream *s)
{
    return s->socket.fd;
}

bool stream_push_transport(struct stream *s, const struct stream_transport *transport, void *context)
{
    bool clean = s->start == s->end;
    if (s->top + 1 == LAYERS_MAX)
        log_panic("stream_push_transport: too many layers");
    s->start = s->end = s->scanned = 0;
    s->layers[++s->top] = (struct layer){transport, context};
    return clean;
}

void stream_transport_below(const struct stream *s, const struct stream_transport **transport, void **context)
{
    const struct layer *below = &s->layers[s->top ? s->top - 1 : 0];
    *transport = below->transport;
    *context = below->context;
}

void stream_set_deadline(struct stream *s, int64_t deadline)
{
    s->deadline = deadline;
}

enum stream_error stream_error(const struct stream *s)
{
    return s->error;
}

int stream_errno(const struct stream *s)
{
    return s->saved_errno;
}

void stream_clear_timeout(struct stream *s)
{
    if (s->error == STREAM_TIMEOUT)
        s->error = STREAM_OK;
}

static void fail(struct stream *s, enum stream_error error)
{
    s->error = error;
    s->saved_errno = error == STREAM_END ? 0 : errno;
    buffer_clear(&s->output);
}

/* ---- reading ------------------------------------------------------------------------------------------------------ */

static void consume(struct stream *s, size_t n)
{
    s->start += n;
    s->scanned = 0;
}

/* make_room - space behind the unread bytes: move them to the front, grow when they fill the buffer or traffic is heavy.
   limit - unread bytes that the caller needs to see at once; it bounds the buffer. */
static void make_room(struct stream *s, size_t limit)
{
    size_t unread = s->end - s->start;
    if (s->start) {
        if (unread)
            memmove(s->input, s->input + s->start, unread);
        s->start = 0;
        s->end = unread;
    }
    size_t wanted = s->capacity ? s->capacity : INPUT_FIRST;
    if (s->filled && wanted < INPUT_BUSY)
        wanted *= 2;
    if (unread == wanted)
        wanted = wanted * 2 < limit ? wanted * 2 : limit;
    if (wanted > s->capacity) {
        s->input = memory_resize(s->input, wanted);
        s->capacity = wanted;
    }
}

/* transport_read - with the error kept; 0 on error. */
static size_t transport_read(struct stream *s, void *data, size_t room)
{
    struct layer *layer = &s->layers[s->top];
    enum stream_error error = STREAM_LOST;
    if (s->error != STREAM_OK)
        return 0;
    ssize_t n = layer->transport->read(layer->context, data, room, s->deadline, &error);
    if (n <= 0) {
        fail(s, n == 0 ? STREAM_END : error);
        return 0;
    }
    return (size_t)n;
}

/* fill - read once more, with room for limit unread bytes in all. */
static bool fill(struct stream *s, size_t limit)
{
    if (s->error != STREAM_OK)
        return false;
    if (s->start == s->end)
        s->start = s->end = 0;
    if (s->end == s->capacity || s->start > s->capacity / 2 || s->filled)
        make_room(s, limit);
    size_t room = s->capacity - s->end;
    size_t n = transport_read(s, s->input + s->end, room);
    s->filled = n == room;
    s->end += n;
    return n > 0;
}

static struct slice unread(const struct stream *s)
{
    return slice_make(s->input + s->start, s->end - s->start);
}

/* find_byte - position of the delimiter among the first reach unread bytes, or SIZE_MAX; goes on where it stopped. */
static size_t find_byte(struct stream *s, char delimiter, size_t reach)
{
    size_t have = s->end - s->start;
    if (have > reach)
        have = reach;
    if (have <= s->scanned)
        return SIZE_MAX;
    const char *from = s->input + s->start;
    const char *at = memchr(from + s->scanned, delimiter, have - s->scanned);
    s->scanned = have;
    return at ? (size_t)(at - from) : SIZE_MAX;
}

/* take - the first n unread bytes, consuming end more after them. */
static struct slice take(struct stream *s, size_t n, size_t end)
{
    struct slice bytes = slice_first(unread(s), n);
    consume(s, n + end);
    return bytes;
}

/* too_long - can what is there no longer be a line of max bytes?  With max + 1 bytes it can if the last is a CR. */
static bool too_long(const struct stream *s, size_t max)
{
    size_t have = s->end - s->start;
    return have >= max + 2 || (have == max + 1 && s->input[s->end - 1] != '\r');
}

enum line_end stream_read_line(struct stream *s, size_t max, struct slice *line)
{
    s->scanned = 0;
    for (;;) {
        size_t lf = find_byte(s, '\n', max + 2);
        if (lf != SIZE_MAX) {
            bool cr = lf > 0 && s->input[s->start + lf - 1] == '\r';
            if (lf - cr > max)
                break;
            *line = take(s, lf - cr, 1u + cr);
            return cr ? LINE_CRLF : LINE_LF;
        }
        if (too_long(s, max))
            break;
        if (!fill(s, max + 2)) {
            *line = take(s, s->end - s->start, 0);
            return LINE_NONE;
        }
    }
    *line = take(s, max, 0);
    return LINE_TOO_LONG;
}

bool stream_read_until(struct stream *s, char delimiter, size_t max, struct slice *bytes)
{
    s->scanned = 0;
    for (;;) {
        size_t at = find_byte(s, delimiter, max + 1);
        if (at != SIZE_MAX) {
            *bytes = take(s, at, 1);
            return true;
        }
        if (s->end - s->start > max || !fill(s, max + 1)) {
            *bytes = slice_make(NULL, 0);
            return false;
        }
    }
}

bool stream_read(struct stream *s, void *data, size_t n)
{
    char *to = data;
    while (n) {
        size_t have = s->end - s->start;
        if (have == 0 && n >= INPUT_FIRST) {
            size_t got = transport_read(s, to, n); /* large: without the detour */
            if (!got)
                return false;
            to += got;
            n -= got;
            continue;
        }
        if (have == 0 && !fill(s, INPUT_FIRST))
            return false;
        struct slice part = take(s, n < s->end - s->start ? n : s->end - s->start, 0);
        memcpy(to, part.data, part.len);
        to += part.len;
        n -= part.len;
    }
    return true;
}

struct slice stream_read_some(struct stream *s, size_t max)
{
    if (s->start == s->end && !fill(s, INPUT_FIRST))
        return slice_make(NULL, 0);
    size_t have = s->end - s->start;
    return take(s, max < have ? max : have, 0);
}

bool stream_await(struct stream *s, size_t n)
{
    while (s->end - s->start < n) {
        if (!fill(s, n > INPUT_FIRST ? n : INPUT_FIRST))
            return false;
    }
    return true;
}

size_t stream_buffered(const struct stream *s)
{
    return s->end - s->start;
}

struct slice stream_peek(const struct stream *s)
{
    return s->input ? unread(s) : slice_make(NULL, 0);
}

bool stream_pending(struct stream *s)
{
    const struct layer *layer = &s->layers[s->top];
    if (s->end > s->start || s->error != STREAM_OK)
        return true;
    if (layer->transport->pending)
        return layer->transport->pending(layer->context);
    return s->socket.fd >= 0 && socket_transport.pending(&s->socket);
}

/* ---- writing ------------------------------------------------------------------------------------------------------ */

/* transport_write - all of it, or the error is kept. */
static bool transport_write(struct stream *s, const char *data, size_t len)
{
    struct layer *layer = &s->layers[s->top];
    while (len) {
        enum stream_error error = STREAM_LOST;
        ssize_t n = layer->transport->write(layer->context, data, len, s->deadline, &error);
        if (n <= 0) {
            fail(s, error);
            return false;
        }
        data += n;
        len -= (size_t)n;
    }
    return true;
}

bool stream_flush(struct stream *s)
{
    if (s->error != STREAM_OK)
        return false;
    if (s->output.len == 0)
        return true;
    bool ok = transport_write(s, s->output.data, s->output.len);
    buffer_clear(&s->output);
    return ok;
}

static void first_room(struct stream *s)
{
    if (s->output.capacity == 0)
        buffer_reserve(&s->output, OUTPUT_FIRST - 1);
}

void stream_write(struct stream *s, const void *data, size_t len)
{
    if (s->error != STREAM_OK || len == 0)
        return;
    if (len >= OUTPUT_FLUSH) {
        /* Large: without the detour, but after what came before. */
        if (stream_flush(s))
            transport_write(s, data, len);
        return;
    }
    first_room(s);
    buffer_append(&s->output, data, len);
    if (s->output.len > OUTPUT_FLUSH)
        stream_flush(s);
}

void stream_write_slice(struct stream *s, struct slice data)
{
    stream_write(s, data.data, data.len);
}

void stream_printf(struct stream *s, const char *format, ...)
{
    if (s->error != STREAM_OK)
        return;
    va_list args;
    va_start(args, format);
    first_room(s);
    buffer_vprintf(&s->output, format, args);
    va_end(args);
    if (s->output.len > OUTPUT_FLUSH)
        stream_flush(s);
}

struct buffer *stream_output(struct stream *s)
{
    if (s->error != STREAM_OK)
        return NULL;
    first_room(s);
    return &s->output;
}

size_t stream_unsent(const struct stream *s)
{
    return s->output.len;
}

void stream_trim(struct stream *s)
{
    if (s->start == s->end) {
        free(s->input);
        s->input = NULL;
        s->start = s->end = s->capacity = s->scanned = 0;
        s->filled = false;
    }
    if (s->output.len == 0)
        buffer_release(&s->output);
}

/* ---- descriptors -------------------------------------------------------------------------------------------------- */

void stream_send_fd(struct stream *s, int fd)
{
    if (s->error != STREAM_OK)
        return;
    if (!s->socket.is_local)
        log_panic("stream_send_fd: not a Unix socket");
    if (!s->socket.to_send)
        s->socket.to_send = memory_zalloc(1, sizeof(*s->socket.to_send));
    if (s->socket.to_send->count == PASSED_FDS_MAX && !stream_flush(s))
        return;
    if (s->socket.to_send->count == PASSED_FDS_MAX)
        log_panic("stream_send_fd: %d descriptors without a byte to carry them", PASSED_FDS_MAX);
    s->socket.to_send->fds[s->socket.to_send->count++] = fd;
}

int stream_take_fd(struct stream *s)
{
    struct fd_queue *queue = s->socket.received;
    if (!queue || queue->count == 0)
        return -1;
    int fd = queue->fds[0];
    queue->count--;
    memmove(queue->fds, queue->fds + 1, queue->count * sizeof(int));
    return fd;
}
