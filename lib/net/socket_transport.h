/* socket_transport.h - the transport at the bottom of a stream: a descriptor.  Only for this room. */
#ifndef POSTERN_NET_SOCKET_TRANSPORT_H
#define POSTERN_NET_SOCKET_TRANSPORT_H

#include "net/stream.h"

enum { PASSED_FDS_MAX = 16 }; /* descriptors queued in each direction; more that arrive are closed */

struct fd_queue {
    int fds[PASSED_FDS_MAX];
    unsigned count;
};

struct socket_transport {
    int fd;
    bool is_socket;
    bool is_local;     /* AF_UNIX: descriptors may travel */
    bool drained;      /* the last read got less than it had room for */
    unsigned unwaited; /* bytes moved since the last wait */
    struct fd_queue *to_send;  /* NULL until used; not owned: the caller keeps them */
    struct fd_queue *received; /* NULL until used; owned */
};

extern const struct stream_transport socket_transport;
void socket_transport_init(struct socket_transport *t, int fd);

#endif
