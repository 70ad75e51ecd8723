/* access.h - access control: who may do what (compat.md d.5, d.6, d.7)

   smtpd_X_restrictions are compiled once, at start-up, into lists of rows; a session runs them at their stage, or all at RCPT when
   smtpd_delay_reject = yes.  What they decide comes back as a struct rejection; side effects (HOLD, FILTER, PREPEND, ...) go into the
   transaction. */
#ifndef POSTERN_SMTPD_ACCESS_H
#define POSTERN_SMTPD_ACCESS_H

#include "session.h"

struct access_rules;

/* access_rules_new - compile all restriction lists and open their tables: before the sandbox closes. */
struct access_rules *access_rules_new(struct server *server) MUST_CHECK;
void access_rules_free(struct access_rules *rules);

/* Each: true when the client may go on; else *rejection says why not (its text lives in the scratch arena).  All wait (tables, DNS). */
bool access_connect(struct session *s, struct rejection *rejection);
bool access_helo(struct session *s, struct rejection *rejection);
bool access_mail(struct session *s, struct rejection *rejection);
/* access_rcpt - RCPT, and VRFY.  recipient: external form; shown: internal form. */
bool access_rcpt(struct session *s, struct slice recipient, struct slice shown, struct rejection *rejection);
bool access_etrn(struct session *s, struct slice domain, struct rejection *rejection);
bool access_data(struct session *s, struct rejection *rejection);
bool access_end_of_data(struct session *s, struct rejection *rejection);
bool access_has_end_of_data(const struct server *server);

/* access_map_has_client - is the client's name or address in the table "type:name" (check_address_map)?  Waits. */
bool access_map_has_client(struct session *s, struct slice table);

void deferral_free(struct deferral *deferral);

#endif
