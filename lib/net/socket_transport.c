/* socket_transport.c - reading and writing a non-blocking descriptor: the system call first, a wait only on EAGAIN */
#include <poll.h>
#include <sys/socket.h>

#include "net/socket_transport.h"
#include "run/run.h"

/* A peer that is faster than we are would keep its fiber running for ever: after so many bytes the others have a turn. */
enum { UNWAITED_MAX = 256 * 1024 };

void socket_transport_init(struct socket_transport *t, int fd)
{
    int domain = 0;
    socklen_t len = sizeof(domain);
    *t = (struct socket_transport){.fd = fd};
    t->is_socket = getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) == 0;
    t->is_local = t->is_socket && domain == AF_UNIX;
}

/* ---- waiting ------------------------------------------------------------------------------------------------------ */

/* wait_blocking - for commands that run without the loop. */
static enum wait_result wait_blocking(int fd, int events, int64_t deadline)
{
    struct pollfd p = {.fd = fd, .events = (short)((events & WAIT_READ ? POLLIN : 0) | (events & WAIT_WRITE ? POLLOUT : 0))};
    for (;;) {
        int64_t left = deadline == CLOCK_NEVER ? 0 : deadline - clock_monotonic();
        int timeout = deadline == CLOCK_NEVER ? -1 : left <= 0 ? 0 : left / 1000 >= INT_MAX ? INT_MAX : (int)(left / 1000) + 1;
        int n = poll(&p, 1, timeout);
        if (n > 0)
            return WAIT_READY;
        if (n == 0 && left <= INT64_C(1000) * INT_MAX)
            return WAIT_TIMEOUT;
        if (n < 0 && errno != EINTR)
            return WAIT_READY; /* the system call that follows will tell */
    }
}

/* await - false with *error when the wait ends otherwise than by readiness. */
static bool await(struct socket_transport *t, int events, int64_t deadline, enum stream_error *error)
{
    t->unwaited = 0;
    enum wait_result result = fiber_current() ? fiber_wait_fd(t->fd, events, deadline) : wait_blocking(t->fd, events, deadline);
    if (result == WAIT_READY)
        return true;
    *error = result == WAIT_TIMEOUT ? STREAM_TIMEOUT : STREAM_CANCELLED;
    errno = result == WAIT_TIMEOUT ? ETIMEDOUT : ECANCELED;
    return false;
}

/* moved - account for n bytes moved without a wait. */
static ssize_t moved(struct socket_transport *t, ssize_t n)
{
    t->unwaited += (unsigned)n;
    if (t->unwaited > UNWAITED_MAX && fiber_current()) {
        t->unwaited = 0;
        fiber_yield();
    }
    return n;
}

/* ---- descriptors on the way --------------------------------------------------------------------------------------- */

static void take_received(struct socket_transport *t, const int *fds, size_t count)
{
    if (count && !t->received)
        t->received = memory_zalloc(1, sizeof(*t->received));
    for (size_t i = 0; i < count; i++) {
        if (t->received->count < PASSED_FDS_MAX)
            t->received->fds[t->received->count++] = fds[i];
        else
            close(fds[i]);
    }
}

static ssize_t receive_local(struct socket_transport *t, void *data, size_t len)
{
    union {
        struct cmsghdr header;
        char space[CMSG_SPACE(PASSED_FDS_MAX * sizeof(int))];
    } control;
    struct iovec bytes = {data, len};
    struct msghdr message = {.msg_iov = &bytes, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)};
    ssize_t n = recvmsg(t->fd, &message, MSG_CMSG_CLOEXEC);
    if (n < 0)
        return n;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(&message); c; c = CMSG_NXTHDR(&message, c)) {
        if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS) {
            int fds[PASSED_FDS_MAX];
            size_t size = c->cmsg_len - CMSG_LEN(0);
            memcpy(fds, CMSG_DATA(c), size < sizeof(fds) ? size : sizeof(fds));
            take_received(t, fds, size / sizeof(int));
        }
    }
    return n;
}

static ssize_t send_with_fds(struct socket_transport *t, const void *data, size_t len)
{
    union {
        struct cmsghdr header;
        char space[CMSG_SPACE(PASSED_FDS_MAX * sizeof(int))];
    } control;
    size_t size = t->to_send->count * sizeof(int);
    struct iovec bytes = {(void *)(uintptr_t)data, len};
    struct msghdr message = {.msg_iov = &bytes, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = CMSG_SPACE(size)};
    memset(&control, 0, sizeof(control));
    struct cmsghdr *c = CMSG_FIRSTHDR(&message);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(size);
    memcpy(CMSG_DATA(c), t->to_send->fds, size);
    ssize_t n = sendmsg(t->fd, &message, MSG_NOSIGNAL);
    if (n > 0)
        t->to_send->count = 0; /* they went with the first byte */
    return n;
}

/* ---- the seam ----------------------------------------------------------------------------------------------------- */

static ssize_t read_once(struct socket_transport *t, void *data, size_t len)
{
    if (t->is_local)
        return receive_local(t, data, len);
    return t->is_socket ? recv(t->fd, data, len, 0) : read(t->fd, data, len);
}

static ssize_t write_once(struct socket_transport *t, const void *data, size_t len)
{
    if (t->is_local && t->to_send && t->to_send->count)
        return send_with_fds(t, data, len);
    return t->is_socket ? send(t->fd, data, len, MSG_NOSIGNAL) : write(t->fd, data, len);
}

/* await_more - after a read that got less than it had room for there is rarely more, so wait before the next try, which would find nothing in a
   dialogue.  A wait that ends otherwise than by readiness does not count before the try has failed as well. */
static bool await_more(struct socket_transport *t, int64_t deadline, enum stream_error *error)
{
    if (!t->drained || !fiber_current())
        return true;
    t->drained = false;
    return await(t, WAIT_READ, deadline, error);
}

static ssize_t socket_read(void *context, void *data, size_t len, int64_t deadline, enum stream_error *error)
{
    struct socket_transport *t = context;
    bool may_wait = await_more(t, deadline, error);
    int why = errno;
    for (;;) {
        ssize_t n = read_once(t, data, len);
        if (n >= 0) {
            t->drained = t->is_socket && (size_t)n < len;
            return moved(t, n);
        }
        if (errno == EAGAIN) {
            if (may_wait && await(t, WAIT_READ, deadline, error))
                continue;
            if (!may_wait)
                errno = why;
            return -1;
        }
        if (errno != EINTR) {
            *error = STREAM_LOST;
            return -1;
        }
    }
}

static ssize_t socket_write(void *context, const void *data, size_t len, int64_t deadline, enum stream_error *error)
{
    struct socket_transport *t = context;
    for (;;) {
        ssize_t n = write_once(t, data, len);
        if (n > 0)
            return moved(t, n);
        if (n < 0 && errno == EAGAIN) {
            if (!await(t, WAIT_WRITE, deadline, error))
                return -1;
        } else if (n == 0 || errno != EINTR) {
            *error = STREAM_LOST;
            return -1;
        }
    }
}

static void socket_close(void *context)
{
    struct socket_transport *t = context;
    for (unsigned i = 0; t->received && i < t->received->count; i++)
        close(t->received->fds[i]);
    free(t->received);
    free(t->to_send);
    t->received = t->to_send = NULL;
    if (t->fd >= 0) {
        fiber_forget_fd(t->fd);
        close(t->fd);
        t->fd = -1;
    }
}

static bool socket_pending(void *context)
{
    struct socket_transport *t = context;
    struct pollfd p = {.fd = t->fd, .events = POLLIN};
    return poll(&p, 1, 0) > 0;
}

const struct stream_transport socket_transport = {socket_read, socket_write, socket_close, socket_pending};
