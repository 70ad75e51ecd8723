/* reception.h - receiving a message's content and handing it on as it comes */
#ifndef POSTERN_SMTPD_RECEPTION_H
#define POSTERN_SMTPD_RECEPTION_H

#include "answer.h"
#include "smtp/data.h"

struct reception;

/* reception_new - of the transaction under way, whose queue id is known; stuffed: DATA.  Hands on the headers that go on top. */
struct reception *reception_new(struct session *s, bool stuffed) MUST_CHECK;
void reception_free(struct reception *r);
/* reception_data - everything up to the final dot.  reception_chunk - count bytes of BDAT.  False: the connection is gone (session_lost was
   called).  Wait. */
bool reception_data(struct session *s, struct reception *r);
bool reception_chunk(struct session *s, struct reception *r, int64_t count);
/* reception_skip - count bytes of a chunk that is not wanted.  Waits. */
bool reception_skip(struct session *s, int64_t count);
/* reception_refuses_bare_lf - smtpd_forbid_bare_newline = reject, and content so far has lines that end in LF alone: the refusal is logged and sent. */
bool reception_refuses_bare_lf(struct session *s, struct reception *r);

/* reception_end - the content is complete: last checks, commit, the reply.  Frees the reception.  Waits. */
enum outcome reception_end(struct session *s, struct reception *r);
int64_t reception_size(const struct reception *r);

/* received_header - what the receiver puts on top (compat.md e.1). */
void received_header(struct session *s, struct buffer *out);

/* reception_refusal - answer with what cleanup or a filter said, in s's outcome: "5.7.1 text", or a whole reply. */
enum outcome reception_refusal(struct session *s, const struct submit_outcome *outcome);

#endif
