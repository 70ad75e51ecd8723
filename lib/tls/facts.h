/* facts.h (tls) - what is known about a connection once the handshake is over, for headers, log lines, policies and milters */
#ifndef POSTERN_TLS_FACTS_H
#define POSTERN_TLS_FACTS_H

#include <openssl/ssl.h>

#include "base/arena.h"
#include "base/buffer.h"

struct tls_facts {
    const char *protocol;      /* "TLSv1.3" */
    const char *cipher;        /* "TLS_AES_256_GCM_SHA384" */
    int used_bits, all_bits;
    const char *details;       /* " key-exchange X25519 server-signature ...", or "": how key exchange and signatures went (TLS 1.3) */
    bool reused;               /* the session of an earlier connection */
    bool has_certificate;      /* the peer showed one */
    bool trusted;              /* it leads to a known authority */
    bool matched;              /* and is of the one it should be of (client) */
    bool insecure_mx;          /* but that one was named by DNS answers that nobody signed (DANE) */
    const char *subject, *issuer; /* common names; "" when there is none */
    const char *fingerprint, *key_fingerprint; /* "AB:CD:...", "" without a certificate */
    const char *server_name;   /* what the client asked for by SNI; NULL: nothing */
    long verify_result;        /* X509_V_ */
};

/* tls_facts_take - after the handshake; digest: name of the fingerprints' algorithm.  Strings are in the arena. */
void tls_facts_take(SSL *ssl, const char *digest, struct arena *arena, struct tls_facts *facts);
/* tls_facts_trust - "Anonymous", "Untrusted", "Trusted", "Verified".  tls_facts_log - the summary line; what: "established from", "established to"
   (by a resumed session, too), "reused to" (another message on the same connection); peer "name[address]". */
const char *tls_facts_trust(const struct tls_facts *facts);
void tls_facts_log(const struct tls_facts *facts, const char *what, const char *peer);
/* tls_facts_log_peer - names and fingerprints of the peer's certificate. */
void tls_facts_log_peer(const struct tls_facts *facts, const char *peer);
/* tls_log_verify_error - why the peer's certificate is not believed; role "client" or "server". */
void tls_log_verify_error(SSL *ssl, long result, const char *role, const char *peer);
/* tls_digest_is_known - can fingerprints be made with it? */
bool tls_digest_is_known(const char *digest);

#endif
