/* server.c (tls) - see server.h */
#include "tls/server.h"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/sha.h>
#include <openssl/tls1.h>

#include "base/log.h"
#include "base/map.h"
#include "run/run.h"
#include "table/table.h"
#include "tls/context.h"
#include "tls/directory.h"
#include "tls/hello.h"
#include "tls/layer.h"
#include "tls/settings.h"
#include "tls/tickets.h"
#include "tls/trace.h"

enum {
    REFRESH_INTERVAL = 5 * MICROSECONDS, /* how often files are looked at again, at most */
    MISSING_INTERVAL = MICROSECONDS / 10, /* the same while there is no certificate */
    NAMED_CONTEXTS_MAX = 1000            /* of server names */
};

struct tls_server {
    const struct tls_params *params;
    struct tls_credentials *credentials;
    SSL_CTX *ctx;              /* NULL: TLS is not available */
    bool asks_clients;
    bool lacks_files;          /* but would be, with other keys and certificates */
    int versions;
    char *ciphers;
    unsigned char session_context[SHA256_DIGEST_LENGTH];
    struct table_list *names;  /* tls_server_sni_maps */
    struct map *named;         /* digest of a chain -> SSL_CTX */
    struct tls_directory *directory; /* smtpd_tls_certificate_directory; NULL: none */
    int64_t looked;            /* when the files were looked at last */
    bool looking;
    struct condition look_over;
};

/* One handshake, for the callbacks. */
struct handshake {
    bool asked;    /* the name was seen */
    bool decided;  /* and looked up */
    char name[TLS_NAME_MAX]; /* lower case; "" when there is none */
};

/* ---- callbacks; they may run in a thread of the offload pool ---- */

/* accept_any - certificates of clients are looked at after the handshake: who shows a bad one may still be served. */
static int accept_any(int ok, X509_STORE_CTX *store)
{
    tls_trace_verify(ok, store);
    return 1;
}

static int on_client_hello(SSL *ssl, int *alert UNUSED, void *arg UNUSED)
{
    struct handshake *handshake = SSL_get_app_data(ssl);
    const unsigned char *data;
    size_t len;

    if (handshake->decided)
        return SSL_CLIENT_HELLO_SUCCESS;
    if (!handshake->asked && SSL_client_hello_get0_ext(ssl, TLSEXT_TYPE_server_name, &data, &len) == 1)
        tls_hello_name(slice_make(data, len), handshake->name);
    handshake->asked = true;
    return handshake->name[0] ? SSL_CLIENT_HELLO_RETRY : SSL_CLIENT_HELLO_SUCCESS;
}

/* on_protocols - ALPN. */
static int on_protocols(SSL *ssl UNUSED, const unsigned char **out, unsigned char *out_len, const unsigned char *in, unsigned in_len,
                        void *arg UNUSED)
{
    struct slice chosen;

    switch (tls_hello_protocol(slice_make(in, in_len), &chosen)) {
    case TLS_PROTOCOL_SMTP:
        *out = (const unsigned char *)chosen.data;
        *out_len = (unsigned char)chosen.len;
        return SSL_TLSEXT_ERR_OK;
    case TLS_PROTOCOL_FOREIGN:
        return SSL_TLSEXT_ERR_ALERT_FATAL;
    default:
        return SSL_TLSEXT_ERR_NOACK;
    }
}

/* ---- contexts ---- */

static void set_up_tickets(const struct tls_server *server, SSL_CTX *ctx)
{
    const struct tls_params *p = server->params;
    int64_t lifetime = p->tls_session_cache_timeout / MICROSECONDS;

    if (p->tls_session_ticket_cipher[0] == '\0' || lifetime <= 0 || (SSL_CTX_get_options(ctx) & SSL_OP_NO_TICKET)) {
        SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET);
        SSL_CTX_set_num_tickets(ctx, 0);
    } else if (!tls_tickets_enable(ctx, lifetime, p->tls_session_ticket_cipher)) {
        log_warning("invalid %s: %s; session ticket support disabled", "tls_session_ticket_cipher", p->tls_session_ticket_cipher);
        ERR_clear_error();
        SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET);
    }
}

/* context_new - everything but keys and certificates. */
static SSL_CTX *context_new(const struct tls_server *server)
{
    const struct tls_params *p = server->params;
    SSL_CTX *ctx = tls_context_new(p, true);

    if (!ctx)
        return NULL;
    tls_set_versions(ctx, NULL, server->versions);
    if (SSL_CTX_set_cipher_list(ctx, server->ciphers) != 1) {
        log_warning("no usable ciphers: %s", server->ciphers);
        tls_log_library_problems();
        SSL_CTX_free(ctx);
        return NULL;
    }
    if (p->tls_preempt_cipherlist)
        SSL_CTX_set_options(ctx, SSL_OP_CIPHER_SERVER_PREFERENCE);
    SSL_CTX_set_session_id_context(ctx, server->session_context, sizeof(server->session_context));
    if (p->smtpd_tls_always_issue_session_ids) /* nothing is stored: tickets resume */
        SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_SERVER | SSL_SESS_CACHE_NO_INTERNAL);
    set_up_tickets(server, ctx);
    if (server->asks_clients) {
        SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER | SSL_VERIFY_CLIENT_ONCE, accept_any);
        SSL_CTX_set_verify_depth(ctx, (int)p->smtpd_tls_ccert_verifydepth);
    }
    SSL_CTX_set_alpn_select_cb(ctx, on_protocols, NULL);
    if (!table_list_is_empty(server->names) || p->smtpd_tls_certificate_directory[0])
        SSL_CTX_set_client_hello_cb(ctx, on_client_hello, NULL);
    return ctx;
}

/* build - a context from what the files hold now; NULL with *why. */
static SSL_CTX *build(struct tls_server *server, struct buffer *why)
{
    SSL_CTX *ctx = context_new(server);

    if (!ctx)
        buffer_append_string(why, "the TLS library cannot be set up");
    else if (!tls_credentials_load(server->credentials, ctx, why)) {
        SSL_CTX_free(ctx);
        ctx = NULL;
    }
    tls_credentials_forget(server->credentials);
    return ctx;
}

static void use(struct tls_server *server, SSL_CTX *ctx)
{
    SSL_CTX_free(server->ctx); /* connections that use it keep it */
    server->ctx = ctx;
    map_free(server->named);
    server->named = NULL;
}

static void release_context(void *ctx)
{
    SSL_CTX_free(ctx);
}

/* ---- server names ---- */

/* context_for_name - without key and certificate yet; with the authorities of the usual one. */
static SSL_CTX *context_for_name(void *arg)
{
    struct tls_server *server = arg;
    SSL_CTX *ctx = context_new(server);

    if (!ctx)
        return NULL;
    SSL_CTX_set1_cert_store(ctx, SSL_CTX_get_cert_store(server->ctx));
    SSL_CTX_set_client_CA_list(ctx, SSL_dup_CA_list(SSL_CTX_get_client_CA_list(server->ctx)));
    SSL_CTX_set_dh_auto(ctx, 1);
    return ctx;
}

/* context_of_chain - the context for a chain in PEM, made when it is new; NULL: the chain is no good. */
static SSL_CTX *context_of_chain(struct tls_server *server, struct slice pem, const char *name)
{
    unsigned char digest[SHA256_DIGEST_LENGTH];
    struct buffer why = BUFFER_INIT_MAX(512);

    SHA256((const unsigned char *)pem.data, pem.len, digest);
    struct slice key = slice_make(digest, sizeof(digest));
    SSL_CTX *ctx = server->named ? map_get(server->named, key) : NULL;
    if (ctx)
        return ctx;
    ctx = context_for_name(server);
    if (ctx && !tls_load_chain(ctx, pem, name, &why)) {
        log_warning("tls_server_sni_maps: %s", buffer_string(&why));
        tls_log_library_problems();
        SSL_CTX_free(ctx);
        ctx = NULL;
    }
    buffer_release(&why);
    if (!ctx)
        return NULL;
    if (server->named && map_count(server->named) >= NAMED_CONTEXTS_MAX) {
        map_free(server->named);
        server->named = NULL;
    }
    if (!server->named)
        server->named = map_new(release_context);
    map_set(server->named, key, ctx);
    return ctx;
}

/* find_chain - the name itself, then its parent domains as ".domain". */
static enum table_result find_chain(struct tls_server *server, const char *name, struct buffer *pem)
{
    enum table_result found = table_list_lookup(server->names, slice_of(name), true, pem);

    for (const char *dot = strchr(name, '.'); found == TABLE_NOT_FOUND && dot; dot = strchr(dot + 1, '.'))
        found = table_list_lookup(server->names, slice_of(dot), true, pem);
    return found;
}

/* decide - which certificate the name gets; without an entry the usual one.  False: the handshake cannot go on. */
static bool decide(struct tls_server *server, SSL *ssl, struct handshake *handshake, const char *peer, bool *slow)
{
    struct buffer pem = BUFFER_INIT;
    bool good = true;

    enum table_result found = find_chain(server, handshake->name, &pem);
    SSL_CTX *own = server->directory && found == TABLE_NOT_FOUND ? tls_directory_find(server->directory, handshake->name) : NULL;
    handshake->decided = true;
    if (found == TABLE_FOUND) {
        SSL_CTX *ctx = context_of_chain(server, buffer_slice(&pem), handshake->name);
        good = ctx != NULL && SSL_set_SSL_CTX(ssl, ctx) != NULL;
        *slow = good && tls_key_is_slow(ctx);
    } else if (own) {
        good = SSL_set_SSL_CTX(ssl, own) != NULL;
        *slow = good && tls_key_is_slow(own);
    } else {
        if (found == TABLE_TRY_AGAIN)
            log_warning("tls_server_sni_maps: lookup error for \"%s\" from %s", handshake->name, peer);
        good = found == TABLE_NOT_FOUND;
        if (good && (server->params->log & TLS_LOG_SUMMARY))
            log_info("TLS SNI %s from %s not matched, using default chain", handshake->name, peer);
        handshake->name[0] = '\0';
    }
    if (pem.data)
        explicit_bzero(pem.data, pem.capacity);
    buffer_release(&pem);
    return good;
}

/* ---- opening ---- */

static void set_session_context(struct tls_server *server, const char *service)
{
    struct buffer text = BUFFER_INIT;

    buffer_printf(&text, "%s/%d/%s", service, server->asks_clients, server->params->tls_CAfile);
    SHA256((const unsigned char *)text.data, text.len, server->session_context);
    buffer_release(&text);
}

/* read_settings - versions and ciphers; false when they make no sense. */
static bool read_settings(struct tls_server *server, bool mandatory)
{
    const struct tls_params *p = server->params;
    const char *protocols = mandatory ? p->tls_mandatory_protocols : p->tls_protocols;
    const char *grade = mandatory ? p->tls_mandatory_ciphers : p->tls_ciphers;
    struct buffer ciphers = BUFFER_INIT_MAX(8192);

    server->versions = tls_versions_parse(slice_of(protocols));
    if (server->versions < 0) {
        log_warning("Invalid TLS protocol list \"%s\": disabling TLS support", protocols);
        return false;
    }
    bool good = tls_cipher_list(p, slice_of(grade), slice_of(p->tls_exclude_ciphers),
                                slice_of(mandatory ? p->tls_mandatory_exclude_ciphers : ""), &ciphers);
    if (!good)
        log_warning("invalid TLS cipher grade: \"%s\": disabling TLS support", grade);
    if (server->asks_clients)
        buffer_append_string(&ciphers, ":!aNULL"); /* they have no certificates at all */
    server->ciphers = buffer_steal(&ciphers);
    return good;
}

struct tls_server *tls_server_new(struct config *config, const struct tls_params *params, bool mandatory, const char *service,
                                  const struct tls_file_access *access)
{
    struct tls_server *server = memory_zalloc(1, sizeof(*server));
    struct buffer why = BUFFER_INIT_MAX(1024);

    if (params->log & TLS_LOG_VERBOSE)
        log_info("initializing the server-side TLS engine");
    server->params = params;
    server->asks_clients = params->smtpd_tls_ask_ccert || params->smtpd_tls_req_ccert;
    condition_init(&server->look_over);
    server->looked = clock_monotonic();
    server->names = table_list_new("tls_server_sni_maps", params->tls_server_sni_maps, TABLE_FOLD | TABLE_FILE_VALUES, config);
    set_session_context(server, service);
    server->credentials = tls_credentials_open(params, access);
    if (!tls_digest_is_known(params->tls_fingerprint_digest))
        log_warning("Digest algorithm \"%s\" not found: no fingerprints", params->tls_fingerprint_digest);
    ERR_clear_error();
    if (!tls_credentials_has_certificate(server->credentials) && table_list_is_empty(server->names) &&
        params->smtpd_tls_certificate_directory[0] == '\0' && strcasecmp(params->tls_cert_file, "none") != 0) {
        log_warning("No server certs available. TLS won't be enabled");
    } else if (read_settings(server, mandatory)) {
        SSL_CTX *ctx = build(server, &why);
        if (ctx) {
            use(server, ctx);
            if (params->smtpd_tls_certificate_directory[0])
                server->directory = tls_directory_open(params->smtpd_tls_certificate_directory, access, context_for_name, server);
        } else {
            server->lacks_files = true;
            log_warning("%s: disabling TLS support", buffer_string(&why));
            tls_log_library_problems();
        }
    }
    buffer_release(&why);
    return server;
}

void tls_server_free(struct tls_server *server)
{
    if (!server)
        return;
    map_free(server->named);
    tls_directory_free(server->directory);
    SSL_CTX_free(server->ctx);
    tls_credentials_free(server->credentials);
    table_list_free(server->names);
    free(server->ciphers);
    free(server);
}

bool tls_server_asks_clients(const struct tls_server *server)
{
    return server && server->asks_clients;
}

/* ---- new files ---- */

static void look(struct tls_server *server)
{
    struct buffer why = BUFFER_INIT_MAX(1024);
    bool all = false;

    if (tls_credentials_refresh(server->credentials)) {
        SSL_CTX *ctx = build(server, &why);
        if (ctx) {
            use(server, ctx);
            server->lacks_files = false;
            all = true;
            log_info("TLS keys and certificates were read again: their files have changed");
        } else {
            log_warning("%s: %s", buffer_string(&why), server->ctx ? "going on with the keys and certificates read before" : "TLS stays off");
            tls_log_library_problems();
        }
    }
    if (server->directory && tls_directory_refresh(server->directory, all))
        log_info("TLS keys and certificates of %s were read again: files have changed", server->params->smtpd_tls_certificate_directory);
    buffer_release(&why);
}

/* refresh - one fiber looks, the others wait for it. */
static void refresh(struct tls_server *server)
{
    if (server->looking) {
        condition_wait(&server->look_over, clock_after(MICROSECONDS));
        return;
    }
    if (clock_monotonic() - server->looked < (server->lacks_files ? MISSING_INTERVAL : REFRESH_INTERVAL))
        return;
    server->looking = true;
    look(server);
    server->looking = false;
    server->looked = clock_monotonic();
    condition_broadcast(&server->look_over);
}

bool tls_server_make_ready(struct tls_server *server)
{
    if (server && server->lacks_files)
        refresh(server);
    return server && server->ctx;
}

/* ---- handshakes ---- */

/* usual_context - for clients that name no server, or one that we do not know. */
static SSL_CTX *usual_context(const struct tls_server *server)
{
    SSL_CTX *first = server->directory && !tls_credentials_has_certificate(server->credentials) ? tls_directory_first(server->directory) : NULL;

    return first ? first : server->ctx;
}

static void log_lines(struct buffer *text)
{
    struct slice rest = buffer_slice(text), line;

    while (slice_next_line(&rest, &line))
        log_warning("TLS library problem: " SLICE_FORMAT, SLICE_ARGS(line));
    buffer_release(text);
}

static enum tls_outcome shake(struct tls_server *server, struct tls_layer *layer, struct handshake *handshake, const char *peer, int64_t deadline,
                              struct buffer *why)
{
    bool slow = tls_key_is_slow(SSL_get_SSL_CTX(tls_layer_ssl(layer)));
    enum tls_outcome outcome;

    while ((outcome = tls_layer_handshake(layer, slow, deadline, why)) == TLS_CLIENT_HELLO)
        if (!decide(server, tls_layer_ssl(layer), handshake, peer, &slow))
            return TLS_FAILED;
    return outcome;
}

static void log_failure(enum tls_outcome outcome, const char *peer)
{
    log_info("SSL_accept error from %s: %s", peer,
             outcome == TLS_FAILED ? "-1" : outcome == TLS_TIMEOUT ? "Connection timed out" : "lost connection");
}

static void log_success(const struct tls_server *server, SSL *ssl, const struct tls_facts *facts, const char *peer)
{
    if (facts->has_certificate && !facts->trusted && (server->params->log & TLS_LOG_UNTRUSTED))
        tls_log_verify_error(ssl, facts->verify_result, "client", peer);
    if (server->params->log & TLS_LOG_PEERCERT)
        tls_facts_log_peer(facts, peer);
    if (server->params->log & TLS_LOG_SUMMARY)
        tls_facts_log(facts, "established from", peer);
}

bool tls_server_accept(struct tls_server *server, struct stream *stream, const char *peer, int64_t timeout, struct arena *arena,
                       struct tls_facts *facts, bool *timed_out)
{
    struct handshake handshake = {0};
    struct buffer why = BUFFER_INIT_MAX(4096);
    struct tls_layer *layer;

    *timed_out = false;
    refresh(server);
    if (server->params->log & TLS_LOG_VERBOSE)
        log_info("setting up TLS connection from %s", peer);
    SSL *ssl = SSL_new(usual_context(server));
    if (!ssl) {
        tls_log_library_problems();
        return false;
    }
    if (server->params->log & TLS_LOG_VERBOSE)
        log_info("%s: TLS cipher list \"%s\"", peer, server->ciphers);
    SSL_set_accept_state(ssl);
    SSL_set_app_data(ssl, &handshake);
    tls_trace_begin(ssl, server->params->log, peer);
    enum tls_outcome outcome = tls_layer_push(stream, ssl, &layer) ? shake(server, layer, &handshake, peer, clock_after(timeout), &why) : TLS_LOST;
    tls_trace_end(ssl);
    SSL_set_app_data(ssl, NULL);
    if (outcome != TLS_DONE) {
        *timed_out = outcome == TLS_TIMEOUT;
        if (outcome != TLS_CANCELLED)
            log_failure(outcome, peer);
        log_lines(&why);
        return false;
    }
    buffer_release(&why);
    tls_facts_take(ssl, server->params->tls_fingerprint_digest, arena, facts);
    facts->server_name = handshake.name[0] ? arena_strdup(arena, handshake.name) : NULL;
    log_success(server, ssl, facts, peer);
    return true;
}
