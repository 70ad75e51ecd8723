/* per_site.h - smtp_tls_per_site: tables of levels by next hop and by host, as they were before smtp_tls_policy_maps */
#ifndef POSTERN_SMTP_PER_SITE_H
#define POSTERN_SMTP_PER_SITE_H

#include "hosts.h"
#include "tls/policy.h"

/* per_site_open - NULL where the tables do not count: there are none, or smtp_tls_security_level or smtp_tls_policy_maps stands above them. */
struct table_list *per_site_open(struct config *config, const struct client_params *params);
/* per_site_find - change the level as the entries want; *found: there is one.  Else NULL, or what is wrong:
   per_site_again when a table cannot answer, or an entry is no good (both are logged). */
extern const char per_site_again[];
const char *per_site_find(const struct client_params *params, const struct host *host, enum tls_level *level, bool *found);

#endif
