/* transaction.h - one message on its way into the queue */
#ifndef POSTERN_QMGR_CLEANUP_TRANSACTION_H
#define POSTERN_QMGR_CLEANUP_TRANSACTION_H

#include "address/mail_address.h"
#include "base/map.h"
#include "cleanup.h"
#include "milter/milter.h"

/* Why a message is not accepted; the texts are those of compat.md d.3. */
struct refusal {
    int status;         /* SUBMIT_STATUS_ */
    int reply_code;
    struct slice reply; /* "5.7.1 ..." */
    bool about_content; /* what is in it is unwanted: its sender gets back only the header */
};

struct transaction {
    struct cleanup *cleanup;
    struct arena *arena;
    struct slice queue_id;
    int options;               /* SUBMIT_ bits */
    struct envelope envelope;  /* becomes the queue record's */
    const struct recipient *given; /* recipients as the submitter gave them */
    size_t given_count;
    struct slice last_recipient; /* for log lines: the last one given, rewritten */
    bool refused, discarded;
    struct refusal refusal;

    /* recipients.c */
    size_t recipient_room, expanded_room;
    bool first_is_copy;          /* a blind copy */
    struct map *recipients_seen; /* duplicate filter; NULL as long as there is one recipient */

    /* content.c */
    struct message_scanner *scanner;
    struct content_sink *sink;
    struct content_scan written;
    bool held_cr;              /* the last byte fed was CR: LF may follow */
    char last_byte;            /* of what was written */
    uint64_t header_size, body_offset; /* in the sink: where the primary header ends, and what follows its empty line begins */

    /* headers.c */
    bool rewrite_headers, add_missing_headers;
    struct slice rewrite_context;
    uint64_t headers_seen;     /* bit per enum header_kind */
    bool resent;
    bool header_ended;
    int64_t received_headers;
    bool own_received_seen;    /* the first one that came is ours */
    uint64_t own_received;     /* where it lies in the sink; UINT64_MAX: nowhere */
    struct slice message_id, resent_message_id;

    /* checks.c */
    bool filter_checked;       /* content_filter is that of a FILTER of the checks */
    bool checks_passed;        /* PASS: no more checks */
    bool milter_checks_passed; /* the same for what filters add */
    int64_t checked_bytes;     /* of the present body segment */

    struct filtering *filtering; /* milter.c; NULL: no mail filter has a say */
};

/* transaction_begin - takes the arena over (the envelope lives in it).  Rewrites and expands addresses.  Never NULL.  Waits. */
struct transaction *transaction_begin(struct cleanup *cleanup, struct arena *arena, struct slice queue_id, const struct submit_envelope *envelope)
    MUST_CHECK;
/* transaction_filter - smtpd's connections to mail filters (milters_take) are for this message; takes them over (NULL: there are none).  Right
   after transaction_begin. */
void transaction_filter(struct transaction *t, struct milters *milters);
/* transaction_content - the next piece.  Waits. */
void transaction_content(struct transaction *t, struct slice data);
/* transaction_decide - what the submitter knows only at the end.  Before transaction_finish.  Waits. */
void transaction_decide(struct transaction *t, const struct submit_end *end);
/* transaction_finish - the message is durable, dropped or refused afterwards: *refusal (its text is valid until transaction_free).  Waits. */
void transaction_finish(struct transaction *t, struct refusal *refusal);
/* transaction_free - NULL is fine. */
void transaction_free(struct transaction *t);

/* transaction_refuse - the first reason counts. */
void transaction_refuse(struct transaction *t, int status, int reply_code, struct slice reply);
/* transaction_refuse_content - the same, for what a check or a mail filter found in it. */
void transaction_refuse_content(struct transaction *t, int status, int reply_code, struct slice reply);
/* transaction_write_failed - the queue cannot be written: errno value. */
void transaction_write_failed(struct transaction *t, int error);
/* transaction_is_over - nothing that comes now matters. */
bool transaction_is_over(const struct transaction *t);

/* ---- content.c: writing ---- */
void content_start(struct transaction *t);
void content_finish(struct transaction *t);
void content_write(struct transaction *t, struct slice data); /* bytes in wire form */
/* content_write_text - one line or several (LF or CRLF between them), with CRLF after each. */
void content_write_text(struct transaction *t, struct slice text);
/* content_clean - a piece of what comes from outside, with CRLF line ends only: data itself, or what is put in out.  held_cr: state between pieces. */
struct slice content_clean(struct transaction *t, struct slice data, bool *held_cr, struct buffer *out);

/* ---- recipients.c, expand.c ---- */
void envelope_rewrite(struct transaction *t);
/* recipients_rewrite - an envelope address, completed.  recipients_add_bcc - one more recipient, without notices. */
struct slice recipients_rewrite(struct transaction *t, struct slice address);
void recipients_add_bcc(struct transaction *t, struct slice address);
/* envelope_rewrite_sender - the sender in its final form.  recipients_add_later - one more recipient: completed, mapped, expanded as any other.
   recipients_delete - all that the recipient, as it was given, became.  recipients_begin_later - before the first of these: what comes now is no
   duplicate of what was there, as Postfix sees it. */
void envelope_rewrite_sender(struct transaction *t);
void recipients_add_later(struct transaction *t, struct recipient recipient);
void recipients_delete(struct transaction *t, struct slice given);
void recipients_begin_later(struct transaction *t);
/* recipients_expand - virtual_alias_maps: addresses that the recipient stands for (itself when there is no entry); false: refused. */
bool recipients_expand(struct transaction *t, struct slice address, struct slice **results, size_t *count);
/* address_map - canonical maps and masquerading for one of the CLASS_ bits; false: refused. */
bool address_map(struct transaction *t, int class, struct slice *address);
/* transaction_map_failed - a table cannot answer. */
void transaction_map_failed(struct transaction *t, const char *map, struct slice address);

/* ---- headers.c ---- */
void headers_start(struct transaction *t);
void headers_handle(struct transaction *t, enum message_part part, struct slice text, bool truncated);
/* headers_end - of the primary header: adds what is missing. */
void headers_end(struct transaction *t);
/* header_rewrite - addresses of a header field in their new form; text itself when nothing changes. */
struct slice header_rewrite(struct transaction *t, struct slice text, struct slice name, int class);

/* ---- checks.c ---- */
enum check_outcome { CHECK_KEEP, CHECK_DROP };
/* check_text - header_checks and body_checks: what is "header" or "body"; *text (no line end; LF or CRLF inside) may be replaced. */
enum check_outcome check_text(struct transaction *t, struct table_list *maps, const char *parameter, const char *what, struct slice *text);
/* check_milter_header - milter_header_checks: what PREPEND puts before it goes to prepended. */
enum check_outcome check_milter_header(struct transaction *t, struct slice *text, struct buffer *prepended);
/* log_content_action - the log line of e.4; text is what is appended after ": " (may be empty). */
void log_content_action(struct transaction *t, const char *verb, const char *what, struct slice content, struct slice text);
void log_mime_error(struct transaction *t, const char *error, struct slice content);
/* log_milter_action - what a mail filter decided at an event: "milter-reject: END-OF-MESSAGE from ...".  recipient: empty when it has none yet. */
void log_milter_action(struct transaction *t, const char *verb, const char *event, struct slice recipient, struct slice text);

/* ---- milter.c, milter_session.c: mail filters (non_smtpd_milters, or what smtpd hands over) ---- */
/* filtering_begin - mail that did not come by SMTP: the session that filters get to see.  filtering_run - they see the complete content, change it, and
   decide.  Wait.  filtering_free - NULL is fine. */
void filtering_begin(struct transaction *t);
void filtering_run(struct transaction *t);
void filtering_free(struct filtering *filtering);

/* ---- give_back.c ---- */
/* give_back - a refused message returns to its sender: true when that is settled, false: the submitter must keep it.  Waits. */
bool give_back(struct transaction *t);

#endif
