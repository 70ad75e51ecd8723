/* lane.h - a lane: a persistent Unix-socket connection between two processes that carries one request at a time

   First both sides send a hello (magic byte 0xF0 "PL", protocol version, program name, pid); other versions are refused with a warning.
   A frame is u32 length, u16 message number, fields.  An open file may travel with a frame.  When the other process dies the lane
   breaks: every later call fails at once; the owner frees the lane and retries or defers. */
#ifndef POSTERN_IPC_LANE_H
#define POSTERN_IPC_LANE_H

#include "ipc/message.h"
#include "net/stream.h"

struct lane;

#define LANE_FRAME_MAX (16u << 20) /* a longer frame breaks the lane */
#define LANE_HELLO_BYTE 0xF0       /* first byte; trigger sockets tell lanes from Postfix's trigger letters by it */

/* lane_connect - to a socket path ("private/smtp", relative to the queue directory or absolute), hello included.
   NULL with errno.  Waits. */
struct lane *lane_connect(const char *path, int64_t deadline) MUST_CHECK;
/* lane_accept - the serving side of an accepted connection; takes the stream over (frees it on failure).  NULL: not a lane, or
   another version.  Waits. */
struct lane *lane_accept(struct stream *stream, int64_t deadline) MUST_CHECK;
void lane_free(struct lane *lane);
bool lane_is_broken(const struct lane *lane);
/* lane_is_idle_broken - true when the peer closed an idle lane (looks at the descriptor, no wait): test before reuse. */
bool lane_is_idle_broken(struct lane *lane);
int lane_fd(const struct lane *lane);

/* lane_send - queue one message (value: struct of that type); fd >= 0 travels with it (the caller keeps its own copy).  Nothing
   leaves before lane_flush, unless more than 64 KiB wait.  lane_flush: false when broken.  Wait. */
void lane_send(struct lane *lane, enum message_type type, const void *value, int fd);
bool lane_flush(struct lane *lane, int64_t deadline);
/* lane_receive - the next message: *value is a zeroed struct of the type in the arena (its slices too).  Returns 0 and breaks nothing when the
   deadline passes with no byte received (call again); returns -1 when broken or malformed; else the message type.  Waits. */
int lane_receive(struct lane *lane, struct arena *arena, void **value, int64_t deadline);
/* lane_take_fd - the open file that came with the message just received, or -1; the caller closes it. */
int lane_take_fd(struct lane *lane);
/* lane_call - send, flush, and wait for a reply of the given type; NULL when the lane broke or answered something else (then it is
   broken).  Waits. */
void *lane_call(struct lane *lane, enum message_type type, const void *value, int fd, enum message_type reply_type,
                struct arena *arena, int64_t deadline);
/* lane_peer_uid - user id of the other process (SO_PEERCRED). */
uid_t lane_peer_uid(const struct lane *lane);

/* Event-driven use (qmgr, which has thousands of lanes and no fiber each): not needed by the first version. */

#endif
