/* layer.h (tls) - TLS as a transport of a stream: OpenSSL works on memory, and only this layer reads and writes the connection

   Nothing waits inside of OpenSSL, so fibers may be switched at any wait, and a heavy step of a handshake may run in another thread. */
#ifndef POSTERN_TLS_LAYER_H
#define POSTERN_TLS_LAYER_H

#include <openssl/ssl.h>

#include "net/stream.h"

struct tls_layer;

/* What became of a handshake. */
enum tls_outcome {
    TLS_DONE,
    TLS_CLIENT_HELLO, /* the callback for it asked for time: decide, and go on (server) */
    TLS_FAILED,       /* OpenSSL says no: *why has its words */
    TLS_LOST,         /* the connection is gone */
    TLS_TIMEOUT,
    TLS_CANCELLED
};

/* tls_layer_push - put TLS on top of the stream; takes over ssl.  False: unread input was there, which must end the session.
   The layer goes with the stream. */
bool tls_layer_push(struct stream *stream, SSL *ssl, struct tls_layer **layer);
/* tls_layer_handshake - go on until it is done; slow: its steps are worth another thread.  When it failed, why (may be NULL) gets the errors of OpenSSL as
   log lines, one per line.  Waits. */
enum tls_outcome tls_layer_handshake(struct tls_layer *layer, bool slow, int64_t deadline, struct buffer *why);
SSL *tls_layer_ssl(struct tls_layer *layer);
/* tls_layers_shaking - handshakes under way in this process. */
unsigned tls_layers_shaking(void);

#endif
