/* milter.h - mail filters of somebody else's that listen in on SMTP sessions and may change messages (compat.md h.3)

   struct milter_list is what the parameters say: made once per process (and per value of smtpd_milter_maps).  struct milters is one SMTP session
   with all filters of a list: a connection to each.  Only one process talks to a filter at a time:

   smtpd    milters_new, milters_connect ... milters_data for the stages of the session; at DATA milters_hand_over gives submit_milter()
            (ipc/submit.h) what cleanup needs, one message and a duplicate of the descriptor for each filter that wants to see the content, before
            submit_envelope.  While cleanup works smtpd is silent; after submit_finish it goes on with milters_abort, the next MAIL, milters_quit.
   cleanup  milters_new(NULL, NULL, NULL) and milters_take(m, message, lane_take_fd(lane)) for each submit_milter message it receives before
            submit_envelope; or, for mail that did not come by SMTP, milters_new(list of non_smtpd_milters, ...) and the stages from milters_connect to
            milters_data by itself.  Then the content, filter after filter, each over the message as the ones before left it:

                for (struct milter *f = NULL; (f = milters_next(m, f)) != NULL;) {
                    for (each header, the Received: that we added ourselves left out)
                        if (!milter_header(f, name, value)) break;
                    if (all shown && milter_end_of_header(f))
                        for (each piece of the body) if (!milter_body(f, piece)) break;
                    milter_end_of_message(f, &editor, context, &outcome);    always: it knows what is left to do
                    if (outcome.verdict != MILTER_CONTINUE) break;
                }
                milters_free(m);      what was taken from smtpd is only closed: smtpd keeps its own descriptor; a session of cleanup's own: milters_quit

            The outcome goes back in submit_reply as any refusal does: reply_code = outcome.code, reply = "5.7.1 text" (milter_outcome_text; lines
            are separated by LF), status REFUSED or TEMPORARY.  421 makes smtpd end the session. */
#ifndef POSTERN_MILTER_MILTER_H
#define POSTERN_MILTER_MILTER_H

#include "base/arena.h"
#include "conf/config.h"
#include "ipc/message.h"

struct milter_list; /* settings */
struct milters;     /* a session with all filters */
struct milter;      /* one of them */

/* milter_list_open - text: value of smtpd_milters, non_smtpd_milters, or what smtpd_milter_maps gives.  What is wrong is logged (parameter: its name)
   and makes a filter that answers each session with a configuration error.  Host names are resolved here (before a sandbox closes).
   config must outlive it.  Never NULL; milter_list_close(NULL) is fine. */
struct milter_list *milter_list_open(struct slice text, const char *parameter, struct config *config) MUST_CHECK;
void milter_list_close(struct milter_list *list);
bool milter_list_is_empty(const struct milter_list *list);

/* What is to be done. */
enum milter_verdict {
    MILTER_CONTINUE,
    MILTER_REJECT,   /* answer code, status, text */
    MILTER_DISCARD,  /* take the message and forget it */
    MILTER_HOLD      /* milter_default_action = quarantine: go on, the message goes on hold */
};

#define MILTER_TEXT_MAX 2048

struct milter_outcome {
    enum milter_verdict verdict;
    int code;                   /* reject: 421, 451, 550, ... */
    char status[12];            /* "5.7.1", or empty */
    char text[MILTER_TEXT_MAX]; /* without code and status; lines separated by LF; empty with hold */
};

/* milter_outcome_text - "5.7.1 text", the status on the first line only, as submit_reply.reply has it and cleanup logs it. */
struct slice milter_outcome_text(const struct milter_outcome *outcome, struct arena *arena);

/* The value of a macro as it is now; name as in the parameters ("i", "{daemon_name}"); empty: none (milter_macro_defaults may have one).  {daemon_name} and
   v are known to the room itself.  The bytes must stay until the next call. */
typedef struct slice milter_macro_value(void *context, struct slice name);

/* milters_new - no connection yet.  list NULL: a session to be filled by milters_take.  milters_free - closes; NULL is fine. */
struct milters *milters_new(struct milter_list *list, milter_macro_value *macro, void *context) MUST_CHECK;
void milters_free(struct milters *m);

/* ---- the stages: the first filter that does not want to go on decides; the others are not asked.  All wait. ----

   family: '4', '6', 'L' or 'U' (unknown).  name: host name, or "[address]" when it is unknown.  parameters of MAIL and RCPT: words of ESMTP, separated by
   blanks.  Addresses: as the client gave them, "<user@domain>". */
void milters_connect(struct milters *m, struct slice name, char family, uint16_t port, struct slice address, struct milter_outcome *outcome);
void milters_helo(struct milters *m, struct slice name, struct milter_outcome *outcome);
void milters_mail(struct milters *m, struct slice address, struct slice parameters, struct milter_outcome *outcome);
void milters_rcpt(struct milters *m, struct slice address, struct slice parameters, struct milter_outcome *outcome);
/* milters_rejected_rcpt - a recipient that we refuse: shown only to filters that want to hear of those; has no outcome. */
void milters_rejected_rcpt(struct milters *m, struct slice address, struct slice parameters);
void milters_data(struct milters *m, struct milter_outcome *outcome);
void milters_unknown(struct milters *m, struct slice line, struct milter_outcome *outcome);
/* milters_settled - what was decided for the whole session, without asking: for commands that no filter hears of (VRFY, ETRN). */
void milters_settled(struct milters *m, struct milter_outcome *outcome);
/* milters_lose_content - whoever took the connections did not come back: what a filter says next may be about that message, and would be taken for its verdict
   about another.  They have failed, for the rest of the session. */
void milters_lose_content(struct milters *m);
/* milters_abort - the message ends here, whatever became of it.  milters_quit - the session does. */
void milters_abort(struct milters *m);
void milters_quit(struct milters *m);
/* milters_restart - after STARTTLS or XCLIENT: end the sessions; the next milters_connect makes new ones. */
void milters_restart(struct milters *m);

/* ---- from smtpd to cleanup ---- */

/* milters_hand_over - call send for each filter that wants to see the content of this message; fd is the filter's connection, still owned by m.  Macros of
   the end of the header and of the message are resolved now.  Waits. */
void milters_hand_over(struct milters *m, void (*send)(void *context, const struct submit_milter *message, int fd), void *context);
/* milters_take - a filter's connection that smtpd handed over; fd is owned from now on (-1: counts as a failure of that filter). */
void milters_take(struct milters *m, const struct submit_milter *message, int fd);

/* ---- the content ---- */

/* milters_next - the first filter (NULL) or the next after previous that has something to see or to say about the content: accepted ones are left out. */
struct milter *milters_next(struct milters *m, struct milter *previous);
/* milters_want_content - is there any?  Then nothing of the message may be final before all were asked. */
bool milters_want_content(struct milters *m);

/* milter_header - one field: value is what follows the colon, with its leading blank, without the last line end; line ends in it are CRLF or LF.
   milter_end_of_header.  milter_body - a piece in wire form (CRLF line ends), any cut.
   True: go on with the next piece.  False: the filter wants no more of this (it has decided, or failed, or skips the rest): milter_end_of_message is next.
   Wait. */
bool milter_header(struct milter *f, struct slice name, struct slice value);
bool milter_end_of_header(struct milter *f);
bool milter_body(struct milter *f, struct slice piece);

/* What a filter does to the message, called in the order it says so, from within milter_end_of_message.  Each gives NULL when it is done, or a whole
   reply why it cannot be ("451 4.3.0 Queue file write error"), which ends the dialogue and becomes the outcome.  Names and values have been checked: no
   NUL, no CR, no control characters in names; value is what follows the colon, leading blank included, folded lines separated by LF. */
struct milter_editor {
    const char *(*add_header)(void *context, struct slice name, struct slice value);
    /* insert_header - index 0: on top of everything, also of our own Received:; 1: below that Received: or the like, as SMFIR_INSHEADER has it. */
    const char *(*insert_header)(void *context, uint32_t index, struct slice name, struct slice value);
    /* change_header - the index-th (from 1) of that name, our own Received: not counted; delete: value is empty and the field goes away; absent: it is
       added (not when deleted). */
    const char *(*change_header)(void *context, uint32_t index, struct slice name, struct slice value, bool delete);
    /* replace_body - pieces in wire form, in order; the first one of a filter (first) throws away the body there was. */
    const char *(*replace_body)(void *context, struct slice piece, bool first);
    /* Addresses without <>, external form as far as the filter wrote it so; parameters: ESMTP words separated by blanks, or empty. */
    const char *(*change_sender)(void *context, struct slice address, struct slice parameters);
    const char *(*add_recipient)(void *context, struct slice address, struct slice parameters);
    const char *(*delete_recipient)(void *context, struct slice address);
    /* quarantine - the message goes on hold; the filter still decides about it.  reason may be empty. */
    const char *(*quarantine)(void *context, struct slice reason);
};

/* milter_end_of_message - send what is left of the body, and the end, unless the filter has decided; take its edits and its decision.  MILTER_HOLD: a
   failure with milter_default_action = quarantine.  Waits. */
void milter_end_of_message(struct milter *f, const struct milter_editor *editor, void *context, struct milter_outcome *outcome);

#endif
