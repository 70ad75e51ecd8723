/* dovecot.c - smtpd_sasl_type = dovecot: asking Dovecot's authentication service (compat.md h.2)

   One connection per process serves all sessions: requests carry numbers, a fiber reads what comes back and wakes whoever asked.  The connection is made when it
   is needed, and again after it was lost; while it cannot be made, it is tried once a second at most. */
#include <netdb.h>

#include "base/log.h"
#include "base/map.h"
#include "net/address.h"
#include "net/stream.h"
#include "run/run.h"
#include "sasl/dovecot_reply.h"
#include "sasl/driver.h"

enum {
    CONNECT_TIME = 10 * 1000000, /* microseconds: connecting and the handshake */
    REPLY_TIME = 30 * 1000000,   /* Dovecot delays its answer to guessers by up to 15 s */
    RETRY_TIME = 1000000,
    MECHANISMS_MAX = 32,
    HANDSHAKE_LINES_MAX = 200,
    ADDRESSES_MAX = 4,           /* of a host: localhost may be ::1 and 127.0.0.1 */
    LINE_MAX_BYTES = 32 * 1024
};

/* One request that waits for its reply. */
struct waiting {
    uint64_t id;
    struct arena *arena; /* where the reply goes */
    struct dovecot_reply reply;
    bool done, lost;
    struct condition changed;
};

struct dovecot {
    struct sasl_server *server;
    struct net_address addresses[ADDRESSES_MAX];
    size_t address_count;       /* 0: the host is not known */
    struct stream *stream;      /* NULL: not connected */
    unsigned generation;        /* which connection it is */
    struct fiber *reader;       /* of the connection; it frees all this when closed is set */
    bool closed;
    bool connecting;
    struct condition connected; /* connecting is over */
    struct semaphore writer;
    uint64_t next_id;
    int64_t retry_after;        /* clock_monotonic */
    struct map *waiting;        /* id as text -> struct waiting */
    struct sasl_mechanism mechanisms[MECHANISMS_MAX];
    size_t mechanism_count;
};

/* ---- where it is ---- */

/* find_name - at start-up, when waiting harms nobody and files may still be opened. */
static void find_name(struct dovecot *d, struct slice host, uint16_t port)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG}, *list = NULL;
    char *name = slice_string(host);

    if (getaddrinfo(name, NULL, &hints, &list) != 0)
        list = NULL;
    for (const struct addrinfo *at = list; at && d->address_count < ADDRESSES_MAX; at = at->ai_next) {
        struct net_address *address = &d->addresses[d->address_count];
        if (at->ai_addrlen > sizeof(address->u))
            continue;
        memcpy(&address->u, at->ai_addr, at->ai_addrlen);
        address->len = at->ai_addrlen;
        net_address_set_port(address, port);
        d->address_count++;
    }
    if (list)
        freeaddrinfo(list);
    free(name);
}

static void find_addresses(struct dovecot *d, struct slice path)
{
    if (!slice_starts(path, SLICE("inet:"))) {
        d->address_count = net_address_unix(&d->addresses[0], slice_starts(path, SLICE("unix:")) ? slice_from(path, 5) : path);
        return;
    }
    struct slice host = slice_from(path, 5);
    size_t colon = slice_find_last(host, ':');
    uint16_t port = net_service_port(slice_from(host, colon + 1));
    host = slice_first(host, colon);
    if (port == 0)
        return;
    if (net_address_parse(&d->addresses[0], host, port))
        d->address_count = 1;
    else
        find_name(d, host, port);
}

static void *open_dovecot(struct sasl_server *server)
{
    struct dovecot *d = memory_zalloc(1, sizeof(*d));

    d->server = server;
    d->waiting = map_new(NULL);
    d->next_id = 1;
    condition_init(&d->connected);
    semaphore_init(&d->writer, 1);
    find_addresses(d, slice_of(server->settings.path));
    if (d->address_count == 0)
        log_warning("smtpd_sasl_path = %s: neither the path of a socket nor inet:host:port with a host that is known", server->settings.path);
    return d;
}

/* ---- the connection ---- */

static void wake_all(struct dovecot *d)
{
    size_t position = 0;
    struct slice key;
    void *value;

    while (map_next(d->waiting, &position, &key, &value)) {
        struct waiting *w = value;
        w->lost = true;
        condition_broadcast(&w->changed);
    }
}

static void release(struct dovecot *d)
{
    map_free(d->waiting);
    free(d);
}

static void disconnect(struct dovecot *d)
{
    stream_free(d->stream);
    d->stream = NULL;
    d->reader = NULL;
    wake_all(d);
    if (d->closed)
        release(d);
}

static void copy_reply(struct waiting *w, const struct dovecot_reply *reply)
{
    w->reply = *reply;
    w->reply.challenge = arena_slice(w->arena, reply->challenge);
    w->reply.user = arena_slice(w->arena, reply->user);
    w->reply.reason = arena_slice(w->arena, reply->reason);
    w->reply.code = arena_slice(w->arena, reply->code);
    w->done = true;
    condition_broadcast(&w->changed);
}

static struct slice id_key(uint64_t id, char text[24])
{
    snprintf(text, 24, "%llu", (unsigned long long)id);
    return slice_of(text);
}

static void take_reply(struct dovecot *d, const struct dovecot_reply *reply)
{
    char text[24];

    if (reply->verb < DOVECOT_CONT)
        return;
    struct waiting *w = map_get(d->waiting, id_key(reply->id, text));
    if (w && !w->done)
        copy_reply(w, reply);
}

/* read_replies - a fiber, as long as the connection. */
static void read_replies(void *arg)
{
    struct dovecot *d = arg;
    struct stream *stream = d->stream;
    struct arena *arena = arena_new(512);
    struct dovecot_reply reply;
    struct slice line;

    stream_set_deadline(stream, CLOCK_NEVER);
    while (stream_read_line(stream, LINE_MAX_BYTES, &line) == LINE_LF) {
        arena_reset(arena);
        if (!dovecot_reply_parse(line, arena, &reply)) {
            log_warning("SASL: bad reply from Dovecot auth socket '%s'", d->server->settings.path);
            break;
        }
        take_reply(d, &reply);
    }
    arena_free(arena);
    disconnect(d);
}

static bool take_handshake(struct dovecot *d, const struct dovecot_reply *reply, bool *saw_spid)
{
    if (reply->verb == DOVECOT_VERSION && reply->id != 1) {
        log_warning("SASL: Dovecot auth socket '%s' speaks version %llu of the protocol, not 1", d->server->settings.path, (unsigned long long)reply->id);
        return false;
    }
    if (reply->verb == DOVECOT_MECH && d->mechanism_count < MECHANISMS_MAX) {
        struct sasl_mechanism *m = &d->mechanisms[d->mechanism_count++];
        memset(m, 0, sizeof(*m));
        for (size_t i = 0; i < reply->mechanism.len; i++)
            m->name[i] = (char)toupper((unsigned char)reply->mechanism.data[i]);
        m->properties = reply->properties;
    }
    if (reply->verb == DOVECOT_SPID && !*saw_spid) {
        *saw_spid = true;
        if (d->mechanism_count == 0)
            log_warning("SASL: Dovecot auth socket '%s' offers no mechanisms: is it a master socket, where a client socket is needed?", d->server->settings.path);
    }
    return true;
}

/* shake_hands - until DONE. */
static bool shake_hands(struct dovecot *d, struct stream *stream)
{
    struct arena *arena = arena_new(512);
    struct dovecot_reply reply = {0};
    bool good = true, saw_spid = false;
    struct slice line;

    stream_printf(stream, "VERSION\t1\t0\nCPID\t%ld\n", (long)getpid());
    stream_flush(stream);
    d->mechanism_count = 0;
    for (int lines = 0; good && reply.verb != DOVECOT_DONE; lines++) {
        arena_reset(arena);
        good = lines < HANDSHAKE_LINES_MAX && stream_read_line(stream, LINE_MAX_BYTES, &line) == LINE_LF && dovecot_reply_parse(line, arena, &reply) &&
               take_handshake(d, &reply, &saw_spid);
    }
    arena_free(arena);
    return good;
}

static void connect_now(struct dovecot *d)
{
    int64_t deadline = clock_after(CONNECT_TIME);
    int fd = -1;

    errno = EADDRNOTAVAIL;
    for (size_t i = 0; fd < 0 && i < d->address_count; i++)
        fd = net_connect(&d->addresses[i], NULL, deadline);
    if (fd < 0) {
        log_warning("SASL: Connect to Dovecot auth socket '%s' failed: %s", d->server->settings.path, strerror(errno));
        return;
    }
    struct stream *stream = stream_new_fd(fd);
    stream_set_deadline(stream, deadline);
    if (!shake_hands(d, stream)) {
        log_warning("SASL: Dovecot auth socket '%s': the handshake failed: %s", d->server->settings.path,
                    stream_error(stream) == STREAM_TIMEOUT ? "timed out" : stream_error(stream) == STREAM_OK ? "bad answer" : "lost connection");
        stream_free(stream);
        return;
    }
    d->stream = stream;
    d->generation++;
    d->reader = fiber_start("dovecot", read_replies, d);
}

/* connect_dovecot - true when there is a connection; all who need it wait for the one who makes it. */
static bool connect_dovecot(struct dovecot *d)
{
    while (d->connecting)
        condition_wait(&d->connected, CLOCK_NEVER);
    if (d->stream)
        return true;
    if (clock_monotonic() < d->retry_after)
        return false;
    d->connecting = true;
    connect_now(d);
    d->connecting = false;
    if (!d->stream)
        d->retry_after = clock_after(RETRY_TIME);
    condition_broadcast(&d->connected);
    return d->stream != NULL;
}

static void close_dovecot(void *state)
{
    struct dovecot *d = state;

    d->closed = true;
    if (d->reader)
        fiber_cancel(d->reader); /* its read ends */
    else
        release(d);
}

static const struct sasl_mechanism *mechanisms(struct sasl_server *server, size_t *count)
{
    struct dovecot *d = server->state;

    if (!connect_dovecot(d))
        return NULL;
    *count = d->mechanism_count;
    return d->mechanisms;
}

/* ---- requests ---- */

/* write_all - one writer at a time, so that lines do not mix. */
static bool write_all(struct dovecot *d, unsigned generation, struct slice line)
{
    int64_t deadline = clock_after(CONNECT_TIME);
    bool good = semaphore_take(&d->writer, deadline) == WAIT_READY;

    if (!good)
        return false;
    while (line.len > 0 && d->stream && d->generation == generation) {
        ssize_t n = write(stream_fd(d->stream), line.data, line.len);
        if (n > 0)
            line = slice_from(line, (size_t)n);
        else if (n < 0 && errno != EAGAIN && errno != EINTR)
            break;
        else if (n < 0 && errno == EAGAIN && fiber_wait_fd(stream_fd(d->stream), WAIT_WRITE, deadline) != WAIT_READY)
            break;
    }
    semaphore_give(&d->writer);
    return line.len == 0;
}

static void build_request(const struct sasl_exchange *x, uint64_t id, bool has_response, struct slice response, struct buffer *line)
{
    buffer_printf(line, "AUTH\t%llu\t%s\tservice=", (unsigned long long)id, x->mechanism);
    dovecot_escape(line, slice_of(x->server->settings.service));
    buffer_printf(line, "\tnologin\tlip=%s\trip=%s%s", x->peer.server_address, x->peer.client_address, x->peer.secured ? "\tsecured" : "");
    if (has_response) /* must be the last */
        buffer_printf(line, "\tresp=" SLICE_FORMAT, SLICE_ARGS(response.len ? response : SLICE("=")));
    buffer_append_byte(line, '\n');
}

/* ask - send a line and wait for the reply with the number id. */
static bool ask(struct dovecot *d, uint64_t id, struct slice line, struct arena *arena, struct dovecot_reply *reply)
{
    struct waiting w = {.id = id, .arena = arena};
    int64_t deadline = clock_after(REPLY_TIME);
    char text[24];

    condition_init(&w.changed);
    map_set(d->waiting, id_key(id, text), &w);
    bool sent = write_all(d, d->generation, line);
    while (sent && !w.done && !w.lost && condition_wait(&w.changed, deadline) == WAIT_READY)
        continue;
    map_remove(d->waiting, id_key(id, text));
    *reply = w.reply;
    return w.done;
}

struct request {
    uint64_t id;
    unsigned generation; /* of the connection that knows the number */
};

static void tell(const struct dovecot_reply *reply, struct sasl_answer *answer)
{
    *answer = (struct sasl_answer){.user = reply->user};
    switch (reply->verb) {
    case DOVECOT_CONT:
        answer->outcome = SASL_CONTINUE;
        answer->challenge = reply->challenge;
        return;
    case DOVECOT_OK:
        answer->outcome = SASL_OK; /* server.c sees to it that there is a name */
        return;
    default:
        answer->outcome = SASL_FAILED; /* temporary or not: as Postfix does */
        answer->reason = reply->reason;
        answer->layer = reply->temporary ? SASL_LAYER_BACKEND_TROUBLE : reply->disabled ? SASL_LAYER_DISABLED : reply->expired ? SASL_LAYER_EXPIRED
                        : reply->authorization ? SASL_LAYER_AUTHORIZATION
                        : reply->user.len == 0 ? SASL_LAYER_ENCODING : SASL_LAYER_CREDENTIALS;
        return;
    }
}

static void lost(struct sasl_answer *answer)
{
    *answer = (struct sasl_answer){.outcome = SASL_TEMPORARY, .layer = SASL_LAYER_BACKEND_DOWN,
                                   .reason = SLICE("Connection lost to authentication server")};
}

/* begin - the first step; a connection that turns out to be dead gets a second chance. */
static bool begin(struct dovecot *d, struct sasl_exchange *x, bool has_response, struct slice response, struct dovecot_reply *reply)
{
    struct request *request = x->state;
    bool good = false;

    for (int attempt = 0; attempt < 2 && !good && connect_dovecot(d); attempt++) {
        struct buffer line = BUFFER_INIT;
        request->id = d->next_id++ & 0xFFFFFFFF;
        request->generation = d->generation;
        build_request(x, request->id, has_response, response, &line);
        good = ask(d, request->id, buffer_slice(&line), x->arena, reply);
        buffer_release(&line);
        if (!good && d->stream && d->generation == request->generation)
            break; /* it is alive and silent */
    }
    return good;
}

static void step(struct sasl_exchange *x, bool has_response, struct slice response, struct sasl_answer *answer)
{
    struct dovecot *d = x->server->state;
    struct request *request = x->state;
    struct dovecot_reply reply;
    bool good;

    if (!request) {
        x->state = arena_alloc(x->arena, sizeof(*request));
        good = begin(d, x, has_response, response, &reply);
    } else {
        struct buffer line = BUFFER_INIT;
        buffer_printf(&line, "CONT\t%llu\t" SLICE_FORMAT "\n", (unsigned long long)request->id, SLICE_ARGS(response));
        good = d->stream && d->generation == request->generation && ask(d, request->id, buffer_slice(&line), x->arena, &reply);
        buffer_release(&line);
    }
    if (good)
        tell(&reply, answer);
    else
        lost(answer);
}

const struct sasl_driver sasl_driver_dovecot = {"dovecot", open_dovecot, close_dovecot, mechanisms, step, NULL};
