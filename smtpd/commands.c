/* commands.c - reading commands and finding who obeys them */
#include "commands.h"

#include <sys/socket.h>

#include "base/log.h"
#include "filters.h"
#include "history.h"
#include "text.h"

enum { UNSENT_MAX = 16 * 1024 };

enum {
    IS_JUNK = 1,        /* costs no mail: too many count as errors */
    MUST_BE_LAST = 2,   /* of a pipelined group (RFC 2920 3.1) */
    WITHOUT_TLS = 4,    /* allowed before STARTTLS when TLS is demanded */
    WHEN_REFUSED = 8    /* allowed although the client was refused at connect */
};

struct command {
    struct slice name;
    int flags;
    enum outcome (*run)(struct session *s, struct slice arguments);
};

static const struct command commands[VERB_COUNT] = {
    [VERB_HELO] = {{"HELO", 4}, IS_JUNK | MUST_BE_LAST | WITHOUT_TLS, command_helo},
    [VERB_EHLO] = {{"EHLO", 4}, IS_JUNK | MUST_BE_LAST | WITHOUT_TLS, command_ehlo},
    [VERB_XCLIENT] = {{"XCLIENT", 7}, WITHOUT_TLS, command_xclient},
    [VERB_XFORWARD] = {{"XFORWARD", 8}, 0, command_xforward},
    [VERB_STARTTLS] = {{"STARTTLS", 8}, WITHOUT_TLS, command_starttls},
    [VERB_AUTH] = {{"AUTH", 4}, 0, command_auth},
    [VERB_MAIL] = {{"MAIL", 4}, 0, command_mail},
    [VERB_RCPT] = {{"RCPT", 4}, 0, command_rcpt},
    [VERB_DATA] = {{"DATA", 4}, MUST_BE_LAST, command_data},
    [VERB_BDAT] = {{"BDAT", 4}, 0, command_bdat},
    [VERB_RSET] = {{"RSET", 4}, IS_JUNK, command_rset},
    [VERB_NOOP] = {{"NOOP", 4}, IS_JUNK | MUST_BE_LAST | WITHOUT_TLS, command_noop},
    [VERB_VRFY] = {{"VRFY", 4}, IS_JUNK | MUST_BE_LAST, command_vrfy},
    [VERB_ETRN] = {{"ETRN", 4}, IS_JUNK, command_etrn},
    [VERB_QUIT] = {{"QUIT", 4}, WITHOUT_TLS | WHEN_REFUSED, command_quit},
    [VERB_HELP] = {{"HELP", 4}, WITHOUT_TLS, NULL}, /* a command since Postfix 3.10; the line of statistics has its place */
    [VERB_UNKNOWN] = {{"UNKNOWN", 7}, 0, NULL},
};

static enum verb find_verb(struct slice word)
{
    for (int verb = 0; verb < VERB_UNKNOWN; verb++)
        if (commands[verb].run && slice_equal_case(word, commands[verb].name))
            return (enum verb)verb;
    return VERB_UNKNOWN;
}

void commands_statistics(const struct session *s, struct buffer *out)
{
    uint32_t good = 0, all = 0;

    for (int verb = 0; verb < VERB_COUNT; verb++) {
        uint32_t verb_good = s->counts[verb].good, verb_all = s->counts[verb].all;
        if (verb_all == 0)
            continue;
        buffer_append_byte(out, ' ');
        buffer_append_lower(out, commands[verb].name);
        buffer_printf(out, verb_good == verb_all ? "=%u" : "=%u/%u", verb_good, verb_all);
        good += verb_good;
        all += verb_all;
    }
    buffer_printf(out, good == all && all ? " commands=%u" : " commands=%u/%u", good, all);
}

/* ---- reading ---- */

/* skip_rest - of a line that is longer than line_length_limit; its beginning counts. */
static enum line_end skip_rest(struct session *s, struct slice *line)
{
    size_t limit = (size_t)s->server->params.line_length_limit;
    enum line_end end;
    struct slice more;

    *line = arena_slice(s->scratch, *line);
    log_warning("%s: request longer than %zu: %.30s...", s->client.text, limit, line->data);
    while ((end = stream_read_line(s->stream, limit, &more)) == LINE_TOO_LONG)
        continue;
    return end;
}

/* bare_lf_is_refused - a command that ended in LF alone; true when it ends the session. */
static bool bare_lf_is_refused(struct session *s)
{
    const struct smtpd_params *p = &s->server->params;

    if (s->bare_lf_allowed || s->server->bare_newline == BARE_NEWLINE_ALLOWED)
        return false;
    s->bare_lf_seen = true;
    if (s->server->bare_newline != BARE_NEWLINE_REJECTED)
        return false;
    log_action(s, "reject", (struct slice){0}, "bare <LF> received");
    const struct smtp_reply *reply = smtp_reply(REPLY_BARE_LF);
    answer_text(s, (int)p->smtpd_forbid_bare_newline_reject_code, reply->status,
                arena_format(s->scratch, "%s Error: bare <LF> received", p->myhostname));
    s->trouble |= TROUBLE_PROTOCOL;
    s->closing = true;
    return true;
}

/* read_command - the next line; false when there is none. */
static bool read_command(struct session *s, struct slice *line)
{
    const struct smtpd_params *p = &s->server->params;

    struct slice waiting = stream_peek(s->stream);
    if (waiting.len == 0 ? !session_wait_input(s, p->smtpd_timeout) : (!memchr(waiting.data, '\n', waiting.len) && !stream_flush(s->stream))) {
        if (waiting.len)
            session_lost(s);
        return false;
    }
    stream_set_deadline(s->stream, clock_after(p->smtpd_timeout));
    enum line_end end = stream_read_line(s->stream, (size_t)p->line_length_limit, line);
    if (end == LINE_TOO_LONG)
        end = skip_rest(s, line);
    if (end == LINE_NONE) {
        session_lost(s);
        return false;
    }
    return end != LINE_LF || !bare_lf_is_refused(s);
}

/* filter_command - smtpd_command_filter: a table may put another command in its place. */
static struct slice filter_command(struct session *s, struct slice line)
{
    struct buffer value = BUFFER_INIT_MAX(4096);
    struct slice result = line;

    if (!table_list_is_empty(s->server->command_filter)) {
        enum table_result found = table_list_lookup(s->server->command_filter, line, true, &value);
        if (found == TABLE_FOUND) {
            result = arena_slice(s->scratch, buffer_slice(&value));
            log_info("%s: replacing command \"%.100s\" with \"%.100s\"", s->client.text, arena_string(s->scratch, line), result.data);
        } else if (found == TABLE_TRY_AGAIN) {
            log_action(s, "reject", (struct slice){0}, "421 4.3.0 %s Server local data error", s->server->params.myhostname);
            answer(s, REPLY_LOCAL_DATA_ERROR, slice_of(s->server->params.myhostname));
        }
        buffer_release(&value);
    }
    return result;
}

/* ---- early talkers ---- */

/* has_more - did the client send more than it may?  An end of the connection does not count. */
static bool has_more(struct session *s)
{
    char byte;

    if (stream_buffered(s->stream))
        return true;
    if (stream_fd(s->stream) < 0 || s->tls)
        return stream_pending(s->stream);
    return recv(stream_fd(s->stream), &byte, 1, MSG_PEEK | MSG_DONTWAIT) > 0;
}

bool session_talks_early(struct session *s, const char *after)
{
    struct buffer text = BUFFER_INIT;

    /* sendmail -bs: a file or a pipe cannot wait for replies. */
    if (s->server->stand_alone || s->early_talker || !has_more(s) || !stream_await(s->stream, 1))
        return false;
    s->early_talker = true;
    if (strcmp(after, "AUTH") == 0)
        buffer_append_string(&text, "(hidden)"); /* it may be a password */
    else
        text_escape(&text, stream_peek(s->stream), 100);
    log_info("improper command pipelining after %s from %s: %s", after, s->client.text, buffer_string(&text));
    buffer_release(&text);
    if (!s->server->params.smtpd_forbid_unauth_pipelining)
        return false;
    answer(s, REPLY_NOT_SYNCHRONIZED);
    s->trouble |= TROUBLE_PROTOCOL;
    s->closing = true;
    return true;
}

/* ---- obeying ---- */

/* looks_like_header - "Name: value", with or without blanks around the colon. */
static bool looks_like_header(struct slice line)
{
    size_t name = 0, colon;

    while (name < line.len && line.data[name] > ' ' && line.data[name] < 127 && line.data[name] != ':')
        name++;
    for (colon = name; colon < line.len && (line.data[colon] == ' ' || line.data[colon] == '\t');)
        colon++;
    return name > 0 && colon < line.len && line.data[colon] == ':';
}

/* breaks_rules - not SMTP at all, or forbidden: HTTP and header lines that come where commands belong. */
static bool breaks_rules(struct session *s, enum verb verb, struct slice word, struct slice line)
{
    struct buffer text = BUFFER_INIT;

    if (verb != VERB_UNKNOWN) /* what is SMTP cannot be forbidden here */
        return false;
    if (!looks_like_header(line) &&
        (match_list_is_empty(s->server->forbidden_commands) || match_string(s->server->forbidden_commands, word) != MATCH_YES))
        return false;
    text_escape(&text, line, 100);
    log_warning("non-SMTP command from %s: %s", s->client.text, buffer_string(&text));
    buffer_release(&text);
    answer(s, REPLY_RULE_BREAKER);
    s->closing = true;
    return true;
}

static bool needs_tls(const struct session *s, const struct command *command)
{
    return !(command->flags & WITHOUT_TLS) && command->run && starttls_is_demanded(s);
}

static void count_junk(struct session *s)
{
    if (s->junk++ > s->server->params.smtpd_junk_command_limit)
        s->errors++;
}

/* is_improper_place - may nothing follow this command before its reply?  Without EHLO that goes for all; then only what came along with the
   command counts, looking further would cost a system call for each. */
static bool is_improper_place(const struct session *s, enum verb verb)
{
    if (commands[verb].flags & MUST_BE_LAST)
        return true;
    return !s->esmtp && verb != VERB_QUIT && verb != VERB_UNKNOWN && stream_buffered(s->stream) > 0;
}

static enum outcome run_command(struct session *s, enum verb verb, struct slice word, struct slice arguments, struct slice line)
{
    const struct command *command = &commands[verb];

    bool refused = s->refused.code && !(command->flags & WHEN_REFUSED);

    if (!refused)
        s->where = command->name.data;
    s->content_bytes = -1;
    if (breaks_rules(s, verb, word, line))
        return COMMAND_FAILED;
    if (refused)
        return answer_failed(s, REPLY_ACCESS_DENIED, slice_of(s->client.text));
    if (needs_tls(s, command))
        return answer_failed(s, REPLY_MUST_STARTTLS);
    if (is_improper_place(s, verb) && session_talks_early(s, s->where))
        return COMMAND_FAILED;
    if (!command->run)
        return filters_unknown(s, word) ? answer_failed(s, REPLY_NOT_RECOGNIZED) : COMMAND_FAILED;
    return command->run(s, arguments);
}

static void obey(struct session *s, struct slice line)
{
    struct slice word, arguments;

    history_in(s, line);
    line = filter_command(s, arena_slice(s->scratch, slice_trim_right(line))); /* a copy: looking for early talkers may read on */
    if (s->closing)
        return;
    if (s->server->params.smtputf8_enable && !slice_is_ascii(line) && !slice_is_utf8(line)) {
        s->errors++;
        answer_failed(s, REPLY_BAD_UTF8);
        return;
    }
    if (slice_find(line, '\0') < line.len || !smtp_command_split(line, &word, &arguments)) {
        s->errors++;
        answer_failed(s, REPLY_BAD_SYNTAX);
        return;
    }
    if (!match_list_is_empty(s->server->noop_commands) && match_string(s->server->noop_commands, word) == MATCH_YES) {
        count_junk(s);
        answer(s, REPLY_OK);
        return;
    }
    enum verb verb = find_verb(word);
    s->counts[verb].all++;
    if (commands[verb].flags & IS_JUNK)
        count_junk(s);
    switch (run_command(s, verb, word, arguments, line)) {
    case COMMAND_DONE:
        s->counts[verb].good++;
        break;
    case COMMAND_FAILED:
        s->errors++;
        break;
    case COMMAND_UNCOUNTED:
        break;
    }
}

void commands_run(struct session *s)
{
    const struct smtpd_params *p = &s->server->params;
    struct slice line;

    while (!s->closing && !s->end_reason) {
        if (s->errors >= p->smtpd_hard_error_limit) {
            answer_failed(s, REPLY_TOO_MANY_ERRORS, slice_of(p->myhostname));
            s->end_reason = "too many errors";
            break;
        }
        arena_reset(s->scratch);
        if (stream_unsent(s->stream) > UNSENT_MAX) /* a client that sends many commands and reads no reply waits here */
            stream_flush(s->stream);
        if (!read_command(s, &line))
            break;
        obey(s, line);
    }
    stream_flush(s->stream);
}
