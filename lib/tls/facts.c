/* facts.c (tls) - see facts.h */
#include "tls/facts.h"

#include <openssl/evp.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include "base/log.h"

/* ---- key exchange and signatures (TLS 1.3: the cipher's name no longer tells) ---- */

/* group_of - curve or group of a key; "" when its type says all. */
static const char *group_of(EVP_PKEY *key, struct arena *arena)
{
    char name[64];
    size_t len;

    if (!EVP_PKEY_is_a(key, "EC") || EVP_PKEY_get_group_name(key, name, sizeof(name), &len) != 1)
        return "";
    return arena_strdup(arena, name);
}

static void key_exchange(SSL *ssl, struct arena *arena, struct buffer *out)
{
    EVP_PKEY *key = NULL;

    if (SSL_get_peer_tmp_key(ssl, &key) != 1 || !key)
        return;
    if (EVP_PKEY_is_a(key, "EC"))
        buffer_printf(out, " key-exchange ECDHE (%s)", group_of(key, arena));
    else if (EVP_PKEY_is_a(key, "DH"))
        buffer_printf(out, " key-exchange DHE (%d bits)", EVP_PKEY_get_bits(key));
    else
        buffer_printf(out, " key-exchange %s", EVP_PKEY_get0_type_name(key));
    EVP_PKEY_free(key);
}

static const char *signature_name(EVP_PKEY *key, int type)
{
    if (type == EVP_PKEY_RSA_PSS)
        return "RSA-PSS";
    if (EVP_PKEY_is_a(key, "EC"))
        return "ECDSA";
    return EVP_PKEY_is_a(key, "ED25519") ? "Ed25519" : EVP_PKEY_is_a(key, "ED448") ? "Ed448" : EVP_PKEY_get0_type_name(key);
}

static void signature(EVP_PKEY *key, int type, int digest, const char *who, struct arena *arena, struct buffer *out)
{
    if (!key)
        return;
    buffer_printf(out, " %s-signature %s", who, signature_name(key, type));
    if (EVP_PKEY_is_a(key, "EC"))
        buffer_printf(out, " (%s)", group_of(key, arena));
    else if (EVP_PKEY_is_a(key, "RSA") || EVP_PKEY_is_a(key, "RSA-PSS"))
        buffer_printf(out, " (%d bits)", EVP_PKEY_get_bits(key));
    if (digest != NID_undef)
        buffer_printf(out, " %s-digest %s", who, OBJ_nid2sn(digest));
}

/* signature_type - false: nobody signed at this end (or there).  In a resumed session nobody did, but the keys of the first are known. */
static bool signature_type(SSL *ssl, bool here, bool reused, const EVP_PKEY *key, int *type)
{
    if (!reused)
        return (here ? SSL_get_signature_type_nid(ssl, type) : SSL_get_peer_signature_type_nid(ssl, type)) == 1;
    *type = key && EVP_PKEY_is_a(key, "RSA") ? EVP_PKEY_RSA_PSS : NID_undef;
    return !here || SSL_is_server(ssl);
}

static const char *details(SSL *ssl, X509 *peer, bool reused, struct arena *arena)
{
    struct buffer out = BUFFER_INIT_MAX(512);
    EVP_PKEY *own = SSL_get_privatekey(ssl), *theirs = peer ? X509_get0_pubkey(peer) : NULL;
    int own_type = NID_undef, own_digest = NID_undef, their_type = NID_undef, their_digest = NID_undef;

    if (SSL_version(ssl) < TLS1_3_VERSION)
        return "";
    bool signed_here = signature_type(ssl, true, reused, own, &own_type);
    bool signed_there = signature_type(ssl, false, reused, theirs, &their_type);
    if (!reused) {
        SSL_get_signature_nid(ssl, &own_digest);
        SSL_get_peer_signature_nid(ssl, &their_digest);
    }
    key_exchange(ssl, arena, &out);
    bool server = SSL_is_server(ssl);
    if (server ? signed_here : signed_there)
        signature(server ? own : theirs, server ? own_type : their_type, server ? own_digest : their_digest, "server", arena, &out);
    if (server ? signed_there && theirs : signed_here && own)
        signature(server ? theirs : own, server ? their_type : own_type, server ? their_digest : own_digest, "client", arena, &out);
    const char *text = arena_strdup(arena, buffer_string(&out));
    buffer_release(&out);
    return text;
}

/* ---- names and fingerprints ---- */

/* common_name - as UTF-8, without control characters; "" when there is none or it holds a NUL. */
static const char *common_name(const X509_NAME *name, struct arena *arena)
{
    int at = X509_NAME_get_index_by_NID((X509_NAME *)(uintptr_t)name, NID_commonName, -1);
    if (at < 0)
        at = X509_NAME_get_index_by_NID((X509_NAME *)(uintptr_t)name, NID_organizationName, -1);
    if (at < 0)
        return "";
    unsigned char *utf8 = NULL;
    int len = ASN1_STRING_to_UTF8(&utf8, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(name, at)));
    if (len < 0)
        return "";
    struct slice text = slice_make(utf8, (size_t)len < 255 ? (size_t)len : 255);
    char *result = slice_find(text, '\0') < text.len ? arena_strdup(arena, "") : arena_string(arena, text);
    OPENSSL_free(utf8);
    for (char *c = result; *c; c++)
        if ((unsigned char)*c < ' ' || *c == 127)
            *c = '?';
    return result;
}

static const char *hexadecimal(const unsigned char *bytes, unsigned len, struct arena *arena)
{
    struct buffer out = BUFFER_INIT;

    for (unsigned i = 0; i < len; i++)
        buffer_printf(&out, "%s%02X", i ? ":" : "", bytes[i]);
    const char *text = arena_strdup(arena, buffer_string(&out));
    buffer_release(&out);
    return text;
}

static void fingerprints(X509 *certificate, const char *digest, struct arena *arena, struct tls_facts *facts)
{
    EVP_MD *method = EVP_MD_fetch(NULL, digest, NULL);
    unsigned char bytes[EVP_MAX_MD_SIZE], *key = NULL;
    unsigned len;

    facts->fingerprint = facts->key_fingerprint = "";
    if (!method)
        return;
    if (X509_digest(certificate, method, bytes, &len) == 1)
        facts->fingerprint = hexadecimal(bytes, len, arena);
    int size = i2d_PUBKEY(X509_get0_pubkey(certificate), &key);
    if (size > 0 && EVP_Digest(key, (size_t)size, bytes, &len, method, NULL) == 1)
        facts->key_fingerprint = hexadecimal(bytes, len, arena);
    OPENSSL_free(key);
    EVP_MD_free(method);
}

bool tls_digest_is_known(const char *digest)
{
    EVP_MD *method = EVP_MD_fetch(NULL, digest, NULL);

    EVP_MD_free(method);
    return method != NULL;
}

void tls_facts_take(SSL *ssl, const char *digest, struct arena *arena, struct tls_facts *facts)
{
    const SSL_CIPHER *cipher = SSL_get_current_cipher(ssl);
    X509 *peer = SSL_get1_peer_certificate(ssl);
    const char *name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);

    memset(facts, 0, sizeof(*facts));
    facts->subject = facts->issuer = facts->fingerprint = facts->key_fingerprint = "";
    facts->protocol = SSL_get_version(ssl);
    facts->cipher = cipher ? SSL_CIPHER_get_name(cipher) : "NONE";
    facts->used_bits = cipher ? SSL_CIPHER_get_bits(cipher, &facts->all_bits) : 0;
    facts->reused = SSL_session_reused(ssl);
    facts->details = details(ssl, peer, facts->reused, arena);
    facts->verify_result = SSL_get_verify_result(ssl);
    if (name && SSL_is_server(ssl))
        facts->server_name = arena_strdup(arena, name);
    if (peer) {
        facts->has_certificate = true;
        facts->trusted = facts->verify_result == X509_V_OK;
        facts->subject = common_name(X509_get_subject_name(peer), arena);
        facts->issuer = common_name(X509_get_issuer_name(peer), arena);
        fingerprints(peer, digest, arena, facts);
        X509_free(peer);
    }
}

/* ---- log lines ---- */

const char *tls_facts_trust(const struct tls_facts *facts)
{
    return !facts->has_certificate ? "Anonymous" : facts->matched && !facts->insecure_mx ? "Verified" : facts->trusted ? "Trusted" : "Untrusted";
}

void tls_facts_log(const struct tls_facts *facts, const char *what, const char *peer)
{
    log_info("%s TLS connection %s %s%s%s: %s with cipher %s (%d/%d bits)%s", tls_facts_trust(facts), what, peer,
             facts->server_name ? " to " : "", facts->server_name ? facts->server_name : "", facts->protocol, facts->cipher,
             facts->used_bits, facts->all_bits, facts->details);
}

void tls_facts_log_peer(const struct tls_facts *facts, const char *peer)
{
    if (facts->has_certificate)
        log_info("%s: %s: subject_CN=%s, issuer=%s, fingerprint=%s, pkey_fingerprint=%s", peer, tls_facts_trust(facts), facts->subject, facts->issuer,
                 facts->fingerprint, facts->key_fingerprint);
}

/* unknown_issuer - who signed the last certificate of the chain that the peer sent: "/O=Org/CN=Name". */
static const char *unknown_issuer(SSL *ssl, X509 *last, struct arena *arena)
{
    STACK_OF(X509) *chain = SSL_get_peer_cert_chain(ssl);
    char text[512];

    for (int links = 0; links < sk_X509_num(chain); links++)
        for (int i = 0; i < sk_X509_num(chain); i++) {
            X509 *other = sk_X509_value(chain, i);
            if (X509_cmp(other, last) != 0 && X509_check_issued(other, last) == X509_V_OK) {
                last = other;
                break;
            }
        }
    return arena_strdup(arena, X509_NAME_oneline(X509_get_issuer_name(last), text, sizeof(text)) ? text : "");
}

/* The lines of which some begin with the role are those of Postfix 3.7 with OpenSSL 3. */
void tls_log_verify_error(SSL *ssl, long result, const char *role, const char *peer)
{
    X509 *certificate = SSL_get1_peer_certificate(ssl);
    struct arena *arena = arena_new(0);

    switch (result) {
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
        log_info("certificate verification failed for %s: self-signed certificate", peer);
        break;
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
        log_info("certificate verification failed for %s: untrusted issuer %s", peer, certificate ? unknown_issuer(ssl, certificate, arena) : "");
        break;
    case X509_V_ERR_CERT_NOT_YET_VALID:
    case X509_V_ERR_ERROR_IN_CERT_NOT_BEFORE_FIELD:
        log_info("%s certificate verification failed for %s: certificate not yet valid", role, peer);
        break;
    case X509_V_ERR_CERT_HAS_EXPIRED:
    case X509_V_ERR_ERROR_IN_CERT_NOT_AFTER_FIELD:
        log_info("%s certificate verification failed for %s: certificate has expired", role, peer);
        break;
    case X509_V_ERR_INVALID_PURPOSE:
        log_info("certificate verification failed for %s: not designated for use as a %s certificate", peer, role);
        break;
    case X509_V_ERR_CERT_CHAIN_TOO_LONG:
        log_info("%s certificate verification failed for %s: certificate chain longer than limit", role, peer);
        break;
    default:
        log_info("%s certificate verification failed for %s: num=%ld:%s", role, peer, result, X509_verify_cert_error_string(result));
        break;
    }
    X509_free(certificate);
    arena_free(arena);
}
