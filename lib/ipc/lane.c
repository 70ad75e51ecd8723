/* lane.c - lanes: hello, frames, open files

   A frame: u32 length of what follows, u16 message number (with FRAME_CARRIES_FD when an open file travels with it), fields.
   A hello: LANE_HELLO_BYTE "PL", u8 version, u32 pid, varint length and name of the program. */
#include <sys/socket.h>

#include "base/clock.h"
#include "base/cursor.h"
#include "base/log.h"
#include "ipc/lane.h"
#include "net/address.h"

enum {
    PROTOCOL_VERSION = 2,
    FRAME_CARRIES_FD = 0x8000,
    FRAME_HEADER = 6,
    HELLO_FIXED = 9, /* bytes up to the length of the name */
    NAME_MAX_BYTES = 64,
    FLUSH_ABOVE = 64 * 1024
};

/* lane_send has no deadline of its own: this bounds the flush in the middle of much data. */
#define SEND_TIMEOUT (300 * MICROSECONDS)

struct lane {
    struct stream *stream;
    bool broken;
    int fd; /* came with the message just received; -1: none */
    uid_t peer_uid;
    pid_t peer_pid;
    char peer_name[NAME_MAX_BYTES + 1];
};

static bool break_lane(struct lane *lane)
{
    lane->broken = true;
    return false;
}

/* ---- hello ---------------------------------------------------------------------------------------------------------- */

static void send_hello(struct lane *lane)
{
    struct buffer *out = stream_output(lane->stream);
    if (!out)
        return;
    put_u8(out, LANE_HELLO_BYTE);
    buffer_append_string(out, "PL");
    put_u8(out, PROTOCOL_VERSION);
    put_u32(out, (uint32_t)getpid());
    put_counted(out, slice_first(slice_of(program_invocation_short_name), NAME_MAX_BYTES));
    stream_flush(lane->stream);
}

static bool receive_hello(struct lane *lane)
{
    uint8_t fixed[HELLO_FIXED];
    if (!stream_read(lane->stream, fixed, sizeof(fixed)))
        return false;
    struct cursor c = cursor_of(slice_make(fixed, sizeof(fixed)));
    bool magic = cursor_u8(&c) == LANE_HELLO_BYTE && slice_equal(cursor_bytes(&c, 2), SLICE("PL"));
    uint8_t version = cursor_u8(&c);
    lane->peer_pid = (pid_t)cursor_u32(&c);
    size_t name_len = cursor_u8(&c);
    if (!magic || name_len > NAME_MAX_BYTES || !stream_read(lane->stream, lane->peer_name, name_len)) {
        errno = EPROTO;
        return false;
    }
    if (version != PROTOCOL_VERSION) {
        log_warning("lane to process %d (%s): it speaks protocol version %u, this program speaks %u: "
                    "are programs of two releases running?", (int)lane->peer_pid, lane->peer_name, version, PROTOCOL_VERSION);
        errno = EPROTO;
        return false;
    }
    return true;
}

static struct lane *new_lane(struct stream *stream)
{
    struct lane *lane = memory_zalloc(1, sizeof(*lane));
    struct ucred credentials = {.uid = (uid_t)-1};
    socklen_t len = sizeof(credentials);
    lane->stream = stream;
    lane->fd = -1;
    if (getsockopt(stream_fd(stream), SOL_SOCKET, SO_PEERCRED, &credentials, &len) < 0)
        credentials.uid = (uid_t)-1;
    lane->peer_uid = credentials.uid;
    return lane;
}

/* opened - the lane, or NULL with errno when the exchange of hellos went wrong. */
static struct lane *opened(struct lane *lane, bool ok)
{
    if (ok && stream_error(lane->stream) == STREAM_OK)
        return lane;
    int saved = stream_errno(lane->stream) ? stream_errno(lane->stream) : stream_error(lane->stream) == STREAM_END ? ECONNRESET : errno;
    lane_free(lane);
    errno = saved;
    return NULL;
}

struct lane *lane_connect(const char *path, int64_t deadline)
{
    struct net_address address;
    if (!net_address_unix(&address, slice_of(path))) {
        errno = ENAMETOOLONG;
        return NULL;
    }
    int fd = net_connect(&address, NULL, deadline);
    if (fd < 0)
        return NULL;
    struct lane *lane = new_lane(stream_new_fd(fd));
    stream_set_deadline(lane->stream, deadline);
    send_hello(lane);
    return opened(lane, receive_hello(lane));
}

struct lane *lane_accept(struct stream *stream, int64_t deadline)
{
    struct lane *lane = new_lane(stream);
    stream_set_deadline(stream, deadline);
    bool ok = receive_hello(lane);
    /* Also to one of another version, so that it can complain too; not to something that is no lane. */
    if (ok || lane->peer_pid)
        send_hello(lane);
    return opened(lane, ok);
}

void lane_free(struct lane *lane)
{
    if (!lane)
        return;
    if (lane->fd >= 0)
        close(lane->fd);
    stream_free(lane->stream);
    free(lane);
}

bool lane_is_broken(const struct lane *lane)
{
    return lane->broken;
}

bool lane_is_idle_broken(struct lane *lane)
{
    /* What is readable on an idle lane is its end, or something nobody asked for. */
    if (!lane->broken && stream_pending(lane->stream))
        break_lane(lane);
    return lane->broken;
}

int lane_fd(const struct lane *lane)
{
    return stream_fd(lane->stream);
}

uid_t lane_peer_uid(const struct lane *lane)
{
    return lane->peer_uid;
}

/* ---- sending -------------------------------------------------------------------------------------------------------- */

static void patch_u32(char *at, uint32_t v)
{
    for (int i = 0; i < 4; i++)
        at[i] = (char)(v >> (8 * i));
}

/* append_frame - false when the message is longer than a frame may be; then nothing was appended. */
static bool append_frame(struct buffer *out, enum message_type type, const void *value, bool with_fd)
{
    size_t start = out->len;
    put_u32(out, 0);
    put_u16(out, (uint16_t)((unsigned)type | (with_fd ? FRAME_CARRIES_FD : 0)));
    bool ok = message_encode(message_record_of(type), value, out);
    size_t len = out->len - start - 4;
    if (!ok || len > LANE_FRAME_MAX) {
        buffer_truncate(out, start);
        return false;
    }
    patch_u32(out->data + start, (uint32_t)len);
    return true;
}

void lane_send(struct lane *lane, enum message_type type, const void *value, int fd)
{
    struct buffer *out = lane->broken ? NULL : stream_output(lane->stream);
    if (!out) {
        break_lane(lane);
        return;
    }
    if (!message_record_of(type))
        log_panic("lane_send: no message %d", (int)type);
    if (fd >= 0) {
        stream_set_deadline(lane->stream, clock_after(SEND_TIMEOUT)); /* it may flush */
        stream_send_fd(lane->stream, fd);
    }
    if (!append_frame(out, type, value, fd >= 0)) {
        log_warning("message %s to %s is too long for a lane", message_name(type), lane->peer_name);
        break_lane(lane);
    } else if (out->len > FLUSH_ABOVE) {
        lane_flush(lane, clock_after(SEND_TIMEOUT));
    }
}

bool lane_flush(struct lane *lane, int64_t deadline)
{
    if (lane->broken)
        return false;
    stream_set_deadline(lane->stream, deadline);
    return stream_flush(lane->stream) || break_lane(lane);
}

/* ---- receiving ------------------------------------------------------------------------------------------------------ */

static int malformed(struct lane *lane, const char *what)
{
    log_warning("lane to %s[%d]: %s", lane->peer_name, (int)lane->peer_pid, what);
    break_lane(lane);
    return -1;
}

/* await_header - 1 when one is there, 0 when nothing came in time, -1 broken. */
static int await_header(struct lane *lane, int64_t deadline)
{
    stream_set_deadline(lane->stream, deadline);
    if (stream_await(lane->stream, FRAME_HEADER))
        return 1;
    if (stream_error(lane->stream) == STREAM_TIMEOUT && stream_buffered(lane->stream) == 0) {
        stream_clear_timeout(lane->stream);
        return 0;
    }
    break_lane(lane);
    return -1;
}

/* take_fd - the file of this frame out of the stream's queue. */
static bool take_fd(struct lane *lane, unsigned number)
{
    if (lane->fd >= 0)
        close(lane->fd); /* of the frame before; nobody took it */
    lane->fd = number & FRAME_CARRIES_FD ? stream_take_fd(lane->stream) : -1;
    return lane->fd >= 0 || !(number & FRAME_CARRIES_FD);
}

int lane_receive(struct lane *lane, struct arena *arena, void **value, int64_t deadline)
{
    char header[FRAME_HEADER];
    *value = NULL;
    int there = lane->broken ? -1 : await_header(lane, deadline);
    if (there <= 0)
        return there;
    if (!stream_read(lane->stream, header, sizeof(header)))
        return -1;
    struct cursor c = cursor_of(slice_make(header, sizeof(header)));
    uint32_t length = cursor_u32(&c);
    unsigned number = cursor_u16(&c);
    enum message_type type = (enum message_type)(number & ~(unsigned)FRAME_CARRIES_FD);
    const struct message_record *record = message_record_of(type);
    if (!record)
        return malformed(lane, "unknown message");
    if (length < 2 || length > LANE_FRAME_MAX)
        return malformed(lane, "bad frame length");
    size_t len = length - 2;
    char *bytes = arena_bytes(arena, len);
    if (!stream_read(lane->stream, bytes, len)) {
        break_lane(lane);
        return -1;
    }
    if (!take_fd(lane, number))
        return malformed(lane, "an open file is missing");
    *value = arena_alloc(arena, message_struct_size(record));
    if (!message_decode(record, slice_make(bytes, len), arena, *value)) {
        *value = NULL;
        return malformed(lane, "malformed message");
    }
    return (int)type;
}

int lane_take_fd(struct lane *lane)
{
    int fd = lane->fd;
    lane->fd = -1;
    return fd;
}

void *lane_call(struct lane *lane, enum message_type type, const void *value, int fd, enum message_type reply_type,
                struct arena *arena, int64_t deadline)
{
    void *reply;
    lane_send(lane, type, value, fd);
    if (!lane_flush(lane, deadline))
        return NULL;
    int got = lane_receive(lane, arena, &reply, deadline);
    if (got == (int)reply_type)
        return reply;
    if (got > 0)
        malformed(lane, "unexpected reply");
    break_lane(lane); /* after a timeout the reply might come while the next is awaited */
    return NULL;
}
