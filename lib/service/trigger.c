/* trigger.c - a few bytes to a service's socket or FIFO */
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "net/address.h"
#include "service/trigger.h"

static bool finish(int fd, struct slice request)
{
    ssize_t n = write(fd, request.data, request.len);
    int saved = errno;
    close(fd);
    errno = saved;
    return n == (ssize_t)request.len;
}

static bool send_to_socket(const char *path, int type, struct slice request)
{
    struct net_address address;
    if (!net_address_unix(&address, slice_of(path))) {
        errno = ENAMETOOLONG;
        return false;
    }
    int fd = socket(AF_UNIX, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return false;
    if (connect(fd, &address.u.any, address.len) < 0) {
        int saved = errno;
        close(fd);
        errno = saved;
        return false;
    }
    return finish(fd, request);
}

static bool send_to_fifo(const char *path, struct slice request)
{
    int fd = open(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC | O_NOFOLLOW);
    return fd >= 0 && finish(fd, request);
}

bool trigger_send(const char *class_name, const char *service, struct slice request)
{
    struct buffer path = BUFFER_INIT;
    struct stat st;
    buffer_printf(&path, "%s/%s", class_name, service);
    bool ok = stat(buffer_string(&path), &st) == 0;
    if (ok && S_ISFIFO(st.st_mode))
        ok = send_to_fifo(buffer_string(&path), request);
    else if (ok)
        ok = send_to_socket(buffer_string(&path), SOCK_STREAM, request)
             || (errno == EPROTOTYPE && send_to_socket(buffer_string(&path), SOCK_DGRAM, request));
    int saved = errno;
    buffer_release(&path);
    errno = saved;
    return ok;
}
