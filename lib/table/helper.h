/* helper.h - the process that does lookups which may block: SQL, LDAP, Redis (private to this room; started by tables_start_helper)

   A service forks its helper after its tables were opened and before it gives up its rights, so the helper knows every table, stays outside of
   the chroot and the sandbox, and can read certificates and connect again at any time.  Its workers are processes: they may wait without
   anybody else waiting, and a client library that crashes takes one lookup with it.

     service  <-- one SOCK_SEQPACKET pair: requests, replies in any order -->  worker 0, worker 1, ...
                                                                               supervisor: starts workers as they are needed, answers
                                                                               for those that died
   What a worker logs travels with its reply and is logged by the service, under its name. */
#ifndef POSTERN_TABLE_HELPER_H
#define POSTERN_TABLE_HELPER_H

#include "table/driver.h"

enum {
    HELPER_KEY_MAX = 16000,   /* longer keys are in no table */
    HELPER_TEXT_MAX = 100000, /* longer results are a failure */
    HELPER_LOG_MAX = 16000
};

/* Messages are these structs and the bytes that follow. */
struct helper_request { uint32_t serial, table; };
struct helper_reply { uint32_t serial; uint32_t log_length; uint8_t result, config_error, padding[2]; };
/* In a reply: log_length bytes of lines (a byte '0' + severity, the text, a NUL), then the value, or why there is none. */

/* helper_register - the table gets a number under which a helper that is forked later knows it.  helper_forget - it is freed. */
void helper_register(struct table *table);
void helper_forget(struct table *table);
/* helper_table - by number, NULL when it was freed (in the helper).  helper_number_is_used - there are this many. */
struct table *helper_table(uint32_t number);
bool helper_number_is_used(uint32_t number);
/* helper_lookup - by the helper, in the thread pool (commands), or at once outside fibers.  Waits. */
enum table_result helper_lookup(struct table *table, struct slice key, struct buffer *value);
/* helper_serves - the helper of this process knows the table: a change of its definition needs a new process. */
bool helper_serves(const struct table *table);

/* helper_supervise - the helper's own main; does not return (helper_process.c). */
void helper_supervise(int socket, uid_t uid, gid_t gid) NO_RETURN;

#endif
