/* probes.h - address probes: messages that are not delivered, only looked at; what was found out goes into the store (smtpd/check_verify.c asks) */
#ifndef POSTERN_QMGR_PROBES_H
#define POSTERN_QMGR_PROBES_H

#include "qmgr.h"

/* probes_configure - at start and reload. */
void probes_configure(struct config *config);
/* probes_are - is the message one?  probes_too_many - there are more than address_verify_pending_request_limit. */
bool probes_are(const struct message *m);
bool probes_too_many(const struct qmgr *q);
/* probes_record - the results of a probe that has ended, into the store; a store that is away loses them.  Waits. */
void probes_record(const struct message *m);

#endif
