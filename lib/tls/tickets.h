/* tickets.h (tls) - keys of session tickets (RFC 5077, RFC 8446 4.6.1), the same in all workers, new ones all the time

   The keys lie in memory that the workers share, in a ring by epoch (one lifetime of sessions).  Whoever needs the key of the present epoch first makes it.
   A ticket is good in the epoch it was made in and in the next one. */
#ifndef POSTERN_TLS_TICKETS_H
#define POSTERN_TLS_TICKETS_H

#include <openssl/ssl.h>

#include "base/base.h"

enum { TLS_TICKETS_SHARED = 512 }; /* bytes of shared memory, zeroed at the beginning */

/* tls_tickets_share - the memory shared with the other workers, aligned to 8; without it keys are this process's own. */
void tls_tickets_share(void *memory);
/* tls_tickets_enable - the context gives tickets that are good for that many seconds, encrypted with the cipher ("aes-256-cbc").
   False: there is no such cipher. */
bool tls_tickets_enable(SSL_CTX *ctx, int64_t lifetime, const char *cipher) MUST_CHECK;

#endif
