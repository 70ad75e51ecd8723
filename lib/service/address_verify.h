/* address_verify.h - what is known of the addresses that were probed: entries of the store's cache "verify" (compat.md h.7)

   smtpd reads entries, submits probes and notes that they are under way; qmgr writes what came of them.  Nothing here waits. */
#ifndef POSTERN_SERVICE_ADDRESS_VERIFY_H
#define POSTERN_SERVICE_ADDRESS_VERIFY_H

#include "base/arena.h"
#include "base/clock.h"
#include "conf/config.h"

#define ADDRESS_VERIFY_CACHE "verify"

#define ADDRESS_VERIFY_PARAMETERS(X)                                                                                       \
    X(BOOL, address_verify_negative_cache) X(TIME, address_verify_positive_expire_time)                                    \
    X(TIME, address_verify_positive_refresh_time) X(TIME, address_verify_negative_expire_time)                             \
    X(TIME, address_verify_negative_refresh_time) X(STRING, address_verify_sender) X(TIME, address_verify_sender_ttl)      \
    X(STRING, double_bounce_sender)

struct address_verify_params { CONFIG_MEMBERS(ADDRESS_VERIFY_PARAMETERS) };
void address_verify_params_load(struct config *config, struct address_verify_params *params);

/* The numbers are those of Postfix's cache. */
enum address_status { ADDRESS_DELIVERABLE = 0, ADDRESS_DEFERRED = 1, ADDRESS_UNDELIVERABLE = 2, ADDRESS_PENDING = 3 /* never answered yet */ };

struct address_entry {
    enum address_status status;
    int64_t probed, updated; /* seconds since 1970: the last probe (0: none is under way), its last result (0: none) */
    struct slice text;       /* the result's */
};

/* address_entry_parse - text points into value; false when it is no entry.  address_entry_format - in the arena. */
bool address_entry_parse(struct slice value, struct address_entry *entry) MUST_CHECK;
struct slice address_entry_format(const struct address_entry *entry, struct arena *arena);
/* address_entry_expired - too old to be believed.  address_entry_due - a probe is to be sent: its result is old, and no probe is under way that
   may still be answered.  now: microseconds since 1970. */
bool address_entry_expired(const struct address_verify_params *params, const struct address_entry *entry, int64_t now);
bool address_entry_due(const struct address_verify_params *params, const struct address_entry *entry, int64_t now);
/* address_entry_lifetime - microseconds from now until the store may forget it, at least 1. */
int64_t address_entry_lifetime(const struct address_verify_params *params, const struct address_entry *entry, int64_t now);
/* address_entry_kept - is the new result to be stored?  One failure does not undo what is known to be good and has not expired, and
   failures are not stored without address_verify_negative_cache.  old: NULL when there is none. */
bool address_entry_kept(const struct address_verify_params *params, const struct address_entry *old, enum address_status result, int64_t now);

/* address_verify_base - the probes' sender as address_verify_sender has it, neither completed nor changing with time; empty: the null sender. */
struct slice address_verify_base(const struct address_verify_params *params);
/* address_verify_sender - with address_verify_sender_ttl the name of the probes' sender changes with time; base: the completed address.
   address_verify_is_sender - is the address such a changing name, of now or (nearly) now? */
struct slice address_verify_sender(const struct address_verify_params *params, struct slice base, int64_t now, struct arena *arena);
bool address_verify_is_sender(const struct address_verify_params *params, struct slice base, struct slice address, int64_t now);

#endif
