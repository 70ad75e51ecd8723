/* filter_macros.c - the values of macros (compat.md h.3) */
#include "filter_macros.h"

#include "auth.h"
#include "tls/facts.h"

struct question {
    struct session *s;
    struct filter_subject *subject;
};

static struct slice text(const char *value)
{
    return value && *value ? slice_of(value) : (struct slice){0};
}

static struct slice always(struct slice value)
{
    return value.data ? value : SLICE("");
}

/* ---- the client ---- */

static struct slice host_name(const struct question *q) { return text(q->s->server->params.myhostname); }
static struct slice client_name(const struct question *q) { return text(q->s->client.name); }
static struct slice client_pointer(const struct question *q) { return text(q->s->client.reverse_name); }
static struct slice daemon_address(const struct question *q) { return text(q->s->client.server_address); }
static struct slice daemon_port(const struct question *q) { return text(q->s->client.server_port); }

/* client_address - with the prefix "IPv6:", but not from cleanup: so filters know it from Postfix. */
static struct slice client_address(const struct question *q)
{
    return text(q->subject->content ? q->s->client.address : q->s->client.literal);
}

static struct slice client_port(const struct question *q)
{
    return text(q->s->client.port[0] ? q->s->client.port : "0");
}

static struct slice client_connections(const struct question *q)
{
    return q->s->connections ? arena_format(q->s->scratch, "%u", q->s->connections) : (struct slice){0};
}

static struct slice client_resolve(const struct question *q)
{
    static const char *const words[] = {[NAME_KNOWN] = "OK", [NAME_NONE] = "FAIL", [NAME_TRY_AGAIN] = "TEMP", [NAME_FORGED] = "FORGED"};

    return slice_of(words[q->s->client.name_state]);
}

static struct slice sender_of_connection(const struct question *q)
{
    const struct client *c = &q->s->client;
    bool forged = strcasecmp(c->name, c->reverse_name) != 0;

    return arena_format(q->s->scratch, "%s [%s]%s", c->reverse_name, c->address, forged ? " (may be forged)" : "");
}

/* ---- TLS and login ---- */

static struct slice tls_version(const struct question *q) { return text(q->s->tls ? q->s->tls->protocol : NULL); }
static struct slice tls_cipher(const struct question *q) { return text(q->s->tls ? q->s->tls->cipher : NULL); }
static struct slice tls_server_name(const struct question *q) { return text(q->s->tls ? q->s->tls->server_name : NULL); }
/* Names in a certificate that nobody vouches for are whatever the client likes. */
static struct slice tls_subject(const struct question *q) { return text(q->s->tls && q->s->tls->trusted ? q->s->tls->subject : NULL); }
static struct slice tls_issuer(const struct question *q) { return text(q->s->tls && q->s->tls->trusted ? q->s->tls->issuer : NULL); }

static struct slice tls_bits(const struct question *q)
{
    return q->s->tls ? arena_format(q->s->scratch, "%d", q->s->tls->used_bits) : (struct slice){0};
}

static struct slice login_method(const struct question *q) { return text(q->s->login ? q->s->login->method : NULL); }
static struct slice login_user(const struct question *q) { return text(q->s->login ? q->s->login->user : NULL); }

static struct slice login_sender(const struct question *q)
{
    struct slice sender = q->s->mail ? auth_sender(q->s) : (struct slice){0};

    return sender.len ? sender : (struct slice){0};
}

/* ---- the message ---- */

static struct slice queue_id(const struct question *q) { return text(q->s->mail ? q->s->mail->queue_id : NULL); }

static void resolve(struct session *s, struct slice address, struct arena *arena, struct route_result *result)
{
    struct route *route = s->server->route;

    if (address.len == 0) /* what comes from nobody goes back to the postmaster's place */
        address = arena_format(arena, "MAILER-DAEMON@%s", s->server->params.myorigin);
    route_resolve(route, SLICE(""), route_rewrite(route, SLICE("local"), address, arena), false, arena, result);
}

static struct slice mail_address(const struct question *q)
{
    return q->s->mail ? always(q->s->mail->sender) : (struct slice){0};
}

static const struct route_result *sender_route(const struct question *q)
{
    struct transaction *t = q->s->mail;
    struct route_result *result;

    if (!t)
        return NULL;
    if (t->sender_route && t->sender.len)
        return t->sender_route;
    result = arena_alloc(t->arena, sizeof(*result));
    resolve(q->s, t->sender, t->arena, result);
    if (t->sender.len)
        t->sender_route = result;
    return result;
}

static struct slice mail_host(const struct question *q)
{
    const struct route_result *route = sender_route(q);

    return route ? always(route->next_hop) : (struct slice){0};
}

static struct slice mail_mailer(const struct question *q)
{
    const struct route_result *route = sender_route(q);

    return route ? always(route->transport) : (struct slice){0};
}

static void find_recipient_route(const struct question *q)
{
    struct filter_subject *r = q->subject;
    struct route_result result;

    if (r->host.data || !r->address.data)
        return;
    resolve(q->s, r->address, q->s->scratch, &result);
    r->host = always(result.next_hop);
    r->mailer = always(result.transport);
}

static struct slice recipient_address(const struct question *q) { return q->subject->address; }

static struct slice recipient_host(const struct question *q)
{
    find_recipient_route(q);
    return q->subject->host;
}

static struct slice recipient_mailer(const struct question *q)
{
    find_recipient_route(q);
    return q->subject->mailer;
}

/* ---- all of them; {daemon_name} and v are known in lib/milter ---- */

struct macro {
    const char *name;
    struct slice (*value)(const struct question *q);
};

static const struct macro macros[] = {
    {"j", host_name}, {"_", sender_of_connection}, {"i", queue_id},
    {"client_addr", client_address}, {"client_name", client_name}, {"client_port", client_port}, {"client_ptr", client_pointer},
    {"client_connections", client_connections}, {"client_resolve", client_resolve},
    {"daemon_addr", daemon_address}, {"daemon_port", daemon_port}, {"if_addr", daemon_address},
    {"tls_version", tls_version}, {"cipher", tls_cipher}, {"cipher_bits", tls_bits}, {"cert_subject", tls_subject}, {"cert_issuer", tls_issuer},
    {"tls_sni", tls_server_name},
    {"auth_type", login_method}, {"auth_authen", login_user}, {"auth_author", login_sender},
    {"mail_addr", mail_address}, {"mail_host", mail_host}, {"mail_mailer", mail_mailer},
    {"rcpt_addr", recipient_address}, {"rcpt_host", recipient_host}, {"rcpt_mailer", recipient_mailer},
};

struct slice filter_macro(struct session *s, struct filter_subject *subject, struct slice name)
{
    struct question q = {s, subject};
    struct slice value = {0};

    if (name.len > 2 && name.data[0] == '{')
        name = slice_make(name.data + 1, name.len - 2);
    for (size_t i = 0; i < COUNT_OF(macros); i++)
        if (slice_equal(name, slice_of(macros[i].name)))
            value = macros[i].value(&q);
    return value;
}
