/* transcript.h - what was said in an SMTP session, for a notice to the postmaster (notify_classes) */
#ifndef POSTERN_SERVICE_TRANSCRIPT_H
#define POSTERN_SERVICE_TRANSCRIPT_H

#include "ipc/submit.h"

struct transcript;

struct transcript *transcript_new(void) MUST_CHECK;
void transcript_free(struct transcript *transcript);
/* transcript_in, transcript_out - note a line of the other side, of ours; what follows the mechanism of AUTH is left out.  No effect when NULL; of very
   long sessions the end is missing. */
void transcript_in(struct transcript *transcript, struct slice line);
void transcript_out(struct transcript *transcript, struct slice line);
/* transcript_echo - log every line from now on, as "< peer: ..." (theirs) and "> peer: ..." (ours): debug_peer_list.  peer must stay. */
void transcript_echo(struct transcript *transcript, const char *peer);
void transcript_forget(struct transcript *transcript);
int64_t transcript_lines(const struct transcript *transcript);

/* The notice: from the double-bounce address to the postmaster. */
struct transcript_notice {
    struct submit_pool *cleanup;
    const char *mail_name, *myhostname, *double_bounce_sender;
    struct slice recipient, recipient_shown; /* as queued, and in the header */
    const char *program, *peer;              /* "SMTP server", "name[address]" */
    const char *introduction;                /* a line before the transcript; NULL: none */
    bool filtered;                           /* shown to header checks and milters: internal_mail_filter_classes has "notify" */
    const char *end_reason;                  /* why the session broke off; NULL: it did not */
};
/* transcript_send - queue the notice; what goes wrong is logged.  Waits. */
void transcript_send(const struct transcript *transcript, const struct transcript_notice *notice);

#endif
