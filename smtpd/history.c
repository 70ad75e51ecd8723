/* history.c - the transcript and the notice made of it */
#include "history.h"

#include "base/log.h"

enum {
    HISTORY_MAX = 32 * 1024, /* bytes kept of one session */
    LINE_WIDTH = 79,         /* of the notice */
    PATIENCE = 100           /* seconds for cleanup to take the notice */
};

struct history {
    struct buffer text; /* lines " In:  ..." and " Out: ...", LF */
    int64_t lines;
};

struct history *history_new(void)
{
    struct history *history = memory_zalloc(1, sizeof(*history));

    buffer_init(&history->text, HISTORY_MAX);
    return history;
}

void history_free(struct history *history)
{
    if (!history)
        return;
    buffer_release(&history->text);
    free(history);
}

static void note(struct history *history, struct slice mark, struct slice line)
{
    if (history->text.overflow)
        return;
    buffer_append_slice(&history->text, mark);
    buffer_append_slice(&history->text, line);
    buffer_append_byte(&history->text, '\n');
    history->lines++;
}

/* without_proof - "AUTH PLAIN AGFsaWNl...": what follows the mechanism is a password. */
static struct slice without_proof(struct slice line)
{
    struct slice rest = line, word;

    if (!slice_next_token(&rest, " \t", &word) || !slice_equal_case(word, SLICE("AUTH")) || !slice_next_token(&rest, " \t", &word))
        return line;
    return slice_first(line, line.len - rest.len);
}

void history_in(struct session *s, struct slice line)
{
    if (s->history)
        note(s->history, SLICE(" In:  "), without_proof(line));
}

void history_out(struct session *s, struct slice line)
{
    if (s->history)
        note(s->history, SLICE(" Out: "), line);
}

static void forget(struct history *history)
{
    buffer_release(&history->text);
    buffer_init(&history->text, HISTORY_MAX);
    history->lines = 0;
}

void history_flush(struct session *s)
{
    if (s->history && s->history->lines > s->server->params.smtpd_history_flush_threshold && !(s->trouble & s->server->trouble_reported))
        forget(s->history);
}

/* ---- the notice ---- */

/* fold_line - long lines are broken at blanks, what follows is indented. */
static void fold_line(struct buffer *out, struct slice line)
{
    size_t width = LINE_WIDTH;

    while (line.len > width) {
        size_t cut = slice_find_last(slice_first(line, width + 1), ' ');
        if (cut == 0 || cut > width || slice_trim(slice_first(line, cut)).len == 0)
            cut = width;
        buffer_append_slice(out, slice_first(line, cut));
        buffer_append_string(out, "\r\n     ");
        line = slice_trim_left(slice_from(line, cut));
        width = LINE_WIDTH - 5;
    }
    buffer_append_slice(out, line);
    buffer_append_string(out, "\r\n");
}

static void write_notice(struct session *s, struct slice queue_id, struct slice recipient, struct buffer *out)
{
    const struct smtpd_params *p = &s->server->params;
    struct slice rest = buffer_slice(&s->history->text), line;

    buffer_printf(out, "Received: by %s (%s)\r\n\tid " SLICE_FORMAT "; ", p->myhostname, p->mail_name, SLICE_ARGS(queue_id));
    clock_rfc5322(out, clock_wall());
    buffer_append_string(out, "\r\nDate: ");
    clock_rfc5322(out, clock_wall());
    buffer_printf(out, "\r\nFrom: Mail Delivery System <MAILER-DAEMON@%s>\r\nTo: Postmaster <" SLICE_FORMAT ">\r\n", p->myhostname,
                  SLICE_ARGS(recipient));
    buffer_printf(out, "Subject: %s SMTP server: errors from %s\r\n\r\nTranscript of session follows.\r\n\r\n", p->mail_name, s->client.text);
    while (slice_next_line(&rest, &line))
        fold_line(out, line);
    buffer_append_string(out, "\r\n");
    if (s->end_reason)
        buffer_printf(out, "Session aborted, reason: %s\r\n", s->end_reason);
    buffer_append_string(out, "\r\nFor other details, see the local mail logfile\r\n");
}

/* filters_notices - are notices to the postmaster shown to filters? */
static bool filters_notices(const struct smtpd_params *p)
{
    struct slice rest = slice_of(p->internal_mail_filter_classes), class;
    while (config_list_next(&rest, &class)) {
        if (slice_equal_case(class, SLICE("notify")))
            return true;
    }
    return false;
}

static void send_notice(struct session *s)
{
    const struct smtpd_params *p = &s->server->params;
    struct buffer text = BUFFER_INIT_MAX(4 * HISTORY_MAX);
    struct submit_outcome outcome;
    struct recipient recipient = {.address = slice_of(p->error_notice_recipient)};
    struct envelope envelope = {.arrival_time = clock_wall(), .source = SOURCE_BOUNCE, .recipients = &recipient, .recipients_count = 1,
                                .rewrite_context = SLICE("local")};
    struct submission *submission = submit_open(s->server->cleanup, clock_after(PATIENCE * MICROSECONDS));

    if (!submission) {
        log_warning("postmaster notify: %s", strerror(errno));
        return;
    }
    struct slice shown = route_rewrite(s->server->route, SLICE("local"), recipient.address, s->scratch);
    envelope.queue_id = submit_queue_id(submission);
    envelope.sender = arena_format(s->scratch, "%s@%s", p->double_bounce_sender, p->myhostname);
    write_notice(s, envelope.queue_id, shown, &text);
    int options = SUBMIT_NO_BCC | (filters_notices(p) ? 0 : SUBMIT_NO_HEADER_BODY_CHECKS | SUBMIT_NO_MILTERS);
    submit_envelope(submission, &envelope, options);
    submit_content(submission, buffer_slice(&text));
    submit_finish(submission, (int64_t)text.len, s->scratch, &outcome, clock_after(PATIENCE * MICROSECONDS));
    buffer_release(&text);
    if (outcome.status != SUBMIT_STATUS_ACCEPTED)
        log_warning("postmaster notify: " SLICE_FORMAT, SLICE_ARGS(outcome.reply));
}

void history_report(struct session *s)
{
    if (!s->history)
        return;
    if (s->trouble & s->server->trouble_reported)
        send_notice(s);
    forget(s->history);
    s->trouble = 0;
}
