/* intake.h - where messages go: to cleanup, to a content filter (smtpd_proxy_filter), or for the stand-alone server of a user to postdrop */
#ifndef POSTERN_SMTPD_INTAKE_H
#define POSTERN_SMTPD_INTAKE_H

#include "session.h"

struct intake;

/* intake_open - reserve a queue id (a filter has none: it is empty); NULL (logged) when that is not possible: *refusal is for the client, in the
   scratch arena.  Waits. */
struct intake *intake_open(struct session *s, struct submit_outcome *refusal) MUST_CHECK;
/* intake_recipient - RCPT as it was said, accepted by us; intake_begin - content comes now.  False: a filter does not want it: *refusal, in the arena.
   intake_is_filter - is it one?  Wait. */
bool intake_recipient(struct intake *intake, struct slice command, struct arena *arena, struct submit_outcome *refusal);
bool intake_begin(struct intake *intake, struct arena *arena, struct submit_outcome *refusal);
bool intake_is_filter(const struct intake *intake);
const char *intake_queue_id(const struct intake *intake);
/* intake_envelope - once; intake_content - wire form, any pieces; intake_decide - as submit_decide; intake_finish - frees; *outcome as of submit_finish, of a
   filter with its whole reply.  Wait. */
void intake_envelope(struct intake *intake, const struct envelope *envelope, int options);
/* intake_milter - before the envelope: cleanup goes on with a milter; fd stays the caller's. */
void intake_milter(struct intake *intake, const struct submit_milter *milter, int fd);
void intake_content(struct intake *intake, struct slice data);
void intake_decide(struct intake *intake, const struct submit_end *decisions);
void intake_finish(struct intake *intake, int64_t size, struct arena *arena, struct submit_outcome *outcome);
/* intake_cancel - nothing was submitted; frees.  NULL is fine.  Waits (a second at most). */
void intake_cancel(struct intake *intake);

#endif
