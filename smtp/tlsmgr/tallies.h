/* tallies.h - the reports of all domains that want one: counted, remembered over restarts, sent when their period is over

   What was counted within the last second or so is lost when the mail system stops: a report is no account book.

   In the store "tlsrpt":  "list N"  lines "BEGIN DOMAIN", pages N = 0, 1, ... of all reports there are;  "BEGIN DOMAIN"  the report (report.h). */
#ifndef POSTERN_TLSMGR_TALLIES_H
#define POSTERN_TLSMGR_TALLIES_H

#include "ipc/submit.h"
#include "report.h"
#include "service/store.h"
#include "web.h"

struct tallies;

struct tallies *tallies_new(const struct tlsmgr_params *params, struct web *web, struct shared_store *store, struct submit_pool *cleanup) MUST_CHECK;
/* tallies_start - recall what is remembered, then work in the background.  Waits. */
void tallies_start(struct tallies *tallies);
/* tallies_count - one session, if its domain wants reports.  Waits (DNS). */
void tallies_count(struct tallies *tallies, const struct tls_session *told);
/* tallies_save - remember what changed.  Waits. */
void tallies_save(struct tallies *tallies);

#endif
