/* auth_cache.h - logins that a server has refused: not tried again until the password changes or some time has passed (smtp_sasl_auth_cache_name)

   Kept in the memory of the process: the configured table is not written. */
#ifndef POSTERN_SMTP_AUTH_CACHE_H
#define POSTERN_SMTP_AUTH_CACHE_H

#include "base/arena.h"
#include "base/slice.h"

struct auth_cache;

/* auth_cache_new - lifetime in microseconds.  auth_cache_free - NULL is fine. */
struct auth_cache *auth_cache_new(int64_t lifetime) MUST_CHECK;
void auth_cache_free(struct auth_cache *cache);
/* auth_cache_find - what the server said to these credentials ("user:password"), and the status; false: nothing that still counts.  Memory of the arena. */
bool auth_cache_find(struct auth_cache *cache, struct slice host, struct slice credentials, struct arena *arena, struct slice *reply, const char **status);
void auth_cache_add(struct auth_cache *cache, struct slice host, struct slice credentials, struct slice reply, const char *status);

#endif
