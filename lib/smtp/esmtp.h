/* esmtp.h - the words of SMTP commands: verb, parameters of MAIL, RCPT and BDAT (RFC 5321, 1870, 6152, 6531, 3461, 3030, 4954, 8689) */
#ifndef POSTERN_SMTP_ESMTP_H
#define POSTERN_SMTP_ESMTP_H

#include "base/arena.h"
#include "smtp/reply.h"

/* smtp_command_split - the first word and what follows it, blanks at the edges taken off.  False: no word there. */
bool smtp_command_split(struct slice line, struct slice *verb, struct slice *rest);
/* smtp_command_argument - for "MAIL FROM:<address> ..." and "RCPT TO:": take the keyword and its colon off the front of text (any case, blanks
   after the colon allowed); false when they are not there or nothing follows. */
bool smtp_command_argument(struct slice text, struct slice keyword, struct slice *rest);

/* Which extensions are open to the client. */
enum { SMTP_ALLOW_DSN = 1, SMTP_ALLOW_UTF8 = 2, SMTP_ALLOW_VERP = 4, SMTP_ALLOW_REQUIRE_TLS = 8,
       SMTP_KNOW_REQUIRE_TLS = 16 /* it is not open, but would be under TLS */ };

struct smtp_mail_parameters {
    int64_t size;         /* SIZE=, 0 when not given */
    const char *encoding; /* BODY=: "7bit", "8bit", "" */
    bool smtputf8;
    bool require_tls;     /* REQUIRETLS (RFC 8689) */
    int ret;              /* RET=: 1 FULL, 2 HDRS, 0 not given */
    struct slice envid;   /* decoded */
    bool verp;            /* XVERP given; verp_delimiters may be empty: use the default */
    struct slice verp_delimiters;
    bool has_auth;
    struct slice auth;    /* AUTH=, as given: xtext or "<>" */
};

struct smtp_rcpt_parameters {
    int notify;         /* NOTIFY_ bits of ipc/message.h: 1 NEVER, 2 SUCCESS, 4 FAILURE, 8 DELAY; 0 not given */
    bool has_orcpt;
    struct slice orcpt; /* "rfc822;address", decoded */
};

/* smtp_mail_parameters, smtp_rcpt_parameters - parse what follows the address; allowed: SMTP_ALLOW_ bits.  Values are views of text or
   memory of the arena.  False: *failure is the reply to give, *word the offending parameter. */
bool smtp_mail_parameters(struct slice text, int allowed, struct arena *arena, struct smtp_mail_parameters *parameters,
                          enum smtp_reply_id *failure, struct slice *word) MUST_CHECK;
bool smtp_rcpt_parameters(struct slice text, int allowed, struct arena *arena, struct smtp_rcpt_parameters *parameters,
                          enum smtp_reply_id *failure, struct slice *word) MUST_CHECK;
/* smtp_bdat_parameters - "count [LAST]". */
bool smtp_bdat_parameters(struct slice text, int64_t *count, bool *last) MUST_CHECK;

#endif
