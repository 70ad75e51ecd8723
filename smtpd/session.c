/* session.c - the life of one SMTP session */
#include "session.h"

#include "access.h"
#include "answer.h"
#include "auth.h"
#include "base/log.h"
#include "commands.h"
#include "dns_lists.h"
#include "filters.h"
#include "history.h"
#include "proxy_header.h"

enum {
    PATIENCE_BEFORE_TRIM = 2 * 1000000, /* microseconds of silence after which an idle session gives memory back */
    FAREWELL_TIME = 2 * 1000000         /* for the last reply to a client that does not read */
};

const char *session_protocol(const struct session *s)
{
    return s->esmtp ? "ESMTP" : "SMTP";
}

const char *session_queue_id(const struct session *s)
{
    return s->mail && s->mail->queue_id ? s->mail->queue_id : "NOQUEUE";
}

/* ---- waiting ---- */

static bool await_input(struct session *s, int64_t deadline)
{
    int64_t patience = clock_after(PATIENCE_BEFORE_TRIM);

    if (patience < deadline) {
        stream_set_deadline(s->stream, patience);
        if (stream_await(s->stream, 1))
            return true;
        if (stream_error(s->stream) != STREAM_TIMEOUT)
            return false;
        stream_clear_timeout(s->stream);
        stream_trim(s->stream);
        arena_reset(s->scratch);
    }
    stream_set_deadline(s->stream, deadline);
    return stream_await(s->stream, 1);
}

void session_may_stop(struct session *s, bool may)
{
    if (s->connection)
        service_interruptible(s->connection, may ? INTERRUPTIBLE_AT_STOP : INTERRUPTIBLE_NEVER);
}

bool session_wait_input(struct session *s, int64_t timeout)
{
    int64_t deadline = clock_after(timeout);

    stream_set_deadline(s->stream, deadline);
    stream_flush(s->stream);
    session_may_stop(s, true);
    bool good = await_input(s, deadline);
    session_may_stop(s, false);
    if (!good)
        session_lost(s);
    return good;
}

void session_end(struct session *s, const char *reason)
{
    s->closing = true;
    if (!s->end_reason)
        s->end_reason = reason;
}

void session_lost(struct session *s)
{
    switch (stream_error(s->stream)) {
    case STREAM_TIMEOUT:
        stream_clear_timeout(s->stream);
        stream_set_deadline(s->stream, clock_after(FAREWELL_TIME));
        answer(s, REPLY_TIMEOUT, slice_of(s->server->params.myhostname));
        stream_flush(s->stream);
        session_end(s, "timeout");
        break;
    case STREAM_CANCELLED: /* the service stops */
        session_end(s, NULL);
        break;
    default:
        session_end(s, "lost connection");
        break;
    }
}

/* ---- transactions ---- */

void session_reset_mail(struct session *s)
{
    transaction_free(s->mail);
    s->mail = NULL;
    filters_message_ends(s);
    s->chunks_failed = false;
    if (s->forwarded) {
        arena_free(s->forwarded->arena);
        s->forwarded = NULL;
    }
}

/* rewrites_locally - local_header_rewrite_clients: whose mail counts as made here. */
static bool rewrites_locally(struct session *s)
{
    struct slice rest = slice_of(s->server->params.local_header_rewrite_clients), word;

    while (config_list_next(&rest, &word)) {
        if (slice_equal_case(word, SLICE("permit_inet_interfaces"))) {
            if (s->server->stand_alone || server_is_own_address(s->server, &s->client.peer))
                return true;
        } else if (slice_equal_case(word, SLICE("permit_mynetworks"))) {
            if (server_in_mynetworks(s->server, slice_of(s->client.name), client_peer(&s->client)) == MATCH_YES)
                return true;
        } else if (slice_equal_case(word, SLICE("check_address_map"))) {
            if (config_list_next(&rest, &word) && access_map_has_client(s, word))
                return true;
        } else if (slice_starts_case(word, SLICE("permit_tls_"))) {
            if (access_by_certificate(s, slice_equal_case(word, SLICE("permit_tls_all_clientcerts"))))
                return true;
        } else if (slice_equal_case(word, SLICE("permit_sasl_authenticated"))) {
            if (auth_is_user(s))
                return true;
        } else {
            log_warning("parameter local_header_rewrite_clients: unknown restriction \"" SLICE_FORMAT "\"", SLICE_ARGS(word));
        }
    }
    return false;
}

bool session_takes_require_tls(const struct session *s)
{
    /* A filter that we talk to in the clear cannot promise anything. */
    return s->server->params.requiretls_enable && s->server->params.smtpd_proxy_filter[0] == '\0' && !(s->ehlo_hidden & EHLO_REQUIRETLS);
}

const char *session_rewrite_context(struct session *s)
{
    if (s->forwarded && s->forwarded->has_source)
        return s->forwarded->is_local ? "local" : "remote";
    if (s->rewrite_locally < 0)
        s->rewrite_locally = rewrites_locally(s);
    return s->rewrite_locally ? "local" : "remote";
}

/* ---- beginning and end ---- */

struct session *session_new(struct server *server, struct stream *stream)
{
    struct session *s = memory_zalloc(1, sizeof(*s));

    s->server = server;
    s->stream = stream;
    s->arena = arena_new(512);
    s->scratch = arena_new(1024);
    s->where = "CONNECT";
    s->content_bytes = -1;
    s->rewrite_locally = -1;
    if (server->trouble_reported)
        s->history = transcript_new();
    server->sessions++;
    return s;
}

void session_free(struct session *s)
{
    session_reset_mail(s);
    filters_end(s);
    dns_lists_forget(s);
    deferral_free(s->client_deferral);
    deferral_free(s->helo_deferral);
    deferral_free(s->sender_deferral);
    transcript_free(s->history);
    free(s->helo);
    arena_free(s->scratch);
    arena_free(s->arena);
    free(s);
}

/* withhold_keywords - smtpd_discard_ehlo_keywords, or for this address smtpd_discard_ehlo_keyword_address_maps. */
static int withheld_keywords(struct session *s)
{
    struct buffer value = BUFFER_INIT;
    int bits = s->server->ehlo_discarded;

    if (!table_list_is_empty(s->server->ehlo_keyword_maps)) {
        enum table_result found = table_list_lookup(s->server->ehlo_keyword_maps, slice_of(s->client.address), true, &value);
        if (found == TABLE_FOUND)
            bits = smtp_ehlo_keywords(buffer_slice(&value), "smtpd_discard_ehlo_keyword_address_maps");
        else if (found == TABLE_TRY_AGAIN)
            log_warning("smtpd_discard_ehlo_keyword_address_maps lookup error for \"%s\"", s->client.address);
        buffer_release(&value);
    }
    return bits;
}

/* echo - the dialogue with some clients, or all, is logged. */
static void echo(struct session *s)
{
    bool wanted = log_verbose > 0 || client_is_in(&s->client, s->server->debug_peers);

    if (wanted && !s->history)
        s->history = transcript_new();
    if (s->history)
        transcript_echo(s->history, wanted ? s->client.text : NULL);
}

/* session_recognise - what depends on who the client is: at the start, and after XCLIENT. */
void session_recognise(struct session *s)
{
    s->may_xclient = client_is_in(&s->client, s->server->xclient_hosts);
    s->may_verp = client_is_in(&s->client, s->server->verp_clients);
    s->bare_lf_allowed = s->server->bare_newline != BARE_NEWLINE_ALLOWED && client_is_in(&s->client, s->server->bare_newline_exclusions);
    s->ehlo_hidden = withheld_keywords(s);
    echo(s);
}

void session_greet(struct session *s)
{
    struct rejection rejection;

    if (!s->server->params.smtpd_delay_reject && !access_connect(s, &rejection)) {
        answer_rejection(s, &rejection, (struct slice){0});
        s->refused = rejection;
        s->refused.text = arena_slice(s->arena, rejection.text);
        return;
    }
    if (filters_connect(s))
        answer(s, REPLY_GREETING, slice_of(s->server->params.smtpd_banner));
}

/* log_reason - except that a client hung up when its message was accepted: many do. */
static void log_reason(const struct session *s)
{
    if (strcmp(s->where, "END-OF-MESSAGE") == 0 && strcmp(s->end_reason, "lost connection") == 0)
        return;
    if (s->content_bytes >= 0) /* of DATA, or of the chunks so far */
        log_info("%s after %s (%lld bytes) from %s", s->end_reason, s->where, (long long)s->content_bytes, s->client.text);
    else
        log_info("%s after %s from %s", s->end_reason, s->where, s->client.text);
}

static void log_end(struct session *s)
{
    struct buffer text = BUFFER_INIT_MAX(1024);

    if (s->end_reason)
        log_reason(s);
    commands_statistics(s, &text);
    if (s->bare_lf_seen && s->server->bare_newline == BARE_NEWLINE_NOTED)
        buffer_append_string(&text, " notes=bare_lf");
    log_info("disconnect from %s%s", s->client.text, buffer_string(&text));
    buffer_release(&text);
}

void session_run(struct session *s)
{
    stream_set_deadline(s->stream, clock_after(s->server->params.smtpd_timeout));
    log_info("connect from %s", s->client.text);
    if (!s->server->stand_alone && limits_connect(s)) {
        answer(s, REPLY_TOO_MANY_CONNECTIONS, slice_of(s->server->params.myhostname), slice_of(s->client.address));
        stream_flush(s->stream);
    } else if (starttls_wrap(s) && (s->server->stand_alone || s->server->behind_gate || !session_talks_early(s, "CONNECT"))) {
        s->may_xforward = client_is_in(&s->client, s->server->xforward_hosts); /* the host that connected; XCLIENT does not take it away */
        session_recognise(s);
        session_greet(s);
        commands_run(s);
    } else {
        stream_flush(s->stream);
    }
    session_reset_mail(s);
    filters_end(s);
    log_end(s); /* at once: what another worker logs of the next connection comes after it */
    limits_disconnect(s);
    history_report(s);
}

void session_serve(struct server *server, struct service_client *connection)
{
    struct session *s = session_new(server, connection->stream);

    s->connection = connection;
    bool good = proxy_header_receive(s, &connection->peer, &connection->local);
    client_init(&s->client, server, &connection->peer, &connection->local, s->arena);
    client_look_up(&s->client, server, s->arena);
    if (good) {
        session_run(s);
    } else { /* who it was is the proxy */
        log_info("connect from %s", s->client.text);
        log_end(s);
    }
    session_free(s);
}

void session_serve_local(struct server *server, struct stream *stream)
{
    struct session *s = session_new(server, stream);

    client_init_local(&s->client, server, s->arena);
    session_run(s);
    session_free(s);
}
