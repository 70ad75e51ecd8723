/* content.h - sending a message's content: dot-stuffing, long lines */
#ifndef POSTERN_SMTP_CONTENT_H
#define POSTERN_SMTP_CONTENT_H

#include "service/agent.h"
#include "session.h"

/* content_send - write the content and the final dot, not flushed entirely.  0, or -1 when the content could not be read or changed as configured (errno).  Connection
   trouble stays in the stream.  Waits. */
int content_send(const struct client_params *params, struct session *session, const struct delivery *delivery);

/* The transformation itself, over pieces of any size (tests): doubles leading dots and breaks lines over limit bytes with CRLF SPACE. */
struct content_state {
    size_t column;  /* bytes of the present line sent so far */
    bool after_cr;  /* the last byte was a CR */
    bool ended;     /* the last two bytes were CRLF (or nothing was sent) */
    size_t limit;   /* 0: no limit */
    bool broke;     /* a line was over the limit */
};
void content_state_init(struct content_state *state, size_t limit);
void content_transform(struct content_state *state, struct slice piece, struct buffer *out);

#endif
