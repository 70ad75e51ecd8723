/* policy.c - the client of policy servers: connections kept for the next request, a second try, the answer */
#include "policy/policy.h"

#include "base/clock.h"
#include "base/log.h"
#include "dns/dns.h"
#include "net/address.h"
#include "net/stream.h"
#include "run/run.h"
#include "table/server.h"

enum {
    IDLE_MAX = 100,       /* connections that are kept */
    LINE_MAX_BYTES = 8192, /* of an answer */
    LINES_MAX = 100,
    BROKEN_REPLY = EPROTO
};

#define POLICY_PARAMETERS(X) \
    X(TIME, smtpd_policy_service_timeout) X(TIME, smtpd_policy_service_max_idle) X(TIME, smtpd_policy_service_max_ttl) \
    X(TIME, smtpd_policy_service_retry_delay) X(INT, smtpd_policy_service_try_limit) X(INT, smtpd_policy_service_request_limit) \
    X(STRING, smtpd_policy_service_default_action) X(STRING, smtpd_policy_service_policy_context)

struct policy_params {
    CONFIG_MEMBERS(POLICY_PARAMETERS)
};

struct connection {
    struct connection *next; /* of policy.idle */
    struct stream *stream;
    int64_t opened, used; /* clock_monotonic */
    int64_t requests;
};

struct policy {
    struct config *config;   /* own copy: the parameters' strings */
    struct policy_params params;
    char *endpoint;          /* as written */
    struct slice shown;      /* without the type */
    struct server server;    /* where it is; never connected itself */
    struct net_address address; /* of a name: what it was at start; len 0: not known then */
    bool by_name;
    struct connection *idle; /* the one used last comes first */
    size_t idle_count;
};

/* ---- settings ------------------------------------------------------------------------------------------------------ */

/* set_option - "timeout=10s" or "{ default_action = DEFER try later }". */
static bool set_option(struct config *config, struct slice option)
{
    struct slice name, value;
    struct buffer full = BUFFER_INIT;

    config_braced(option, &option);
    if (!slice_cut(option, '=', &name, &value))
        return false;
    buffer_printf(&full, "smtpd_policy_service_" SLICE_FORMAT, SLICE_ARGS(slice_trim(name)));
    bool known = parameter_find(buffer_slice(&full)) != NULL;
    bool good = known && config_set_fits(config, buffer_slice(&full), slice_trim(value));
    buffer_release(&full);
    return good;
}

static bool take_options(struct policy *policy, struct slice rest)
{
    struct slice option;

    while (config_list_next(&rest, &option)) {
        if (!set_option(policy->config, option)) {
            log_warning("check_policy_service %s: bad option: " SLICE_FORMAT, policy->endpoint, SLICE_ARGS(option));
            return false;
        }
    }
    return true;
}

static bool find_address(struct policy *policy)
{
    struct server *server = &policy->server;

    if (!server_parse(server, slice_of(policy->endpoint), true))
        return false;
    if (server->port == 0)
        return net_address_unix(&policy->address, server->host);
    struct slice host = slice_equal_case(server->host, SLICE("localhost")) ? SLICE("127.0.0.1") : server->host;
    if (net_address_parse(&policy->address, host, server->port))
        return true;
    policy->address = server->known;
    policy->by_name = host.len > 0;
    return policy->by_name;
}

/* CONFIG_BINDINGS wants to know whose members they are. */
#define CONFIG_STRUCT struct policy_params
static void fill(struct policy *policy)
{
    static const struct config_binding bindings[] = {CONFIG_BINDINGS(POLICY_PARAMETERS)};

    config_fill(policy->config, bindings, COUNT_OF(bindings), &policy->params);
}
#undef CONFIG_STRUCT

struct policy *policy_open(struct slice text, struct config *config)
{
    struct policy *policy = memory_zalloc(1, sizeof(*policy));
    struct slice endpoint = text, rest = {0};

    if (config_braced(text, &rest) && !config_list_next(&rest, &endpoint))
        endpoint = SLICE("");
    policy->config = config_copy_quiet(config);
    policy->endpoint = slice_string(endpoint);
    policy->shown = slice_of(policy->endpoint);
    if (slice_starts(policy->shown, SLICE("inet:")) || slice_starts(policy->shown, SLICE("unix:")))
        policy->shown = slice_from(policy->shown, 5);
    bool good = find_address(policy);
    if (!good)
        log_warning("check_policy_service " SLICE_FORMAT ": need inet:host:port or unix:path", SLICE_ARGS(text));
    if (good && take_options(policy, rest)) {
        fill(policy);
        return policy;
    }
    policy_close(policy);
    return NULL;
}

struct slice policy_default_action(const struct policy *policy)
{
    return slice_of(policy->params.smtpd_policy_service_default_action);
}

struct slice policy_context(const struct policy *policy)
{
    return slice_of(policy->params.smtpd_policy_service_policy_context);
}

/* ---- connections --------------------------------------------------------------------------------------------------- */

static void drop(struct connection *c)
{
    stream_free(c->stream);
    free(c);
}

void policy_close(struct policy *policy)
{
    if (!policy)
        return;
    for (struct connection *c = policy->idle, *next; c; c = next) {
        next = c->next;
        drop(c);
    }
    config_free(policy->config);
    free(policy->endpoint);
    free(policy);
}

/* is_stale - too old, or the server has closed it (or said something that nobody asked for). */
static bool is_stale(const struct policy *policy, struct connection *c)
{
    const struct policy_params *p = &policy->params;
    int64_t now = clock_monotonic();

    return now - c->used > p->smtpd_policy_service_max_idle || now - c->opened > p->smtpd_policy_service_max_ttl ||
           (p->smtpd_policy_service_request_limit > 0 && c->requests >= p->smtpd_policy_service_request_limit) || stream_pending(c->stream);
}

static struct connection *take_idle(struct policy *policy)
{
    for (struct connection *c; (c = policy->idle) != NULL;) {
        policy->idle = c->next;
        policy->idle_count--;
        if (!is_stale(policy, c))
            return c;
        drop(c);
    }
    return NULL;
}

/* open_connection - NULL with an errno in *error. */
static struct connection *open_connection(struct policy *policy, int64_t deadline, int *error)
{
    int fd = policy->address.len > 0 ? net_connect(&policy->address, NULL, deadline) : -1;

    if (fd < 0 && policy->by_name)
        fd = dns_connect(policy->server.host, policy->server.port, deadline);
    if (fd < 0) {
        *error = errno;
        log_warning("connect to " SLICE_FORMAT ": %s", SLICE_ARGS(policy->shown), strerror(*error));
        return NULL;
    }
    struct connection *c = memory_zalloc(1, sizeof(*c));
    c->stream = stream_new_fd(fd);
    c->opened = clock_monotonic();
    return c;
}

static void keep(struct policy *policy, struct connection *c)
{
    c->used = clock_monotonic();
    c->requests++;
    if (policy->idle_count >= IDLE_MAX || is_stale(policy, c)) {
        drop(c);
        return;
    }
    c->next = policy->idle;
    policy->idle = c;
    policy->idle_count++;
}

/* ---- requests ------------------------------------------------------------------------------------------------------ */

void policy_put(struct buffer *request, const char *name, struct slice value)
{
    buffer_printf(request, "%s=", name);
    for (size_t i = 0; i < value.len; i++) {
        unsigned char byte = (unsigned char)value.data[i];
        buffer_append_byte(request, byte < ' ' || byte == 127 ? '?' : (char)byte);
    }
    buffer_append_byte(request, '\n');
}

void policy_put_number(struct buffer *request, const char *name, int64_t value)
{
    buffer_printf(request, "%s=%lld\n", name, (long long)value);
}

bool policy_reply_line(struct slice line, struct slice *action)
{
    struct slice name, value;

    if (!slice_cut(line, '=', &name, &value))
        return false;
    if (slice_equal(name, SLICE("action")))
        *action = value;
    return true;
}

int policy_read_reply(struct stream *stream, struct buffer *action)
{
    bool seen = false;

    for (int lines = 0; lines < LINES_MAX; lines++) {
        struct slice line, value = {0};
        enum line_end end = stream_read_line(stream, LINE_MAX_BYTES, &line);
        if (end == LINE_NONE)
            return stream_error(stream) == STREAM_TIMEOUT ? ETIMEDOUT : stream_error(stream) == STREAM_END ? ECONNRESET : stream_errno(stream);
        if (end == LINE_TOO_LONG)
            return BROKEN_REPLY;
        if (line.len == 0)
            return seen ? 0 : BROKEN_REPLY;
        if (!policy_reply_line(line, &value))
            return BROKEN_REPLY;
        if (value.data) {
            buffer_clear(action);
            buffer_append_slice(action, value);
            seen = true;
        }
    }
    return BROKEN_REPLY;
}

/* try_once - 0, or an errno. */
static int try_once(struct policy *policy, struct slice request, struct buffer *action)
{
    int64_t deadline = clock_after(policy->params.smtpd_policy_service_timeout);
    struct connection *c = take_idle(policy);
    int error = 0;

    if (!c && !(c = open_connection(policy, deadline, &error)))
        return error;
    stream_set_deadline(c->stream, deadline);
    stream_write_slice(c->stream, request);
    stream_write_slice(c->stream, SLICE("\n"));
    error = stream_flush(c->stream) ? policy_read_reply(c->stream, action) : ECONNRESET;
    if (error == 0)
        keep(policy, c);
    else
        drop(c);
    return error;
}

/* is_quiet - a server that ends idle connections is no news at the first try. */
static bool is_quiet(int error, int64_t tries)
{
    return tries == 1 && (error == ECONNRESET || error == EPIPE || error == ENOENT);
}

bool policy_ask(struct policy *policy, struct slice request, struct buffer *action)
{
    for (int64_t tries = 1;; tries++) {
        int error = try_once(policy, request, action);
        if (error == 0)
            return true;
        bool last = tries >= policy->params.smtpd_policy_service_try_limit;
        if (last || !is_quiet(error, tries))
            log_warning("problem talking to server " SLICE_FORMAT ": %s", SLICE_ARGS(policy->shown),
                        error == ECONNRESET ? "Application error" : strerror(error));
        if (last)
            return false;
        fiber_sleep(policy->params.smtpd_policy_service_retry_delay);
    }
}
