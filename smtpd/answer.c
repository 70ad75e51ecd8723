/* answer.c - replies to the client */
#include "answer.h"

#include "address/mail_address.h"
#include "auth.h"
#include "base/log.h"
#include "base/verdict.h"
#include "template.h"
#include "history.h"
#include "run/run.h"
#include "service/address_log.h"

enum { REPLY_TEXT_MAX = 8192 };

/* One reply on its way out. */
struct departing {
    int code;
    char status[12];
    struct buffer text; /* lines separated by LF */
};

/* ---- what the administrator wants added or changed ---- */

/* filter_reply - smtpd_reject_filter_maps: the table sees the whole line and may give another. */
static void filter_reply(struct session *s, struct departing *d)
{
    struct buffer line = BUFFER_INIT_MAX(REPLY_TEXT_MAX), value = BUFFER_INIT;
    struct status_code status;
    struct slice rest;
    int code;

    if (table_list_is_empty(s->server->reject_filter))
        return;
    buffer_printf(&line, "%d %s%s%s", d->code, d->status, d->status[0] ? " " : "", buffer_string(&d->text));
    if (table_list_lookup(s->server->reject_filter, buffer_slice(&line), true, &value) == TABLE_FOUND) {
        if (smtp_reply_split(buffer_slice(&value), &code, &status, &rest)) {
            d->code = code;
            d->status[0] = '\0';
            if (status.class)
                status_code_format(status, d->status);
            buffer_clear(&d->text);
            buffer_append_slice(&d->text, rest);
        } else {
            log_warning("smtpd_reject_filter_maps: \"%s\" is no 4xx or 5xx reply", buffer_string(&value));
        }
    }
    buffer_release(&line);
    buffer_release(&value);
}

/* append_footer - "\c" in front: on the last line; else lines of their own.  "\n" separates lines. */
static void append_footer(struct session *s, const char *template, struct departing *d)
{
    struct buffer text = BUFFER_INIT_MAX(REPLY_TEXT_MAX);

    bool same_line = strncmp(template, "\\c", 2) == 0;
    if (template_expand(s, template + (same_line ? 2 : 0), NULL, 0, &text)) {
        struct slice rest = buffer_slice(&text);
        if (!same_line)
            buffer_append_byte(&d->text, '\n');
        for (;;) {
            size_t at = slice_search(rest, SLICE("\\n"));
            buffer_append_slice(&d->text, slice_first(rest, at));
            if (at >= rest.len)
                break;
            buffer_append_byte(&d->text, '\n');
            rest = slice_from(rest, at + 2);
        }
    }
    buffer_release(&text);
}

static void add_footer(struct session *s, struct departing *d)
{
    struct buffer value = BUFFER_INIT;
    const char *template = s->server->params.smtpd_reject_footer;

    if (!table_list_is_empty(s->server->footer_maps)) {
        struct buffer line = BUFFER_INIT_MAX(REPLY_TEXT_MAX);
        buffer_printf(&line, "%d %s%s%s", d->code, d->status, d->status[0] ? " " : "", buffer_string(&d->text));
        if (table_list_lookup(s->server->footer_maps, buffer_slice(&line), true, &value) == TABLE_FOUND)
            template = buffer_string(&value);
        buffer_release(&line);
    }
    if (template[0])
        append_footer(s, template, d);
    buffer_release(&value);
}

/* ---- sending ---- */

/* slow_down - a client that makes many errors waits for each answer. */
static void slow_down(struct session *s)
{
    const struct smtpd_params *p = &s->server->params;

    if (s->errors < p->smtpd_soft_error_limit || p->smtpd_error_sleep_time <= 0)
        return;
    stream_flush(s->stream);
    fiber_sleep(p->smtpd_error_sleep_time);
}

static void put_line(struct session *s, const struct departing *d, bool more, struct slice text)
{
    struct buffer *out = stream_output(s->stream);

    if (!out)
        return;
    size_t start = out->len;
    smtp_reply_line(out, d->code, more, d->status, text);
    if (s->history && out->len >= start + 2)
        history_out(s, slice_make(out->data + start, out->len - start - 2));
}

static void put_lines(struct session *s, const struct departing *d)
{
    struct slice rest = buffer_slice(&d->text), line;

    while (slice_cut(rest, '\n', &line, &rest))
        put_line(s, d, true, line);
    put_line(s, d, false, line);
}

void answer_text(struct session *s, int code, const char *status, struct slice text)
{
    struct departing d = {.code = code, .text = BUFFER_INIT_MAX(REPLY_TEXT_MAX)};

    snprintf(d.status, sizeof(d.status), "%s", status);
    buffer_append_slice(&d.text, text);
    if (code >= 400)
        filter_reply(s, &d);
    if (s->server->params.soft_bounce)
        d.code = smtp_reply_soften(d.code, d.status);
    if (d.code >= 400)
        add_footer(s, &d);
    slow_down(s);
    put_lines(s, &d);
    buffer_release(&d.text);
    if (d.code == 421 || d.code == 521)
        s->closing = true;
}

void answer_values(struct session *s, enum smtp_reply_id id, const struct slice *values, size_t count)
{
    const struct smtp_reply *reply = smtp_reply(id);
    struct buffer *out;

    if (count == 0 && reply->code < 400 && !s->history && (out = stream_output(s->stream)) != NULL) {
        slow_down(s);
        smtp_reply_line(out, reply->code, false, reply->status, slice_of(reply->text)); /* the common case, without the detour */
        return;
    }
    struct buffer text = BUFFER_INIT_MAX(REPLY_TEXT_MAX);
    smtp_reply_fill(&text, reply->text, values, count);
    answer_text(s, reply->code, reply->status, buffer_slice(&text));
    buffer_release(&text);
}

enum outcome answer_note_failure(struct session *s, enum smtp_reply_id id)
{
    s->trouble |= id == REPLY_NO_STORAGE || id == REPLY_QUEUE_UNAVAILABLE ? TROUBLE_RESOURCE : TROUBLE_PROTOCOL;
    return COMMAND_FAILED;
}

/* ---- refusals ---- */

/* append_address - external form; the parser leaves "a@b@c" as it was given. */
static void append_address(struct session *s, const char *name, struct slice address, struct buffer *line)
{
    struct mail_address parts;

    if (address.len && address.data[0] != '"' && slice_find(address, '@') != slice_find_last(address, '@')) {
        mail_address_split(address, s->scratch, &parts);
        address = mail_address_join(parts.local_part, parts.domain, s->scratch);
    }
    address_log_append(line, name, address);
}

static void append_place(struct session *s, struct slice recipient, struct buffer *line)
{
    if (s->mail)
        append_address(s, "from", s->mail->sender, line);
    if (recipient.len)
        append_address(s, "to", recipient, line);
    buffer_printf(line, " proto=%s", session_protocol(s));
    if (s->helo)
        buffer_printf(line, " helo=<%s>", s->helo);
}

void log_action(struct session *s, const char *verb, struct slice recipient, const char *format, ...)
{
    struct buffer line = BUFFER_INIT_MAX(4096);
    va_list args;

    buffer_printf(&line, "%s: %s: %s from %s: ", session_queue_id(s), verb, s->where, s->client.text);
    va_start(args, format);
    buffer_vprintf(&line, format, args);
    va_end(args);
    buffer_append_byte(&line, ';');
    append_place(s, recipient, &line);
    if (s->login && slice_starts(slice_of(verb), SLICE("milter-"))) /* of the others, Postfix 3.7 does not say it */
        buffer_printf(&line, " sasl_username=<%s>", s->login->user);
    log_info("%s", buffer_string(&line));
    buffer_release(&line);
}

struct slice answer_rejection_line(const struct session *s, const struct rejection *rejection)
{
    char status[12];
    int code = rejection->code;

    memcpy(status, rejection->status, sizeof(status));
    if (s->server->params.soft_bounce)
        code = smtp_reply_soften(code, status);
    return arena_format(s->scratch, "%d %s%s" SLICE_FORMAT, code, status, status[0] ? " " : "", SLICE_ARGS(rejection->text));
}

enum outcome answer_rejection(struct session *s, const struct rejection *rejection, struct slice recipient)
{
    s->trouble |= rejection->trouble;
    log_action(s, "reject", recipient, SLICE_FORMAT, SLICE_ARGS(answer_rejection_line(s, rejection)));
    answer_text(s, rejection->code, rejection->status, rejection->text);
    return COMMAND_FAILED;
}

enum outcome answer_logged(struct session *s, enum smtp_reply_id id, struct slice recipient, int trouble)
{
    const struct smtp_reply *reply = smtp_reply(id);
    struct rejection rejection = {.code = reply->code, .text = slice_of(reply->text), .trouble = trouble};

    snprintf(rejection.status, sizeof(rejection.status), "%s", reply->status);
    return answer_rejection(s, &rejection, recipient);
}
