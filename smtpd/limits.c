/* limits.c - limits by client: connections, messages, recipients per time unit, counted by the anvil service (compat.md d.4) */
#include "anvil_client.h"
#include "base/log.h"
#include "commands.h"
#include "network.h"

/* ident - "service:client"; clients of one network are one. */
static struct slice ident(struct session *s)
{
    const struct smtpd_params *p = &s->server->params;
    struct buffer text = BUFFER_INIT;

    if (!s->client.has_address)
        return arena_format(s->scratch, "%s:%s", s->server->service_name, s->client.address);
    network_text(&s->client.peer, p->smtpd_client_ipv4_prefix_length, p->smtpd_client_ipv6_prefix_length, &text);
    struct slice result = arena_format(s->scratch, "%s:%s", s->server->service_name, buffer_string(&text));
    buffer_release(&text);
    return result;
}

static bool ask(struct session *s, int verb, struct anvil_reply *reply)
{
    return s->counted && anvil_client_ask(s->server->anvil, verb, ident(s), reply);
}

static bool is_over(struct session *s, int64_t count, int64_t limit, const char *what)
{
    if (limit <= 0 || count <= limit)
        return false;
    log_warning("%s limit exceeded: %lld from %s for service %s", what, (long long)count, s->client.text, s->server->service_name);
    return true;
}

bool limits_connect(struct session *s)
{
    const struct smtpd_params *p = &s->server->params;
    struct anvil_reply reply;

    s->exempt = !s->server->counts_clients || client_is_in(&s->client, s->server->event_exceptions) || client_is_in(&s->client, s->server->xclient_hosts);
    if (s->exempt)
        return false;
    s->counted = anvil_client_ask(s->server->anvil, ANVIL_CONNECT, ident(s), &reply);
    if (!s->counted)
        return false;
    s->connections = (unsigned)reply.connections;
    return is_over(s, reply.connections, p->smtpd_client_connection_count_limit, "Connection concurrency") ||
           is_over(s, reply.rate, p->smtpd_client_connection_rate_limit, "Connection rate");
}

void limits_disconnect(struct session *s)
{
    struct anvil_reply reply;

    ask(s, ANVIL_DISCONNECT, &reply);
    s->counted = false;
}

bool limits_message(struct session *s)
{
    int64_t limit = s->server->params.smtpd_client_message_rate_limit;
    struct anvil_reply reply;

    return limit > 0 && ask(s, ANVIL_MESSAGE, &reply) && is_over(s, reply.rate, limit, "Message delivery request rate");
}

bool limits_tls(struct session *s)
{
    int64_t limit = s->server->params.smtpd_client_new_tls_session_rate_limit;
    struct anvil_reply reply;

    return limit > 0 && ask(s, ANVIL_TLS, &reply) && is_over(s, reply.rate, limit, "New TLS session rate");
}

bool limits_recipient(struct session *s)
{
    int64_t limit = s->server->params.smtpd_client_recipient_rate_limit;
    struct anvil_reply reply;

    return limit > 0 && ask(s, ANVIL_RECIPIENT, &reply) && is_over(s, reply.rate, limit, "Recipient address rate");
}

bool limits_auth(struct session *s)
{
    int64_t limit = s->server->params.smtpd_client_auth_rate_limit;
    struct anvil_reply reply;

    return limit > 0 && ask(s, ANVIL_AUTH, &reply) && is_over(s, reply.rate, limit, "AUTH command rate");
}
