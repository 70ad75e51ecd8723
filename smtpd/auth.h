/* auth.h - AUTH: who the client is (RFC 4954, compat.md d.8) */
#ifndef POSTERN_SMTPD_AUTH_H
#define POSTERN_SMTPD_AUTH_H

#include "session.h"

struct auth; /* of the server: back end and rules */

/* A client that has proved who it is; memory of the session's arena. */
struct login {
    const char *user, *method;
};

/* auth_open - smtpd_sasl_auth_enable: open the back end, before the sandbox closes; NULL when it is off.  auth_close - NULL is fine. */
struct auth *auth_open(struct server *server) MUST_CHECK;
void auth_close(struct auth *auth);
/* auth_is_active - may this client authenticate, as the session is now? */
bool auth_is_active(const struct session *s);
/* auth_offer - append the mechanisms for the EHLO reply, nothing when AUTH is not to be offered.  Waits. */
void auth_offer(struct session *s, struct buffer *names);
/* auth_set_login - without proof: XCLIENT.  user NULL: nobody. */
void auth_set_login(struct session *s, const char *user, const char *method);
/* auth_is_user - is the client logged in, other than anonymously? */
bool auth_is_user(const struct session *s);
/* auth_sender - what AUTH= of MAIL said, as it is logged; empty: nothing. */
struct slice auth_sender(const struct session *s);

#endif
