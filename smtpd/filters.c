/* filters.c - telling milters about the session, and doing what they say */
#include "filters.h"

#include "base/log.h"
#include "filter_macros.h"
#include "milter/milter.h"

struct filters {
    struct session *session;
    struct milter_list *own_list;  /* of smtpd_milter_maps; NULL: smtpd_milters */
    struct milters *milters;
    struct filter_subject subject;
    bool greeted;                  /* HELO was told */
    bool in_mail;                  /* MAIL was told and the message has not ended */
    bool silent;                   /* until the message ends: it is discarded */
};

/* ---- opening ---- */

void filters_open(struct server *server)
{
    const struct smtpd_params *p = &server->params;

    if (server->submit_options & SUBMIT_NO_MILTERS)
        return;
    server->milters = milter_list_open(slice_of(p->smtpd_milters), "smtpd_milters", server->config);
    server->milter_maps = table_list_new("smtpd_milter_maps", p->smtpd_milter_maps, TABLE_FOLD, server->config);
}

void filters_close(struct server *server)
{
    milter_list_close(server->milters);
    table_list_free(server->milter_maps);
}

static struct slice macro(void *context, struct slice name)
{
    struct filters *f = context;

    return filter_macro(f->session, &f->subject, name);
}

/* own_list - smtpd_milter_maps: *none is set when the client goes without filters. */
static struct milter_list *own_list(struct session *s, bool *none)
{
    struct buffer value = BUFFER_INIT_MAX(65536);
    struct milter_list *list = NULL;

    if (table_list_is_empty(s->server->milter_maps))
        return NULL;
    enum table_result found = table_list_lookup(s->server->milter_maps, slice_of(s->client.address), true, &value);
    if (found == TABLE_FOUND && slice_equal_case(slice_trim(buffer_slice(&value)), SLICE("DISABLE")))
        *none = true;
    else if (found == TABLE_FOUND)
        list = milter_list_open(buffer_slice(&value), "smtpd_milter_maps", s->server->config);
    else if (found == TABLE_TRY_AGAIN)
        log_warning("smtpd_milter_maps lookup error for \"%s\", using smtpd_milters", s->client.address);
    buffer_release(&value);
    return list;
}

static void begin(struct session *s)
{
    bool none = false;

    if (!s->server->milters || s->server->stand_alone) /* sendmail -bs: the filters for mail that does not come by SMTP will see it */
        return;
    struct milter_list *own = own_list(s, &none);
    struct milter_list *list = own ? own : s->server->milters;
    if (none || milter_list_is_empty(list)) {
        milter_list_close(own);
        return;
    }
    s->filters = memory_zalloc(1, sizeof(*s->filters));
    s->filters->session = s;
    s->filters->own_list = own;
    s->filters->milters = milters_new(list, macro, s->filters);
}

void filters_end(struct session *s)
{
    struct filters *f = s->filters;

    if (!f)
        return;
    filters_message_ends(s);
    filters_forget_helo(s);
    milters_quit(f->milters);
    milters_free(f->milters);
    milter_list_close(f->own_list);
    free(f);
    s->filters = NULL;
}

/* ---- verdicts ---- */

/* whole_reply - as the client sees it, for the log: the lines' ends become "??". */
static struct slice whole_reply(struct session *s, const struct milter_outcome *o)
{
    struct buffer line = BUFFER_INIT_MAX(4096);
    struct slice rest = slice_of(o->text), part;
    bool more = true;

    while (more) {
        more = slice_cut(rest, '\n', &part, &rest);
        buffer_printf(&line, "%d%c%s%s" SLICE_FORMAT "%s", o->code, more ? '-' : ' ', o->status, o->status[0] ? " " : "", SLICE_ARGS(part), more ? "??" : "");
    }
    struct slice copy = arena_slice(s->scratch, buffer_slice(&line));
    buffer_release(&line);
    return copy;
}

/* note - log the verdict and remember what it means for the message; true: go on. */
static bool note(struct session *s, const struct milter_outcome *o, struct slice recipient)
{
    struct filters *f = s->filters;

    switch (o->verdict) {
    case MILTER_REJECT:
        log_action(s, "milter-reject", recipient, SLICE_FORMAT, SLICE_ARGS(whole_reply(s, o)));
        s->trouble |= TROUBLE_POLICY;
        return false;
    case MILTER_HOLD:
        log_action(s, "milter-hold", recipient, "milter triggers HOLD action");
        if (s->mail)
            s->mail->hold = true;
        return true;
    case MILTER_DISCARD:
        log_action(s, "milter-discard", recipient, "milter triggers DISCARD action");
        if (s->mail)
            s->mail->discard = f->silent = true;
        return true;
    default:
        return true;
    }
}

static bool settle(struct session *s, const struct milter_outcome *o, struct slice recipient)
{
    if (note(s, o, recipient))
        return true;
    answer_text(s, o->code, o->status, slice_of(o->text));
    return false;
}

/* is_listening - of a message that is discarded, by whomever, they hear no more. */
static bool is_listening(const struct session *s)
{
    return s->filters && !s->filters->silent && !(s->mail && s->mail->discard);
}

static struct slice first_recipient(const struct session *s)
{
    return s->mail && s->mail->recipient_count > 0 ? s->mail->recipients[0].address : (struct slice){0};
}

/* in_brackets - a path that came without them gets them. */
static struct slice in_brackets(struct session *s, struct slice path)
{
    path = slice_trim(path);
    return slice_starts(path, SLICE("<")) ? path : arena_format(s->scratch, "<" SLICE_FORMAT ">", SLICE_ARGS(path));
}

/* ---- the stages ---- */

static char family(const struct session *s)
{
    if (!s->client.has_address)
        return 'U';
    return s->client.peer.u.any.sa_family == AF_INET6 && strchr(s->client.address, ':') ? '6' : '4';
}

static uint16_t port_number(const struct session *s)
{
    uint64_t port;

    return slice_to_u64(slice_of(s->client.port), &port) && port <= UINT16_MAX ? (uint16_t)port : 0;
}

bool filters_connect(struct session *s)
{
    struct milter_outcome outcome;
    const char *host = s->server->params.myhostname;

    begin(s);
    if (!s->filters)
        return true;
    bool known = strcmp(s->client.name, "unknown") != 0;
    struct slice name = known ? slice_of(s->client.name) : arena_format(s->scratch, "[%s]", s->client.address);
    milters_connect(s->filters->milters, name, family(s), port_number(s), slice_of(s->client.address), &outcome);
    if (note(s, &outcome, (struct slice){0}))
        return true;
    if (outcome.code == 421)
        answer_text(s, 421, "", arena_format(s->scratch, "%s Service unavailable - try again later", host));
    else if (outcome.code >= 500)
        answer_text(s, 554, "", arena_format(s->scratch, "%s ESMTP not accepting connections", host));
    else
        return true;
    return false;
}

enum filters_greeting filters_helo(struct session *s)
{
    struct milter_outcome outcome;

    if (!is_listening(s))
        return FILTERS_WELCOME;
    milters_helo(s->filters->milters, slice_of(s->helo), &outcome);
    bool welcome = note(s, &outcome, (struct slice){0});
    if (!welcome && outcome.code == 421) {
        answer_text(s, 421, outcome.status, slice_of(outcome.text));
        return FILTERS_HANG_UP;
    }
    filters_forget_helo(s);
    s->filters->greeted = true;
    return welcome || outcome.code < 500 ? FILTERS_WELCOME : FILTERS_UNWELCOME;
}

void filters_forget_helo(struct session *s)
{
    if (s->filters && s->filters->greeted)
        milters_abort(s->filters->milters);
    if (s->filters)
        s->filters->greeted = false;
}

bool filters_mail(struct session *s, struct slice path, struct slice parameters)
{
    struct milter_outcome outcome;

    if (!is_listening(s))
        return true;
    s->filters->in_mail = true;
    milters_mail(s->filters->milters, in_brackets(s, path), parameters, &outcome);
    return settle(s, &outcome, (struct slice){0});
}

bool filters_rcpt(struct session *s, struct slice path, struct slice parameters, struct slice recipient)
{
    struct milter_outcome outcome;

    if (!is_listening(s))
        return true;
    s->filters->subject = (struct filter_subject){.address = recipient};
    milters_rcpt(s->filters->milters, in_brackets(s, path), parameters, &outcome);
    s->filters->subject = (struct filter_subject){0};
    return settle(s, &outcome, recipient);
}

void filters_rejected_rcpt(struct session *s, struct slice path, struct slice parameters, const struct rejection *rejection)
{
    struct slice why = rejection->text;
    size_t end = slice_search(why, SLICE(">: "));

    if (!is_listening(s))
        return;
    if (slice_starts(why, SLICE("<")) && end < why.len)
        why = slice_from(why, end + 3);
    s->filters->subject = (struct filter_subject){.address = why, .host = slice_of(rejection->status), .mailer = SLICE("error")};
    milters_rejected_rcpt(s->filters->milters, in_brackets(s, path), parameters);
    s->filters->subject = (struct filter_subject){0};
}

bool filters_data(struct session *s)
{
    struct milter_outcome outcome;

    if (!is_listening(s))
        return true;
    milters_data(s->filters->milters, &outcome);
    return settle(s, &outcome, first_recipient(s));
}

bool filters_unknown(struct session *s, struct slice word)
{
    struct milter_outcome outcome;

    if (!is_listening(s))
        return true;
    milters_unknown(s->filters->milters, word, &outcome);
    return settle(s, &outcome, (struct slice){0});
}

bool filters_allow(struct session *s)
{
    struct milter_outcome outcome;

    if (!is_listening(s))
        return true;
    milters_settled(s->filters->milters, &outcome);
    if (outcome.verdict == MILTER_REJECT)
        answer_text(s, outcome.code, outcome.status, slice_of(outcome.text));
    return outcome.verdict != MILTER_REJECT;
}

void filters_message_ends(struct session *s)
{
    struct filters *f = s->filters;

    if (!f || !f->in_mail)
        return;
    f->in_mail = f->silent = false;
    milters_abort(f->milters);
}

/* ---- the content ---- */

static void hand_over(void *context, const struct submit_milter *message, int fd)
{
    intake_milter(context, message, fd);
}

void filters_hand_over(struct session *s, struct intake *intake)
{
    if (!is_listening(s))
        return;
    s->filters->subject.content = true;
    milters_hand_over(s->filters->milters, hand_over, intake);
    s->filters->subject.content = false;
}

void filters_lose_content(struct session *s)
{
    if (is_listening(s))
        milters_lose_content(s->filters->milters);
}
