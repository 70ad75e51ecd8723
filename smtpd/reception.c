/* reception.c - receiving a message's content (compat.md d.9, d.10) */
#include "reception.h"

#include "access.h"
#include "auth.h"
#include "base/log.h"
#include "base/verdict.h"
#include "filters.h"
#include "history.h"
#include "intake.h"
#include "user_limits.h"

enum {
    FIRST_BYTES = 8,      /* of the content, to see how it begins */
    HELD_MAX = 32 * 1024  /* content kept back when end-of-data checks may still change the envelope */
};

struct reception {
    struct session *session;
    struct smtp_data data;
    int64_t limit;           /* message_size_limit; 0: none */
    bool too_big;
    bool envelope_sent;
    bool begun;              /* the first bytes were looked at */
    char first[FIRST_BYTES];
    size_t first_len;
    struct buffer held;      /* not handed on yet */
    int64_t credit;          /* microseconds left to the client (smtpd_min_data_rate) */
};

/* ---- handing on ---- */

static void send_envelope(struct reception *r)
{
    struct session *s = r->session;
    struct envelope envelope;

    if (r->envelope_sent)
        return;
    filters_hand_over(s, s->mail->intake);
    transaction_envelope(s, &envelope);
    intake_envelope(s->mail->intake, &envelope, transaction_submit_options(s));
    r->envelope_sent = true;
    intake_content(s->mail->intake, buffer_slice(&r->held));
    buffer_release(&r->held);
}

static void hand_on(struct reception *r, struct slice content)
{
    if (r->too_big || content.len == 0)
        return;
    if (r->envelope_sent) {
        intake_content(r->session->mail->intake, content);
        return;
    }
    if (r->held.len + content.len > HELD_MAX) {
        send_envelope(r);
        intake_content(r->session->mail->intake, content);
    } else {
        buffer_append_slice(&r->held, content);
    }
}

/* begin - a mailbox separator becomes a header, a blank in front must not fold the headers on top. */
static void begin(struct reception *r)
{
    struct slice first = slice_make(r->first, r->first_len);

    r->begun = true;
    if (slice_starts(first, SLICE("From ")) || slice_starts(first, SLICE(">From ")))
        hand_on(r, SLICE("X-Mailbox-Line: "));
    else if (first.len && (first.data[0] == ' ' || first.data[0] == '\t'))
        hand_on(r, SLICE("\r\n"));
    hand_on(r, first);
}

/* take - content from the scanner. */
static void take(void *context, struct slice content)
{
    struct reception *r = context;

    if (!r->begun) {
        size_t room = FIRST_BYTES - r->first_len;
        struct slice part = slice_first(content, room);
        memcpy(r->first + r->first_len, part.data, part.len);
        r->first_len += part.len;
        content = slice_from(content, part.len);
        if (r->first_len < FIRST_BYTES && slice_find(part, '\n') == part.len)
            return;
        begin(r);
    }
    hand_on(r, content);
}

struct reception *reception_new(struct session *s, bool stuffed)
{
    struct reception *r = memory_zalloc(1, sizeof(*r));
    struct buffer top = BUFFER_INIT_MAX(64 * 1024);

    r->session = s;
    r->limit = s->server->params.message_size_limit;
    r->credit = s->server->params.smtpd_timeout;
    smtp_data_init(&r->data, stuffed, s->server->bare_newline != BARE_NEWLINE_ALLOWED && !s->bare_lf_allowed);
    if (!access_has_end_of_data(s->server))
        send_envelope(r);
    buffer_append_slice(&top, buffer_slice(&s->mail->prepended));
    received_header(s, &top);
    hand_on(r, buffer_slice(&top));
    buffer_release(&top);
    return r;
}

void reception_free(struct reception *r)
{
    if (!r)
        return;
    buffer_release(&r->held);
    free(r);
}

int64_t reception_size(const struct reception *r)
{
    return smtp_data_size(&r->data);
}

/* ---- reading ---- */

/* check_size - over the limit: what is there is dropped at once, the rest is read and forgotten. */
static void check_size(struct reception *r)
{
    struct session *s = r->session;

    if (r->too_big || r->limit <= 0 || smtp_data_size(&r->data) <= r->limit)
        return;
    r->too_big = true;
    log_warning("%s: queue file size limit exceeded", session_queue_id(s));
    intake_cancel(s->mail->intake);
    s->mail->intake = NULL;
    buffer_release(&r->held);
}

/* await_content - until something is there.  The whole message has a budget: smtpd_timeout, and what comes in earns time back at
   smtpd_min_data_rate; a client that trickles bytes runs out of it. */
static bool await_content(struct session *s, struct reception *r)
{
    if (stream_buffered(s->stream))
        return true;
    stream_flush(s->stream);
    int64_t begun = clock_monotonic();
    stream_set_deadline(s->stream, begun + r->credit);
    session_may_stop(s, true);
    bool good = stream_await(s->stream, 1);
    session_may_stop(s, false);
    r->credit -= clock_monotonic() - begun;
    return good;
}

static void earn(struct session *s, struct reception *r, size_t bytes)
{
    const struct smtpd_params *p = &s->server->params;

    r->credit += (int64_t)bytes * MICROSECONDS / p->smtpd_min_data_rate;
    if (r->credit > p->smtpd_timeout)
        r->credit = p->smtpd_timeout;
    if (r->credit < 0)
        r->credit = 0;
}

bool reception_data(struct session *s, struct reception *r)
{
    bool end = false;

    while (!end) {
        s->content_bytes = r->data.lines_size;
        if (!await_content(s, r)) {
            session_lost(s);
            return false;
        }
        size_t taken = smtp_data_feed(&r->data, stream_peek(s->stream), take, r, &end);
        stream_read_some(s->stream, taken);
        earn(s, r, taken);
        check_size(r);
    }
    s->content_bytes = -1;
    return true;
}

bool reception_chunk(struct session *s, struct reception *r, int64_t count)
{
    bool end;

    while (count > 0) {
        s->content_bytes = smtp_data_size(&r->data);
        if (!await_content(s, r)) {
            session_lost(s);
            return false;
        }
        struct slice input = slice_first(stream_peek(s->stream), (size_t)count);
        smtp_data_feed(&r->data, input, take, r, &end);
        count -= (int64_t)input.len;
        stream_read_some(s->stream, input.len);
        earn(s, r, input.len);
        check_size(r);
    }
    s->content_bytes = smtp_data_size(&r->data);
    return true;
}

bool reception_skip(struct session *s, int64_t count)
{
    struct reception budget = {.credit = s->server->params.smtpd_timeout};

    while (count > 0) {
        if (!await_content(s, &budget)) {
            session_lost(s);
            return false;
        }
        struct slice input = stream_read_some(s->stream, count > INT32_MAX ? INT32_MAX : (size_t)count);
        count -= (int64_t)input.len;
        earn(s, &budget, input.len);
    }
    return true;
}

/* ---- the end ---- */

bool reception_refuses_bare_lf(struct session *s, struct reception *r)
{
    const struct transaction *t = s->mail;

    s->bare_lf_seen |= r->data.bare_lf;
    if (!r->data.bare_lf || s->bare_lf_allowed || s->server->bare_newline != BARE_NEWLINE_REJECTED)
        return false;
    log_action(s, "reject", t->recipient_count == 1 ? t->recipients[0].address : (struct slice){0}, "bare <LF> received");
    answer_text(s, (int)s->server->params.smtpd_forbid_bare_newline_reject_code, smtp_reply(REPLY_BARE_LF)->status,
                arena_format(s->scratch, "%s Error: bare <LF> received", s->server->params.myhostname));
    s->trouble |= TROUBLE_PROTOCOL;
    return true;
}

/* last_line - of a filter's reply. */
static struct slice last_line(struct slice reply)
{
    size_t lf = slice_find_last(reply, '\n');

    return lf < reply.len ? slice_from(reply, lf + 1) : reply;
}

/* is_reply_line - "550 text", "550-text". */
static bool is_reply_line(struct slice line)
{
    return line.len > 3 && isdigit((unsigned char)line.data[0]) && isdigit((unsigned char)line.data[1]) && isdigit((unsigned char)line.data[2]) &&
           (line.data[3] == ' ' || line.data[3] == '-');
}

/* reception_refusal - what cleanup said: "5.7.1 message content rejected" (a milter's text may have several lines), or a whole reply
   "550 5.7.1 ...", of which only the last line counts. */
enum outcome reception_refusal(struct session *s, const struct submit_outcome *outcome)
{
    struct status_code status;
    struct slice rest = is_reply_line(outcome->reply) ? last_line(outcome->reply) : outcome->reply;
    char status_text[STATUS_CODE_TEXT] = "";
    int code = outcome->reply_code;

    if (smtp_reply_split(rest, &code, &status, &rest)) {
        if (status.class)
            status_code_format(status, status_text);
    } else if (status_code_parse(rest, &status, &rest)) {
        status_code_format(status, status_text);
    }
    if (code < 400 || code > 599)
        code = outcome->status == SUBMIT_STATUS_REFUSED ? 550 : 451;
    bool content = status_text[0] && status_text[2] == '6'; /* "4.6.0 Alias expansion error": the tables' fault, not ours */
    s->trouble |= (code == 452 || code == 451) && !content ? TROUBLE_RESOURCE : TROUBLE_POLICY;
    answer_text(s, code, status_text, rest);
    return COMMAND_FAILED;
}

static struct slice number(struct session *s, int64_t value)
{
    return arena_format(s->scratch, "%lld", (long long)value);
}

/* decide_late - what the end-of-data restrictions want, when the envelope is with cleanup already. */
static void decide_late(struct transaction *t)
{
    struct submit_end decisions = {.options = (t->hold ? SUBMIT_HOLD : 0) | (t->discard ? SUBMIT_DISCARD : 0), .content_filter = t->filter,
                                   .redirect = t->redirect, .copies = t->bcc, .copies_count = t->bcc_count};

    intake_decide(t->intake, &decisions);
}

static void log_filter(struct session *s, const char *verb, struct slice reply)
{
    const struct transaction *t = s->mail;

    log_info("proxy-%s: END-OF-MESSAGE: " SLICE_FORMAT "; from=<" SLICE_FORMAT "> to=<" SLICE_FORMAT "> proto=%s helo=<%s>%s%s%s", verb, SLICE_ARGS(reply),
             SLICE_ARGS(t->sender), SLICE_ARGS(t->recipients[0].address), session_protocol(s), s->helo ? s->helo : "",
             s->login ? " sasl_username=<" : "", s->login ? s->login->user : "", s->login ? ">" : "");
}

/* texts_of - a whole reply without codes and status, its lines separated by LF as answer_text wants them; *status is that of the last. */
static struct slice texts_of(struct session *s, struct slice reply, struct status_code *status)
{
    struct buffer texts = BUFFER_INIT;
    struct slice line;

    while (slice_next_line(&reply, &line)) {
        struct slice text = slice_from(slice_ends(line, SLICE("\r")) ? slice_first(line, line.len - 1) : line, 4);
        *status = (struct status_code){0};
        status_code_parse(text, status, &text);
        buffer_append_string(&texts, texts.len ? "\n" : "");
        buffer_append_slice(&texts, text);
    }
    struct slice copy = arena_slice(s->scratch, buffer_slice(&texts));
    buffer_release(&texts);
    return copy;
}

/* pass_on - the filter's reply becomes ours. */
static enum outcome pass_on(struct session *s, const struct submit_outcome *outcome)
{
    struct status_code status = {0};
    struct slice rest;
    char status_text[STATUS_CODE_TEXT] = "";
    int code;

    if (outcome->status != SUBMIT_STATUS_ACCEPTED) {
        bool spoke = smtp_reply_split(last_line(outcome->reply), &code, &status, &rest);
        log_filter(s, "reject", spoke ? outcome->reply : arena_format(s->scratch, "%d " SLICE_FORMAT, outcome->reply_code, SLICE_ARGS(outcome->reply)));
        return reception_refusal(s, outcome);
    }
    log_filter(s, "accept", outcome->reply);
    s->errors = s->junk = 0;
    s->trouble = 0;
    struct slice text = texts_of(s, outcome->reply, &status);
    if (status.class)
        status_code_format(status, status_text);
    answer_text(s, outcome->reply_code, status_text, text);
    history_flush(s);
    return COMMAND_DONE;
}

static enum outcome commit(struct session *s, struct reception *r)
{
    struct transaction *t = s->mail;
    struct submit_outcome outcome;
    struct slice queue_id = arena_slice(s->scratch, slice_of(session_queue_id(s)));
    bool filtered = intake_is_filter(t->intake);
    struct intake *intake = t->intake;

    if (r->envelope_sent)
        decide_late(t);
    else
        send_envelope(r);
    t->intake = NULL;
    intake_finish(intake, smtp_data_size(&r->data), s->scratch, &outcome);
    if (outcome.lost)
        filters_lose_content(s);
    if (filtered)
        return pass_on(s, &outcome);
    if (outcome.status != SUBMIT_STATUS_ACCEPTED)
        return reception_refusal(s, &outcome);
    s->errors = s->junk = 0;
    s->trouble = 0;
    if (r->data.stuffed)
        answer(s, REPLY_QUEUED, queue_id);
    else
        answer(s, REPLY_CHUNKS_QUEUED, number(s, smtp_data_size(&r->data)), queue_id);
    history_flush(s);
    return COMMAND_DONE;
}

static enum outcome finish(struct session *s, struct reception *r)
{
    struct rejection rejection;
    struct slice recipient = s->mail->recipient_count == 1 ? s->mail->recipients[0].address : (struct slice){0};

    smtp_data_finish(&r->data, take, r);
    if (!r->begun)
        begin(r);
    check_size(r);
    if (r->too_big)
        return answer_failed(s, REPLY_TOO_BIG);
    if (reception_refuses_bare_lf(s, r))
        return COMMAND_FAILED;
    s->mail->content_size = (int64_t)smtp_data_size(&r->data);
    if (!s->mail->discard && !access_end_of_data(s, &rejection))
        return answer_rejection(s, &rejection, recipient);
    return commit(s, r);
}

enum outcome reception_end(struct session *s, struct reception *r)
{
    s->where = "END-OF-MESSAGE";
    s->content_bytes = -1;
    enum outcome outcome = finish(s, r);
    if (outcome == COMMAND_DONE)
        user_limits_keep(s->mail);
    reception_free(r);
    s->mail->reception = NULL;
    session_reset_mail(s);
    return outcome;
}
