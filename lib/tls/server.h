/* server.h (tls) - TLS for those who accept connections */
#ifndef POSTERN_TLS_SERVER_H
#define POSTERN_TLS_SERVER_H

#include "net/stream.h"
#include "tls/facts.h"
#include "tls/files.h"
#include "tls/params.h"

struct tls_server;

/* tls_server_new - read keys and certificates, open tls_server_sni_maps: before the sandbox closes.  mandatory: clients must use TLS, so the
   mandatory_ settings hold.  service: name of the service; sessions are not resumed across services.  access: how files are opened again, NULL: never.
   Never NULL: what is wrong is logged, and tls_server_make_ready says no. */
struct tls_server *tls_server_new(struct config *config, const struct tls_params *params, bool mandatory, const char *service,
                                  const struct tls_file_access *access) MUST_CHECK;
void tls_server_free(struct tls_server *server);
/* tls_server_make_ready - can handshakes be made?  Keys and certificates that could not be read so far are looked for again.  Waits. */
bool tls_server_make_ready(struct tls_server *server);
/* tls_server_asks_clients - do we ask for client certificates? */
bool tls_server_asks_clients(const struct tls_server *server);

/* tls_server_accept - the handshake over the stream, whose unread input must be empty (STARTTLS): if it is not, that counts as a lost connection.  Logs the
   outcome as "... from PEER".  Afterwards the stream speaks TLS.  False: the stream is of no more use; timed_out tells why.  facts:
   strings in the arena.  Looks first, every few seconds, whether the files have changed.  Waits. */
bool tls_server_accept(struct tls_server *server, struct stream *stream, const char *peer, int64_t timeout, struct arena *arena,
                       struct tls_facts *facts, bool *timed_out);

#endif
