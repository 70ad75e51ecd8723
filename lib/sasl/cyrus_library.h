/* cyrus_library.h - logins that Cyrus SASL's library decides, in its own processes (cyrus_helper.h; private to this room) */
#ifndef POSTERN_SASL_CYRUS_LIBRARY_H
#define POSTERN_SASL_CYRUS_LIBRARY_H

#include "sasl/driver.h"

struct cyrus_library;

/* cyrus_library_new - forks the processes: before the sandbox closes.  directories: where NAME.conf may be, separated by colons;
   database: the file of users, NULL when they are elsewhere; tells_users: "no" to a password means that the user is known. */
struct cyrus_library *cyrus_library_new(struct sasl_server *server, const char *directories, const char *database, bool tells_users) MUST_CHECK;
void cyrus_library_free(struct cyrus_library *library);
/* cyrus_library_mechanisms - as in driver.h.  Waits. */
const struct sasl_mechanism *cyrus_library_mechanisms(struct cyrus_library *library, size_t *count);
/* cyrus_library_step - response: decoded.  Waits.  cyrus_library_end - of an exchange, decided or given up. */
void cyrus_library_step(struct cyrus_library *library, struct sasl_exchange *exchange, bool has_response, struct slice response, struct sasl_answer *answer);
void cyrus_library_end(struct cyrus_library *library, struct sasl_exchange *exchange);

#endif
