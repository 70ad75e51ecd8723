/* session.h - one SMTP or LMTP conversation with a server: connecting, greeting, replies */
#ifndef POSTERN_SMTP_SESSION_H
#define POSTERN_SMTP_SESSION_H

#include "base/verdict.h"
#include "hosts.h"
#include "net/stream.h"
#include "service/agent.h"
#include "smtp/ehlo_keywords.h"

struct session {
    struct stream *stream;
    struct arena *arena;      /* the session's own memory */
    char *host;               /* name of the server */
    char *address;            /* numeric, or the path of the socket */
    char *relay;              /* "host[address]:port" for the log */
    char *next_hop;           /* what it was made for */
    const char *destination;  /* the element of it, as written: "[relay.test]:587"; NULL: none (tests) */
    struct slice mechanisms;  /* of AUTH, as offered */
    uint16_t port;
    bool lmtp;
    int features;             /* EHLO_ bits of what the server offers and we may use */
    int forward_attributes;   /* of XFORWARD: forward.h */
    int pix;                  /* PIX_ bits of what is worked around */
    bool esmtp_greeting;      /* the greeting has the word ESMTP */
    bool greeted;             /* the handshake is over: from now on replies may be pipelined */
    bool says_goodbye;        /* 421: no further transaction */
    void (*take_line)(struct session *session, struct slice text); /* gets the lines of a reply after the first, without code; NULL */
    struct table_list *reply_filter; /* smtp_reply_filter; NULL: none */
    int64_t size_limit;       /* 0: none told */
    int64_t opened;           /* clock_monotonic */
    unsigned uses;            /* transactions begun */
    bool only_host;           /* the next hop had no other server to try */
    bool unusable;            /* no further transaction */
    bool quit_sent;           /* QUIT went along with the end of data */
    struct buffer reply_text; /* the last reply */
    struct tls_plan *plan;    /* starttls.h; NULL: no TLS (tests) */
    struct tls_facts *tls;    /* NULL: in the clear */
    bool tls_failed;          /* the handshake did */
    bool passes_require_tls;  /* MAIL FROM says REQUIRETLS */
    struct transcript *transcript; /* notify_classes has "protocol"; else NULL */
    bool protocol_trouble;    /* the server says that we do not speak its language, or speaks another one */
    bool logged_in;           /* by AUTH */
    bool keeps;               /* may be used again: not with TLS unless smtp_tls_connection_reuse = yes */
};

/* A reply (RFC 5321 4.2): text is all lines with their codes, joined with one blank; memory of the session until the next reply. */
struct reply {
    int code;                  /* 0: none, the connection failed */
    struct status_code status; /* enhanced code of the last line, or class.0.0 */
    struct slice text;
};

/* What went wrong with a server, for the log, the sender and the queue manager. */
struct failure {
    bool temporary;
    bool unless_last;          /* ... as long as there are other hosts; a permanent status */
    const char *status;       /* "4.4.1" (arena) */
    struct slice reason;
    const char *remote_mta;   /* NULL: none */
    const char *relay;        /* of the server that refused to talk; NULL: there was none */
    struct slice diagnostic;  /* the reply, when there was one */
    bool handshake;           /* at or before the greeting or HELO */
    bool loop;
};

/* session_open - connect, read the greeting, say EHLO (or LHLO, HELO) for a delivery.  NULL with *failure (memory of the delivery).  connected
   tells that the TCP connection was made, so that the server counts as tried.  Waits. */
struct session *session_open(const struct client_params *params, const struct host *host, const struct delivery *delivery, bool detect_loops,
                             bool *connected, struct failure *failure);
/* session_greet - the part of session_open that is talk: greeting and EHLO over the session's stream.  False with *failure.  Waits. */
bool session_greet(const struct client_params *params, struct session *session, const struct delivery *delivery, bool detect_loops,
                   struct failure *failure);
/* session_close - say QUIT when the conversation is in order, close, free.  NULL is fine.  Waits (not for the reply, unless told to). */
void session_close(const struct client_params *params, struct session *session);
/* session_is_alive - nothing arrived and nothing was closed since the last transaction. */
bool session_is_alive(struct session *session);

/* session_say - a command, or some of them, CRLF included; goes out with the next flush. */
void session_say(struct session *session, struct slice text);
/* session_reply - read one reply with a time limit.  False when the connection failed.  Waits. */
bool session_reply(struct session *session, int64_t timeout, struct reply *reply);
/* session_lost - describe a failed connection: "lost connection with H[A] while PHASE", "conversation with H[A] timed out while PHASE". */
void session_lost(struct session *session, const char *phase, struct arena *arena, struct failure *failure);
/* session_said - describe a refusing reply: "host H[A] said: TEXT (in reply to COMMAND)". */
void session_said(struct session *session, const struct reply *reply, const char *command, struct arena *arena, struct failure *failure);

#endif
