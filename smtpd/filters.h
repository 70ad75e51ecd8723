/* filters.h - milters: mail filters that listen in on the session (smtpd_milters, compat.md h.3)

   Each stage is told to them after our own checks.  Their verdict is logged as "milter-reject", "milter-hold" or "milter-discard". */
#ifndef POSTERN_SMTPD_FILTERS_H
#define POSTERN_SMTPD_FILTERS_H

#include "answer.h"
#include "intake.h"

struct filters; /* of one session; session.filters is NULL when there are none */

/* filters_open - smtpd_milters, smtpd_milter_maps: before the sandbox closes.  filters_close. */
void filters_open(struct server *server);
void filters_close(struct server *server);

/* filters_connect - the session begins: connect to the filters for this client.  False: the greeting was a refusal (5yz: the client may go on and is told
   no at each command; 421 ends the session).  Waits. */
bool filters_connect(struct session *s);
/* filters_end - the session (or, with XCLIENT, the client) ends; NULL session.filters is fine.  Waits (a second at most). */
void filters_end(struct session *s);

/* What HELO and EHLO do with the verdict. */
enum filters_greeting { FILTERS_WELCOME, FILTERS_UNWELCOME /* 5yz: the client gets no extensions offered */, FILTERS_HANG_UP /* was answered */ };
/* filters_helo - the name is in s->helo.  Waits. */
enum filters_greeting filters_helo(struct session *s);
/* filters_forget_helo - STARTTLS: what was said before does not count.  Waits. */
void filters_forget_helo(struct session *s);
/* Each: true when the client may go on; else it was answered.  path: the address as the client gave it.  Wait. */
bool filters_mail(struct session *s, struct slice path, struct slice parameters);
bool filters_rcpt(struct session *s, struct slice path, struct slice parameters, struct slice recipient);
bool filters_data(struct session *s);
bool filters_unknown(struct session *s, struct slice word);
/* filters_allow - for commands that filters do not hear of: were all refused?  Then it was answered. */
bool filters_allow(struct session *s);
/* filters_rejected_rcpt - we refuse a recipient: some filters want to know.  Waits. */
void filters_rejected_rcpt(struct session *s, struct slice path, struct slice parameters, const struct rejection *rejection);
/* filters_message_ends - whatever became of the message.  Waits. */
void filters_message_ends(struct session *s);
/* filters_hand_over - the content of this message is shown to the filters by cleanup.  Waits. */
void filters_hand_over(struct session *s, struct intake *intake);
/* filters_lose_content - cleanup did not say how that ended. */
void filters_lose_content(struct session *s);

#endif
