/* history.c - the transcript of a session, and when a notice is made of it */
#include "history.h"

void history_in(struct session *s, struct slice line)
{
    transcript_in(s->history, line);
}

void history_out(struct session *s, struct slice line)
{
    transcript_out(s->history, line);
}

void history_flush(struct session *s)
{
    if (s->history && transcript_lines(s->history) > s->server->params.smtpd_history_flush_threshold && !(s->trouble & s->server->trouble_reported))
        transcript_forget(s->history);
}

static void send_notice(struct session *s)
{
    const struct smtpd_params *p = &s->server->params;
    bool refused = s->trouble & s->server->trouble_reported & TROUBLE_BOUNCE; /* mail that would have bounced */
    struct slice recipient = slice_of(refused ? p->bounce_notice_recipient : p->error_notice_recipient);
    struct transcript_notice notice = {
        .cleanup = s->server->cleanup, .mail_name = p->mail_name, .myhostname = p->myhostname, .double_bounce_sender = p->double_bounce_sender,
        .recipient = recipient, .recipient_shown = route_rewrite(s->server->route, SLICE("local"), slice_of(p->error_notice_recipient), s->scratch), .program = "SMTP server",
        .peer = s->client.text, .filtered = config_list_has(p->internal_mail_filter_classes, "notify"), .end_reason = s->end_reason};

    transcript_send(s->history, &notice);
}

void history_report(struct session *s)
{
    if (!s->history)
        return;
    if (s->trouble & s->server->trouble_reported)
        send_notice(s);
    transcript_forget(s->history);
    s->trouble = 0;
}
