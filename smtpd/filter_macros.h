/* filter_macros.h - what milters can ask for about a session */
#ifndef POSTERN_SMTPD_FILTER_MACROS_H
#define POSTERN_SMTPD_FILTER_MACROS_H

#include "session.h"

/* What the filters are told of: a recipient (slices of the scratch arena), or by way of cleanup the content. */
struct filter_subject {
    struct slice address;      /* or the text of our refusal; data NULL: no recipient */
    struct slice host, mailer; /* data NULL: to be found out */
    bool content;
};

/* filter_macro - its value, data NULL: none; memory of the session or of its scratch arena.  Waits (tables). */
struct slice filter_macro(struct session *s, struct filter_subject *subject, struct slice name);

#endif
