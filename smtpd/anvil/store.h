/* store.h (anvil) - the serving side of lib/service/store.h: named caches, in memory and in files */
#ifndef POSTERN_ANVIL_STORE_H
#define POSTERN_ANVIL_STORE_H

#include "conf/config.h"
#include "ipc/message.h"
#include "run/run.h"

struct anvil_store;

/* anvil_store_open - make the caches of the configuration, and start the keeper of their files (keeper.h) with the rights of the mail owner: before
   this process gives up its own, and before its fibers.  anvil_store_start - in the loop: begin to read what the keeper sends. */
struct anvil_store *anvil_store_open(struct config *config) MUST_CHECK;
void anvil_store_start(struct anvil_store *store);
/* anvil_store_request - answer one request, which is checked here; the value is copied to the arena.  Waits. */
void anvil_store_request(struct anvil_store *store, const struct store_request *request, struct arena *arena, struct store_reply *reply);
/* anvil_store_shares_counters - anvil_counter_map names a server.  anvil_store_count - there: one event of that rate ("": none) of a client of which this process
   has that many connections, and the sums over all machines.  False: it does not answer.  Waits. */
bool anvil_store_shares_counters(const struct anvil_store *store);
bool anvil_store_count(struct anvil_store *store, struct slice ident, const char *rate, int64_t connections, int64_t unit, struct arena *arena,
                       struct anvil_reply *sums);
/* anvil_store_flush - what the files do not know yet goes to the keeper; false when it has not said until the deadline that it is on the disk.  Waits. */
bool anvil_store_flush(struct anvil_store *store, int64_t deadline);
/* anvil_store_close - the last flush, and the end of the processes that were started, if they end until the deadline; the result is that of the flush.  Waits. */
bool anvil_store_close(struct anvil_store *store, int64_t deadline);
/* anvil_store_free - the keeper sees that and ends.  Waits (once started, for the fibers). */
void anvil_store_free(struct anvil_store *store);

#endif
