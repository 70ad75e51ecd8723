/* server.c - connections to table servers */
#include <netdb.h>

#include "table/server.h"

#define IDLE_LIMIT (10 * MICROSECONDS)
#define LIFE_LIMIT (100 * MICROSECONDS)

/* ---- host names --------------------------------------------------------------------------------------------------- */

struct resolving { const char *name; struct net_address address; bool found; };

static void resolve(void *arg)
{
    struct resolving *work = arg;
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG}, *list = NULL;
    if (getaddrinfo(work->name, NULL, &hints, &list) != 0)
        return;
    if (list->ai_addrlen <= sizeof(work->address.u)) {
        memcpy(&work->address.u, list->ai_addr, list->ai_addrlen);
        work->address.len = list->ai_addrlen;
        work->found = true;
    }
    freeaddrinfo(list);
}

/* find_name - in the thread pool when others must not wait.  Waits. */
static void find_name(struct server *server)
{
    char *name = slice_string(server->host);
    struct resolving work = {.name = name};
    if (fiber_current())
        run_offload(resolve, &work);
    else
        resolve(&work);
    if (work.found) {
        server->known = work.address;
        net_address_set_port(&server->known, server->port);
    }
    free(name);
}

static bool is_name(const struct server *server)
{
    struct net_address address;
    return server->port != 0 && !slice_equal_case(server->host, SLICE("localhost")) && !net_address_parse(&address, server->host, server->port);
}

/* ---- connections -------------------------------------------------------------------------------------------------- */

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
    if (server->port != 0 && is_name(server))
        find_name(server);
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

static bool find_address(struct server *server, struct net_address *address)
{
    if (server->port == 0)
        return net_address_unix(address, server->host);
    if (slice_equal_case(server->host, SLICE("localhost")))
        return net_address_parse(address, SLICE("127.0.0.1"), server->port);
    if (!is_name(server))
        return net_address_parse(address, server->host, server->port);
    find_name(server);
    *address = server->known;
    return address->len > 0;
}

static bool connect_now(struct server *server, int64_t deadline, const char **why)
{
    struct net_address address;

    if (!find_address(server, &address)) {
        *why = "the host name has no address";
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
    int64_t deadline = clock_after(timeout);

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
    /* Connecting waits too: nobody else may begin with it meanwhile. */
    int64_t now = clock_monotonic();
    server->busy = true;
    if (server->stream != NULL && (now - server->used > IDLE_LIMIT || now - server->opened > LIFE_LIMIT || stream_pending(server->stream)))
        server_close(server);
    if (server->stream == NULL && !connect_now(server, deadline, why)) {
        server->busy = false;
        condition_signal(&server->idle);
        return false;
    }
    stream_set_deadline(server->stream, deadline);
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
