/* tls_manager.h - client stub of tlsmgr, which fetches MTA-STS policies and keeps what reports will say */
#ifndef POSTERN_SERVICE_TLS_MANAGER_H
#define POSTERN_SERVICE_TLS_MANAGER_H

#include "ipc/lane.h"

struct tls_manager;

/* tls_manager_new - path: tlsmgr's socket ("private/tlsmgr").  No wait; connections are made by the calls. */
struct tls_manager *tls_manager_new(const char *path) MUST_CHECK;
void tls_manager_free(struct tls_manager *manager);
/* tls_manager_wake - start the service if it does not run: reports that are due go out.  Waits. */
void tls_manager_wake(struct tls_manager *manager);
/* tls_manager_policy - the MTA-STS policy of a domain; memory of the arena.  NULL when tlsmgr cannot say (logged): go on as without a policy.  Waits, up to
   a minute, while a policy that is not known yet is fetched. */
struct mta_sts_reply *tls_manager_policy(struct tls_manager *manager, struct slice domain, struct arena *arena);
/* tls_manager_tell - how TLS went; the session is copied and sent in the background (what cannot be sent is lost). */
void tls_manager_tell(struct tls_manager *manager, const struct tls_session *session);
/* tls_manager_finish - send what waits, for a few seconds at most.  Waits. */
void tls_manager_finish(struct tls_manager *manager);

#endif
