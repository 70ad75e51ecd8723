/* history.h - the transcript of a session, for a notice to the postmaster (notify_classes) */
#ifndef POSTERN_SMTPD_HISTORY_H
#define POSTERN_SMTPD_HISTORY_H

#include "service/transcript.h"
#include "session.h"

/* history_in, history_out - note a line of either side (no effect when s->history is NULL: nothing can be reported). */
void history_in(struct session *s, struct slice line);
void history_out(struct session *s, struct slice line);
/* history_flush - forget it when it is long (EHLO, RSET, end of a message): smtpd_history_flush_threshold lines. */
void history_flush(struct session *s);
/* history_report - send the notice if there was trouble of a kind that is reported, and begin anew.  Waits. */
void history_report(struct session *s);

#endif
