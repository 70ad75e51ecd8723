/* context.c (tls) - see context.h */
#include "tls/context.h"

#include <openssl/err.h>

#include "base/log.h"
#include "tls/library.h"
#include "tls/settings.h"

struct option_name {
    const char *name;
    uint64_t bit;
};

/* option_bits - of a list of names and hexadecimal numbers. */
static uint64_t option_bits(const char *list, const char *parameter, const struct option_name *names, size_t count)
{
    struct slice rest = slice_of(list), word;
    uint64_t bits = 0, number;

    while (config_list_next(&rest, &word)) {
        uint64_t bit = 0;
        for (size_t i = 0; i < count; i++)
            if (slice_equal_case(word, slice_of(names[i].name)))
                bit = names[i].bit;
        if (slice_starts_case(word, SLICE("0x")) && slice_to_u64_hex(slice_from(word, 2), &number))
            bit = number;
        if (!bit)
            log_warning("%s: unknown word \"" SLICE_FORMAT "\"", parameter, SLICE_ARGS(word));
        bits |= bit;
    }
    return bits;
}

static uint64_t wanted_options(const struct tls_params *params)
{
    static const struct option_name options[] = {
        {"LEGACY_SERVER_CONNECT", SSL_OP_LEGACY_SERVER_CONNECT}, {"NO_TICKET", SSL_OP_NO_TICKET}, {"NO_COMPRESSION", SSL_OP_NO_COMPRESSION},
        {"NO_RENEGOTIATION", SSL_OP_NO_RENEGOTIATION}, {"PRIORITIZE_CHACHA", SSL_OP_PRIORITIZE_CHACHA},
        {"NO_SESSION_RESUMPTION_ON_RENEGOTIATION", SSL_OP_NO_SESSION_RESUMPTION_ON_RENEGOTIATION},
        {"ENABLE_MIDDLEBOX_COMPAT", SSL_OP_ENABLE_MIDDLEBOX_COMPAT},
    };
    static const struct option_name workarounds[] = {
        {"CRYPTOPRO_TLSEXT_BUG", SSL_OP_CRYPTOPRO_TLSEXT_BUG}, {"DONT_INSERT_EMPTY_FRAGMENTS", SSL_OP_DONT_INSERT_EMPTY_FRAGMENTS},
        {"TLSEXT_PADDING", SSL_OP_TLSEXT_PADDING}, {"SAFARI_ECDHE_ECDSA_BUG", SSL_OP_SAFARI_ECDHE_ECDSA_BUG},
        {"LEGACY_SERVER_CONNECT", SSL_OP_LEGACY_SERVER_CONNECT},
        /* names that older libraries knew */
        {"MICROSOFT_SESS_ID_BUG", 1ull << 63}, {"NETSCAPE_CHALLENGE_BUG", 1ull << 63}, {"NETSCAPE_REUSE_CIPHER_CHANGE_BUG", 1ull << 63},
        {"SSLREF2_REUSE_CERT_TYPE_BUG", 1ull << 63}, {"MICROSOFT_BIG_SSLV3_BUFFER", 1ull << 63}, {"MSIE_SSLV2_RSA_PADDING", 1ull << 63},
        {"SSLEAY_080_CLIENT_DH_BUG", 1ull << 63}, {"TLS_D5_BUG", 1ull << 63}, {"TLS_BLOCK_PADDING_BUG", 1ull << 63},
    };
    uint64_t bits = SSL_OP_ALL | SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION;

    bits &= ~option_bits(params->tls_disable_workarounds, "tls_disable_workarounds", workarounds, COUNT_OF(workarounds));
    return bits | option_bits(params->tls_ssl_options, "tls_ssl_options", options, COUNT_OF(options));
}

/* add_groups - those of the names that this library has and that are not in the list yet: it takes no list with another. */
static void add_groups(SSL_CTX *ctx, const char *names, struct buffer *list)
{
    struct slice rest = slice_of(names), word;

    while (slice_next_token(&rest, " \t\r\n,:", &word)) {
        size_t before = list->len;
        buffer_printf(list, "%s" SLICE_FORMAT, before ? ":" : "", SLICE_ARGS(word));
        if (SSL_CTX_set1_groups_list(ctx, buffer_string(list)) != 1)
            buffer_truncate(list, before);
    }
    ERR_clear_error();
}

/* set_groups - a grade puts its curve first; whoever does not have it is served all the same, also with none (Postfix 3.7 with OpenSSL 3 does so). */
static void set_groups(SSL_CTX *ctx, const struct tls_params *params)
{
    const char *grade = params->smtpd_tls_eecdh_grade ? params->smtpd_tls_eecdh_grade : "auto";
    struct buffer list = BUFFER_INIT;

    if (strcasecmp(grade, "strong") == 0)
        add_groups(ctx, params->tls_eecdh_strong_curve, &list);
    else if (strcasecmp(grade, "ultra") == 0)
        add_groups(ctx, params->tls_eecdh_ultra_curve, &list);
    add_groups(ctx, params->tls_eecdh_auto_curves, &list);
    add_groups(ctx, params->tls_ffdhe_auto_groups, &list);
    if (list.len) /* a refused one has left its trace */
        SSL_CTX_set1_groups_list(ctx, buffer_string(&list));
    buffer_release(&list);
}

SSL_CTX *tls_context_new(const struct tls_params *params, bool server)
{
    SSL_CTX *ctx = tls_library_is_good() ? SSL_CTX_new(server ? TLS_server_method() : TLS_client_method()) : NULL;

    if (!ctx) {
        log_warning("cannot allocate a TLS context");
        tls_log_library_problems();
        return NULL;
    }
    SSL_CTX_set_security_level(ctx, 0); /* versions and ciphers are chosen by main.cf */
    SSL_CTX_clear_options(ctx, SSL_CTX_get_options(ctx));
    SSL_CTX_set_options(ctx, wanted_options(params));
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_quiet_shutdown(ctx, 0);
    set_groups(ctx, params);
    return ctx;
}

void tls_set_versions(SSL_CTX *ctx, SSL *ssl, int versions)
{
    static const struct { uint64_t option; int bit, version; } rows[] = {
        {SSL_OP_NO_TLSv1, TLS_10, TLS1_VERSION}, {SSL_OP_NO_TLSv1_1, TLS_11, TLS1_1_VERSION}, {SSL_OP_NO_TLSv1_2, TLS_12, TLS1_2_VERSION},
        {SSL_OP_NO_TLSv1_3, TLS_13, TLS1_3_VERSION}};
    uint64_t off = 0;
    int least = 0, most = 0;

    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        if (!(versions & rows[i].bit)) {
            off |= rows[i].option;
            continue;
        }
        least = least ? least : rows[i].version;
        most = rows[i].version;
    }
    most = versions & TLS_13 ? 0 : most;
    if (ctx) {
        SSL_CTX_set_options(ctx, off);
        SSL_CTX_set_min_proto_version(ctx, least);
        SSL_CTX_set_max_proto_version(ctx, most);
    } else {
        SSL_set_options(ssl, off);
        SSL_set_min_proto_version(ssl, least);
        SSL_set_max_proto_version(ssl, most);
    }
}
