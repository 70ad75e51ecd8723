/* starttls.c - TLS on a session: STARTTLS, wrapper mode, certificates of clients (compat.md d.3, g.7) */
#include "access_private.h"

#include <malloc.h>

#include "base/log.h"
#include "commands.h"
#include "filters.h"
#include "history.h"
#include "service/files.h"
#include "service/statistics.h"
#include "tls/tickets.h"

/* ---- what the configuration wants ---- */

/* set_level - smtpd_tls_security_level, or the old switches when it is empty. */
static void set_level(struct server *server)
{
    const struct tls_params *p = &server->tls_params;
    const char *level = p->tls_security_level;

    if (level[0] == '\0') {
        server->tls_required = p->enforce_tls;
        server->tls_offered = p->use_tls || p->enforce_tls;
    } else {
        bool none = strcasecmp(level, "none") == 0, may = strcasecmp(level, "may") == 0;
        server->tls_offered = !none;
        server->tls_required = !none && !may;
        if (server->tls_required && strcasecmp(level, "encrypt") != 0)
            log_warning("smtpd_tls_security_level: unsupported level \"%s\", using \"encrypt\"", level);
    }
    if (p->tls_wrappermode)
        server->tls_offered = server->tls_required = true;
    if (p->smtpd_tls_req_ccert && !server->tls_required && server->tls_offered)
        log_warning("Can't require client certs unless TLS is required");
}

void starttls_open(struct server *server)
{
    static const struct tls_file_access access = {service_announce_file, service_open_file, service_request_replacement};

    tls_params_load(server->config, "smtpd", &server->tls_params);
    set_level(server);
    server->client_certificates = table_list_new("relay_clientcerts", server->params.relay_clientcerts, TABLE_FOLD, server->config);
    if (!server->tls_offered)
        return;
    mallopt(M_ARENA_MAX, 2); /* handshakes in many threads must not leave a heap behind for each */
    tls_tickets_share(statistics_shared());
    server->tls = tls_server_new(server->config, &server->tls_params, server->tls_required, server->service_name, &access);
}

void starttls_close(struct server *server)
{
    tls_server_free(server->tls);
    table_list_free(server->client_certificates);
}

bool starttls_is_demanded(const struct session *s)
{
    return s->server->tls_required && !s->tls && !s->server->stand_alone;
}

bool starttls_is_offered(const struct session *s)
{
    return s->server->tls_offered && !s->tls && !s->server->stand_alone;
}

/* ---- the handshake ---- */

/* forget_before - what was said in the clear does not count (RFC 3207 4.2). */
static void forget_before(struct session *s)
{
    session_reset_mail(s);
    filters_forget_helo(s);
    s->login = NULL;
    free(s->helo);
    s->helo = NULL;
    s->rewrite_locally = -1;
    deferral_free(s->helo_deferral);
    s->helo_deferral = NULL;
    history_flush(s);
}

/* check_certificate - smtpd_tls_req_ccert; false: the client was turned away. */
static bool check_certificate(struct session *s)
{
    const char *why = !s->tls->has_certificate ? "No client certificate presented" : !s->tls->trusted ? "Client certificate not trusted" : NULL;

    if (!why || !s->server->tls_params.smtpd_tls_req_ccert || !s->server->tls_required)
        return true;
    log_info("NOQUEUE: abort: TLS from %s: %s", s->client.text, why);
    answer(s, s->tls->has_certificate ? REPLY_CERTIFICATE_NOT_TRUSTED : REPLY_NO_CERTIFICATE, slice_of(s->server->params.myhostname));
    stream_flush(s->stream);
    return false;
}

static bool shake_hands(struct session *s)
{
    struct tls_facts *facts = arena_alloc(s->arena, sizeof(*facts));
    bool timed_out;

    session_may_stop(s, true);
    bool good = tls_server_accept(s->server->tls, s->stream, s->client.text, s->server->tls_params.starttls_timeout, s->arena, facts, &timed_out);
    session_may_stop(s, false);
    if (!good) {
        session_end(s, "lost connection"); /* timed out or not: what happened is logged */
        return false;
    }
    s->tls = facts;
    forget_before(s);
    stream_set_deadline(s->stream, clock_after(s->server->params.smtpd_timeout));
    return check_certificate(s);
}

bool starttls_wrap(struct session *s)
{
    if (!s->server->tls_params.tls_wrappermode || s->server->stand_alone)
        return true;
    if (!tls_server_make_ready(s->server->tls)) {
        log_warning("Wrapper-mode request dropped from %s for service %s. TLS context initialization failed. "
                    "For details see earlier warnings in your logs.",
                    s->client.text, s->server->service_name);
        s->closing = true;
        return false;
    }
    if (limits_tls(s)) {
        s->closing = true; /* nothing may be said in the clear */
        return false;
    }
    return shake_hands(s);
}

enum outcome command_starttls(struct session *s, struct slice arguments)
{
    if (arguments.len)
        return answer_failed(s, REPLY_STARTTLS_SYNTAX);
    if (s->tls)
        return answer_failed(s, REPLY_TLS_ACTIVE);
    if (!starttls_is_offered(s) || (s->ehlo_hidden & EHLO_STARTTLS))
        return answer_failed(s, REPLY_NOT_IMPLEMENTED);
    if (!tls_server_make_ready(s->server->tls)) {
        log_warning("NOQUEUE: reject: STARTTLS from %s: TLS context initialization failed. For details see earlier warnings in your logs.",
                    s->client.text);
        return answer_failed(s, REPLY_TLS_UNAVAILABLE);
    }
    if (limits_tls(s)) {
        log_warning("Refusing STARTTLS request from %s for service %s", s->client.text, s->server->service_name);
        return answer_failed(s, REPLY_TLS_RATE, slice_of(s->client.address));
    }
    answer(s, REPLY_READY_FOR_TLS);
    if (!stream_flush(s->stream)) {
        session_lost(s);
        return COMMAND_FAILED;
    }
    return shake_hands(s) ? COMMAND_DONE : COMMAND_FAILED;
}

/* ---- Received: ---- */

void starttls_received(const struct session *s, struct buffer *out)
{
    const struct tls_facts *t = s->tls;

    if (!t || !s->server->params.smtpd_tls_received_header)
        return;
    buffer_printf(out, "\r\n\t(using %s with cipher %s (%d/%d bits)", t->protocol, t->cipher, t->used_bits, t->all_bits);
    struct slice details = slice_of(t->details);
    size_t client = slice_search(details, SLICE(" client-signature"));
    if (details.len)
        buffer_printf(out, "\r\n\t" SLICE_FORMAT, SLICE_ARGS(slice_first(details, client)));
    if (client < details.len)
        buffer_printf(out, "\r\n\t" SLICE_FORMAT, SLICE_ARGS(slice_from(details, client)));
    buffer_append_byte(out, ')');
    if (t->has_certificate)
        buffer_printf(out, "\r\n\t(Client CN \"%s\", Issuer \"%s\" (%s))", t->subject, t->issuer, t->trusted ? "verified OK" : "not verified");
    else if (tls_server_asks_clients(s->server->tls))
        buffer_append_string(out, "\r\n\t(Client did not present a certificate)");
    else
        buffer_append_string(out, "\r\n\t(No client certificate requested)");
}

/* ---- access control by certificate ---- */

static bool is_listed(struct session *s, const char *fingerprint, bool *failed)
{
    struct buffer value = BUFFER_INIT;
    enum table_result found = TABLE_NOT_FOUND;

    if (fingerprint[0])
        found = table_list_lookup(s->server->client_certificates, slice_of(fingerprint), true, &value);
    if (found == TABLE_TRY_AGAIN) {
        log_warning("relay_clientcerts: lookup error for fingerprint \"%s\"", fingerprint);
        *failed = true;
    }
    buffer_release(&value);
    return found == TABLE_FOUND;
}

/* has_listed_certificate - is the fingerprint of the client's certificate, or of its key, in relay_clientcerts? */
static bool has_listed_certificate(struct session *s, bool *failed)
{
    return s->tls && s->tls->has_certificate && !table_list_is_empty(s->server->client_certificates) &&
           (is_listed(s, s->tls->fingerprint, failed) || is_listed(s, s->tls->key_fingerprint, failed));
}

bool access_by_certificate(struct session *s, bool any)
{
    bool failed = false;

    return any ? s->tls && s->tls->trusted : has_listed_certificate(s, &failed);
}

/* check_tls_clientcerts - permit_tls_clientcerts: certificates or keys whose fingerprints are in relay_clientcerts. */
enum access_result check_tls_clientcerts(struct access *a, const struct restriction *item)
{
    bool failed = false;

    if (has_listed_certificate(a->s, &failed))
        return access_permit_client(a, item);
    return failed ? access_defer_if_reject(a, 450, "4.3.0", "Temporary lookup failure") : ACCESS_DUNNO;
}

/* check_tls_all_clientcerts - permit_tls_all_clientcerts: any that lead to an authority of ours. */
enum access_result check_tls_all_clientcerts(struct access *a, const struct restriction *item)
{
    if (!a->s->tls || !a->s->tls->trusted)
        return ACCESS_DUNNO;
    return access_permit_client(a, item);
}

/* check_ccert_access - a table of fingerprints, of the certificate first, then of its key, if not asked for otherwise. */
enum access_result check_ccert_access(struct access *a, const struct restriction *item)
{
    const struct tls_facts *t = a->s->tls;

    if (!a->s->server->tls_params.smtpd_tls_ask_ccert)
        log_warning("%s is requested, but \"smtpd_tls_ask_ccert = no\"", item->row->name);
    if (!t || !t->has_certificate)
        return ACCESS_DUNNO;
    for (const char *at = item->search_order; *at; at++) {
        const char *print = *at == SEARCH_CERTIFICATE ? t->fingerprint : t->key_fingerprint;
        if (print[0] == '\0')
            continue;
        enum access_result result = access_look_up_exact(a, item, slice_of(print), SUBJECT_CCERT, slice_of(a->s->client.text));
        if (result != ACCESS_DUNNO)
            return result;
    }
    return ACCESS_DUNNO;
}
