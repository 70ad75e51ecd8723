/* user_limits.h - how much a SASL user may send per hour and per day: the brake for stolen passwords (smtpd_user_limit_*)

   Messages and recipients are counted apart, in anvil's store, from the first message on for an hour and for a day; what is refused in the end is taken back.  Not counted:
   the null sender, clients that are not logged in. */
#ifndef POSTERN_SMTPD_USER_LIMITS_H
#define POSTERN_SMTPD_USER_LIMITS_H

#include "session.h"

struct user_claim;

enum { USER_LIMITS = 4 };

/* user_limits_parse - an entry of smtpd_user_limit_exception_maps: "none", or limits that
   take the place of those in values: "messages_per_hour=200, recipients_per_day=0".  False: it makes no sense, and values is as before. */
bool user_limits_parse(struct slice text, int64_t values[USER_LIMITS]);

/* user_limits_allow - before the content of a message: count it, and do what smtpd_user_limit_action says when it is too much: hold it, or false with *rejection.
   The same for every message is logged in one line.  Waits. */
bool user_limits_allow(struct session *s, struct rejection *rejection);
/* user_limits_keep - the message was accepted: what was counted stays.  user_limits_return - it was not (NULL: nothing was counted).  Waits. */
void user_limits_keep(struct transaction *t);
void user_limits_return(struct user_claim *claim);

#endif
