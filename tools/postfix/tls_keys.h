/* tls_keys.h - private keys, certificates and requests as `postfix tls` makes them */
#ifndef POSTERN_TOOLS_POSTFIX_TLS_KEYS_H
#define POSTERN_TOOLS_POSTFIX_TLS_KEYS_H

#include <openssl/x509.h>

#include "base/buffer.h"

/* The key algorithms that are supported, with the parameters of main.cf for their files. */
struct key_algorithm {
    const char *name;         /* "rsa", "ecdsa" */
    const char *type;         /* OpenSSL's */
    const char *default_bits; /* a size, or a curve */
    const char *file_prefix;  /* "", "ec" */
    const char *certificate_parameter, *key_parameter;
};

/* key_algorithm_find - NULL: there is none of that name.  key_algorithm_at - in order, NULL past the end.  key_algorithm_of - of a key. */
const struct key_algorithm *key_algorithm_find(const char *name);
const struct key_algorithm *key_algorithm_at(size_t index);
const struct key_algorithm *key_algorithm_of(const EVP_PKEY *key);

/* Each of these: NULL or false with *why, complete words. */
EVP_PKEY *key_generate(const struct key_algorithm *algorithm, const char *bits, struct buffer *why) MUST_CHECK;
EVP_PKEY *key_read(const char *path, struct buffer *why) MUST_CHECK;
X509 *certificate_read(const char *path, struct buffer *why) MUST_CHECK;
/* certificate_make - signed by its own key, good for 100 years; the first name is the common name.  request_make - a signing request likewise. */
X509 *certificate_make(EVP_PKEY *key, const char *const *names, size_t count, struct buffer *why) MUST_CHECK;
X509_REQ *request_make(EVP_PKEY *key, const char *const *names, size_t count, struct buffer *why) MUST_CHECK;
/* key_write, certificate_write - a new file, durable; an old one is never written over. */
bool key_write(const char *path, EVP_PKEY *key, struct buffer *why);
bool certificate_write(const char *path, X509 *certificate, struct buffer *why);
/* key_fingerprint - SHA-256 of the public key in hexadecimal, as TLSA 3 1 1 has it. */
bool key_fingerprint(EVP_PKEY *key, struct buffer *out);

#endif
