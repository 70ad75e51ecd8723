/* transaction.h - one message on its way in: what MAIL, RCPT and access control have said about it */
#ifndef POSTERN_SMTPD_TRANSACTION_H
#define POSTERN_SMTPD_TRANSACTION_H

#include "ipc/submit.h"
#include "route/route.h"
#include "smtp/esmtp.h"

struct intake;
struct session;
struct reception;
struct user_claim;

struct transaction {
    struct arena *arena;
    int64_t arrival;                   /* wall clock */
    uint64_t number;                   /* which one it is in this process */
    struct slice sender;               /* external form; empty: <> */
    struct slice sender_shown;         /* internal form, for replies */
    bool accepted;                     /* MAIL was answered with 250 */
    struct smtp_mail_parameters parameters;
    int64_t content_size;              /* once all of it is there */
    struct recipient *recipients;      /* accepted ones, in the arena */
    size_t recipient_count, recipient_room;
    unsigned recipient_overshoot;
    struct slice command;              /* MAIL as it was said, for smtpd_proxy_filter */
    struct intake *intake;             /* NULL until the first accepted recipient */
    const char *queue_id;
    /* what access control wants done with the message */
    bool hold, discard;
    struct slice filter, redirect;
    struct buffer prepended;           /* header lines, CRLF */
    struct recipient *bcc;
    size_t bcc_count, bcc_room;
    /* resolved once, used by many restrictions; NULL until asked for */
    struct route_result *sender_route;
    bool bdat;                         /* BDAT has begun */
    bool failed;                       /* a chunk was refused: the rest is discarded */
    struct reception *reception;       /* BDAT between two chunks */
    struct user_claim *user_claim;     /* what it was counted as among the user's; NULL: not at all, or for good */
};

struct transaction *transaction_new(void) MUST_CHECK;
/* transaction_free - drops the message if it is still on its way.  NULL is fine.  Waits (a second at most). */
void transaction_free(struct transaction *t);
/* transaction_add_recipient, transaction_add_bcc - the strings are copied. */
void transaction_add_recipient(struct transaction *t, const struct recipient *recipient);
void transaction_add_bcc(struct transaction *t, struct slice address);
/* transaction_open_queue - reserve a queue id and log "client="; false when cleanup (or smtpd_proxy_filter) cannot be
   reached or does not want the message: *refusal, memory of the scratch arena.  Waits. */
bool transaction_open_queue(struct session *s, struct submit_outcome *refusal);
/* transaction_envelope - all that is known of the message, for cleanup; slices live as long as session and transaction. */
void transaction_envelope(struct session *s, struct envelope *envelope);
/* transaction_submit_options - SUBMIT_ bits. */
int transaction_submit_options(const struct session *s);

#endif
