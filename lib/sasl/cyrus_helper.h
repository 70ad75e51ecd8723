/* cyrus_helper.h - Cyrus SASL's library in processes of its own (private to this room)

   The library blocks, loads code and opens files whenever it likes, and keeps each exchange in a structure of its own.  So it lives outside of the chroot and
   the sandbox: a supervisor, forked before they close, has one SOCK_SEQPACKET pair per worker and starts the worker when the first message lies there.  A worker does one step at
   a time and holds as many exchanges as there are; it may wait without anybody else waiting than those that came to the same worker.

     smtpd  <-- pair 0 -->  worker 0      (and so on; who dies is started again by the next message)
            <-- life   -->  supervisor */
#ifndef POSTERN_SASL_CYRUS_HELPER_H
#define POSTERN_SASL_CYRUS_HELPER_H

#include "base/slice.h"

enum {
    CYRUS_WORKERS = 4,
    CYRUS_EXCHANGES_MAX = 2000,   /* of a worker: the oldest makes room */
    CYRUS_MESSAGE_MAX = 32 * 1024 /* a header and what follows it */
};

enum cyrus_command { CYRUS_MECHANISMS, CYRUS_START, CYRUS_STEP, CYRUS_END /* no reply */ };

/* Messages are these structs and the bytes that follow: mechanism and response in a request; log lines are the helper's own. */
struct cyrus_request {
    uint32_t serial, exchange;
    uint8_t command;          /* enum cyrus_command */
    uint8_t has_response;
    uint8_t mechanism_length; /* CYRUS_START */
    uint8_t padding;
};

/* What came of it. */
enum cyrus_result {
    CYRUS_MORE, /* the challenge goes to the client */
    CYRUS_GOOD, /* he is who he says */
    CYRUS_UNKNOWN_USER, CYRUS_WRONG, CYRUS_VERIFIER, CYRUS_DISABLED, CYRUS_EXPIRED, CYRUS_AUTHORIZATION, CYRUS_MECHANISM, CYRUS_ENCODING, CYRUS_CLEARTEXT,
    CYRUS_DOWN, CYRUS_TROUBLE, /* it cannot be told now; these two are the last */
    CYRUS_RESULT_COUNT
};

/* In a reply: user_length bytes of a name, then the challenge, or the mechanisms separated by blanks. */
struct cyrus_reply {
    uint32_t serial;  /* 0: the worker died, whatever it was doing */
    uint32_t user_length;
    uint8_t result;   /* enum cyrus_result */
    uint8_t padding[3];
};

/* What the helper has to know; the strings live as long as the process. */
struct cyrus_settings {
    const char *application;       /* smtpd_sasl_path: NAME of NAME.conf */
    const char *directories;       /* where that is, separated by colons */
    const char *service, *host, *realm; /* realm: "" for none */
    const char *mail_owner;        /* who the helper is, with all his groups, when it is started by root */
    const char *database;          /* the file of users; NULL: elsewhere */
};

/* cyrus_helper_start - fork it.  sockets: of CYRUS_WORKERS workers; *life: held open as long as the helper is wanted.  False, with errno: it could not be. */
bool cyrus_helper_start(const struct cyrus_settings *settings, int sockets[CYRUS_WORKERS], int *life);

#endif
