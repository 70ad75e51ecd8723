/* socket.c - listening, connecting, addresses of sockets and of this machine */
#include <fcntl.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/tcp.h>
#include <sys/stat.h>

#include "net/address.h"
#include "run/run.h"

/* close_keeping_errno - for the way out of a failed function. */
static int close_keeping_errno(int fd)
{
    int saved = errno;
    close(fd);
    errno = saved;
    return -1;
}

static int window_size; /* bytes; 0: the system's */

void net_set_window_size(int bytes)
{
    window_size = bytes;
}

/* make_socket - streams send whole replies at once, so Nagle's waiting would only cost time.  Accepted sockets inherit it. */
static int make_socket(const struct net_address *address)
{
    const int on = 1;
    int fd = socket(address->u.any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd >= 0 && address->u.any.sa_family != AF_UNIX)
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    if (fd >= 0 && window_size > 0 && address->u.any.sa_family != AF_UNIX) {
        setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &window_size, sizeof(window_size));
        setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &window_size, sizeof(window_size));
    }
    return fd;
}

/* remove_stale - a socket file left by an earlier process would make bind fail; anything but a socket stays. */
static void remove_stale(const char *path)
{
    struct stat st;
    if (lstat(path, &st) == 0 && S_ISSOCK(st.st_mode))
        unlink(path);
}

int net_listen(const struct net_address *address, int backlog)
{
    const int on = 1;
    int fd = make_socket(address);
    if (fd < 0)
        return -1;
    if (address->u.any.sa_family == AF_UNIX) {
        remove_stale(address->u.local.sun_path);
    } else {
        if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0)
            return close_keeping_errno(fd);
        if (address->u.any.sa_family == AF_INET6 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on)) < 0)
            return close_keeping_errno(fd);
    }
    if (bind(fd, &address->u.any, address->len) < 0 || listen(fd, backlog) < 0)
        return close_keeping_errno(fd);
    return fd;
}

/* wait_connected - after EINPROGRESS; false with errno. */
static bool wait_connected(int fd, int64_t deadline)
{
    int error = 0;
    socklen_t len = sizeof(error);
    switch (fiber_wait_fd(fd, WAIT_WRITE, deadline)) {
    case WAIT_TIMEOUT:
        errno = ETIMEDOUT;
        return false;
    case WAIT_CANCELLED:
        errno = ECANCELED;
        return false;
    case WAIT_READY:
        break;
    }
    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0)
        return false;
    errno = error;
    return error == 0;
}

/* connect_local - a Unix socket whose backlog is full says EAGAIN and gives nothing to wait for: try again, ever more slowly. */
static bool connect_local(int fd, const struct net_address *address, int64_t deadline)
{
    int64_t pause = MICROSECONDS / 1000;
    while (connect(fd, &address->u.any, address->len) < 0) {
        if (errno != EAGAIN && errno != EINTR)
            return false;
        if (clock_monotonic() >= deadline) {
            errno = ETIMEDOUT;
            return false;
        }
        fiber_sleep(pause);
        if (pause < MICROSECONDS / 10)
            pause *= 2;
    }
    return true;
}

static bool connect_inet(int fd, const struct net_address *address, int64_t deadline)
{
    if (connect(fd, &address->u.any, address->len) == 0)
        return true;
    if (errno != EINPROGRESS && errno != EINTR)
        return false;
    return wait_connected(fd, deadline);
}

int net_connect(const struct net_address *address, const struct net_address *source, int64_t deadline)
{
    int fd = make_socket(address);
    if (fd < 0)
        return -1;
    if (source && source->len && bind(fd, &source->u.any, source->len) < 0)
        return close_keeping_errno(fd);
    bool ok = address->u.any.sa_family == AF_UNIX ? connect_local(fd, address, deadline) : connect_inet(fd, address, deadline);
    if (ok)
        return fd;
    int saved = errno;
    fiber_forget_fd(fd);
    errno = saved;
    return close_keeping_errno(fd);
}

/* from_kernel - make sense of what getsockname and getpeername filled in. */
static bool from_kernel(struct net_address *address, socklen_t len)
{
    address->len = len < sizeof(address->u) ? len : (socklen_t)sizeof(address->u);
    return true;
}

bool net_peer(int fd, struct net_address *address)
{
    socklen_t len = sizeof(address->u);
    *address = (struct net_address){0};
    return getpeername(fd, &address->u.any, &len) == 0 && from_kernel(address, len);
}

bool net_local(int fd, struct net_address *address)
{
    socklen_t len = sizeof(address->u);
    *address = (struct net_address){0};
    return getsockname(fd, &address->u.any, &len) == 0 && from_kernel(address, len);
}

bool net_set_nonblocking(int fd)
{
    int flags = fcntl(fd, F_GETFL);
    return flags >= 0 && ((flags & O_NONBLOCK) || fcntl(fd, F_SETFL, flags | O_NONBLOCK) == 0);
}

/* ---- this machine ------------------------------------------------------------------------------------------------- */

/* prefix_of - number of leading one bits of a netmask; all of them when the kernel gives none. */
static unsigned prefix_of(const uint8_t *bytes, size_t n)
{
    unsigned prefix = 0;
    while (prefix < n * 8 && (bytes[prefix / 8] & (0x80 >> (prefix % 8))))
        prefix++;
    return prefix;
}

static void take_interface(const struct ifaddrs *at, struct net_address *address, struct net_network *network)
{
    bool v4 = at->ifa_addr->sa_family == AF_INET;
    socklen_t len = v4 ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6);
    size_t offset = v4 ? offsetof(struct sockaddr_in, sin_addr) : offsetof(struct sockaddr_in6, sin6_addr);
    size_t bytes = v4 ? 4 : 16;
    *address = (struct net_address){.len = len};
    memcpy(&address->u, at->ifa_addr, len);
    *network = (struct net_network){.family = at->ifa_addr->sa_family, .prefix = (unsigned)bytes * 8};
    memcpy(network->bytes, (const char *)at->ifa_addr + offset, bytes);
    if (at->ifa_netmask)
        network->prefix = prefix_of((const uint8_t *)at->ifa_netmask + offset, bytes);
    for (size_t i = network->prefix; i < bytes * 8; i++)
        network->bytes[i / 8] &= (uint8_t)~(0x80 >> (i % 8));
}

size_t net_own_addresses(struct net_address **addresses, struct net_network **networks)
{
    struct ifaddrs *all;
    size_t count = 0, room = 0;
    *addresses = NULL;
    if (networks)
        *networks = NULL;
    if (getifaddrs(&all) < 0)
        return 0;
    for (struct ifaddrs *at = all; at; at = at->ifa_next)
        room++;
    *addresses = memory_zalloc(room, sizeof(**addresses));
    struct net_network *found = memory_zalloc(room, sizeof(*found));
    for (struct ifaddrs *at = all; at; at = at->ifa_next) {
        if (!at->ifa_addr || !(at->ifa_flags & IFF_UP))
            continue;
        if (at->ifa_addr->sa_family == AF_INET || at->ifa_addr->sa_family == AF_INET6) {
            take_interface(at, &(*addresses)[count], &found[count]);
            count++;
        }
    }
    freeifaddrs(all);
    if (networks)
        *networks = found;
    else
        free(found);
    return count;
}
