/* reply.h - SMTP replies: the fixed ones by name, building and parsing their lines (RFC 5321 4.2, RFC 2034) */
#ifndef POSTERN_SMTP_REPLY_H
#define POSTERN_SMTP_REPLY_H

#include "base/buffer.h"

enum smtp_reply_id {
#define REPLY(id, code, status, text) REPLY_##id,
#include "smtp/replies.def"
#undef REPLY
    SMTP_REPLY_COUNT
};

/* One row of replies.def. */
struct smtp_reply {
    int code;
    const char *status; /* "" when there is none */
    const char *text;
};

enum { SMTP_REPLY_LINE_MAX = 510 /* bytes of a reply line without CRLF; what is longer is cut */ };

const struct smtp_reply *smtp_reply(enum smtp_reply_id id);
/* smtp_reply_fill - append text with each "{}" replaced by the next of the values (nothing when they run out). */
void smtp_reply_fill(struct buffer *out, const char *text, const struct slice *values, size_t count);
/* smtp_reply_line - append one line, "250-2.0.0 text" CRLF; more: further lines follow.  Control characters become blanks, the line is cut
   at SMTP_REPLY_LINE_MAX.  status may be "". */
void smtp_reply_line(struct buffer *out, int code, bool more, const char *status, struct slice text);
/* smtp_reply_soften - soft_bounce: 5yz becomes 4yz, in the code and (in place) at the front of the status. */
int smtp_reply_soften(int code, char *status);

/* smtp_reply_parse - one line from a server, without its CRLF.  *more: "250-", further lines follow; *text: what comes after the code
   and its separator.  False: not a reply line. */
bool smtp_reply_parse(struct slice line, int *code, bool *more, struct slice *text) MUST_CHECK;
/* smtp_reply_split - take code and status off the front of a text such as "450 4.7.1 try later" (access tables, cleanup, milters).  The
   status is optional: class 0 when there is none or when it does not agree with the code.  False: no 4yz or 5yz code in front. */
struct status_code;
bool smtp_reply_split(struct slice text, int *code, struct status_code *status, struct slice *rest) MUST_CHECK;

#endif
