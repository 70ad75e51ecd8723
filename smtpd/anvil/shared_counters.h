/* shared_counters.h - clients counted by several machines together (anvil_counter_map) */
#ifndef POSTERN_ANVIL_SHARED_COUNTERS_H
#define POSTERN_ANVIL_SHARED_COUNTERS_H

#include "counters.h"
#include "store.h"

/* shared_counters_event - after counters_event: reply becomes what all machines have seen of the client; what this one has seen, when the server does not
   answer.  Waits. */
void shared_counters_event(struct anvil_store *store, const struct counters *counters, int verb, struct slice ident, struct arena *arena,
                           struct anvil_reply *reply);
/* shared_counters_refresh - say which connections this machine still has: to be called every SHARED_COUNTERS_INTERVAL, or they are counted no more.  Waits. */
enum { SHARED_COUNTERS_INTERVAL = 60 /* seconds */ };
void shared_counters_refresh(struct anvil_store *store, const struct counters *counters);

#endif
