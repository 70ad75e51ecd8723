/* tls_keys.c - see tls_keys.h */
#include "tls_keys.h"

#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>

#include "base/base.h"

enum { COMMON_NAME_MAX = 64, DAYS_VALID = 36525, RSA_BITS_MIN = 2048, RSA_BITS_MAX = 8192 };

static const struct key_algorithm algorithms[] = {
    {"rsa", "RSA", "2048", "", "smtpd_tls_cert_file", "smtpd_tls_key_file"},
    {"ecdsa", "EC", "secp256r1", "ec", "smtpd_tls_eccert_file", "smtpd_tls_eckey_file"},
};

const struct key_algorithm *key_algorithm_find(const char *name)
{
    for (size_t i = 0; i < COUNT_OF(algorithms); i++)
        if (strcasecmp(algorithms[i].name, name) == 0)
            return &algorithms[i];
    return NULL;
}

const struct key_algorithm *key_algorithm_at(size_t index)
{
    return index < COUNT_OF(algorithms) ? &algorithms[index] : NULL;
}

const struct key_algorithm *key_algorithm_of(const EVP_PKEY *key)
{
    for (size_t i = 0; i < COUNT_OF(algorithms); i++)
        if (EVP_PKEY_is_a(key, algorithms[i].type))
            return &algorithms[i];
    return NULL;
}

/* library_says - the last error of OpenSSL, if it has one. */
static void library_says(struct buffer *why)
{
    const char *reason = ERR_reason_error_string(ERR_peek_last_error());

    if (reason)
        buffer_printf(why, ": %s", reason);
    ERR_clear_error();
}

/* ---- keys ---- */

EVP_PKEY *key_generate(const struct key_algorithm *algorithm, const char *bits, struct buffer *why)
{
    EVP_PKEY *key = NULL;
    uint64_t size;

    if (strcmp(algorithm->type, "EC") == 0)
        key = EVP_EC_gen(strcasecmp(bits, "secp256r1") == 0 ? "prime256v1" : bits);
    else if (slice_to_u64(slice_of(bits), &size) && size >= RSA_BITS_MIN && size <= RSA_BITS_MAX)
        key = EVP_RSA_gen((unsigned)size);
    else
        buffer_printf(why, "RSA keys have from %d to %d bits, not %s", RSA_BITS_MIN, RSA_BITS_MAX, bits);
    if (!key && why->len == 0) {
        buffer_printf(why, "no key of algorithm %s, %s can be made", algorithm->name, bits);
        library_says(why);
    }
    return key;
}

/* no_password - nobody is asked for one. */
static int no_password(char *text UNUSED, int size UNUSED, int writing UNUSED, void *context UNUSED)
{
    return -1;
}

static FILE *open_file(const char *path, struct buffer *why)
{
    FILE *file = fopen(path, "re");

    if (!file)
        buffer_printf(why, "open %s: %s", path, strerror(errno));
    return file;
}

EVP_PKEY *key_read(const char *path, struct buffer *why)
{
    FILE *file = open_file(path, why);
    EVP_PKEY *key = file ? PEM_read_PrivateKey(file, NULL, no_password, NULL) : NULL;

    if (file)
        fclose(file);
    if (!key && why->len == 0) {
        buffer_printf(why, "no private key found in file: %s", path);
        ERR_clear_error();
    }
    return key;
}

static bool create(const char *path, mode_t mode, struct buffer *why, FILE **file)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode);

    *file = fd >= 0 ? fdopen(fd, "w") : NULL;
    if (!*file)
        buffer_printf(why, "create %s: %s", path, strerror(errno));
    return *file != NULL;
}

static bool complete(FILE *file, const char *path, bool written, struct buffer *why)
{
    bool good = written && fflush(file) == 0 && fsync(fileno(file)) == 0;

    if (!good)
        buffer_printf(why, "write %s: %s", path, strerror(errno));
    fclose(file);
    if (!good)
        unlink(path);
    return good;
}

bool key_write(const char *path, EVP_PKEY *key, struct buffer *why)
{
    FILE *file;

    return create(path, 0600, why, &file) && complete(file, path, PEM_write_PrivateKey(file, key, NULL, NULL, 0, NULL, NULL) == 1, why);
}

bool key_fingerprint(EVP_PKEY *key, struct buffer *out)
{
    unsigned char digest[EVP_MAX_MD_SIZE], *bytes = NULL;
    unsigned len = 0;
    int size = i2d_PUBKEY(key, &bytes);
    bool good = size > 0 && EVP_Digest(bytes, (size_t)size, digest, &len, EVP_sha256(), NULL) == 1;

    for (unsigned i = 0; i < len; i++)
        buffer_printf(out, "%02x", digest[i]);
    OPENSSL_free(bytes);
    return good;
}

/* ---- certificates ---- */

X509 *certificate_read(const char *path, struct buffer *why)
{
    FILE *file = open_file(path, why);
    X509 *certificate = file ? PEM_read_X509(file, NULL, no_password, NULL) : NULL;

    if (file)
        fclose(file);
    if (!certificate && why->len == 0) {
        buffer_printf(why, "no certificate found in file: %s", path);
        ERR_clear_error();
    }
    return certificate;
}

bool certificate_write(const char *path, X509 *certificate, struct buffer *why)
{
    FILE *file;

    return create(path, 0644, why, &file) && complete(file, path, PEM_write_X509(file, certificate) == 1, why);
}

static bool names_are_good(const char *const *names, size_t count, struct buffer *why)
{
    for (size_t i = 0; i < count; i++) {
        bool good = names[i][0] && (i > 0 || strlen(names[i]) <= COMMON_NAME_MAX);
        for (const char *c = names[i]; *c; c++)
            good = good && (isalnum((unsigned char)*c) || strchr("-._*", *c)); /* nothing that could end the value of an extension */
        if (!good) {
            buffer_printf(why, "\"%s\" cannot be a name in a certificate", names[i]);
            return false;
        }
    }
    return count > 0;
}

static bool set_name(X509_NAME *name, const char *text)
{
    return X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8, (const unsigned char *)text, -1, -1, 0) == 1;
}

/* alternative_names - as a value of the extension: "DNS:a,DNS:b". */
static void alternative_names(const char *const *names, size_t count, struct buffer *out)
{
    for (size_t i = 0; i < count; i++)
        buffer_printf(out, "%sDNS:%s", i ? "," : "", names[i]);
}

static bool extend(X509 *certificate, X509V3_CTX *context, int nid, const char *value)
{
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, context, nid, value);
    bool good = extension && X509_add_ext(certificate, extension, -1) == 1;

    X509_EXTENSION_free(extension);
    return good;
}

static bool set_extensions(X509 *certificate, const char *const *names, size_t count)
{
    struct buffer alternatives = BUFFER_INIT;
    X509V3_CTX context;

    alternative_names(names, count, &alternatives);
    X509V3_set_ctx(&context, certificate, certificate, NULL, NULL, 0);
    bool good = extend(certificate, &context, NID_basic_constraints, "CA:FALSE") && extend(certificate, &context, NID_subject_key_identifier, "hash")
                && extend(certificate, &context, NID_ext_key_usage, "serverAuth,clientAuth")
                && extend(certificate, &context, NID_subject_alt_name, buffer_string(&alternatives));
    buffer_release(&alternatives);
    return good;
}

static bool set_serial(X509 *certificate)
{
    unsigned char bytes[16];
    BIGNUM *number = RAND_bytes(bytes, sizeof(bytes)) == 1 ? BN_bin2bn(bytes, sizeof(bytes), NULL) : NULL;
    bool good = number && BN_clear_bit(number, 127) >= 0 && BN_to_ASN1_INTEGER(number, X509_get_serialNumber(certificate));

    BN_free(number);
    return good;
}

X509 *certificate_make(EVP_PKEY *key, const char *const *names, size_t count, struct buffer *why)
{
    if (!names_are_good(names, count, why))
        return NULL;
    X509 *c = X509_new();
    bool good = c && X509_set_version(c, X509_VERSION_3) == 1 && set_serial(c) && X509_gmtime_adj(X509_getm_notBefore(c), 0)
                && X509_time_adj_ex(X509_getm_notAfter(c), DAYS_VALID, 0, NULL) && set_name(X509_get_subject_name(c), names[0])
                && X509_set_issuer_name(c, X509_get_subject_name(c)) == 1 && X509_set_pubkey(c, key) == 1 && set_extensions(c, names, count)
                && X509_sign(c, key, EVP_sha256()) > 0;
    if (!good) {
        buffer_append_string(why, "the certificate cannot be made");
        library_says(why);
        X509_free(c);
        return NULL;
    }
    return c;
}

static bool add_names(X509_REQ *request, const char *const *names, size_t count)
{
    struct buffer alternatives = BUFFER_INIT;
    STACK_OF(X509_EXTENSION) *extensions = sk_X509_EXTENSION_new_null();

    alternative_names(names, count, &alternatives);
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, buffer_string(&alternatives));
    bool good = extensions && extension && sk_X509_EXTENSION_push(extensions, extension) > 0 && X509_REQ_add_extensions(request, extensions) == 1;
    sk_X509_EXTENSION_free(extensions);
    X509_EXTENSION_free(extension);
    buffer_release(&alternatives);
    return good;
}

X509_REQ *request_make(EVP_PKEY *key, const char *const *names, size_t count, struct buffer *why)
{
    if (!names_are_good(names, count, why))
        return NULL;
    X509_REQ *r = X509_REQ_new();
    bool good = r && set_name(X509_REQ_get_subject_name(r), names[0]) && X509_REQ_set_pubkey(r, key) == 1 && add_names(r, names, count)
                && X509_REQ_sign(r, key, EVP_sha256()) > 0;
    if (!good) {
        buffer_append_string(why, "the signing request cannot be made");
        library_says(why);
        X509_REQ_free(r);
        return NULL;
    }
    return r;
}
