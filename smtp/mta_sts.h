/* mta_sts.h - what the MTA-STS policy of a domain (RFC 8461) asks of a connection to one of its hosts */
#ifndef POSTERN_SMTP_MTA_STS_H
#define POSTERN_SMTP_MTA_STS_H

#include "starttls.h"
#include "tls/mta_sts.h"

/* mta_sts_apply - to a plan that neither a table nor DANE decided.  NULL, or why the host cannot be used ("MTA-STS policy of ...").  Waits. */
const char *mta_sts_apply(const struct client_params *params, const struct host *host, struct arena *arena, struct tls_plan *plan);
/* mta_sts_by_plugin - the entry of smtp_tls_policy_maps comes from a plug-in for MTA-STS and names hosts: smtp_tls_enforce_sts_mx_patterns.  As above. */
const char *mta_sts_by_plugin(const struct client_params *params, struct arena *arena, struct tls_plan *plan);

#endif
