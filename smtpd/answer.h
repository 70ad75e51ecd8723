/* answer.h - the one door that replies leave through, and the log line that goes with a refusal */
#ifndef POSTERN_SMTPD_ANSWER_H
#define POSTERN_SMTPD_ANSWER_H

#include "session.h"

/* What a command handler says about its outcome. */
enum outcome {
    COMMAND_DONE,
    COMMAND_FAILED,  /* counts as an error */
    COMMAND_UNCOUNTED /* neither a success nor an error: XCLIENT starts the session over */
};

/* answer_text - send a reply; text may have several lines separated by LF.  Applies soft_bounce, the footer, the delay after many errors;
   421 and 521 end the session.  Waits (the delay). */
void answer_text(struct session *s, int code, const char *status, struct slice text);
/* answer_values - a reply of replies.def with the values for its "{}"; answer(s, REPLY_X, slices...) is the way to call it. */
void answer_values(struct session *s, enum smtp_reply_id id, const struct slice *values, size_t count);
#define answer(s, id, ...) \
    answer_values((s), (id), &((const struct slice[]){{0}, ##__VA_ARGS__})[1], sizeof((const struct slice[]){{0}, ##__VA_ARGS__}) / sizeof(struct slice) - 1)
/* answer_failed - answer, note trouble with the protocol, and COMMAND_FAILED: return answer_failed(s, REPLY_X). */
#define answer_failed(s, id, ...) (answer((s), (id), ##__VA_ARGS__), answer_note_failure((s), (id)))
enum outcome answer_note_failure(struct session *s, enum smtp_reply_id id);
/* answer_rejection - log it ("reject") and send it; COMMAND_FAILED. */
enum outcome answer_rejection(struct session *s, const struct rejection *rejection, struct slice recipient);
/* reject - make a rejection of a fixed reply, log and send it: for the replies that are logged like those of access control. */
enum outcome answer_logged(struct session *s, enum smtp_reply_id id, struct slice recipient, int trouble);
/* rejection_line - "450 4.7.1 text" for the log, in the scratch arena, as soft_bounce makes it. */
struct slice answer_rejection_line(const struct session *s, const struct rejection *rejection);

/* log_action - "QID: verb: STAGE from client: text; from=<> to=<> proto= helo=<>" (compat.md i.2).  recipient: external form, empty: none. */
void log_action(struct session *s, const char *verb, struct slice recipient, const char *format, ...) PRINTF_LIKE(4, 5);

#endif
