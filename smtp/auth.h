/* auth.h - logging in at servers (RFC 4954, compat.md g.1) */
#ifndef POSTERN_SMTP_AUTH_H
#define POSTERN_SMTP_AUTH_H

#include "session.h"

struct auth_rules; /* of the process */

/* auth_open - smtp_sasl_auth_enable: passwords and rules, before the sandbox closes; NULL when it is off.  auth_close - NULL is fine. */
struct auth_rules *auth_open(struct config *config, const struct client_params *params) MUST_CHECK;
void auth_close(struct auth_rules *rules);
/* auth_take_mechanisms - "PLAIN LOGIN" of an EHLO reply; auth_forget_mechanisms - before another EHLO. */
void auth_take_mechanisms(struct session *session, struct slice line);
void auth_forget_mechanisms(struct session *session);
/* auth_begin - log in, when there is a password for this server or sender and the server offers AUTH.  False with *failure.  Waits. */
bool auth_begin(const struct client_params *params, struct session *session, const struct delivery *delivery, struct failure *failure);
/* auth_may_keep - may the session be used for another message?  Not when passwords depend on the sender. */
bool auth_may_keep(const struct client_params *params);

#endif
