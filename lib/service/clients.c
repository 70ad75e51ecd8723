/* clients.c - the listening sockets of a worker and the connections it serves

   Several workers share a listening socket: whoever is free accepts.  A worker takes a few connections per turn, so that a burst is
   spread over the workers. */
#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>

#include "base/log.h"
#include "service/service_private.h"
#include "service/statistics.h"

enum { ACCEPTS_PER_TURN = 4, DATAGRAM_MAX = 64 * 1024, DATAGRAMS_PER_TURN = 64 };
static const int64_t accept_pause = MICROSECONDS / 2; /* after running out of descriptors */
static const int64_t pass_timeout = 10 * MICROSECONDS;

struct listener {
    int fd;
    struct run_watch *watch;
    struct net_address address;
    char *name;     /* last path element of a Unix socket; NULL: inet */
    bool is_stream; /* false: datagrams or a FIFO */
    bool wildcard;  /* the local address of a connection is not the listener's */
};

/* One connection while it is served. */
struct connection {
    struct service_client client;
    struct list link;
    struct fiber *fiber; /* NULL while it is parked */
    void (*resumed)(struct service_context *context, struct service_client *client); /* NULL: the first time */
};

static struct worker *self;
static struct listener *listeners;
static size_t listener_count;
static bool accepting;
static struct list connections = {&connections, &connections};
static unsigned connection_count, connections_served;
static struct run_timer *idle_timer, *pause_timer;

unsigned clients_count(void)
{
    return connection_count;
}

/* ---- accepting or not --------------------------------------------------------------------------------------------- */

static void on_readable(void *arg, int events);

static void accept_on(void)
{
    if (accepting || self->draining)
        return;
    accepting = true;
    for (size_t i = 0; i < listener_count; i++)
        listeners[i].watch = run_watch(listeners[i].fd, WAIT_READ, on_readable, &listeners[i]);
}

static void accept_off(void)
{
    accepting = false;
    for (size_t i = 0; i < listener_count; i++) {
        run_unwatch(listeners[i].watch);
        listeners[i].watch = NULL;
    }
}

void clients_stop_accepting(void)
{
    accept_off();
    for (size_t i = 0; i < listener_count; i++)
        close(listeners[i].fd);
    listener_count = 0;
    if (idle_timer)
        run_timer_stop(idle_timer);
    if (pause_timer)
        run_timer_stop(pause_timer);
}

void clients_interrupt(int when)
{
    LIST_EACH(&connections, link) {
        struct connection *connection = LIST_ENTRY(link, struct connection, link);
        if (connection->client.interruptible < when || connection->client.interruptible == INTERRUPTIBLE_NEVER)
            continue;
        if (connection->fiber)
            fiber_interrupt(connection->fiber);
        else
            connection->client.interrupted(&connection->client);
    }
}

static void on_idle(void *arg UNUSED)
{
    if (connection_count == 0)
        worker_drain(self);
}

static void start_idle_timer(void)
{
    if (!self->permanent && connection_count == 0 && !self->draining)
        run_timer_set(idle_timer, self->max_idle, 0);
}

static void on_pause_over(void *arg UNUSED)
{
    if (!self->client_limit || connection_count < self->client_limit)
        accept_on();
}

/* ---- one connection ----------------------------------------------------------------------------------------------- */

static void connection_begins(struct connection *connection)
{
    list_append(&connections, &connection->link);
    connection_count++;
    statistics_add(STATISTIC_clients, 1);
    statistics_add(STATISTIC_clients_now, 1);
    if (connections_served++ == 0)
        worker_notify(self, CHANNEL_SERVED, 0);
    if (connection_count == 1 && !self->permanent)
        run_timer_stop(idle_timer);
    if (self->client_limit && connection_count == self->client_limit) {
        accept_off();
        worker_notify(self, CHANNEL_FULL, connection_count);
    }
}

static void connection_ends(struct connection *connection)
{
    stream_free(connection->client.stream);
    list_remove(&connection->link);
    bool was_full = self->client_limit && connection_count == self->client_limit;
    connection_count--;
    statistics_add(STATISTIC_clients_now, -1);
    free(connection);
    bool one_at_a_time = !(self->service->flags & SERVICE_MANY_CLIENTS);
    if (!self->draining && one_at_a_time && !self->permanent && connections_served >= self->max_use)
        worker_drain(self);
    if (self->draining) {
        if (connection_count == 0)
            worker_finish(self);
        return;
    }
    if (was_full) {
        worker_notify(self, CHANNEL_FREE, connection_count);
        accept_on();
    }
    start_idle_timer();
}

/* receive_passed - on a "pass" service the connection only brings the descriptor of the real one. */
static bool receive_passed(struct service_client *client)
{
    stream_set_deadline(client->stream, clock_after(pass_timeout));
    int fd = -1;
    while (fd < 0 && stream_read_some(client->stream, 4096).len)
        fd = stream_take_fd(client->stream);
    stream_free(client->stream);
    client->stream = NULL;
    if (fd < 0 || !net_set_nonblocking(fd)) {
        if (fd >= 0)
            close(fd);
        log_warning("no connection was passed to service %s", self->context.service_name);
        return false;
    }
    fcntl(fd, F_SETFD, FD_CLOEXEC);
    client->socket_name = NULL;
    if (!net_peer(fd, &client->peer) || !net_local(fd, &client->local)) {
        close(fd); /* the client has gone away already */
        return false;
    }
    client->stream = stream_new_fd(fd);
    return true;
}

static void serve(void *arg)
{
    struct connection *connection = arg;
    bool ok = true;
    connection->fiber = fiber_current();
    if (!connection->resumed && strcmp(self->context.service_type, "pass") == 0)
        ok = receive_passed(&connection->client);
    if (connection->resumed)
        connection->resumed(&self->context, &connection->client);
    else if (ok && self->service->serve)
        self->service->serve(&self->context, &connection->client);
    if (connection->client.interrupted)
        connection->fiber = NULL;
    else
        connection_ends(connection);
}

static void take_connection(const struct listener *listener, int fd, const struct net_address *peer)
{
    struct connection *connection = memory_zalloc(1, sizeof(*connection));
    connection->client = (struct service_client){.stream = stream_new_fd(fd), .peer = *peer, .socket_name = listener->name};
    connection->client.local = listener->address;
    if (listener->wildcard)
        (void)!net_local(fd, &connection->client.local);
    connection_begins(connection);
    connection->fiber = fiber_start("client", serve, connection);
}

/* accept_failed - false when the turn is over. */
static bool accept_failed(void)
{
    switch (errno) {
    case EINTR:
    case ECONNABORTED:
    case EPROTO:
        return true;
    case EMFILE:
    case ENFILE:
    case ENOBUFS:
    case ENOMEM:
        log_warning("accept connection: %s", strerror(errno));
        accept_off();
        run_timer_set(pause_timer, accept_pause, 0);
        return false;
    default:
        if (errno != EAGAIN)
            log_warning("accept connection: %s", strerror(errno));
        return false;
    }
}

static void accept_some(struct listener *listener)
{
    for (int i = 0; i < ACCEPTS_PER_TURN && accepting; i++) {
        struct net_address peer = {.len = sizeof(peer.u)};
        int fd = accept4(listener->fd, &peer.u.any, &peer.len, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0)
            take_connection(listener, fd, &peer);
        else if (!accept_failed())
            return;
    }
}

/* ---- datagrams and FIFOs ------------------------------------------------------------------------------------------ */

static void read_datagrams(struct listener *listener)
{
    static char *data;
    if (!data)
        data = memory_alloc(DATAGRAM_MAX);
    for (int i = 0; i < DATAGRAMS_PER_TURN; i++) {
        ssize_t n = read(listener->fd, data, DATAGRAM_MAX);
        if (n < 0 || (n == 0 && !listener->is_stream))
            return;
        if (connections_served++ == 0)
            worker_notify(self, CHANNEL_SERVED, 0);
        if (self->service->datagram)
            self->service->datagram(&self->context, slice_make(data, (size_t)n));
    }
}

static void on_readable(void *arg, int events UNUSED)
{
    struct listener *listener = arg;
    if (listener->is_stream) {
        accept_some(listener);
        return;
    }
    read_datagrams(listener);
    start_idle_timer();
}

/* ---- start -------------------------------------------------------------------------------------------------------- */

static const char *last_element(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

/* is_wildcard - 0.0.0.0 or ::. */
static bool is_wildcard(const struct net_address *address)
{
    if (address->u.any.sa_family == AF_INET)
        return address->u.v4.sin_addr.s_addr == INADDR_ANY;
    return address->u.any.sa_family == AF_INET6 && IN6_IS_ADDR_UNSPECIFIED(&address->u.v6.sin6_addr);
}

static void take_listener(struct listener *listener, int fd)
{
    int type = 0;
    socklen_t len = sizeof(type);
    listener->fd = fd;
    bool is_socket = getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) == 0;
    listener->is_stream = is_socket && type == SOCK_STREAM;
    if (is_socket && net_local(fd, &listener->address) && listener->address.u.any.sa_family == AF_UNIX)
        listener->name = memory_string(last_element(listener->address.u.local.sun_path));
    listener->wildcard = is_socket && is_wildcard(&listener->address);
    if (!net_set_nonblocking(fd) || fcntl(fd, F_SETFD, FD_CLOEXEC) < 0)
        log_fatal("descriptor %d from master: %s", fd, strerror(errno));
}

void clients_start(struct worker *worker)
{
    self = worker;
    idle_timer = run_timer_new(on_idle, NULL);
    pause_timer = run_timer_new(on_pause_over, NULL);
    listener_count = worker->arguments.socket_count;
    listeners = memory_zalloc(listener_count, sizeof(*listeners));
    for (size_t i = 0; i < listener_count; i++)
        take_listener(&listeners[i], WORKER_SOCKET_FD + (int)i);
    accept_on();
    start_idle_timer();
}

/* ---- what services may ask ---------------------------------------------------------------------------------------- */

unsigned service_client_count(void)
{
    return connection_count;
}

void service_interruptible(struct service_client *client, int when)
{
    client->interruptible = when;
    bool due = self && ((when == INTERRUPTIBLE_AT_DRAIN && self->draining) || (when != INTERRUPTIBLE_NEVER && self->stopping));
    if (due)
        fiber_cancel(fiber_current()); /* the wait that follows ends at once */
}

bool service_park(struct service_client *client, void (*interrupted)(struct service_client *client))
{
    int when = client->interruptible;
    if (self->stopping ? when != INTERRUPTIBLE_NEVER : self->draining && when == INTERRUPTIBLE_AT_DRAIN)
        return false;
    client->interrupted = interrupted;
    return true;
}

void service_resume(struct service_client *client, void (*serve_again)(struct service_context *context, struct service_client *client))
{
    struct connection *connection = CONTAINER_OF(client, struct connection, client);
    client->interrupted = NULL;
    connection->resumed = serve_again;
    connection->fiber = fiber_start("client", serve, connection);
}

void service_end(struct service_client *client)
{
    connection_ends(CONTAINER_OF(client, struct connection, client));
}

int service_receive(struct service_client *client, struct lane *lane, struct arena *arena, void **value, int64_t deadline)
{
    if (service_is_draining()) {
        /* A request that is there already is served: its sender could not know whether it was done. */
        struct pollfd ready = {.fd = lane_fd(lane), .events = POLLIN};
        if (poll(&ready, 1, 0) <= 0)
            return -1;
        return lane_receive(lane, arena, value, deadline);
    }
    client->interruptible = INTERRUPTIBLE_AT_DRAIN;
    int type = lane_receive(lane, arena, value, deadline);
    client->interruptible = INTERRUPTIBLE_NEVER;
    return type;
}
