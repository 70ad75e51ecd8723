/* filtering.h - inside of milter.c, milter_edit.c and milter_session.c: one message under the eyes of mail filters */
#ifndef POSTERN_QMGR_CLEANUP_FILTERING_H
#define POSTERN_QMGR_CLEANUP_FILTERING_H

#include "field_list.h"
#include "transaction.h"

enum {
    FILTERING_EDITS_MAX = 10 * 1000,       /* of all filters together; pieces of a body, and new recipients, not counted */
    FILTERING_RECIPIENTS_MAX = 16 << 20    /* bytes of addresses and their parameters */
};

struct filtering {
    struct transaction *t;
    struct milters *milters;
    bool own_session;            /* not smtpd's: what its macros say is below */
    struct slice client, recipient;
    /* the content as the filters left it so far */
    struct field_list header;
    bool header_changed;
    struct content_sink *body;   /* NULL: what lies in the transaction's sink */
    bool held_cr, body_open;     /* of the body that is being replaced: CR, or anything but a line end, came last */
    /* what else they said */
    bool over;                   /* before the content */
    bool quarantined;
    size_t requests, edits, recipient_bytes;
};

/* The editor of lib/milter, whose context is a struct filtering. */
extern const struct milter_editor filtering_editor;
/* filtering_settle - what a filter decided at an event; true: go on with the next. */
bool filtering_settle(struct filtering *f, const char *event, struct slice recipient, const struct milter_outcome *outcome);
/* filtering_new - milters: taken over. */
struct filtering *filtering_new(struct transaction *t, struct milters *milters, bool own_session) MUST_CHECK;

#endif
