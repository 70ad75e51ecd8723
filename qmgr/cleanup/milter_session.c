/* milter_session.c - non_smtpd_milters: mail that did not come by SMTP, shown to filters as a session that never was */
#include "base/log.h"
#include "filtering.h"

static struct slice client_name(const struct envelope *e)
{
    return e->client_name.len ? e->client_name : SLICE("localhost");
}

static struct slice client_address(const struct envelope *e)
{
    return e->client_address.len ? e->client_address : SLICE("127.0.0.1");
}

/* A macro and where its value is; the session has few of them (compat.md h.3). */
static struct slice macro_value(void *context, struct slice name)
{
    struct filtering *f = context;
    const struct transaction *t = f->t;
    const struct envelope *e = &t->envelope;
    const struct {
        struct slice name, value;
    } rows[] = {
        {SLICE("i"), t->queue_id},
        {SLICE("j"), slice_of(t->cleanup->params.myhostname)},
        {SLICE("_"), f->client},
        {SLICE("{client_addr}"), client_address(e)},
        {SLICE("{client_name}"), client_name(e)},
        {SLICE("{client_ptr}"), client_name(e)},
        {SLICE("{client_resolve}"), SLICE("OK")},
        {SLICE("{daemon_addr}"), SLICE("127.0.0.1")},
        {SLICE("{mail_addr}"), e->sender},
        {SLICE("{rcpt_addr}"), f->recipient},
        {SLICE("{auth_type}"), e->sasl_method},
        {SLICE("{auth_authen}"), e->sasl_username},
        {SLICE("{auth_author}"), e->sasl_sender},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        if (slice_equal(name, rows[i].name))
            return rows[i].value;
    }
    return (struct slice){0};
}

/* show_recipients - false: the message goes no further. */
static bool show_recipients(struct filtering *f, struct milter_outcome *outcome)
{
    struct transaction *t = f->t;
    for (size_t i = 0; i < t->given_count; i++) {
        f->recipient = recipients_rewrite(t, t->given[i].address);
        milters_rcpt(f->milters, f->recipient, (struct slice){0}, outcome);
        if (outcome->verdict == MILTER_REJECT) {
            /* There is nobody to whom this could be told of one recipient only. */
            struct slice text = milter_outcome_text(outcome, t->arena);
            log_milter_action(t, "reject", "RCPT", f->recipient, text);
            log_warning(SLICE_FORMAT ": milter configuration error: can't reject recipient in non-smtpd(8) submission", SLICE_ARGS(t->queue_id));
            log_warning(SLICE_FORMAT ": message not accepted, try again later", SLICE_ARGS(t->queue_id));
            transaction_refuse(t, SUBMIT_STATUS_TEMPORARY, 451, SLICE("4.3.5 Server configuration problem - try again later"));
            return false;
        }
        if (!filtering_settle(f, "RCPT", f->recipient, outcome))
            return false;
    }
    return true;
}

/* play - the session up to DATA; false: the message has been decided about. */
static bool play(struct filtering *f)
{
    const struct envelope *e = &f->t->envelope;
    struct slice none = {0}, address = client_address(e);
    struct milter_outcome outcome = {0};
    char family = slice_find(address, ':') < address.len ? '6' : '4';
    milters_connect(f->milters, client_name(e), family, 0, address, &outcome);
    if (!filtering_settle(f, "CONNECT", none, &outcome))
        return false;
    milters_helo(f->milters, e->helo_name.len ? e->helo_name : client_name(e), &outcome);
    if (!filtering_settle(f, "EHLO", none, &outcome))
        return false;
    milters_mail(f->milters, e->sender, none, &outcome);
    if (!filtering_settle(f, "MAIL", none, &outcome) || !show_recipients(f, &outcome))
        return false;
    milters_data(f->milters, &outcome);
    return filtering_settle(f, "DATA", none, &outcome);
}

void filtering_begin(struct transaction *t)
{
    const struct cleanup *c = t->cleanup;
    if (t->envelope.source == SOURCE_SMTPD || (t->options & SUBMIT_NO_MILTERS) || milter_list_is_empty(c->non_smtpd_milters) || transaction_is_over(t))
        return;
    struct filtering *f = t->filtering = filtering_new(t, NULL, true);
    f->client = arena_format(t->arena, SLICE_FORMAT " [" SLICE_FORMAT "]", SLICE_ARGS(client_name(&t->envelope)), SLICE_ARGS(client_address(&t->envelope)));
    f->milters = milters_new(c->non_smtpd_milters, macro_value, f);
    f->over = !play(f);
}
