/* transfer.h - one mail transaction: MAIL, RCPT, DATA, content, and what each recipient got */
#ifndef POSTERN_SMTP_TRANSFER_H
#define POSTERN_SMTP_TRANSFER_H

#include "content.h"

struct transfer {
    const struct client_params *params;
    struct session *session;
    struct delivery *delivery;
    bool final;        /* no other server will be tried: what is temporary is deferred now */
    bool keep;         /* the session will be used again */
    bool only_host;    /* there is no other server to ask: what it says of a recipient stands, also when the session is an old one */
};

/* transfer_run - offer the message to the unsettled recipients of the delivery.  Permanent refusals and successes are settled here, temporary ones too
   when final; others stay unsettled for the next server.  False with *failure when the whole conversation failed.  Waits. */
bool transfer_run(const struct transfer *transfer, struct failure *failure);
/* transfer_settle_all - give every unsettled recipient the failure (final), or log that another server will be tried. */
void transfer_settle_all(struct delivery *delivery, const char *relay, const struct failure *failure, bool final);

#endif
