/* counters.h - what anvil remembers of clients: open connections, and events per time unit */
#ifndef POSTERN_ANVIL_COUNTERS_H
#define POSTERN_ANVIL_COUNTERS_H

#include "ipc/message.h"

struct counters;
struct counter_owner; /* one smtpd process: its connections end with it */

/* counters_new - unit: anvil_rate_time_unit in microseconds. */
struct counters *counters_new(int64_t unit) MUST_CHECK;
void counters_free(struct counters *counters);
struct counter_owner *counter_owner_new(struct counters *counters) MUST_CHECK;
/* counter_owner_free - takes its open connections off the books. */
void counter_owner_free(struct counter_owner *owner);
/* counters_event - count one event (ANVIL_ verb) of a client and say where it stands; now: monotonic, wall: for the statistics. */
void counters_event(struct counter_owner *owner, int verb, struct slice ident, int64_t now, int64_t wall, struct anvil_reply *reply);
/* counters_rate_name - of the rate that a verb raises, "" for none.  counters_unit - as given.
   counters_next_connected - walk the clients with open connections, as map_next. */
const char *counters_rate_name(int verb);
int64_t counters_unit(const struct counters *counters);
bool counters_next_connected(const struct counters *counters, size_t *position, struct slice *ident, int64_t *connections);
/* counters_log - the "statistics: max ..." lines since the last time (compat.md i.5), unit_seconds for their text. */
void counters_log(struct counters *counters);
/* counters_expire - forget clients without connections and recent events. */
void counters_expire(struct counters *counters, int64_t now);
size_t counters_size(const struct counters *counters);

#endif
