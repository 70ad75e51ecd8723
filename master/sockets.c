/* sockets.c - listening sockets of services

   A reload makes the whole list of services anew; an address that is listened on already keeps its socket (the descriptor is duplicated), so
   that no connection is refused meanwhile. */
#include <fcntl.h>
#include <netdb.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "conf/interfaces.h"
#include "master.h"
#include "service/sandbox.h"
#include "service/service.h"

enum { BACKLOG = 4096 };
/* A killed master's workers let go of their sockets as soon as they notice; a new one waits that long. */
static const int64_t bind_patience = 5 * MICROSECONDS;

static void add_socket(struct service_entry *service, int fd, const struct net_address *address)
{
    service->sockets = memory_resize(service->sockets, (service->socket_count + 1) * sizeof(*service->sockets));
    service->sockets[service->socket_count++] = (struct socket){.fd = fd, .address = *address};
}

void sockets_close(struct service_entry *service)
{
    for (size_t i = 0; i < service->socket_count; i++)
        close(service->sockets[i].fd);
    free(service->sockets);
    service->sockets = NULL;
    service->socket_count = 0;
}

/* share_socket - a descriptor of the same socket from the services of before, -1 when none listens there. */
static int share_socket(const struct list *old_services, enum service_type type, const struct net_address *address)
{
    if (!old_services)
        return -1;
    LIST_EACH(old_services, link) {
        const struct service_entry *old = LIST_ENTRY(link, struct service_entry, link);
        bool same_kind = (old->line->type == SERVICE_UNIX_DGRAM) == (type == SERVICE_UNIX_DGRAM);
        for (size_t i = 0; same_kind && !old->removed && i < old->socket_count; i++) {
            const struct net_address *have = &old->sockets[i].address;
            if (have->len == address->len && memcmp(&have->u, &address->u, address->len) == 0)
                return fcntl(old->sockets[i].fd, F_DUPFD_CLOEXEC, 0);
        }
    }
    return -1;
}

/* ---- inet --------------------------------------------------------------------------------------------------------- */

/* is_own_port - a service of before listens there at another address, which may be in the way: nobody needs to wait for that. */
static bool is_own_port(const struct list *old_services, uint16_t port)
{
    if (!old_services)
        return false;
    LIST_EACH(old_services, link) {
        const struct service_entry *old = LIST_ENTRY(link, struct service_entry, link);
        for (size_t i = 0; !old->removed && i < old->socket_count; i++)
            if (net_address_port(&old->sockets[i].address) == port)
                return true;
    }
    return false;
}

static int listen_patiently(const struct net_address *address, bool own)
{
    int64_t until = clock_after(own ? 0 : bind_patience);
    int fd;
    while ((fd = net_listen(address, BACKLOG)) < 0 && errno == EADDRINUSE && clock_monotonic() < until)
        usleep(20000);
    return fd;
}

static bool open_inet(struct service_entry *service, const struct net_address *address, const struct list *old_services, struct buffer *why)
{
    int fd = share_socket(old_services, SERVICE_INET, address);
    bool own = is_own_port(old_services, net_address_port(address));
    if (fd < 0)
        fd = listen_patiently(address, own);
    if (fd < 0) {
        struct buffer host = BUFFER_INIT;
        int saved = errno;
        net_address_text(address, &host);
        buffer_printf(why, "bind %s port %u: %s%s", buffer_string(&host), net_address_port(address), strerror(saved),
                      own && saved == EADDRINUSE ? " by this mail system: to change inet_interfaces, postfix stop, postfix start" : "");
        buffer_release(&host);
        return false;
    }
    add_socket(service, fd, address);
    if (!net_address_is_loopback(address))
        service->external = true;
    return true;
}

/* has_ipv6 - a kernel without it is no reason to fail when inet_protocols says "all". */
static bool has_ipv6(void)
{
    int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0)
        close(fd);
    return fd >= 0;
}

static bool open_everywhere(struct service_entry *service, struct config *config, uint16_t port, const struct list *old_services,
                            struct buffer *why)
{
    struct net_address any;
    if (config_uses_ipv4(config)) {
        if (!net_address_parse(&any, SLICE("0.0.0.0"), port) || !open_inet(service, &any, old_services, why))
            return false;
    }
    if (config_uses_ipv6(config) && has_ipv6()) {
        if (!net_address_parse(&any, SLICE("::"), port) || !open_inet(service, &any, old_services, why))
            return false;
    }
    return true;
}

static bool open_interfaces(struct service_entry *service, struct config *config, uint16_t port, const struct list *old_services,
                            struct buffer *why)
{
    if (strcasecmp(config_string(config, "inet_interfaces"), "all") == 0)
        return open_everywhere(service, config, port, old_services, why);
    struct net_address *addresses;
    size_t count = config_own_addresses(config, &addresses, NULL);
    bool ok = true;
    for (size_t i = 0; ok && i < count; i++) {
        net_address_set_port(&addresses[i], port);
        ok = open_inet(service, &addresses[i], old_services, why);
    }
    free(addresses);
    return ok;
}

/* open_host - a service with a host of its own ignores inet_interfaces.  Names are looked up: they belong to /etc/hosts. */
static bool open_host(struct service_entry *service, struct config *config, struct slice host, uint16_t port, const struct list *old_services,
                      struct buffer *why)
{
    struct net_address address;
    if (net_address_parse(&address, host, port))
        return open_inet(service, &address, old_services, why);
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *found;
    char *name = slice_string(host);
    int error = getaddrinfo(name, NULL, &hints, &found);
    free(name);
    if (error) {
        buffer_printf(why, "host " SLICE_FORMAT ": %s", SLICE_ARGS(host), gai_strerror(error));
        return false;
    }
    bool ok = true;
    for (struct addrinfo *at = found; ok && at; at = at->ai_next) {
        bool used = at->ai_family == AF_INET ? config_uses_ipv4(config) : at->ai_family == AF_INET6 && config_uses_ipv6(config);
        if (!used)
            continue;
        address = (struct net_address){.len = at->ai_addrlen};
        memcpy(&address.u, at->ai_addr, at->ai_addrlen);
        net_address_set_port(&address, port);
        ok = open_inet(service, &address, old_services, why);
    }
    freeaddrinfo(found);
    return ok;
}

/* split_name - "host:port", "[v6]:port", "port". */
static void split_name(struct slice name, struct slice *host, struct slice *port)
{
    size_t colon = slice_find_last(name, ':');
    *host = colon < name.len ? slice_first(name, colon) : slice_of("");
    *port = colon < name.len ? slice_from(name, colon + 1) : name;
}

static bool open_inet_service(struct service_entry *service, struct config *config, const struct list *old_services, struct buffer *why)
{
    struct slice host, port_name;
    split_name(slice_of(service->line->name), &host, &port_name);
    uint16_t port = net_service_port(port_name);
    if (!port) {
        buffer_printf(why, "unknown service: " SLICE_FORMAT, SLICE_ARGS(port_name));
        return false;
    }
    if (host.len)
        return open_host(service, config, host, port, old_services, why);
    return open_interfaces(service, config, port, old_services, why);
}

/* ---- local -------------------------------------------------------------------------------------------------------- */

static int listen_datagram(const struct net_address *address)
{
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    unlink(address->u.local.sun_path);
    if (bind(fd, &address->u.any, address->len) == 0)
        return fd;
    int saved = errno;
    close(fd);
    errno = saved;
    return -1;
}

static int open_fifo(const char *path)
{
    struct stat st;
    if (lstat(path, &st) == 0 && !S_ISFIFO(st.st_mode))
        unlink(path);
    if (mkfifo(path, 0622) < 0 && errno != EEXIST)
        return -1;
    return open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC); /* a writer of our own: no end of file when the others go */
}

static int make_local(const struct service_entry *service, const struct net_address *address)
{
    switch (service->line->type) {
    case SERVICE_FIFO:
        /* Our own programs talk lanes; old configurations still say fifo for them. */
        if (service->program->kind == PROGRAM_ONE_CLIENT)
            return open_fifo(service->path);
        return net_listen(address, BACKLOG);
    case SERVICE_UNIX_DGRAM:
        return listen_datagram(address);
    default:
        return net_listen(address, BACKLOG);
    }
}

static bool open_local(struct service_entry *service, struct config *config, const struct list *old_services, struct buffer *why)
{
    struct net_address address;
    if (!net_address_unix(&address, slice_of(service->path))) {
        buffer_printf(why, "socket path %s: too long", service->path);
        return false;
    }
    int fd = share_socket(old_services, service->line->type, &address);
    if (fd < 0) {
        struct sandbox_owner owner;
        bool switched = getuid() == 0 && sandbox_owner_find(config, &owner) && service_become(owner.uid, owner.gid) == 0;
        mode_t mask = umask(0);
        fd = make_local(service, &address);
        int saved = errno;
        umask(mask);
        if (switched)
            service_become_root();
        errno = saved;
    }
    if (fd < 0) {
        buffer_printf(why, "socket %s: %s", service->path, strerror(errno));
        return false;
    }
    add_socket(service, fd, &address);
    return true;
}

bool sockets_open(struct service_entry *service, struct config *config, const struct list *old_services, struct buffer *why)
{
    bool ok = service->line->type == SERVICE_INET ? open_inet_service(service, config, old_services, why)
                                                  : open_local(service, config, old_services, why);
    if (!ok)
        sockets_close(service);
    return ok;
}
