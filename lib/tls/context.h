/* context.h (tls) - what contexts of both directions have in common */
#ifndef POSTERN_TLS_CONTEXT_H
#define POSTERN_TLS_CONTEXT_H

#include <openssl/ssl.h>

#include "tls/credentials.h"
#include "tls/params.h"

/* tls_context_new - a context with the options and groups of params, without credentials, versions and ciphers.  NULL (logged): the
   library cannot. */
SSL_CTX *tls_context_new(const struct tls_params *params, bool server) MUST_CHECK;
/* tls_set_versions - TLS_ bits of settings.h, on a context or, with ctx NULL, on a connection. */
void tls_set_versions(SSL_CTX *ctx, SSL *ssl, int versions);

#endif
