/* transaction.c - one message on its way in */
#include "transaction.h"

#include "auth.h"
#include "base/log.h"
#include "intake.h"
#include "reception.h"
#include "session.h"
#include "user_limits.h"

struct transaction *transaction_new(void)
{
    static uint64_t count;
    struct arena *arena = arena_new(1536);
    struct transaction *t = arena_alloc(arena, sizeof(*t));

    t->arena = arena;
    t->arrival = clock_wall();
    t->number = ++count;
    return t;
}

void transaction_free(struct transaction *t)
{
    if (!t)
        return;
    reception_free(t->reception);
    intake_cancel(t->intake);
    user_limits_return(t->user_claim);
    buffer_release(&t->prepended);
    arena_free(t->arena);
}

/* append - a recipient to an array in the arena. */
static void append(struct transaction *t, struct recipient **array, size_t *count, size_t *room, const struct recipient *recipient)
{
    if (*count == *room) {
        size_t wanted = *room ? *room * 2 : 4;
        struct recipient *larger = arena_alloc(t->arena, wanted * sizeof(*larger));
        if (*count)
            memcpy(larger, *array, *count * sizeof(*larger));
        *array = larger;
        *room = wanted;
    }
    struct recipient *r = &(*array)[(*count)++];
    *r = *recipient;
    r->address = arena_slice(t->arena, recipient->address);
    r->orcpt = arena_slice(t->arena, recipient->orcpt);
}

void transaction_add_recipient(struct transaction *t, const struct recipient *recipient)
{
    append(t, &t->recipients, &t->recipient_count, &t->recipient_room, recipient);
}

void transaction_add_bcc(struct transaction *t, struct slice address)
{
    struct recipient recipient = {.address = address, .notify = NOTIFY_NEVER};

    append(t, &t->bcc, &t->bcc_count, &t->bcc_room, &recipient);
}

/* log_client - who sent the message (compat.md i.2). */
static void log_client(struct session *s)
{
    struct buffer line = BUFFER_INIT_MAX(2048);
    const struct forwarded *f = s->forwarded;

    buffer_printf(&line, "%s: client=%s", session_queue_id(s), s->client.text);
    if (s->login)
        buffer_printf(&line, ", sasl_method=%s, sasl_username=%s", s->login->method, s->login->user);
    if (auth_sender(s).len)
        buffer_printf(&line, ", sasl_sender=" SLICE_FORMAT, SLICE_ARGS(auth_sender(s)));
    if (f && f->ident)
        buffer_printf(&line, ", orig_queue_id=%s", f->ident);
    if (f && f->address && strcmp(f->address, "unknown") != 0)
        buffer_printf(&line, ", orig_client=%s[%s]", f->name ? f->name : "unknown", f->address);
    else if (f && f->name)
        buffer_printf(&line, ", orig_client=%s", f->name);
    log_info("%s", buffer_string(&line));
    buffer_release(&line);
}

bool transaction_open_queue(struct session *s, struct submit_outcome *refusal)
{
    struct transaction *t = s->mail;

    if (t->intake)
        return true;
    t->intake = intake_open(s, refusal);
    if (!t->intake)
        return false;
    t->queue_id = intake_queue_id(t->intake)[0] ? arena_strdup(t->arena, intake_queue_id(t->intake)) : NULL;
    log_client(s);
    return true;
}

/* ---- the envelope ---- */

static struct slice text(const char *value)
{
    return slice_of(value ? value : "");
}

/* set_origin - log_: where the message came from first, as XFORWARD told, else the client itself. */
static void set_origin(struct session *s, struct envelope *e)
{
    const struct forwarded *f = s->forwarded;

    e->log_client_name = text(f && f->name ? f->name : s->client.name);
    e->log_client_address = text(f && f->address ? f->address : s->client.address);
    e->log_client_port = text(f && f->port ? f->port : s->client.port);
    e->log_helo_name = text(f && f->helo ? f->helo : s->helo);
    e->log_protocol_name = text(f && f->protocol ? f->protocol : session_protocol(s));
    e->log_ident = text(f ? f->ident : NULL);
    if (!f || !(f->name || f->address))
        e->log_message_origin = text(s->client.text);
    else
        e->log_message_origin = arena_format(s->mail->arena, SLICE_FORMAT "[" SLICE_FORMAT "]", SLICE_ARGS(e->log_client_name),
                                             SLICE_ARGS(e->log_client_address));
}

static void set_login(const struct session *s, struct envelope *e)
{
    if (s->login) {
        e->sasl_method = slice_of(s->login->method);
        e->sasl_username = slice_of(s->login->user);
    }
    e->sasl_sender = auth_sender(s);
}

/* all_recipients - the accepted ones and the copies that access control wants. */
static void set_recipients(struct transaction *t, struct envelope *e)
{
    for (size_t i = 0; i < t->bcc_count; i++)
        transaction_add_recipient(t, &t->bcc[i]);
    t->bcc_count = 0;
    e->recipients = t->recipients;
    e->recipients_count = t->recipient_count;
}

void transaction_envelope(struct session *s, struct envelope *e)
{
    struct transaction *t = s->mail;
    const struct smtpd_params *p = &s->server->params;

    *e = (struct envelope){.queue_id = text(t->queue_id), .arrival_time = t->arrival, .sender = t->sender,
                           .encoding = text(t->parameters.encoding), .smtputf8 = t->parameters.smtputf8, .ret = t->parameters.ret,
                           .envelope_id = t->parameters.envid, .source = SOURCE_SMTPD,
                           .send_options = t->parameters.require_tls ? SEND_REQUIRE_TLS : 0};
    set_recipients(t, e);
    if (t->parameters.verp)
        e->verp_delimiters = t->parameters.verp_delimiters.len ? t->parameters.verp_delimiters : slice_of(p->default_verp_delimiters);
    e->rewrite_context = text(session_rewrite_context(s));
    e->client_name = text(s->client.name);
    e->client_address = text(s->client.address);
    e->client_port = text(s->client.port);
    e->reverse_client_name = text(s->client.reverse_name);
    e->helo_name = text(s->helo);
    e->protocol_name = text(session_protocol(s));
    e->server_address = text(s->client.server_address);
    e->server_port = text(s->client.server_port);
    set_login(s, e);
    set_origin(s, e);
    e->content_filter = t->filter.len ? t->filter : text(p->content_filter);
    e->redirect = t->redirect;
    e->hold = t->hold;
}

int transaction_submit_options(const struct session *s)
{
    return s->server->submit_options | (s->mail->hold ? SUBMIT_HOLD : 0) | (s->mail->discard ? SUBMIT_DISCARD : 0);
}
