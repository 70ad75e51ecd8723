/* filter_macros.h - what milters can ask for about a session */
#ifndef POSTERN_SMTPD_FILTER_MACROS_H
#define POSTERN_SMTPD_FILTER_MACROS_H

#include "session.h"

/* The recipient that the filters are told of; slices of the scratch arena. */
struct filter_recipient {
    struct slice address;      /* or the text of our refusal */
    struct slice host, mailer; /* data NULL: to be found out */
};

/* filter_macro - its value, data NULL: none; memory of the session or of its scratch arena.  Waits (tables). */
struct slice filter_macro(struct session *s, struct filter_recipient *recipient, struct slice name);

#endif
