/* store.h - what is remembered across sessions, workers and restarts: the client stub of anvil's stores

   A store is a set of named caches (smtpd/anvil has the table of them, with the parameter that says where each is kept: a file of its own, memory, or
   Redis, which several machines may share). An entry is a key and a text, and ends by itself after its lifetime. Nothing in a cache is the only copy
   of anything: when the store cannot be reached every call fails at once or after a few seconds, and the caller goes on without it. */
#ifndef POSTERN_SERVICE_STORE_H
#define POSTERN_SERVICE_STORE_H

#include "ipc/lane.h"

struct shared_store;

enum store_verb { STORE_GET = 1, STORE_PUT = 2, STORE_DELETE = 3, STORE_ADD = 4 };
enum store_outcome { STORE_OUTCOME_FAILED, STORE_OUTCOME_FOUND, STORE_OUTCOME_MISSING };

enum { STORE_KEY_MAX = 1024, STORE_VALUE_MAX = 64 * 1024 };

/* store_new - path: anvil's socket ("private/anvil"). No wait; the connection is made by the first call. */
struct shared_store *store_new(const char *path) MUST_CHECK;
void store_free(struct shared_store *store);

/* Keys and values are texts without NUL, a key is not empty; what is longer than STORE_KEY_MAX or STORE_VALUE_MAX is refused. */

/* store_get - the entry's text, in the arena, and (expires not NULL) when it ends, microseconds since 1970.  Waits. */
enum store_outcome store_get(struct shared_store *store, const char *cache, struct slice key, struct arena *arena, struct slice *value, int64_t *expires);
/* store_put - set the entry, to end lifetime microseconds from now.  False when the store cannot be reached.  Waits. */
bool store_put(struct shared_store *store, const char *cache, struct slice key, struct slice value, int64_t lifetime);
/* store_delete - the same for no entry.  Waits. */
bool store_delete(struct shared_store *store, const char *cache, struct slice key);
/* store_add - add an amount (which may be 0, to look, or negative) to a counter: one that does not exist begins at 0 and ends lifetime microseconds
   after that, whatever is added later; a look makes none (sum and *expires are 0). *sum: the counter afterwards; *expires (may be NULL) as above.  False when the store cannot be
   reached.  Waits. */
bool store_add(struct shared_store *store, const char *cache, struct slice key, int64_t amount, int64_t lifetime, int64_t *sum, int64_t *expires);

#endif
