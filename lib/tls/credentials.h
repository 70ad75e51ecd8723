/* credentials.h (tls) - keys, certificates and authorities: from files into an SSL_CTX, again when the files change */
#ifndef POSTERN_TLS_CREDENTIALS_H
#define POSTERN_TLS_CREDENTIALS_H

#include <openssl/ssl.h>

#include "tls/files.h"
#include "tls/params.h"

struct tls_credentials;

/* tls_credentials_open - read the files that params name; never NULL.  What cannot be read fails in tls_credentials_load.  Before the sandbox
   closes.  access may be NULL: files are read once. */
struct tls_credentials *tls_credentials_open(const struct tls_params *params, const struct tls_file_access *access) MUST_CHECK;
void tls_credentials_free(struct tls_credentials *c);
/* tls_credentials_load - put them into a context.  False with *why when a certificate or key is no good. */
bool tls_credentials_load(struct tls_credentials *c, SSL_CTX *ctx, struct buffer *why);
/* tls_credentials_refresh - true: files changed, and all are in memory again for tls_credentials_load.  Waits. */
bool tls_credentials_refresh(struct tls_credentials *c);
/* tls_credentials_forget - wipe what was read.  tls_credentials_has_certificate - is one configured? */
void tls_credentials_forget(struct tls_credentials *c);
bool tls_credentials_has_certificate(const struct tls_credentials *c);

/* tls_load_chain - keys, each followed by its certificate and the issuers of that, from PEM text.  False with *why. */
bool tls_load_chain(SSL_CTX *ctx, struct slice pem, const char *name, struct buffer *why);
/* tls_key_is_slow - a private key of the context takes more than a millisecond to sign with. */
bool tls_key_is_slow(SSL_CTX *ctx);
/* tls_log_library_problems - "TLS library problem: ..." for each error that OpenSSL has queued in this thread. */
void tls_log_library_problems(void);

#endif
