/* client.c (tls) - see client.h */
#include "tls/client.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/sha.h>
#include <openssl/x509v3.h>

#include "base/log.h"
#include "base/map.h"
#include "net/address.h"
#include "run/run.h"
#include "tls/context.h"
#include "tls/fingerprints.h"
#include "tls/layer.h"
#include "tls/sessions.h"
#include "tls/settings.h"
#include "tls/trace.h"

enum { REFRESH_INTERVAL = 5 * MICROSECONDS };

/* Those who are believed as they are, whoever signed them. */
struct anchors {
    X509_STORE *store;
    struct buffer trouble; /* what was wrong with a file: then nobody is believed */
};

struct tls_client {
    const struct tls_params *params;
    struct tls_credentials *credentials;
    SSL_CTX *ctx;                  /* NULL: TLS is not available */
    struct anchors *anchors;       /* smtp_tls_trust_anchor_file, which stand in for the authorities; NULL: none */
    struct map *policy_anchors;    /* lines of files -> struct anchors, which policies name; NULL: none do */
    X509_STORE *web;               /* authorities of the web, for MTA-STS; NULL: none */
    struct tls_file web_file;
    const struct tls_file_access *access;
    struct tls_sessions *sessions; /* NULL: none are remembered */
    int64_t looked;
    bool looking;
};

/* ---- contexts ---- */

/* set_digests - of TLSA records, the preferred one first: where a server has records of several, only the best count (RFC 7671 9). */
static void set_digests(SSL_CTX *ctx, const char *names)
{
    const struct { struct slice name; uint8_t type; const EVP_MD *method; } rows[] = {{{"sha256", 6}, 1, EVP_sha256()}, {{"sha512", 6}, 2, EVP_sha512()}};
    struct slice rest = slice_of(names), word;
    uint8_t order = COUNT_OF(rows);

    for (size_t i = 0; i < COUNT_OF(rows); i++)
        SSL_CTX_dane_mtype_set(ctx, NULL, rows[i].type, 0);
    while (order > 0 && config_list_next(&rest, &word)) {
        size_t i = 0;
        while (i < COUNT_OF(rows) && !slice_equal_case(word, rows[i].name))
            i++;
        if (i == COUNT_OF(rows))
            log_warning("tls_dane_digests: unknown digest \"" SLICE_FORMAT "\"", SLICE_ARGS(word));
        else
            SSL_CTX_dane_mtype_set(ctx, rows[i].method, rows[i].type, order--);
    }
}

static SSL_CTX *build(struct tls_client *client, struct buffer *why)
{
    SSL_CTX *ctx = tls_context_new(client->params, false);

    if (!ctx) {
        buffer_append_string(why, "the TLS library cannot be set up");
    } else if (!tls_credentials_load(client->credentials, ctx, why) || SSL_CTX_dane_enable(ctx) != 1) {
        SSL_CTX_free(ctx);
        ctx = NULL;
    } else {
        set_digests(ctx, client->params->tls_dane_digests);
        SSL_CTX_set_verify(ctx, SSL_VERIFY_NONE, NULL); /* looked at after the handshake */
        SSL_CTX_set_verify_depth(ctx, (int)client->params->tls_scert_verifydepth);
        if (client->sessions)
            tls_sessions_enable(client->sessions, ctx);
    }
    tls_credentials_forget(client->credentials);
    return ctx;
}

/* read_anchors - separators: between the names of files.  NULL: there are none. */
static struct anchors *read_anchors(struct slice files, const char *separators)
{
    struct anchors *anchors = NULL;
    struct slice word;

    while (slice_next_token(&files, separators, &word)) {
        char *path = slice_string(word);
        if (!anchors) {
            anchors = memory_zalloc(1, sizeof(*anchors));
            anchors->store = X509_STORE_new();
        }
        if (anchors->trouble.len == 0 && access(path, R_OK) != 0)
            buffer_printf(&anchors->trouble, "error opening trust anchor file: %s: %s", path, strerror(errno));
        else if (anchors->trouble.len == 0 && X509_STORE_load_file(anchors->store, path) != 1)
            buffer_printf(&anchors->trouble, "no certificate in trust anchor file: %s", path);
        free(path);
    }
    if (anchors)
        X509_STORE_set_flags(anchors->store, X509_V_FLAG_PARTIAL_CHAIN);
    ERR_clear_error();
    return anchors;
}

static void free_anchors(void *which)
{
    struct anchors *anchors = which;

    if (!anchors)
        return;
    X509_STORE_free(anchors->store);
    buffer_release(&anchors->trouble);
    free(anchors);
}

/* anchors_of - those that a policy names, or those of all.  NULL: none, or (*unread) nobody has read them. */
static const struct anchors *anchors_of(const struct tls_client *client, const struct tls_policy *policy, bool *unread)
{
    const struct anchors *anchors = client->anchors;

    if (policy->anchor_files.len)
        anchors = client->policy_anchors ? map_get(client->policy_anchors, policy->anchor_files) : NULL;
    *unread = !anchors && policy->anchor_files.len;
    return anchors;
}

bool tls_client_has_anchors(const struct tls_client *client, const struct tls_policy *policy)
{
    bool unread;
    const struct anchors *anchors = anchors_of(client, policy, &unread);

    if (unread)
        log_warning("tafile=" SLICE_FORMAT ": not read at start: the table of policies is of a kind that cannot be listed",
                    SLICE_ARGS(slice_trim(policy->anchor_files)));
    if (anchors && anchors->trouble.len)
        log_warning("%s", anchors->trouble.data);
    return !unread && (!anchors || anchors->trouble.len == 0);
}

void tls_client_know_anchors(struct tls_client *client, struct slice files)
{
    if (!client->policy_anchors)
        client->policy_anchors = map_new(free_anchors);
    if (!map_get(client->policy_anchors, files))
        map_set(client->policy_anchors, files, read_anchors(files, "\n"));
}

/* take_web - of the file that was just read. */
static void take_web(struct tls_client *client)
{
    BIO *bio = BIO_new_mem_buf(client->web_file.content.data, (int)client->web_file.content.len);
    X509_STORE *store = X509_STORE_new();
    X509 *certificate;

    while (bio && store && (certificate = PEM_read_bio_X509(bio, NULL, NULL, NULL)) != NULL) {
        X509_STORE_add_cert(store, certificate);
        X509_free(certificate);
    }
    ERR_clear_error(); /* of the end of the file */
    BIO_free(bio);
    tls_file_forget(&client->web_file);
    X509_STORE_free(client->web);
    client->web = store;
}

void tls_client_trust_web(struct tls_client *client, const char *path)
{
    if (tls_file_open(&client->web_file, path, client->access))
        take_web(client);
    else
        log_warning("cannot read %s: %s: no certificate is believed for MTA-STS", path, strerror(errno));
}

struct tls_client *tls_client_new(const struct tls_params *params, const struct tls_file_access *access)
{
    struct tls_client *client = memory_zalloc(1, sizeof(*client));
    struct buffer why = BUFFER_INIT_MAX(1024);

    if (params->log & TLS_LOG_VERBOSE)
        log_info("initializing the client-side TLS engine");
    client->params = params;
    client->access = access;
    client->credentials = tls_credentials_open(params, access);
    if (params->tls_session_cache_database[0] && params->tls_session_cache_timeout > 0)
        client->sessions = tls_sessions_new(params->tls_session_cache_timeout / MICROSECONDS);
    client->anchors = read_anchors(slice_of(params->tls_trust_anchor_file), ", \t\r\n");
    client->ctx = build(client, &why);
    if (!tls_digest_is_known(params->tls_fingerprint_digest)) {
        SSL_CTX_free(client->ctx);
        client->ctx = NULL;
        log_warning("Digest algorithm \"%s\" not found", params->tls_fingerprint_digest);
        log_warning("disabling TLS support");
    } else if (!client->ctx) {
        log_warning("%s: disabling TLS support", buffer_string(&why));
        tls_log_library_problems();
    }
    client->looked = clock_monotonic();
    buffer_release(&why);
    return client;
}

void tls_client_free(struct tls_client *client)
{
    if (!client)
        return;
    SSL_CTX_free(client->ctx);
    free_anchors(client->anchors);
    X509_STORE_free(client->web);
    map_free(client->policy_anchors);
    tls_file_forget(&client->web_file);
    tls_sessions_free(client->sessions);
    tls_credentials_free(client->credentials);
    free(client);
}

bool tls_client_is_ready(const struct tls_client *client)
{
    return client && client->ctx;
}

/* refresh - the others go on with what there is while one looks. */
static void refresh(struct tls_client *client)
{
    struct buffer why = BUFFER_INIT_MAX(1024);

    if (client->looking || clock_monotonic() - client->looked < REFRESH_INTERVAL)
        return;
    client->looking = true;
    if (client->web_file.path && tls_file_refresh(&client->web_file, client->access) > 0)
        take_web(client);
    if (tls_credentials_refresh(client->credentials)) {
        SSL_CTX *ctx = build(client, &why);
        if (ctx) {
            SSL_CTX_free(client->ctx);
            client->ctx = ctx;
            log_info("TLS keys and certificates were read again: their files have changed");
        } else {
            log_warning("%s: going on with the keys and certificates read before", buffer_string(&why));
            tls_log_library_problems();
        }
    }
    client->looked = clock_monotonic();
    client->looking = false;
    buffer_release(&why);
}

/* ---- what one connection asks for ---- */

static struct slice first_of(struct slice a, const char *otherwise)
{
    return a.len ? a : slice_of(otherwise);
}

/* set_strength - versions and ciphers; the key of remembered sessions depends on them. */
static bool set_strength(const struct tls_client *client, SSL *ssl, const struct tls_connect *connect, bool with_certificate, struct buffer *key)
{
    const struct tls_policy *policy = connect->policy;
    const struct tls_params *p = client->params;
    bool mandatory = policy->level >= TLS_ENCRYPT;
    struct buffer ciphers = BUFFER_INIT_MAX(8192);
    struct slice grade = first_of(policy->ciphers, mandatory ? p->tls_mandatory_ciphers : p->tls_ciphers);
    struct slice without = slice_of(p->tls_exclude_ciphers), more = {0};
    struct slice protocols = first_of(policy->protocols, mandatory ? p->tls_mandatory_protocols : p->tls_protocols);
    int versions = tls_versions_parse(protocols);

    if (mandatory)
        more = slice_of(p->tls_mandatory_exclude_ciphers);
    if (policy->has_exclude) { /* in place of both */
        without = policy->exclude;
        more = slice_of("");
    }
    bool good = versions > 0 && tls_cipher_list(p, grade, without, more, &ciphers);
    if (good && with_certificate)
        buffer_append_string(&ciphers, ":!aNULL");
    if (good) {
        tls_set_versions(NULL, ssl, versions);
        good = SSL_set_cipher_list(ssl, buffer_string(&ciphers)) == 1;
    }
    if (!good)
        log_warning("TLS settings cannot be used: protocols \"" SLICE_FORMAT "\", ciphers \"" SLICE_FORMAT "\"", SLICE_ARGS(protocols),
                    SLICE_ARGS(grade));
    if (good && (p->log & TLS_LOG_VERBOSE))
        log_info("%s: TLS cipher list \"%s\"", connect->peer, buffer_string(&ciphers));
    buffer_printf(key, "/%d/%s", versions, buffer_string(&ciphers));
    buffer_release(&ciphers);
    return good;
}

/* name_of - what a word of a match list stands for; NULL: nothing. */
static const char *name_of(struct slice word, const struct tls_connect *connect, char *buffer, size_t size)
{
    if (slice_equal_case(word, SLICE("hostname")))
        return connect->host;
    if (slice_equal_case(word, SLICE("nexthop")))
        return connect->next_hop;
    if (slice_equal_case(word, SLICE("dot-nexthop")))
        snprintf(buffer, size, ".%s", connect->next_hop);
    else
        snprintf(buffer, size, SLICE_FORMAT, SLICE_ARGS(word));
    return buffer;
}

static struct slice match_list(const struct tls_client *client, const struct tls_policy *policy)
{
    const struct tls_params *p = client->params;

    return first_of(policy->match, policy->level == TLS_SECURE ? p->tls_secure_cert_match : policy->level == TLS_VERIFY ? p->tls_verify_cert_match
                                                                                            : p->tls_fingerprint_cert_match);
}

/* fingerprint_separators - colons are part of them; those of the parameter are a list as others are. */
static const char *fingerprint_separators(const struct tls_policy *policy)
{
    return policy->match.len ? "|" : ", \t\r\n";
}

size_t tls_client_fingerprints(const struct tls_client *client, const struct tls_policy *policy)
{
    return fingerprints_count(match_list(client, policy), fingerprint_separators(policy));
}

/* set_names - OpenSSL compares them with the certificate. */
static bool set_names(const struct tls_client *client, SSL *ssl, const struct tls_connect *connect)
{
    struct slice rest = match_list(client, connect->policy), word;
    unsigned flags = X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS;
    char text[256];
    bool any = false;

    if (client->params->tls_wildcard_matches_multiple_labels)
        flags |= X509_CHECK_FLAG_MULTI_LABEL_WILDCARDS;
    SSL_set_hostflags(ssl, flags);
    while (slice_next_token(&rest, " \t\r\n,:", &word)) {
        const char *name = name_of(word, connect, text, sizeof(text));
        any |= name && name[0] && SSL_add1_host(ssl, name) == 1;
    }
    if (!any)
        log_warning("%s: no names to match the certificate of the server with", connect->peer);
    return any;
}

bool tls_anchor_is_usable(const struct tls_anchor *a)
{
    static const size_t sizes[] = {1, SHA256_DIGEST_LENGTH, SHA512_DIGEST_LENGTH};

    return (a->usage == 2 || a->usage == 3) && a->selector <= 1 && a->matching <= 2
           && (a->matching == 0 ? a->data.len >= sizes[0] : a->data.len == sizes[a->matching]);
}

static bool set_anchors(SSL *ssl, const struct tls_connect *connect)
{
    size_t used = 0;

    if (SSL_dane_enable(ssl, connect->anchor_domain) != 1)
        return false;
    SSL_dane_set_flags(ssl, DANE_FLAG_NO_DANE_EE_NAMECHECKS);
    SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    if (!connect->insecure_mx && SSL_add1_host(ssl, connect->next_hop) != 1)
        return false;
    for (size_t i = 0; i < connect->anchor_count; i++) {
        const struct tls_anchor *a = &connect->anchors[i];
        const unsigned char *data = (const unsigned char *)a->data.data;
        if (tls_anchor_is_usable(a) && SSL_dane_tlsa_add(ssl, a->usage, a->selector, a->matching, data, a->data.len) == 1)
            used++;
    }
    return used > 0;
}

/* set_web - the name of the host among the alternative names, an asterisk for one label (RFC 8461 4.2), and the authorities that vouch for web servers.  Without any nobody is
   believed. */
static bool set_web(const struct tls_client *client, SSL *ssl, const struct tls_connect *connect)
{
    SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS | X509_CHECK_FLAG_NEVER_CHECK_SUBJECT);
    X509_STORE *none = client->web ? NULL : X509_STORE_new();
    bool good = SSL_add1_host(ssl, connect->web_host) == 1 && SSL_set1_verify_cert_store(ssl, none ? none : client->web) == 1;

    X509_STORE_free(none);
    return good;
}

/* key_of_anchors - for the key of remembered sessions: another set of records, another session. */
static void key_of_anchors(const struct tls_connect *connect, struct buffer *key)
{
    unsigned char digest[SHA256_DIGEST_LENGTH];
    struct buffer all = BUFFER_INIT;

    for (size_t i = 0; i < connect->anchor_count; i++) {
        buffer_printf(&all, "%u %u %u ", connect->anchors[i].usage, connect->anchors[i].selector, connect->anchors[i].matching);
        buffer_append_slice(&all, connect->anchors[i].data);
    }
    SHA256((const unsigned char *)all.data, all.len, digest);
    buffer_append(key, digest, sizeof(digest));
    buffer_release(&all);
}

static void set_server_name(const struct tls_client *client, SSL *ssl, const struct tls_connect *connect, struct buffer *key)
{
    struct slice wanted = connect->web_host ? slice_of(connect->web_host) : first_of(connect->policy->server_name, client->params->tls_servername);
    struct net_address literal;
    char text[256];

    if (wanted.len == 0 || connect->anchor_count > 0)
        return;
    const char *name = name_of(wanted, connect, text, sizeof(text));
    if (name && name[0] && name[0] != '.' && !net_address_parse(&literal, slice_of(name), 0)) {
        SSL_set_tlsext_host_name(ssl, name);
        buffer_printf(key, "/%s", name);
    }
}

static bool is_dane(const struct tls_connect *connect)
{
    return connect->policy->level == TLS_DANE || connect->policy->level == TLS_DANE_ONLY;
}

/* set_authorities - where others than those of CAfile and CApath count. */
static bool set_authorities(const struct tls_client *client, SSL *ssl, const struct tls_policy *policy, struct buffer *key)
{
    bool unread;
    const struct anchors *anchors = anchors_of(client, policy, &unread);

    if (policy->anchor_files.len)
        buffer_printf(key, "/" SLICE_FORMAT, SLICE_ARGS(policy->anchor_files));
    return !unread && (!anchors || SSL_set1_verify_cert_store(ssl, anchors->store) == 1);
}

/* prepare - a connection with everything that the policy wants; NULL (logged): that is not possible. */
static SSL *prepare(const struct tls_client *client, const struct tls_connect *connect, struct buffer *key)
{
    const struct tls_policy *policy = connect->policy;
    SSL *ssl = SSL_new(client->ctx);

    buffer_printf(key, "%s/%s/%s/" SLICE_FORMAT, connect->peer, connect->next_hop, tls_level_name(policy->level),
                  SLICE_ARGS(match_list(client, policy)));
    bool good = ssl && set_strength(client, ssl, connect, connect->web_host || tls_level_authenticates(policy->level), key);
    if (good && connect->web_host) {
        buffer_printf(key, "/web/%s", connect->web_host);
        good = set_web(client, ssl, connect);
    } else if (good && is_dane(connect)) {
        key_of_anchors(connect, key);
        good = set_anchors(ssl, connect);
    } else if (good && policy->level >= TLS_VERIFY) {
        good = set_names(client, ssl, connect) && set_authorities(client, ssl, policy, key);
    }
    if (!good) {
        SSL_free(ssl);
        tls_log_library_problems();
        return NULL;
    }
    set_server_name(client, ssl, connect, key);
    SSL_set_connect_state(ssl);
    return ssl;
}

/* ---- afterwards ---- */

/* judge - is the server the one that the level demands? */
static void judge(const struct tls_client *client, SSL *ssl, const struct tls_connect *connect, struct tls_facts *facts)
{
    enum fingerprints_found found;

    switch (connect->policy->level) {
    case TLS_FINGERPRINT:
        found = fingerprints_compare(match_list(client, connect->policy), fingerprint_separators(connect->policy), facts, connect->peer);
        facts->matched = facts->trusted = facts->has_certificate && found == FINGERPRINTS_MATCH;
        if (!facts->matched)
            facts->verify_result = found == FINGERPRINTS_DIFFER ? X509_V_ERR_DANE_NO_MATCH : X509_V_ERR_UNSPECIFIED;
        break;
    case TLS_DANE:
    case TLS_DANE_ONLY:
        facts->matched = facts->trusted && (facts->reused || SSL_get0_dane_authority(ssl, NULL, NULL) >= 0);
        break;
    case TLS_VERIFY:
    case TLS_SECURE:
        facts->matched = facts->trusted;
        break;
    default:
        break;
    }
}

static void log_outcome(const struct tls_client *client, SSL *ssl, const struct tls_connect *connect, struct tls_facts *facts)
{
    int log = client->params->log;
    bool demanded = tls_level_authenticates(connect->policy->level);

    if (facts->has_certificate && !facts->trusted && (demanded || (log & TLS_LOG_UNTRUSTED)))
        tls_log_verify_error(ssl, facts->verify_result, "server", connect->peer);
    if ((log & TLS_LOG_VERBOSE) && facts->reused)
        log_info("%s: Reusing old session", connect->peer);
    if ((log & TLS_LOG_CERTMATCH) && facts->matched && SSL_get0_peername(ssl))
        log_info("%s: matched peername: %s", connect->peer, SSL_get0_peername(ssl));
    if ((log & TLS_LOG_PEERCERT) && facts->has_certificate)
        log_info("%s: subject_CN=%s, issuer_CN=%s, fingerprint=%s, pkey_fingerprint=%s", connect->peer, facts->subject, facts->issuer, facts->fingerprint,
                 facts->key_fingerprint);
    facts->insecure_mx = is_dane(connect) && connect->insecure_mx;
    if (log & TLS_LOG_SUMMARY)
        tls_facts_log(facts, "established to", connect->peer);
}

static void log_lines(struct buffer *text)
{
    struct slice rest = buffer_slice(text), line;

    while (slice_next_line(&rest, &line))
        log_warning("TLS library problem: " SLICE_FORMAT, SLICE_ARGS(line));
}

static enum tls_connected shake(struct tls_client *client, struct stream *stream, SSL *ssl, const struct tls_connect *connect, int64_t timeout)
{
    struct buffer why = BUFFER_INIT_MAX(4096);
    struct tls_layer *layer;

    tls_trace_begin(ssl, client->params->log, connect->peer);
    enum tls_outcome outcome = tls_layer_push(stream, ssl, &layer) ? tls_layer_handshake(layer, false, clock_after(timeout), &why) : TLS_LOST;
    tls_trace_end(ssl);
    if (outcome != TLS_DONE) {
        log_info("SSL_connect error to %s: %s", connect->peer,
                 outcome == TLS_FAILED ? "-1" : outcome == TLS_TIMEOUT ? "Connection timed out" : "lost connection");
        log_lines(&why);
    }
    buffer_release(&why);
    return outcome == TLS_DONE ? TLS_CONNECTED : TLS_NO_HANDSHAKE;
}

enum tls_connected tls_client_connect(struct tls_client *client, struct stream *stream, const struct tls_connect *connect, int64_t timeout,
                                      struct arena *arena, struct tls_facts *facts)
{
    struct buffer key = BUFFER_INIT;

    refresh(client);
    if (client->params->log & TLS_LOG_VERBOSE)
        log_info("setting up TLS connection to %s", connect->peer);
    SSL *ssl = prepare(client, connect, &key);
    if (!ssl) {
        buffer_release(&key);
        return TLS_NOT_POSSIBLE;
    }
    if (client->sessions)
        tls_sessions_begin(client->sessions, ssl, buffer_slice(&key));
    buffer_release(&key);
    enum tls_connected result = shake(client, stream, ssl, connect, timeout);
    if (result != TLS_CONNECTED) {
        if (client->sessions)
            tls_sessions_end(client->sessions, ssl, false);
        return result;
    }
    tls_facts_take(ssl, client->params->tls_fingerprint_digest, arena, facts);
    judge(client, ssl, connect, facts);
    log_outcome(client, ssl, connect, facts);
    if (connect->look)
        connect->look(connect->look_context, ssl);
    if (tls_level_authenticates(connect->policy->level) && !facts->matched)
        result = TLS_NOT_VERIFIED;
    if (client->sessions)
        tls_sessions_end(client->sessions, ssl, result == TLS_CONNECTED);
    return result;
}
