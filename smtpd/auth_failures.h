/* auth_failures.h - guessing passwords: failed logins are counted, and every one makes the next attempt wait longer (smtpd_auth_failure_*)

   Counted, in anvil's store, are the address of the client, its network, the account that it names (whether there is such an account makes no difference), and the pair of address
   and account: a login that succeeds takes back the failures of its own pair, so that somebody who mistyped is forgiven and a guesser with an account of his own is not. */
#ifndef POSTERN_SMTPD_AUTH_FAILURES_H
#define POSTERN_SMTPD_AUTH_FAILURES_H

#include "sasl/server.h"
#include "session.h"

/* One attempt to log in. */
struct auth_guess {
    bool seen;          /* the delay is over */
    struct slice user;  /* as the client named it, in the scratch arena; empty: not known */
};

/* auth_failures_delay - before a response of the client is looked at: wait, the first time in an attempt, as long as failures before ask for.  Waits.
   auth_failures_note - the attempt was refused, by that layer.  auth_failures_forgive - it succeeded.  Wait. */
void auth_failures_delay(struct session *s, struct auth_guess *guess, struct slice mechanism, struct slice response);
void auth_failures_note(struct session *s, const struct auth_guess *guess, enum sasl_layer layer);
void auth_failures_forgive(struct session *s, const struct auth_guess *guess);

/* auth_failures_user - who a first response (base64) of that mechanism (upper case) says to be; appended to out, nothing when it does not say. */
void auth_failures_user(struct slice mechanism, struct slice response, struct buffer *out);
/* auth_failures_pause - how long to wait after so many failures, as a whole, of which unit is the first; networks and accounts count a quarter. */
int64_t auth_failures_pause(int64_t address, int64_t network, int64_t account, int64_t unit, int64_t longest);

#endif
