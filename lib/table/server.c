/* server.c - connections to table servers */
#include "table/server.h"

#include "net/address.h"

#define IDLE_LIMIT (10 * MICROSECONDS)
#define LIFE_LIMIT (100 * MICROSECONDS)

bool server_parse(struct server *server, struct slice endpoint, bool plain)
{
    memset(server, 0, sizeof(*server));
    condition_init(&server->idle);
    if (slice_starts(endpoint, SLICE("unix:"))) {
        server->host = slice_from(endpoint, 5);
        return server->host.len > 0;
    }
    if (slice_starts(endpoint, SLICE("inet:")))
        endpoint = slice_from(endpoint, 5);
    else if (!plain)
        return false;
    size_t colon = slice_find_last(endpoint, ':');
    if (colon == 0 || colon >= endpoint.len)
        return false;
    server->host = slice_first(endpoint, colon);
    server->port = net_service_port(slice_from(endpoint, colon + 1));
    return server->port != 0;
}

const char *server_not_now(void)
{
    return strerror(EINPROGRESS); /* what Postfix's users see: the last error of a connection without blocking */
}

void server_close(struct server *server)
{
    stream_free(server->stream);
    server->stream = NULL;
}

static bool find_address(const struct server *server, struct net_address *address)
{
    if (server->port == 0)
        return net_address_unix(address, server->host);
    if (slice_equal_case(server->host, SLICE("localhost")))
        return net_address_parse(address, SLICE("127.0.0.1"), server->port);
    return net_address_parse(address, server->host, server->port);
}

static bool connect_now(struct server *server, int64_t deadline, const char **why)
{
    struct net_address address;

    if (!find_address(server, &address)) {
        *why = "not a numeric address";
        return false;
    }
    int fd = net_connect(&address, NULL, deadline);
    if (fd < 0) {
        *why = strerror(errno);
        return false;
    }
    server->stream = stream_new_fd(fd);
    server->opened = clock_monotonic();
    return true;
}

bool server_begin(struct server *server, int64_t timeout, const char **why)
{
    int64_t deadline = clock_after(timeout), now = clock_monotonic();

    if (fiber_current() == NULL) {
        *why = "no event loop here";
        return false;
    }
    while (server->busy) {
        if (condition_wait(&server->idle, deadline) != WAIT_READY) {
            *why = "timed out";
            return false;
        }
    }
    if (server->stream != NULL && (now - server->used > IDLE_LIMIT || now - server->opened > LIFE_LIMIT || stream_pending(server->stream)))
        server_close(server);
    if (server->stream == NULL && !connect_now(server, deadline, why))
        return false;
    stream_set_deadline(server->stream, deadline);
    server->busy = true;
    return true;
}

void server_end(struct server *server, bool broken)
{
    server->busy = false;
    server->used = clock_monotonic();
    if (broken)
        server_close(server);
    condition_signal(&server->idle);
}
