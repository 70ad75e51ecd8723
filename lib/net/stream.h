/* stream.h - buffered reading and writing of a connection, with one deadline and a sticky error

   The transport under it is a seam (socket, TLS, a test script).  Dialogue code reads on after an error and checks once
   where it matters: after the first error every read gives nothing and every write is dropped. */
#ifndef POSTERN_NET_STREAM_H
#define POSTERN_NET_STREAM_H

#include "base/buffer.h"

struct stream;

enum stream_error {
    STREAM_OK,
    STREAM_END,     /* the peer closed */
    STREAM_TIMEOUT, /* the deadline passed */
    STREAM_LOST,    /* reset, broken pipe, ... (errno kept in stream_errno) */
    STREAM_CANCELLED
};

/* The seam.  read and write move up to len bytes and return the count, 0 for the end (read), -1 for an error with
   *error set.  They wait until the deadline at most.  close gives everything back. */
struct stream_transport {
    ssize_t (*read)(void *context, void *data, size_t len, int64_t deadline, enum stream_error *error);
    ssize_t (*write)(void *context, const void *data, size_t len, int64_t deadline, enum stream_error *error);
    void (*close)(void *context);
    /* pending - bytes could be read without waiting (early talker tests); may be NULL: poll of the descriptor. */
    bool (*pending)(void *context);
};

/* stream_new_fd - takes over a non-blocking socket.  stream_new - any transport.  stream_free flushes nothing, closes. */
struct stream *stream_new_fd(int fd) MUST_CHECK;
struct stream *stream_new(const struct stream_transport *transport, void *context) MUST_CHECK;
void stream_free(struct stream *s);
/* stream_release_fd - like stream_free, but the descriptor stays open and goes to the caller (to be passed on); -1: none. */
int stream_release_fd(struct stream *s);
int stream_fd(const struct stream *s); /* -1 when the transport has none */
/* stream_push_transport - put a layer (TLS) on top: it is given the old transport and context to use.  Unread input is
   destroyed (RFC 3207); returns false when there was some.  stream_free closes the layers from the top down: the close of a
   layer may still write to the one below but does not close it.
   stream_transport_below - what the top layer stands on; before a push: what the next layer will stand on. */
bool stream_push_transport(struct stream *s, const struct stream_transport *transport, void *context);
void stream_transport_below(const struct stream *s, const struct stream_transport **transport, void **context);

/* stream_set_deadline - for everything from now on (a clock_monotonic value; CLOCK_NEVER). */
void stream_set_deadline(struct stream *s, int64_t deadline);
enum stream_error stream_error(const struct stream *s);
int stream_errno(const struct stream *s);
void stream_clear_timeout(struct stream *s); /* forget a STREAM_TIMEOUT so that a farewell can be written */

/* How a line ended. */
enum line_end { LINE_CRLF, LINE_LF, LINE_TOO_LONG, LINE_NONE };

/* stream_read_line - the next line without its end.  A bare CR is data.  The slice is valid until the next read.  With more
   than max bytes before the end: LINE_TOO_LONG with the first max bytes (call again for what follows).  LINE_NONE: error or
   end of input (what was there before the end is in *line).  Waits. */
enum line_end stream_read_line(struct stream *s, size_t max, struct slice *line);
/* stream_read - exactly n bytes into data, false on error.  stream_read_some - up to max bytes, what there is; empty slice on
   error; valid until the next read.  Waits. */
bool stream_read(struct stream *s, void *data, size_t n);
struct slice stream_read_some(struct stream *s, size_t max);
/* stream_read_until - up to and including a NUL (or any byte), at most max; false on error or when longer.  The slice leaves the
   delimiter out.  Waits. */
bool stream_read_until(struct stream *s, char delimiter, size_t max, struct slice *bytes);
/* stream_await - until n bytes are buffered (then stream_peek shows them); consumes nothing; false on error.  Waits. */
bool stream_await(struct stream *s, size_t n);
/* stream_buffered - bytes already read from the transport and not consumed (no wait, no system call);
   stream_pending - true when a read would not wait (looks at the descriptor). */
size_t stream_buffered(const struct stream *s);
struct slice stream_peek(const struct stream *s);
bool stream_pending(struct stream *s);

/* Writing: buffered; sent by stream_flush, or when the buffer has more than 64 KiB.  stream_flush: false on (sticky) error.  Waits. */
void stream_write(struct stream *s, const void *data, size_t len);
void stream_write_slice(struct stream *s, struct slice data);
void stream_printf(struct stream *s, const char *format, ...) PRINTF_LIKE(2, 3);
bool stream_flush(struct stream *s);
size_t stream_unsent(const struct stream *s);
/* stream_output - the unsent bytes, to append in place (codecs); NULL after an error.  The caller flushes when much waits. */
struct buffer *stream_output(struct stream *s);
/* stream_trim - give back idle buffer memory (called before a long wait for an idle client). */
void stream_trim(struct stream *s);

/* Passing open files over a Unix socket (SCM_RIGHTS).  stream_send_fd attaches fd to the next bytes flushed: it must stay
   open until then, and the caller keeps it (it flushes itself when 16 wait).  stream_take_fd - the oldest received descriptor not taken yet, or -1. */
void stream_send_fd(struct stream *s, int fd);
int stream_take_fd(struct stream *s);

#endif
