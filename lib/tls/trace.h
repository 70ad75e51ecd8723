/* trace.h (tls) - the steps of a handshake for the log (loglevel 2)

   A step may be made by another thread, where nothing is logged: the lines are kept until the handshake is over. */
#ifndef POSTERN_TLS_TRACE_H
#define POSTERN_TLS_TRACE_H

#include <openssl/ssl.h>

#include "base/base.h"

/* tls_trace_begin - from now on steps and alerts are noted, if log (TLS_LOG_ bits) asks for them; peer: as in log lines, lives until the end.
   tls_trace_end - log what was noted. */
void tls_trace_begin(SSL *ssl, int log, const char *peer);
void tls_trace_end(SSL *ssl);
/* tls_trace_add - one more line, after the name of the peer; nothing unless there is a trace. */
void tls_trace_add(SSL *ssl, const char *format, ...) PRINTF_LIKE(2, 3);
/* tls_trace_verify - a certificate of the peer's chain was looked at; returns good. */
int tls_trace_verify(int good, X509_STORE_CTX *store);

#endif
