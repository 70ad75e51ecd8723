/* explain.h - `postfix explain ADDRESS`: where mail goes, and why; shared by explain.c (rewriting, routing) and explain_access.c (access control) */
#ifndef POSTERN_TOOLS_POSTFIX_EXPLAIN_H
#define POSTERN_TOOLS_POSTFIX_EXPLAIN_H

#include "address/mail_address.h"
#include "conf/config.h"
#include "net/address.h"
#include "route/route.h"

struct control;

struct explain {
    struct control *control;
    struct config *config;
    struct arena *arena;
    struct route *route;
    const char *recipient, *sender; /* as given */
    const char *client, *sasl_user, *helo, *service; /* NULL: not given */
    bool failed;                    /* a table did not answer */
};

/* explain_step, explain_note - a line of the story. */
void explain_step(const char *format, ...) PRINTF_LIKE(1, 2);
void explain_note(const char *format, ...) PRINTF_LIKE(1, 2);

/* explain_access - what smtpd would say to the recipient, as given; tells it.  False: rejected, or it could not be told. */
bool explain_access(struct explain *e);

/* explain_auth - `postfix explain auth USER`: what each SMTP service offers, and whether USER can log in with a password that is asked for.  The exit
   status. */
int explain_auth(struct control *control);

#endif
