/* session.h - one SMTP session, from the greeting to the end of the connection */
#ifndef POSTERN_SMTPD_SESSION_H
#define POSTERN_SMTPD_SESSION_H

#include "client.h"
#include "smtp/reply.h"
#include "transaction.h"

/* Verbs in the order of the statistics line (compat.md i.3). */
enum verb {
    VERB_HELO, VERB_EHLO, VERB_XCLIENT, VERB_XFORWARD, VERB_STARTTLS, VERB_AUTH, VERB_MAIL, VERB_RCPT, VERB_DATA, VERB_BDAT, VERB_RSET,
    VERB_NOOP, VERB_VRFY, VERB_ETRN, VERB_QUIT, VERB_HELP, VERB_UNKNOWN, VERB_COUNT
};

/* A reply that access control or a limit has decided on; text is memory of the session's scratch arena. */
struct rejection {
    int code; /* 0: none */
    char status[12];
    struct slice text;
    int trouble; /* TROUBLE_ bits */
};

/* A rejection that waits for the outcome of other checks, across commands when smtpd_delay_reject = no; heap. */
struct deferral {
    int code;
    char status[12];
    char *text;
};

/* XFORWARD: where the message came from before it reached the client; from XFORWARD to the end of the transaction. */
struct forwarded {
    struct arena *arena;
    const char *name, *address, *port, *helo, *protocol, *ident; /* NULL: not given; "unknown" for [UNAVAILABLE] */
    bool is_local; /* SOURCE=LOCAL */
    bool has_source;
};

struct filters;
struct transcript;
struct login;

struct session {
    struct server *server;
    struct stream *stream;
    struct service_client *connection; /* NULL: stand-alone or a test */
    struct arena *arena;               /* the session's */
    struct arena *scratch;             /* one command's */
    struct client client;
    struct map *dns_lists;             /* query -> what a DNS list said (dns_lists.c); NULL: none was asked */
    struct login *login;               /* NULL: not authenticated; the session's arena (auth.h) */
    struct tls_facts *tls;             /* NULL: in the clear; the session's arena */
    char *helo;                        /* NULL before HELO; heap */
    bool esmtp;                        /* EHLO was said, or XCLIENT told so; HELO does not take it back */
    const char *where;                 /* stage in log lines: "CONNECT", a verb, "END-OF-MESSAGE" */
    int64_t content_bytes;             /* of an unfinished DATA or BDAT, for "lost connection after DATA (n bytes)"; -1 outside */
    int ehlo_hidden;                   /* EHLO_ bits not offered to this client */
    struct { uint32_t good, all; } counts[VERB_COUNT];
    unsigned errors, junk;
    unsigned connections;              /* of this client now; 0: not counted */
    int trouble;                       /* TROUBLE_ bits so far */
    bool closing;                      /* a reply was the last */
    const char *end_reason;            /* "lost connection", "timeout", "too many errors"; NULL: as it should be */
    bool early_talker;                 /* unauthorised pipelining was seen */
    bool bare_lf_seen, bare_lf_allowed; /* allowed: smtpd_forbid_bare_newline_exclusions */
    bool counted;                      /* the client is in the limit service's books */
    bool exempt;                       /* from limits by client */
    bool may_xclient, may_xforward, may_verp;
    int8_t rewrite_locally;            /* local_header_rewrite_clients: 1 yes, 0 no, -1 not looked at yet */
    struct rejection refused;          /* the client was refused at connect (smtpd_delay_reject = no); text: session's arena */
    struct deferral *client_deferral, *helo_deferral, *sender_deferral; /* smtpd_delay_reject = no */
    struct forwarded *forwarded;
    struct transaction *mail;          /* NULL outside MAIL ... end of data */
    bool chunks_failed;                /* BDAT came without MAIL: only RSET, or BDAT ... LAST, helps (RFC 3030 2) */
    struct transcript *history;           /* NULL when notify_classes needs none */
    struct filters *filters;           /* milters; NULL: none (filters.h) */
};

/* session_serve - hold the whole dialogue with a client; the caller owns the stream.  session_serve_local - on standard input.  Wait. */
void session_serve(struct server *server, struct service_client *connection);
void session_serve_local(struct server *server, struct stream *stream);
/* session_new, session_run, session_free - the same in steps (tests). */
struct session *session_new(struct server *server, struct stream *stream) MUST_CHECK;
void session_run(struct session *s);
void session_free(struct session *s);

/* session_reset_mail - forget the transaction and what XFORWARD said (RSET, EHLO, the end of a message).  Waits (a second at most). */
void session_reset_mail(struct session *s);
/* session_end - the dialogue ends now; reason as in session.end_reason. */
void session_end(struct session *s, const char *reason);
/* session_lost - why reading or writing failed: sets end_reason, says farewell after a timeout. */
void session_lost(struct session *s);
/* session_wait_input - until something can be read, sending first what waits and giving back memory when it takes long.  False when the
   connection is gone or silent: session_lost was called.  timeout in microseconds.  Waits. */
bool session_wait_input(struct session *s, int64_t timeout);
/* session_may_stop - around a wait for the client: when the service stops, the wait ends (nothing was promised yet). */
void session_may_stop(struct session *s, bool may);
/* session_recognise - find out what this client is allowed: at the start, and after XCLIENT.  session_greet - the greeting, or the refusal.  Wait. */
void session_recognise(struct session *s);
void session_greet(struct session *s);
/* session_talks_early - something was sent before we answered: logs it; true when that ends the session (answered). */
bool session_talks_early(struct session *s, const char *after);
/* session_protocol - "SMTP", "ESMTP". */
const char *session_protocol(const struct session *s);
/* session_queue_id - of the message under way, or "NOQUEUE". */
const char *session_queue_id(const struct session *s);
/* session_takes_require_tls - REQUIRETLS is open to this client, as soon as TLS is active. */
bool session_takes_require_tls(const struct session *s);
/* session_rewrite_context - "local" or "remote" for headers of this client's mail.  Waits (tables). */
const char *session_rewrite_context(struct session *s);

#endif
