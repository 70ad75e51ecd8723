/* server.c (sasl) - back ends by type, and what is the same for all of them */
#include "sasl/server.h"

#include "base/log.h"
#include "sasl/base64.h"
#include "sasl/driver.h"

enum { USER_MAX = 512 /* bytes */ };

/* ---- words ---- */

static const struct { const char *name, *meaning, *mend; } layers[] = {
#define LAYER(id, name, meaning, mend) [SASL_LAYER_##id] = {name, meaning, mend},
    SASL_LAYERS(LAYER)
#undef LAYER
};

const char *sasl_layer_name(enum sasl_layer layer)
{
    return layers[layer].name;
}

const char *sasl_layer_meaning(enum sasl_layer layer)
{
    return layers[layer].meaning;
}

const char *sasl_layer_mend(enum sasl_layer layer)
{
    return layers[layer].mend;
}

/* ---- servers ---- */

static const struct sasl_driver *const drivers[] = {&sasl_driver_dovecot, &sasl_driver_file, &sasl_driver_cyrus};

struct sasl_server *sasl_server_new(const struct sasl_server_settings *settings)
{
    struct sasl_server *server = memory_zalloc(1, sizeof(*server));
    struct buffer name = BUFFER_INIT;

    server->settings = *settings;
    for (size_t i = 0; i < COUNT_OF(drivers); i++)
        if (strcasecmp(settings->type, drivers[i]->type) == 0)
            server->driver = drivers[i];
    if (!server->driver)
        log_fatal("bad configuration: smtpd_sasl_type = %s: there are dovecot, cyrus, file", settings->type);
    buffer_printf(&name, "%s:%s", server->driver->type, settings->path);
    server->name = buffer_steal(&name);
    server->state = server->driver->open(server);
    return server;
}

void sasl_server_free(struct sasl_server *server)
{
    if (!server)
        return;
    if (server->driver->close)
        server->driver->close(server->state);
    free(server->name);
    free(server);
}

const char *sasl_server_name(const struct sasl_server *server)
{
    return server->name;
}

bool sasl_server_mechanisms(struct sasl_server *server, struct sasl_security security, struct buffer *names)
{
    size_t count, before = names->len;
    const struct sasl_mechanism *all = server->driver->mechanisms(server, &count);

    for (size_t i = 0; all && i < count; i++)
        if (sasl_security_allows(security, all[i].properties))
            buffer_printf(names, "%s%s", names->len > before ? " " : "", all[i].name);
    return all != NULL;
}

/* ---- exchanges ---- */

struct sasl_exchange *sasl_exchange_new(struct sasl_server *server, struct slice mechanism, const struct sasl_peer *peer)
{
    struct arena *arena = arena_new(1024);
    struct sasl_exchange *exchange = arena_alloc(arena, sizeof(*exchange));

    exchange->arena = arena;
    exchange->server = server;
    exchange->peer = *peer;
    for (size_t i = 0; i < mechanism.len && i < SASL_MECHANISM_MAX; i++)
        exchange->mechanism[i] = (char)toupper((unsigned char)mechanism.data[i]);
    if (!sasl_mechanism_is_name(mechanism))
        exchange->mechanism[0] = '\0';
    return exchange;
}

void sasl_exchange_free(struct sasl_exchange *exchange)
{
    if (!exchange)
        return;
    if (exchange->server->driver->end)
        exchange->server->driver->end(exchange);
    arena_free(exchange->arena);
}

/* refuse_mechanism - is it none that this session may use?  Says why. */
static bool refuse_mechanism(const struct sasl_exchange *x, struct sasl_answer *answer)
{
    size_t count;
    const struct sasl_mechanism *all = x->server->driver->mechanisms(x->server, &count);

    if (!all)
        return false; /* the step tells */
    const char *words = x->server->driver->unknown_mechanism;
    *answer = (struct sasl_answer){.outcome = SASL_FAILED, .layer = SASL_LAYER_MECHANISM, .reason = words ? slice_of(words) : SLICE("Invalid authentication mechanism")};
    for (size_t i = 0; i < count; i++) {
        if (strcmp(all[i].name, x->mechanism) != 0)
            continue;
        if (sasl_security_allows(x->peer.security, all[i].properties))
            return false;
        if (!x->peer.secured && sasl_security_allows(x->peer.security_encrypted, all[i].properties))
            answer->layer = SASL_LAYER_CLEARTEXT;
    }
    return true;
}

/* is_user_name - it goes into headers, log lines and the protocols of policy servers: no back end may put line ends there. */
static bool is_user_name(struct slice user)
{
    return user.len > 0 && user.len <= USER_MAX && !slice_has_control(user);
}

void sasl_exchange_step(struct sasl_exchange *x, bool has_response, struct slice response, struct sasl_answer *answer)
{
    memset(answer, 0, sizeof(*answer));
    if (x->steps == 0 && refuse_mechanism(x, answer))
        return;
    if (x->steps == 0 && has_response && slice_equal(response, SLICE("=")))
        response.len = 0; /* empty, but there (RFC 4954 4) */
    else if (has_response && !base64_decode(response, NULL)) {
        *answer = (struct sasl_answer){.outcome = SASL_FAILED, .layer = SASL_LAYER_ENCODING,
                                       .reason = x->steps == 0 ? SLICE("Invalid base64 data in initial response") : SLICE("Invalid base64 data in continued response")};
        return;
    }
    x->server->driver->step(x, has_response, response, answer);
    x->steps++;
    if (answer->outcome == SASL_OK && !is_user_name(answer->user))
        *answer = (struct sasl_answer){.outcome = SASL_FAILED, .layer = SASL_LAYER_BACKEND_TROUBLE, .reason = SLICE("Authentication backend error")};
}
