/* sessions.h (tls) - sessions that the client remembers, in memory, to resume them at the next connection to the same server under the same demands */
#ifndef POSTERN_TLS_SESSIONS_H
#define POSTERN_TLS_SESSIONS_H

#include <openssl/ssl.h>

#include "base/slice.h"

struct tls_sessions;

/* tls_sessions_new - they are good for that many seconds. */
struct tls_sessions *tls_sessions_new(int64_t lifetime) MUST_CHECK;
void tls_sessions_free(struct tls_sessions *sessions);
/* tls_sessions_enable - for the connections of a context. */
void tls_sessions_enable(struct tls_sessions *sessions, SSL_CTX *ctx);
/* tls_sessions_begin - before the handshake: resume what is remembered under the key.  tls_sessions_end - after it: good: what the server gives is to be
   remembered, now and later. */
void tls_sessions_begin(struct tls_sessions *sessions, SSL *ssl, struct slice key);
void tls_sessions_end(struct tls_sessions *sessions, SSL *ssl, bool good);

#endif
