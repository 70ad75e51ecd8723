/* cyrus_library.c - asking the processes in which Cyrus SASL's library works (see cyrus_library.h) */
#include "sasl/cyrus_library.h"

#include <fcntl.h>
#include <openssl/crypto.h>
#include <sys/socket.h>

#include "base/log.h"
#include "run/run.h"
#include "sasl/cyrus_helper.h"
#include "sasl/password.h"

enum {
    MECHANISMS_MAX = 32,
    TIME_LIMIT = 30 * 1000000, /* microseconds for a step, and for one's turn */
    RESPONSE_MAX = CYRUS_MESSAGE_MAX / 2
};

/* One of the processes: one question at a time. */
struct worker {
    int fd;
    unsigned waiting; /* those that have it or want it */
    struct semaphore turn;
};

struct cyrus_library {
    struct worker workers[CYRUS_WORKERS];
    int life;
    bool started, tells_users;
    uint32_t last_serial, last_exchange;
    struct sasl_mechanism offered[MECHANISMS_MAX];
    size_t offered_count;
};

/* An exchange's part in here. */
struct state {
    struct worker *worker;
    uint32_t id;
};

struct cyrus_library *cyrus_library_new(struct sasl_server *server, const char *directories, const char *database, bool tells_users)
{
    const struct sasl_server_settings *s = &server->settings;
    struct cyrus_settings settings = {s->path, directories, s->service, config_string(s->config, "myhostname"), s->local_domain,
                                      config_string(s->config, "mail_owner"), database};
    struct cyrus_library *l = memory_zalloc(1, sizeof(*l));
    int sockets[CYRUS_WORKERS];

    l->tells_users = tells_users;
    l->started = cyrus_helper_start(&settings, sockets, &l->life);
    if (!l->started)
        log_warning("smtpd_sasl_type = cyrus: Cyrus SASL's library cannot be used: %s: AUTH is not offered", strerror(errno));
    for (size_t i = 0; l->started && i < CYRUS_WORKERS; i++) {
        l->workers[i].fd = sockets[i];
        semaphore_init(&l->workers[i].turn, 1);
        if (fcntl(sockets[i], F_SETFL, O_NONBLOCK) < 0)
            log_fatal("fcntl: %s", strerror(errno));
    }
    return l;
}

void cyrus_library_free(struct cyrus_library *l)
{
    if (!l)
        return;
    for (size_t i = 0; l->started && i < CYRUS_WORKERS; i++) {
        fiber_forget_fd(l->workers[i].fd);
        close(l->workers[i].fd);
    }
    if (l->started)
        close(l->life);
    free(l);
}

/* ---- questions ---- */

/* idlest - the first that has nothing to do, so that there are no more processes than needed. */
static struct worker *idlest(struct cyrus_library *l)
{
    struct worker *best = &l->workers[0];

    for (size_t i = 1; i < CYRUS_WORKERS; i++)
        if (l->workers[i].waiting < best->waiting)
            best = &l->workers[i];
    return best;
}

static bool send_request(struct worker *w, const struct cyrus_request *request, struct slice mechanism, struct slice response, int64_t deadline)
{
    struct iovec parts[] = {{(void *)(uintptr_t)request, sizeof(*request)}, {(void *)(uintptr_t)mechanism.data, mechanism.len},
                            {(void *)(uintptr_t)response.data, response.len}};
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = COUNT_OF(parts)};

    while (sendmsg(w->fd, &message, MSG_NOSIGNAL) < 0) {
        if (errno == EINTR)
            continue;
        if ((errno != EAGAIN && errno != EWOULDBLOCK) || fiber_wait_fd(w->fd, WAIT_WRITE, deadline) != WAIT_READY)
            return false;
    }
    return true;
}

/* read_reply - to this question; late replies to earlier ones are dropped.  False: none came. */
static bool read_reply(struct worker *w, uint32_t serial, struct cyrus_reply *reply, struct buffer *rest, int64_t deadline)
{
    for (;;) {
        char *data = buffer_reserve(rest, CYRUS_MESSAGE_MAX);
        ssize_t got = recv(w->fd, data, CYRUS_MESSAGE_MAX, 0);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK) && fiber_wait_fd(w->fd, WAIT_READ, deadline) == WAIT_READY)
            continue;
        if (got < (ssize_t)sizeof(*reply))
            return false;
        memcpy(reply, data, sizeof(*reply));
        if (reply->serial != serial && reply->serial != 0)
            continue;
        buffer_commit(rest, (size_t)got);
        buffer_consume(rest, sizeof(*reply));
        return reply->serial == serial && reply->result < CYRUS_RESULT_COUNT && reply->user_length <= rest->len;
    }
}

/* ask - false: no answer; rest is the reply's user and text. */
static bool ask(struct cyrus_library *l, struct worker *w, struct cyrus_request *request, struct slice mechanism, struct slice response,
                struct cyrus_reply *reply, struct buffer *rest)
{
    int64_t deadline = clock_after(TIME_LIMIT);
    bool good = false;

    w->waiting++;
    if (semaphore_take(&w->turn, deadline) == WAIT_READY) {
        if (++l->last_serial == 0)
            l->last_serial = 1;
        request->serial = l->last_serial;
        good = send_request(w, request, mechanism, response, deadline) && read_reply(w, request->serial, reply, rest, deadline);
        if (!good)
            log_warning("SASL: no answer from the process in which Cyrus SASL works");
        semaphore_give(&w->turn);
    }
    w->waiting--;
    return good;
}

static void take_mechanisms(struct cyrus_library *l, struct slice names)
{
    struct slice name;

    while (l->offered_count < MECHANISMS_MAX && slice_next_token(&names, " ", &name)) {
        if (!sasl_mechanism_is_name(name))
            continue;
        struct sasl_mechanism *m = &l->offered[l->offered_count++];
        snprintf(m->name, sizeof(m->name), SLICE_FORMAT, SLICE_ARGS(name));
        m->properties = sasl_mechanism_properties(name);
    }
}

const struct sasl_mechanism *cyrus_library_mechanisms(struct cyrus_library *l, size_t *count)
{
    struct cyrus_request request = {.command = CYRUS_MECHANISMS};
    struct buffer rest = BUFFER_INIT;
    struct cyrus_reply reply;

    if (l->started && l->offered_count == 0 && ask(l, idlest(l), &request, (struct slice){0}, (struct slice){0}, &reply, &rest) && l->offered_count == 0)
        take_mechanisms(l, buffer_slice(&rest));
    buffer_release(&rest);
    *count = l->offered_count;
    return l->offered_count ? l->offered : NULL;
}

/* ---- exchanges ---- */

static const enum sasl_layer layers[CYRUS_RESULT_COUNT] = {
    [CYRUS_UNKNOWN_USER] = SASL_LAYER_UNKNOWN_USER, [CYRUS_WRONG] = SASL_LAYER_CREDENTIALS, [CYRUS_VERIFIER] = SASL_LAYER_VERIFIER,
    [CYRUS_DISABLED] = SASL_LAYER_DISABLED, [CYRUS_EXPIRED] = SASL_LAYER_EXPIRED, [CYRUS_AUTHORIZATION] = SASL_LAYER_AUTHORIZATION,
    [CYRUS_MECHANISM] = SASL_LAYER_MECHANISM, [CYRUS_ENCODING] = SASL_LAYER_ENCODING, [CYRUS_CLEARTEXT] = SASL_LAYER_CLEARTEXT,
    [CYRUS_DOWN] = SASL_LAYER_BACKEND_DOWN, [CYRUS_TROUBLE] = SASL_LAYER_BACKEND_TROUBLE,
};

static void take_answer(const struct cyrus_library *l, struct sasl_exchange *x, const struct cyrus_reply *reply, struct slice rest, struct sasl_answer *answer)
{
    struct slice user = arena_slice(x->arena, slice_first(rest, reply->user_length));

    if (reply->result == CYRUS_MORE) {
        sasl_challenge(x, slice_from(rest, reply->user_length), answer);
        return;
    }
    enum sasl_outcome outcome = reply->result == CYRUS_GOOD ? SASL_OK : reply->result >= CYRUS_DOWN ? SASL_TEMPORARY : SASL_FAILED;
    enum sasl_layer layer = reply->result == CYRUS_WRONG && l->tells_users ? SASL_LAYER_WRONG_PASSWORD : layers[reply->result];
    sasl_decide(answer, outcome, layer, user);
}

static struct state *begin(struct cyrus_library *l, struct sasl_exchange *x)
{
    struct state *state = arena_alloc(x->arena, sizeof(*state));

    if (++l->last_exchange == 0)
        l->last_exchange = 1;
    *state = (struct state){idlest(l), l->last_exchange};
    return state;
}

void cyrus_library_step(struct cyrus_library *l, struct sasl_exchange *x, bool has_response, struct slice response, struct sasl_answer *answer)
{
    bool first = x->state == NULL;
    struct cyrus_request request = {.command = first ? CYRUS_START : CYRUS_STEP, .has_response = has_response};
    struct slice mechanism = first ? slice_of(x->mechanism) : (struct slice){0};
    struct buffer rest = BUFFER_INIT;
    struct cyrus_reply reply;

    if (response.len > RESPONSE_MAX) {
        sasl_decide(answer, SASL_FAILED, SASL_LAYER_ENCODING, (struct slice){0});
        return;
    }
    if (first && l->started)
        x->state = begin(l, x);
    struct state *state = x->state;
    request.exchange = state ? state->id : 0;
    request.mechanism_length = (uint8_t)mechanism.len;
    if (state && ask(l, state->worker, &request, mechanism, response, &reply, &rest))
        take_answer(l, x, &reply, buffer_slice(&rest), answer);
    else
        sasl_decide(answer, SASL_TEMPORARY, SASL_LAYER_BACKEND_DOWN, (struct slice){0});
    if (rest.data)
        OPENSSL_cleanse(rest.data, rest.capacity);
    buffer_release(&rest);
}

void cyrus_library_end(struct cyrus_library *l, struct sasl_exchange *x)
{
    struct state *state = x->state;
    struct cyrus_request request = {.command = CYRUS_END, .exchange = state ? state->id : 0};

    if (state && send(state->worker->fd, &request, sizeof(request), MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
        log_debug("SASL: the end of an exchange was not told: %s", strerror(errno)); /* the oldest make room there */
}
