/* received.c - the Received header (RFC 5321 4.4, compat.md e.1) */
#include "reception.h"

#include "auth.h"
#include "commands.h"

/* with_protocol - "SMTP", "ESMTP", "UTF8SMTP", with S after TLS (RFC 3848)., A after AUTH */
static void with_protocol(const struct session *s, struct buffer *out)
{
    buffer_append_string(out, s->mail->parameters.smtputf8 ? "UTF8SMTP" : session_protocol(s));
    if (s->tls && s->esmtp)
        buffer_append_byte(out, 'S');
    if (s->login && s->esmtp)
        buffer_append_byte(out, 'A');
}

/* shown_user - the name cannot end the line or the comment. */
static const char *shown_user(const struct session *s)
{
    char *text = arena_strdup(s->mail->arena, s->login->user);

    for (char *at = text; *at; at++)
        if ((unsigned char)*at < ' ' || *at == 127 || *at == '(' || *at == ')' || *at == '\\')
            *at = '?';
    return text;
}

/* from_client - who sent it, how the line was protected. */
static void from_client(const struct session *s, struct buffer *out)
{
    const struct smtpd_params *p = &s->server->params;

    buffer_printf(out, "Received: from %s (%s [%s])", s->helo ? s->helo : s->client.name, s->client.name, s->client.literal);
    starttls_received(s, out);
    if (s->login && p->smtpd_sasl_authenticated_header)
        buffer_printf(out, "\r\n\t(Authenticated sender: %s)", shown_user(s));
    buffer_printf(out, "\r\n\tby %s (%s) with ", p->myhostname, p->mail_name);
    with_protocol(s, out);
    if (s->mail->queue_id)
        buffer_printf(out, " id %s", s->mail->queue_id);
}

void received_header(struct session *s, struct buffer *out)
{
    const struct smtpd_params *p = &s->server->params;
    const struct transaction *t = s->mail;

    if (p->smtpd_hide_client_session)
        buffer_printf(out, "Received: by %s (%s)%s%s", p->myhostname, p->mail_name, t->queue_id ? " id " : "", t->queue_id ? t->queue_id : "");
    else
        from_client(s, out);
    if (t->recipient_count == 1)
        buffer_printf(out, "\r\n\tfor <" SLICE_FORMAT ">; ", SLICE_ARGS(t->recipients[0].address));
    else
        buffer_append_string(out, ";\r\n\t");
    clock_rfc5322(out, t->arrival);
    buffer_append_string(out, "\r\n");
}
