/* auth.c - AUTH: who the client is (RFC 4954, compat.md d.8) */
#include "auth.h"

#include "auth_failures.h"
#include "base/log.h"
#include "commands.h"
#include "sasl/server.h"
#include "text.h"

struct auth {
    struct sasl_server *backend;
    struct sasl_security clear, encrypted; /* smtpd_sasl_security_options, smtpd_sasl_tls_security_options */
    struct match_list *mechanisms;         /* smtpd_sasl_mechanism_filter */
    struct match_list *exceptions;         /* smtpd_sasl_exceptions_networks */
};

/* ---- the back end ---- */

struct auth *auth_open(struct server *server)
{
    const struct smtpd_params *p = &server->params;
    struct sasl_server_settings settings = {p->smtpd_sasl_type, p->smtpd_sasl_path, p->smtpd_sasl_service, p->smtpd_sasl_local_domain, server->config};

    if (!p->smtpd_sasl_auth_enable)
        return NULL;
    struct auth *auth = memory_zalloc(1, sizeof(*auth));
    auth->clear = sasl_security_parse(p->smtpd_sasl_security_options, "smtpd_sasl_security_options");
    auth->encrypted = sasl_security_parse(p->smtpd_sasl_tls_security_options, "smtpd_sasl_tls_security_options");
    auth->mechanisms = match_list_new("smtpd_sasl_mechanism_filter", p->smtpd_sasl_mechanism_filter, MATCH_STRING_LIST, server->config);
    auth->exceptions = match_list_new("smtpd_sasl_exceptions_networks", p->smtpd_sasl_exceptions_networks, MATCH_ADDRESS_LIST, server->config);
    auth->backend = sasl_server_new(&settings);
    return auth;
}

void auth_close(struct auth *auth)
{
    if (!auth)
        return;
    sasl_server_free(auth->backend);
    match_list_free(auth->mechanisms);
    match_list_free(auth->exceptions);
    free(auth);
}

/* ---- questions ---- */

bool auth_is_active(const struct session *s)
{
    return s->server->auth && !s->server->stand_alone && (s->tls || !(s->server->params.smtpd_tls_auth_only || s->server->tls_required));
}

/* passes_filter - smtpd_sasl_mechanism_filter; a table that cannot answer hides the mechanism. */
static bool passes_filter(const struct auth *auth, struct slice mechanism)
{
    return match_list_is_empty(auth->mechanisms) || match_string(auth->mechanisms, mechanism) == MATCH_YES;
}

void auth_offer(struct session *s, struct buffer *names)
{
    const struct auth *auth = s->server->auth;
    struct buffer all = BUFFER_INIT_MAX(1024);
    struct slice rest, name;

    if (!auth_is_active(s) || (s->ehlo_hidden & EHLO_AUTH) || client_is_in(&s->client, auth->exceptions))
        return;
    sasl_server_mechanisms(auth->backend, s->tls ? auth->encrypted : auth->clear, &all);
    for (rest = buffer_slice(&all); slice_next_token(&rest, " ", &name);)
        if (passes_filter(auth, name))
            buffer_printf(names, "%s" SLICE_FORMAT, names->len ? " " : "", SLICE_ARGS(name));
    buffer_release(&all);
}

void auth_set_login(struct session *s, const char *user, const char *method)
{
    s->login = NULL;
    s->rewrite_locally = -1; /* local_header_rewrite_clients may name those who are logged in */
    if (!user)
        return;
    s->login = arena_alloc(s->arena, sizeof(*s->login));
    s->login->user = arena_strdup(s->arena, user);
    s->login->method = arena_strdup(s->arena, method);
}

bool auth_is_user(const struct session *s)
{
    return s->login && strcasecmp(s->login->method, "ANONYMOUS") != 0;
}

struct slice auth_sender(const struct session *s)
{
    bool known = s->mail && s->mail->parameters.has_auth && !slice_equal(s->mail->parameters.auth, SLICE("<>"));

    return known ? s->mail->parameters.auth : (struct slice){0};
}

/* ---- one AUTH command ---- */

struct attempt {
    struct session *s;
    struct slice mechanism; /* scratch arena; as the client wrote it */
    struct sasl_exchange *exchange;
    struct sasl_answer answer;
    struct auth_guess guess;
};

/* explain - for the administrator: who was refused, and by which layer.  Never what the client gave as proof. */
static void explain(const struct attempt *t, enum sasl_layer layer)
{
    const struct session *s = t->s;
    struct buffer user = BUFFER_INIT;

    text_escape(&user, t->answer.user, 100);
    log_info("auth-failed: client=%s, user=<%s>, mechanism=" SLICE_FORMAT ", backend=%s, tls=%s, layer=%s: %s (see errors/535.md)", s->client.text,
             buffer_string(&user), SLICE_ARGS(t->mechanism), sasl_server_name(s->server->auth->backend), s->tls ? "yes" : "no",
             sasl_layer_name(layer), sasl_layer_meaning(layer));
    buffer_release(&user);
}

/* shown_reason - a back end's words in one line. */
static struct slice shown_reason(struct session *s, struct slice reason)
{
    if (reason.len == 0)
        return SLICE("(reason unavailable)");
    char *text = arena_string(s->scratch, slice_first(reason, 200));
    for (char *at = text; *at; at++)
        if ((unsigned char)*at < ' ' || *at == 127)
            *at = '?';
    return slice_of(text);
}

static enum outcome fail(struct attempt *t)
{
    struct session *s = t->s;
    struct slice reason = shown_reason(s, t->answer.reason), user = t->answer.user.len ? shown_reason(s, t->answer.user) : SLICE("(unavailable)");

    log_warning("%s: SASL " SLICE_FORMAT " authentication failed: " SLICE_FORMAT ", sasl_username=" SLICE_FORMAT, s->client.text,
                SLICE_ARGS(t->mechanism), SLICE_ARGS(reason), SLICE_ARGS(user));
    explain(t, t->answer.layer);
    auth_failures_note(s, &t->guess, t->answer.layer);
    if (t->answer.outcome == SASL_TEMPORARY)
        answer(s, REPLY_AUTH_TEMPORARY, reason);
    else
        answer(s, REPLY_AUTH_FAILED, reason);
    return COMMAND_FAILED; /* no trouble of the protocol: a notice to the postmaster would have what the client said */
}

static enum outcome succeed(struct attempt *t)
{
    struct session *s = t->s;

    auth_set_login(s, arena_string(s->scratch, t->answer.user), arena_string(s->scratch, t->mechanism));
    auth_failures_forgive(s, &t->guess);
    answer(s, REPLY_AUTH_DONE);
    return COMMAND_DONE;
}

/* read_response - the next line of the client, into the scratch arena; false: the command is over, the outcome is in *outcome. */
static bool read_response(struct session *s, struct slice *response, enum outcome *outcome)
{
    const struct smtpd_params *p = &s->server->params;
    size_t limit = (size_t)p->smtpd_sasl_response_limit;

    *outcome = COMMAND_FAILED;
    if (!session_wait_input(s, p->smtpd_timeout))
        return false;
    stream_set_deadline(s->stream, clock_after(p->smtpd_timeout));
    enum line_end end = stream_read_line(s->stream, limit, response);
    bool too_long = end == LINE_TOO_LONG;
    while (end == LINE_TOO_LONG)
        end = stream_read_line(s->stream, limit, response);
    if (end == LINE_NONE) {
        session_lost(s);
        return false;
    }
    if (too_long) {
        *outcome = answer_failed(s, REPLY_AUTH_TOO_LONG);
        return false;
    }
    *response = arena_slice(s->scratch, *response);
    return true;
}

static enum outcome abandon(struct attempt *t)
{
    log_warning("%s: SASL " SLICE_FORMAT " authentication aborted", t->s->client.text, SLICE_ARGS(t->mechanism));
    answer(t->s, REPLY_AUTH_ABORTED);
    return COMMAND_FAILED;
}

/* put_challenge - of any length: clients take up to 12288 bytes (RFC 4954 4). */
static void put_challenge(struct session *s, struct slice challenge)
{
    struct buffer *out = stream_output(s->stream);

    if (challenge.len + 4 <= SMTP_REPLY_LINE_MAX || slice_has_control(challenge) || !out)
        answer_text(s, 334, "", challenge);
    else
        buffer_printf(out, "334 " SLICE_FORMAT "\r\n", SLICE_ARGS(challenge));
}

/* converse - challenges and responses until it is decided. */
static enum outcome converse(struct attempt *t, bool has_response, struct slice response)
{
    struct session *s = t->s;
    enum outcome outcome;

    for (;;) {
        if (has_response)
            auth_failures_delay(s, &t->guess, t->mechanism, response);
        sasl_exchange_step(t->exchange, has_response, response, &t->answer);
        if (t->answer.outcome == SASL_OK)
            return succeed(t);
        if (t->answer.outcome != SASL_CONTINUE)
            return fail(t);
        put_challenge(s, t->answer.challenge);
        if (!read_response(s, &response, &outcome))
            return outcome;
        if (slice_equal(response, SLICE("*")))
            return abandon(t);
        has_response = true;
    }
}

static enum outcome authenticate(struct session *s, struct slice mechanism, bool has_response, struct slice response)
{
    const struct auth *auth = s->server->auth;
    struct attempt t = {.s = s, .mechanism = mechanism};

    if (!passes_filter(auth, mechanism)) {
        t.answer = (struct sasl_answer){.outcome = SASL_FAILED, .layer = SASL_LAYER_MECHANISM, .reason = SLICE("Invalid authentication mechanism")};
        return fail(&t);
    }
    struct sasl_peer peer = {s->client.server_address, s->client.address, s->tls != NULL, s->tls ? auth->encrypted : auth->clear, auth->encrypted};
    t.exchange = sasl_exchange_new(auth->backend, mechanism, &peer);
    enum outcome outcome = converse(&t, has_response, response);
    sasl_exchange_free(t.exchange);
    return outcome;
}

/* refuse_inactive - and say so when only TLS is missing. */
static enum outcome refuse_inactive(struct session *s, struct slice arguments)
{
    struct slice word;

    if (s->server->auth && !s->server->stand_alone && !s->tls && s->server->params.smtpd_tls_auth_only && slice_next_token(&arguments, " \t", &word)) {
        struct attempt t = {.s = s, .mechanism = sasl_mechanism_is_name(word) ? word : SLICE("(unavailable)")};
        explain(&t, SASL_LAYER_CLEARTEXT);
    }
    return answer_failed(s, REPLY_AUTH_NOT_ENABLED);
}

enum outcome command_auth(struct session *s, struct slice arguments)
{
    struct slice rest = arguments, mechanism, response = {0}, more;

    if (s->server->params.smtpd_helo_required && !s->helo)
        return answer_failed(s, REPLY_HELO_FIRST);
    if (!auth_is_active(s) || (s->ehlo_hidden & EHLO_AUTH))
        return refuse_inactive(s, arguments);
    if (limits_auth(s)) /* counts those that come to nothing, too */
        return answer_failed(s, REPLY_AUTH_RATE, slice_of(s->client.address));
    if (s->mail)
        return answer_failed(s, REPLY_AUTH_IN_MAIL);
    if (s->login)
        return answer_failed(s, REPLY_AUTH_AGAIN);
    if (!slice_next_token(&rest, " \t", &mechanism))
        return answer_failed(s, REPLY_AUTH_SYNTAX);
    bool has_response = slice_next_token(&rest, " \t", &response);
    if (slice_next_token(&rest, " \t", &more))
        return answer_failed(s, REPLY_AUTH_SYNTAX);
    char *name = arena_string(s->scratch, slice_first(mechanism, 40));
    for (char *at = name; *at; at++)
        *at = isprint((unsigned char)*at) ? (char)toupper((unsigned char)*at) : '?';
    return authenticate(s, slice_of(name), has_response, response);
}
