/* tls_results.h - telling tlsmgr how TLS went, for the reports that domains want (RFC 8460): one result for each try of a host */
#ifndef POSTERN_SMTP_TLS_RESULTS_H
#define POSTERN_SMTP_TLS_RESULTS_H

#include "starttls.h"

/* tls_results_fail - what is wrong with the plan itself, before there is a connection; reason_code may be NULL. */
void tls_results_fail(const struct client_params *params, const struct host *host, const struct tls_plan *plan, const char *failure,
                      const char *reason_code);
/* tls_results_tell - after the handshake, or in its place: facts NULL: there is none. */
void tls_results_tell(const struct client_params *params, const struct session *session, enum tls_connected result, const struct tls_facts *facts);
/* tls_results_no_starttls - it was not offered, or refused. */
void tls_results_no_starttls(const struct client_params *params, const struct session *session);

#endif
