/* checks.h - what the results of header_checks, body_checks and their relatives ask for (header_checks(5); compat.md c.7, e.4) */
#ifndef POSTERN_MESSAGE_CHECKS_H
#define POSTERN_MESSAGE_CHECKS_H

#include "base/buffer.h"

enum check_action {
    CHECK_ACTION_NONE, /* DUNNO, OK, and what could not be understood */
    CHECK_ACTION_REJECT, CHECK_ACTION_DEFER, CHECK_ACTION_DISCARD, CHECK_ACTION_HOLD, CHECK_ACTION_FILTER, CHECK_ACTION_REDIRECT, CHECK_ACTION_BCC,
    CHECK_ACTION_PREPEND, CHECK_ACTION_REPLACE, CHECK_ACTION_IGNORE, CHECK_ACTION_STRIP, CHECK_ACTION_PASS, CHECK_ACTION_WARN, CHECK_ACTION_INFO,
    CHECK_ACTION_COUNT
};

/* The caller of check_action_parse: whose table it is, and what may be done there. */
struct check_place {
    const char *parameter; /* for warnings: "header_checks" */
    const char *what;      /* "header" or "body": for the log, and headers are put only where headers are */
    bool output;           /* smtp_header_checks and relatives: only actions that change the message or tell of it */
};

/* check_action_parse - the action of a table's result and *text, what follows its word (a view of result).  Warns of what cannot be done, and
   gives CHECK_ACTION_NONE for it: unknown words, PREPEND and REPLACE without text or, for headers, with text that is no header,
   FILTER without transport:destination, REDIRECT and BCC without user@domain. */
enum check_action check_action_parse(const struct check_place *place, struct slice result, struct slice *text);
/* check_action_verb - as in the log: "reject"; NULL: the action is not logged. */
const char *check_action_verb(enum check_action action);
/* check_log_begin - "QUEUEID: VERB: WHAT CONTENT": how all log lines about content begin.  Of the content the first 200 bytes, CRLF as one. */
void check_log_begin(struct buffer *line, struct slice queue_id, const char *verb, const char *what, struct slice content);

#endif
