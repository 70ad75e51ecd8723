/* remote.h - caches and counters in Redis, which several machines may share

   A few processes (child.h) hold a connection each, so that one that waits keeps nobody else waiting; requests go to whichever is idle, over one socket that
   they share.  When the server does not answer, requests fail at once for a while. */
#ifndef POSTERN_ANVIL_REMOTE_H
#define POSTERN_ANVIL_REMOTE_H

#include "conf/config.h"
#include "ipc/message.h"

struct remote;

/* A cache there: its name goes into the keys; where: "redis:..." as in redis_table(5), "" when it is not there. */
struct remote_place {
    const char *cache, *where;
};

/* Verbs besides those of service/store.h: key is the client, value the name of a rate ("" counts none), amount the connections that this anvil holds of it, lifetime
   the time unit.  The reply's sum is the rate, its expires the connections, both over all machines. */
enum { REMOTE_COUNT = 100 };

/* remote_open - before the jail; NULL when no place is in Redis.  remote_start - in the loop. */
struct remote *remote_open(struct config *config, const struct remote_place *places, size_t count) MUST_CHECK;
void remote_start(struct remote *remote);
/* remote_close - the processes are told to end, and waited for until the deadline (NULL is fine).  Waits. */
void remote_close(struct remote *remote, int64_t deadline);
/* remote_is_alive - there is a process left (or none was needed). */
bool remote_is_alive(const struct remote *remote);
void remote_free(struct remote *remote);
/* remote_request - outcome FAILED when there is no answer in time.  Waits. */
void remote_request(struct remote *remote, size_t place, const struct store_request *request, struct arena *arena, struct store_reply *reply);

#endif
