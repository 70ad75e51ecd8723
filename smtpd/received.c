/* received.c - the Received header (RFC 5321 4.4, compat.md e.1) */
#include "reception.h"

/* with_protocol - "SMTP", "ESMTP", "UTF8SMTP".  not yet: S after TLS, A after AUTH */
static const char *with_protocol(const struct session *s)
{
    return s->mail->parameters.smtputf8 ? "UTF8SMTP" : session_protocol(s);
}

void received_header(struct session *s, struct buffer *out)
{
    const struct smtpd_params *p = &s->server->params;
    const struct transaction *t = s->mail;

    if (p->smtpd_hide_client_session)
        buffer_printf(out, "Received: by %s (%s) id %s", p->myhostname, p->mail_name, t->queue_id);
    else
        buffer_printf(out, "Received: from %s (%s [%s])\r\n\tby %s (%s) with %s id %s", s->helo ? s->helo : s->client.name, s->client.name,
                      s->client.literal, p->myhostname, p->mail_name, with_protocol(s), t->queue_id);
    if (t->recipient_count == 1)
        buffer_printf(out, "\r\n\tfor <" SLICE_FORMAT ">; ", SLICE_ARGS(t->recipients[0].address));
    else
        buffer_append_string(out, ";\r\n\t");
    clock_rfc5322(out, t->arrival);
    buffer_append_string(out, "\r\n");
}
