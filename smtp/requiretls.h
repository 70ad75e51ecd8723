/* requiretls.h - mail whose sender demands TLS all the way (REQUIRETLS), or none at all (TLS-Required: no): RFC 8689 */
#ifndef POSTERN_SMTP_REQUIRETLS_H
#define POSTERN_SMTP_REQUIRETLS_H

#include "starttls.h"

struct requiretls_rules;

/* What is done about REQUIRETLS for a destination (smtp_requiretls_policy), least first. */
enum requiretls_action { REQUIRETLS_DISABLE, REQUIRETLS_OPPORTUNISTIC, REQUIRETLS_STARTTLS, REQUIRETLS_ENFORCE };

/* requiretls_open - the list of tables and actions, before the sandbox closes; NULL: requiretls_enable = no.  requiretls_close - NULL is fine. */
struct requiretls_rules *requiretls_open(struct config *config, const struct client_params *params);
void requiretls_close(struct requiretls_rules *rules);
/* requiretls_find - what holds for a destination (without brackets and port): the first word, or table with an entry for it or one of its parents
   as ".parent".  False: a table cannot answer, or its entry is no good (logged).  Waits. */
bool requiretls_find(const struct requiretls_rules *rules, struct slice destination, enum requiretls_action *action);

/* requiretls_plan - fit the plan for a host (NULL: there is none, *failure says why) to what the sender asked for.  NULL with *failure: the host must not
   be used.  Waits. */
struct tls_plan *requiretls_plan(const struct client_params *params, const struct host *host, const struct delivery *delivery, struct tls_plan *plan,
                                 struct failure *failure);
/* requiretls_check - the session is open: does the server take REQUIRETLS where it must?  False with *failure. */
bool requiretls_check(struct session *session, const struct tls_plan *plan, const struct delivery *delivery, struct failure *failure);
/* requiretls_explain - a failure of TLS is one that sends the message back, when the sender demanded it. */
void requiretls_explain(const struct tls_plan *plan, const struct delivery *delivery, struct failure *failure);

#endif
