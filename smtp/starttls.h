/* starttls.h - TLS towards servers: which level a destination needs, STARTTLS, wrapper mode, DANE (compat.md g.1, RFC 7672) */
#ifndef POSTERN_SMTP_STARTTLS_H
#define POSTERN_SMTP_STARTTLS_H

#include "session.h"
#include "tls/client.h"

/* What reports will say of a connection (tls_results.h). */
struct tls_plan_results {
    const char *domain;        /* NULL: no report is about it */
    const char *policy_type;   /* NULL: DANE or none */
    struct slice policy, patterns; /* lines */
    const char *failure;       /* of the policy: it stands, whatever the host does; NULL: none */
    const char *reason_code;
    bool silent;               /* the mail is a report itself */
};

/* What is wanted of one connection. */
struct tls_plan {
    struct tls_policy policy;
    struct tls_connect connect;
    bool keep;                 /* the connection may be used again */
    const char *origin;        /* what set the level: a parameter, for posttls-finger */
    int require_tls;           /* enum requiretls_action, when the sender asked for REQUIRETLS */
    const char *sts;           /* mode of the MTA-STS policy: "enforce", "testing"; NULL: none */
    struct tls_plan_results results;
};

/* starttls_open - levels, tables, keys: before the sandbox closes.  starttls_close - give them back. */
void starttls_open(struct config *config, struct client_params *params);
void starttls_close(struct client_params *params);
/* starttls_plan - what a host of a destination needs, with the TLSA lookup that this may take.  NULL with *failure: the host must not be used.
   Memory of the arena.  Waits. */
struct tls_plan *starttls_plan(const struct client_params *params, const struct host *host, struct arena *arena, struct failure *failure);
/* starttls_wrap - smtp_tls_wrappermode: the handshake before the greeting.  starttls_begin - after EHLO: STARTTLS as the plan wants and the server
   offers; a session that is in TLS afterwards must say EHLO again.  False with *failure.  Wait. */
bool starttls_wrap(const struct client_params *params, struct session *session, struct arena *arena, struct failure *failure);
bool starttls_begin(const struct client_params *params, struct session *session, struct arena *arena, struct failure *failure);
/* starttls_may_do_without - after a failed handshake, or when the connection was lost soon after it: may the message go in the clear now?  Only at level may, and when it has waited for a while: what is
   broken for a moment shall not cost the protection. */
bool starttls_may_do_without(const struct client_params *params, const struct session *session, const struct delivery *delivery);

#endif
