/* intake.h - where messages go: to cleanup, or for the stand-alone server of a user to postdrop */
#ifndef POSTERN_SMTPD_INTAKE_H
#define POSTERN_SMTPD_INTAKE_H

#include "session.h"

struct intake;

/* intake_open - reserve a queue id; NULL (logged) when that is not possible.  Waits. */
struct intake *intake_open(struct server *server) MUST_CHECK;
const char *intake_queue_id(const struct intake *intake);
/* intake_envelope - once; intake_content - wire form, any pieces; intake_decide - as submit_decide; intake_finish - frees; *outcome as of submit_finish.  Wait. */
void intake_envelope(struct intake *intake, const struct envelope *envelope, int options);
void intake_content(struct intake *intake, struct slice data);
void intake_decide(struct intake *intake, const struct submit_end *decisions);
void intake_finish(struct intake *intake, int64_t size, struct arena *arena, struct submit_outcome *outcome);
/* intake_cancel - nothing was submitted; frees.  NULL is fine.  Waits (a second at most). */
void intake_cancel(struct intake *intake);

#endif
