/* client.h (sasl) - logging in at a server: choosing a mechanism, and the client's half of it

   Mechanisms: SCRAM-SHA-256, SCRAM-SHA-1 (RFC 5802, 7677), CRAM-MD5 (RFC 2195), PLAIN (RFC 4616), LOGIN, XOAUTH2, OAUTHBEARER (RFC 7628; for these two the
   password is an access token).  All is computed here: no plug-ins, no files. */
#ifndef POSTERN_SASL_CLIENT_H
#define POSTERN_SASL_CLIENT_H

#include "base/arena.h"
#include "base/buffer.h"
#include "sasl/mechanism.h"

struct sasl_client;

/* Strings must outlive the client. */
struct sasl_credentials {
    struct slice user, password;
    bool send_authorization; /* name the user as the one to act as, too (send_cyrus_sasl_authzid) */
    const char *host;        /* the server, for OAUTHBEARER */
    uint16_t port;
};

/* sasl_client_choose - the best of the mechanisms offered (separated by blanks) that we know and the rules allow; empty: none.  Bearer tokens are only
   used where the administrator has named the mechanism: explicit. */
struct slice sasl_client_choose(struct slice offered, struct sasl_security security, bool explicit_choice);
/* sasl_client_new - mechanism: what was chosen.  sasl_client_free also wipes what it holds. */
struct sasl_client *sasl_client_new(struct slice mechanism, const struct sasl_credentials *credentials) MUST_CHECK;
void sasl_client_free(struct sasl_client *client);
/* sasl_client_begin - the initial response in base64 ("=" when empty); false: the mechanism has none.  sasl_client_step - a challenge and the response to
   it, both base64; false: the challenge is not what the mechanism prescribes, the exchange must end.  Waits (SCRAM hashes in the thread pool). */
bool sasl_client_begin(struct sasl_client *client, struct buffer *response);
bool sasl_client_step(struct sasl_client *client, struct slice challenge, struct buffer *response);
/* sasl_client_is_satisfied - may success be believed now?  With SCRAM the server must have proved that it knows the password. */
bool sasl_client_is_satisfied(const struct sasl_client *client);

#endif
