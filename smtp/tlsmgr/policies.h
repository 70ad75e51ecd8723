/* policies.h - the MTA-STS policies that domains announce: fetched, remembered, renewed (RFC 8461 3.3, 5.1)

   TXT record     policy known     what happens
   ----------     ------------     ------------
   none           valid            it counts until it expires
   none           no               no policy
   same id        valid            it counts; a day after it was fetched it is fetched again in the background
   other id       valid            fetched; when that fails the old one counts
   an id          no               fetched; when that fails there is no policy

   Nobody tries to fetch the policy of an id again within five minutes after that failed. */
#ifndef POSTERN_TLSMGR_POLICIES_H
#define POSTERN_TLSMGR_POLICIES_H

#include "service/store.h"
#include "tls/mta_sts.h"
#include "web.h"

struct policies;

struct policies *policies_new(const struct tlsmgr_params *params, struct web *web, struct shared_store *store) MUST_CHECK;
/* policies_find - what counts for a domain now; memory of the arena.  Waits, while a policy is fetched. */
void policies_find(struct policies *policies, struct slice domain, struct arena *arena, struct mta_sts_reply *reply);

#endif
