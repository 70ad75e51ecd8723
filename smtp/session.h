/* session.h - one SMTP or LMTP conversation with a server: connecting, greeting, replies */
#ifndef POSTERN_SMTP_SESSION_H
#define POSTERN_SMTP_SESSION_H

#include "base/verdict.h"
#include "hosts.h"
#include "net/stream.h"

enum {
    FEATURE_PIPELINING = 1, FEATURE_SIZE = 2, FEATURE_8BITMIME = 4, FEATURE_DSN = 8, FEATURE_SMTPUTF8 = 16, FEATURE_STARTTLS = 32,
    FEATURE_ENHANCED_CODES = 64, FEATURE_CHUNKING = 128, FEATURE_AUTH = 256
};

struct session {
    struct stream *stream;
    struct arena *arena;      /* the session's own memory */
    char *host;               /* name of the server */
    char *address;            /* numeric, or the path of the socket */
    char *relay;              /* "host[address]:port" for the log */
    char *next_hop;           /* what it was made for */
    uint16_t port;
    bool lmtp;
    int features;
    int64_t size_limit;       /* 0: none told */
    int64_t opened;           /* clock_monotonic */
    unsigned uses;            /* transactions begun */
    bool unusable;            /* no further transaction */
    bool quit_sent;           /* QUIT went along with the end of data */
    struct buffer reply_text; /* the last reply */
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
    const char *status;       /* "4.4.1" (arena) */
    struct slice reason;
    const char *remote_mta;   /* NULL: none */
    struct slice diagnostic;  /* the reply, when there was one */
    bool handshake;           /* at or before the greeting or HELO */
    bool loop;
};

/* session_open - connect, read the greeting, say EHLO (or LHLO, HELO).  NULL with *failure (memory of the arena).  connected tells that the
   TCP connection was made, so that the server counts as tried.  Waits. */
struct session *session_open(const struct client_params *params, const struct host *host, struct slice next_hop, bool detect_loops,
                             struct arena *arena, bool *connected, struct failure *failure);
/* session_close - say QUIT when the conversation is in order, close, free.  NULL is fine.  Waits (not for the reply, unless told to). */
void session_close(const struct client_params *params, struct session *session);
/* session_is_alive - nothing arrived and nothing was closed since the last transaction. */
bool session_is_alive(struct session *session);

/* session_reply - read one reply with a time limit.  False when the connection failed.  Waits. */
bool session_reply(struct session *session, int64_t timeout, struct reply *reply);
/* session_lost - describe a failed connection: "lost connection with H[A] while PHASE", "conversation with H[A] timed out while PHASE". */
void session_lost(struct session *session, const char *phase, struct arena *arena, struct failure *failure);
/* session_said - describe a refusing reply: "host H[A] said: TEXT (in reply to COMMAND)". */
void session_said(struct session *session, const struct reply *reply, const char *command, struct arena *arena, struct failure *failure);

#endif
