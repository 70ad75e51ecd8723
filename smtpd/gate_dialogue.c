/* gate_dialogue.c - an SMTP server that takes no mail: it tells who wanted to send what to whom, and sees how a client behaves after the greeting */
#include "gate_private.h"

#include "address/mail_address.h"
#include "base/log.h"
#include "service/agent.h"
#include "smtp/ehlo_keywords.h"
#include "smtp/esmtp.h"
#include "text.h"

enum { SHOWN_MAX = 100, UNSENT_MAX = 4096 };
static const int64_t farewell_time = 2 * MICROSECONDS;

struct dialogue {
    struct gate_client *c;
    struct stream *stream;
    struct arena *arena;   /* of the names below */
    struct arena *scratch; /* one command's */
    const char *helo, *sender;
    bool esmtp, tls;
    const char *where;     /* the last command */
    int64_t commands;
    bool pipelined, bare_newline;
    bool closing;
    unsigned passed;       /* deep tests that it will have passed unless it still fails */
};

typedef void handler(struct dialogue *d, struct slice arguments);

static void say(struct dialogue *d, enum smtp_reply_id id, struct slice value)
{
    const struct smtp_reply *reply = smtp_reply(id);
    struct buffer text = BUFFER_INIT_MAX(1024);

    smtp_reply_fill(&text, reply->text, &value, 1);
    gate_answer(d->c, reply->code, reply->status, buffer_slice(&text));
    buffer_release(&text);
}

#define SAY(d, id) say((d), (id), (struct slice){0})

/* hang_up - after a last reply. */
static void hang_up(struct dialogue *d, int code, const char *status, struct slice text)
{
    stream_set_deadline(d->stream, clock_after(farewell_time));
    gate_answer(d->c, code, status, text);
    d->closing = true;
}

static void unavailable(struct dialogue *d, const char *limit)
{
    gate_log("COMMAND %s LIMIT from %s after %s", limit, d->c->peer, d->where);
    hang_up(d, 421, "", arena_format(d->scratch, "%s Service unavailable - try again later", d->c->gate->params.myhostname));
}

/* ---- commands ---- */

static void greet_back(struct dialogue *d, struct slice name, bool esmtp)
{
    char *text = arena_string(d->arena, name);

    for (char *at = text; *at; at++)
        if ((unsigned char)*at < ' ' || *at == 127)
            *at = '?';
    d->helo = text;
    d->esmtp = esmtp;
    d->sender = NULL;
}

static void on_helo(struct dialogue *d, struct slice arguments)
{
    if (arguments.len == 0) {
        say(d, REPLY_HELO_SYNTAX, SLICE("HELO"));
        return;
    }
    greet_back(d, arguments, false);
    say(d, REPLY_HELO_OK, slice_of(d->c->gate->params.myhostname));
}

static int hidden_keywords(const struct gate_client *c)
{
    struct buffer value = BUFFER_INIT;
    int bits = c->gate->ehlo_discarded;

    if (!table_list_is_empty(c->gate->ehlo_keyword_maps) &&
        table_list_lookup(c->gate->ehlo_keyword_maps, slice_of(c->address), true, &value) == TABLE_FOUND)
        bits = smtp_ehlo_keywords(buffer_slice(&value), "postscreen_discard_ehlo_keyword_address_maps");
    buffer_release(&value);
    return bits;
}

static void on_ehlo(struct dialogue *d, struct slice arguments)
{
    const struct gate *gate = d->c->gate;
    const struct gate_params *p = &gate->params;
    int hidden = hidden_keywords(d->c);
    const char *size = p->message_size_limit > 0 ? arena_printf(d->scratch, "SIZE %lld", (long long)p->message_size_limit) : "SIZE";
    const struct { int bit; bool offered; const char *line; } rows[] = {
        {EHLO_SIZE, true, size}, {EHLO_VRFY, !p->postscreen_disable_vrfy_command, "VRFY"}, {EHLO_ETRN, true, "ETRN"},
        {EHLO_STARTTLS, gate->tls && !d->tls, "STARTTLS"}, {EHLO_ENHANCED_STATUS, true, "ENHANCEDSTATUSCODES"},
        {EHLO_8BITMIME, true, "8BITMIME"}, {EHLO_DSN, true, "DSN"}, {EHLO_SMTPUTF8, p->smtputf8_enable, "SMTPUTF8"},
        {EHLO_CHUNKING, true, "CHUNKING"},
    };
    struct buffer text = BUFFER_INIT;

    if (arguments.len == 0) {
        say(d, REPLY_HELO_SYNTAX, SLICE("EHLO"));
        return;
    }
    greet_back(d, arguments, true);
    buffer_append_string(&text, p->myhostname);
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        if (rows[i].offered && !(hidden & rows[i].bit))
            buffer_printf(&text, "\n%s", rows[i].line);
    gate_answer(d->c, 250, "", buffer_slice(&text));
    buffer_release(&text);
}

static void tls_log(const struct dialogue *d, const char *word)
{
    log_speak_for("tlsproxy");
    log_info("%s %s", word, d->c->peer);
    log_speak_for(NULL);
}

static void log_hangup(const struct dialogue *d)
{
    struct buffer time = BUFFER_INIT;

    delivery_delay_text(&time, clock_monotonic() - d->c->began);
    gate_log("HANGUP after %s from %s in tests after SMTP handshake", buffer_string(&time), d->c->peer);
    buffer_release(&time);
}

static void handshake_failed(struct dialogue *d)
{
    log_speak_for("tlsproxy");
    log_info("TLS handshake failed for service=%s peer=%s", d->c->gate->params.smtpd_service_name, d->c->peer);
    log_speak_for(NULL);
    tls_log(d, "DISCONNECT");
    log_hangup(d);
    d->closing = true;
}

static void on_starttls(struct dialogue *d, struct slice arguments)
{
    const struct gate *gate = d->c->gate;
    struct tls_facts facts;
    bool timed_out;

    if (arguments.len) {
        SAY(d, REPLY_STARTTLS_SYNTAX);
    } else if (d->tls) {
        SAY(d, REPLY_TLS_ACTIVE);
    } else if (!gate->tls || (hidden_keywords(d->c) & EHLO_STARTTLS)) {
        SAY(d, REPLY_NOT_IMPLEMENTED);
    } else if (!tls_server_make_ready(gate->tls)) {
        SAY(d, REPLY_TLS_UNAVAILABLE);
    } else {
        SAY(d, REPLY_READY_FOR_TLS);
        stream_flush(d->stream);
        tls_log(d, "CONNECT from");
        d->tls = tls_server_accept(gate->tls, d->stream, d->c->peer, gate->starttls_timeout, d->arena, &facts, &timed_out);
        d->sender = NULL;
        if (!d->tls)
            handshake_failed(d);
    }
}

/* address_of - what is no address is taken as it is: it is for the log only. */
static const char *address_of(struct dialogue *d, struct slice text, struct arena *arena)
{
    struct slice external, rest;

    if (!mail_address_parse_path(text, false, true, d->scratch, &external, &rest)) {
        external = slice_first(text, SHOWN_MAX);
        if (slice_starts(external, SLICE("<")))
            external = slice_from(external, 1);
        if (slice_ends(external, SLICE(">")))
            external = slice_first(external, external.len - 1);
    }
    return arena_string(arena, external);
}

static void on_mail(struct dialogue *d, struct slice arguments)
{
    struct slice path;

    if (d->c->gate->params.postscreen_helo_required && !d->helo) {
        SAY(d, REPLY_HELO_FIRST);
    } else if (d->sender) {
        SAY(d, REPLY_NESTED_MAIL);
    } else if (!smtp_command_argument(arguments, SLICE("FROM"), &path)) {
        SAY(d, REPLY_MAIL_SYNTAX);
    } else {
        d->sender = address_of(d, path, d->arena);
        SAY(d, REPLY_MAIL_OK);
    }
}

/* may_pass - it has done all that a mail server does until here; a later mistake still counts. */
static void may_pass(struct dialogue *d)
{
    struct gate_client *c = d->c;

    if (!c->failed && !c->denied && !c->vetoed)
        d->passed = c->todo & GATE_DEEP & ~c->ignored;
}

static void refuse_recipient(struct dialogue *d, const char *recipient)
{
    struct gate_client *c = d->c;
    const char *text = c->refusal ? c->refusal : "4.3.2 Service currently unavailable";

    gate_log("NOQUEUE: reject: RCPT from %s: %d %s; from=<%s>, to=<%s>, proto=%s, helo=<%s>", c->peer, c->refusal ? 550 : 450, text, d->sender,
             recipient, d->esmtp ? "ESMTP" : "SMTP", d->helo ? d->helo : "");
    if (c->refusal)
        gate_refuse(c, 550);
    else
        gate_answer(c, 450, "4.3.2", SLICE("Service currently unavailable"));
}

static void on_rcpt(struct dialogue *d, struct slice arguments)
{
    struct slice path;

    if (!d->sender) {
        SAY(d, REPLY_NEED_MAIL);
    } else if (!smtp_command_argument(arguments, SLICE("TO"), &path)) {
        SAY(d, REPLY_RCPT_SYNTAX);
    } else {
        refuse_recipient(d, address_of(d, path, d->scratch));
        may_pass(d);
    }
}

/* no_recipients - who sends content all the same does not listen: that is the end, and the content is not looked at. */
static void no_recipients(struct dialogue *d, const char *command, enum smtp_reply_id id)
{
    const struct smtp_reply *reply = smtp_reply(id);

    gate_log("%s without valid RCPT from %s", command, d->c->peer);
    hang_up(d, reply->code, reply->status, slice_of(reply->text));
}

static void on_data(struct dialogue *d, struct slice arguments)
{
    no_recipients(d, "DATA", arguments.len ? REPLY_DATA_SYNTAX : d->sender ? REPLY_NO_VALID_RECIPIENTS : REPLY_NEED_RCPT);
}

static void on_bdat(struct dialogue *d, struct slice arguments UNUSED)
{
    no_recipients(d, "BDAT", REPLY_NO_VALID_RECIPIENTS);
}

static void on_rset(struct dialogue *d, struct slice arguments UNUSED)
{
    d->sender = NULL;
    SAY(d, REPLY_OK);
}

static void on_noop(struct dialogue *d, struct slice arguments UNUSED)
{
    SAY(d, REPLY_OK);
}

static void on_vrfy(struct dialogue *d, struct slice arguments)
{
    if (d->c->gate->params.postscreen_disable_vrfy_command)
        SAY(d, REPLY_VRFY_DISABLED);
    else if (arguments.len == 0)
        gate_answer(d->c, 501, "5.5.4", SLICE("Syntax: VRFY address"));
    else if (d->c->refusal)
        gate_refuse(d->c, 550);
    else
        gate_answer(d->c, 450, "4.3.2", SLICE("Service currently unavailable"));
}

static void on_etrn(struct dialogue *d, struct slice arguments UNUSED)
{
    SAY(d, REPLY_ETRN_UNABLE);
}

static void on_quit(struct dialogue *d, struct slice arguments UNUSED)
{
    SAY(d, REPLY_BYE);
    d->closing = true;
}

enum { WITHOUT_TLS = 1 };
static const struct command {
    const char *name;
    int flags;
    handler *run;
} commands[] = {
    {"HELO", WITHOUT_TLS, on_helo}, {"EHLO", WITHOUT_TLS, on_ehlo}, {"STARTTLS", WITHOUT_TLS, on_starttls}, {"MAIL", 0, on_mail},
    {"RCPT", 0, on_rcpt}, {"DATA", 0, on_data}, {"BDAT", 0, on_bdat}, {"RSET", 0, on_rset}, {"NOOP", WITHOUT_TLS, on_noop},
    {"VRFY", 0, on_vrfy}, {"ETRN", 0, on_etrn}, {"QUIT", WITHOUT_TLS, on_quit},
};

static const struct command *find_command(struct slice word)
{
    for (size_t i = 0; i < COUNT_OF(commands); i++)
        if (slice_equal_case(word, slice_of(commands[i].name)))
            return &commands[i];
    return NULL;
}

/* ---- the deep tests ---- */

/* fail - true when that ends the dialogue. */
static bool fail(struct dialogue *d, enum gate_test test, int code, const char *status, const char *reply)
{
    enum gate_action action = gate_fail(d->c, test, "5.5.1 Protocol error");

    if (action == GATE_IGNORE) {
        d->passed &= ~(1U << test);
        return false;
    }
    d->passed = 0;
    if (action == GATE_DROP)
        hang_up(d, code, status, slice_of(reply));
    return action == GATE_DROP;
}

static bool is_bare(struct dialogue *d, enum line_end end, struct slice line)
{
    struct buffer text = BUFFER_INIT;

    if (end != LINE_LF || d->bare_newline)
        return false;
    d->bare_newline = true;
    text_escape(&text, line, SHOWN_MAX);
    gate_log("BARE NEWLINE from %s after %s", d->c->peer, buffer_string(&text));
    buffer_release(&text);
    return fail(d, GATE_BARE_NEWLINE, 521, "5.5.1", "Protocol error");
}

/* is_pipelined - more than this command was sent, though nobody said that it may be. */
static bool is_pipelined(struct dialogue *d)
{
    struct buffer text = BUFFER_INIT;

    if (d->pipelined || stream_buffered(d->stream) == 0)
        return false;
    d->pipelined = true;
    text_escape(&text, stream_peek(d->stream), SHOWN_MAX);
    gate_log("COMMAND PIPELINING from %s after %s: %s", d->c->peer, d->where, buffer_string(&text));
    buffer_release(&text);
    return fail(d, GATE_PIPELINING, 521, "5.5.1", "Protocol error");
}

/* looks_like_header - "Name: value". */
static bool looks_like_header(struct slice line)
{
    size_t name = slice_find_any(line, " \t:");

    while (name < line.len && (line.data[name] == ' ' || line.data[name] == '\t'))
        name++;
    return name > 0 && name < line.len && line.data[name] == ':';
}

static bool is_foreign(struct dialogue *d, struct slice word, struct slice line, const char *where)
{
    struct buffer text = BUFFER_INIT;

    if (!looks_like_header(line) && (match_list_is_empty(d->c->gate->forbidden_commands) || match_string(d->c->gate->forbidden_commands, word) != MATCH_YES))
        return false;
    text_escape(&text, line, SHOWN_MAX);
    gate_log("NON-SMTP COMMAND from %s after %s: %s", d->c->peer, where, buffer_string(&text));
    buffer_release(&text);
    return fail(d, GATE_NON_SMTP, 521, "5.7.0", "Error: I can break rules, too. Goodbye.");
}

/* ---- the loop ---- */

static void lost(struct dialogue *d)
{
    d->closing = true;
    if (stream_error(d->stream) == STREAM_TIMEOUT) {
        gate_log("COMMAND TIME LIMIT from %s after %s", d->c->peer, d->where);
        stream_clear_timeout(d->stream);
        hang_up(d, 421, "4.4.2", arena_format(d->scratch, "%s Error: timeout exceeded", d->c->gate->params.myhostname));
    } else if (stream_error(d->stream) != STREAM_CANCELLED) {
        log_hangup(d);
    }
}

/* filter - postscreen_command_filter: a table may put another command in its place. */
static struct slice filter(struct dialogue *d, struct slice line)
{
    struct buffer value = BUFFER_INIT_MAX(2048);
    struct slice result = line;

    if (!table_list_is_empty(d->c->gate->command_filter) &&
        table_list_lookup(d->c->gate->command_filter, line, true, &value) == TABLE_FOUND) {
        result = arena_slice(d->scratch, buffer_slice(&value));
        gate_log("%s: replacing command \"%.100s\" with \"%.100s\"", d->c->peer, line.data, result.data);
    }
    buffer_release(&value);
    return result;
}

static void obey(struct dialogue *d, enum line_end end, struct slice line)
{
    const char *before = d->where;
    struct slice word = {0}, arguments = {0};

    if (is_bare(d, end, line))
        return;
    line = filter(d, line);
    bool any = smtp_command_split(line, &word, &arguments);
    const struct command *command = any ? find_command(word) : NULL;
    d->where = command ? command->name : "UNIMPLEMENTED";
    if (!command && any && is_foreign(d, word, line, before))
        return;
    if (is_pipelined(d))
        return;
    if (++d->commands > d->c->gate->params.postscreen_command_count_limit) {
        d->where = before;
        unavailable(d, "COUNT");
    } else if (!command) {
        gate_answer(d->c, 502, "5.5.2", SLICE("Error: command not recognized"));
    } else if (d->c->gate->tls_required && d->c->gate->tls && !d->tls && !(command->flags & WITHOUT_TLS)) {
        SAY(d, REPLY_MUST_STARTTLS);
    } else {
        command->run(d, arguments);
    }
}

static void turn(struct dialogue *d)
{
    const struct gate *gate = d->c->gate;
    struct slice line;

    arena_reset(d->scratch);
    stream_set_deadline(d->stream, clock_after(gate->stress ? gate->stress_command_time : gate->params.postscreen_command_time_limit));
    if (stream_buffered(d->stream) == 0 || stream_unsent(d->stream) > UNSENT_MAX) {
        stream_flush(d->stream);
        stream_trim(d->stream);
    }
    service_interruptible(d->c->connection, INTERRUPTIBLE_AT_STOP);
    enum line_end end = stream_read_line(d->stream, (size_t)gate->params.line_length_limit, &line);
    service_interruptible(d->c->connection, INTERRUPTIBLE_NEVER);
    if (end == LINE_NONE)
        lost(d);
    else if (end == LINE_TOO_LONG)
        unavailable(d, "LENGTH");
    else
        obey(d, end, arena_slice(d->scratch, line));
}

bool gate_dialogue(struct gate_client *c, bool greet)
{
    struct dialogue d = {.c = c, .stream = c->connection->stream, .arena = arena_new(256), .scratch = arena_new(512), .where = "CONNECT"};

    c->began = clock_monotonic();
    if (greet)
        gate_answer(c, 220, "", slice_of(c->gate->server->params.smtpd_banner));
    while (!d.closing)
        turn(&d);
    stream_flush(d.stream);
    if (d.tls)
        tls_log(&d, "DISCONNECT");
    if (d.passed) {
        c->passed |= d.passed;
        gate_log("PASS %s %s", c->is_new ? "NEW" : "OLD", c->peer);
    }
    arena_free(d.arena);
    arena_free(d.scratch);
    return d.passed != 0;
}
