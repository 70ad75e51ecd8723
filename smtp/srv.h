/* srv.h - hosts and ports of a service by SRV records (RFC 2782): use_srv_lookup */
#ifndef POSTERN_SMTP_SRV_H
#define POSTERN_SMTP_SRV_H

#include "hosts.h"

/* srv_is_wanted - is the destination a domain, not [host], and its service one of use_srv_lookup? */
bool srv_is_wanted(const struct client_params *params, const struct destination *destination);
/* srv_find - the records of _service._tcp.domain in the order in which they are to be tried: by priority, within one at random by weight.  *name is what
   was asked for.  Waits. */
struct dns_answer srv_find(const struct destination *destination, struct arena *arena, struct slice *name);
/* srv_order - that order.  random: a number below its argument. */
void srv_order(struct dns_record *records, size_t count, uint32_t (*random)(uint32_t limit));
/* srv_is_refusal - the only target is the root: the domain says that it has no such service. */
bool srv_is_refusal(const struct dns_answer *answer);

#endif
