/* finger.h - posttls-finger: what TLS a server has, and what would be done with mail for it.  It lies in the room of the SMTP client because it asks that
   client's own code, not another version of it. */
#ifndef POSTERN_SMTP_FINGER_FINGER_H
#define POSTERN_SMTP_FINGER_FINGER_H

#include "../hosts.h"

/* What was asked for on the command line. */
struct finger {
    const char *target;        /* "[host]:port", "domain", "unix:path" */
    bool lmtp;
    bool wrapped;              /* -w */
    bool quiet_chat;           /* -c */
    bool show_chain;           /* -C */
    bool tell_plan;            /* what main.cf says */
    bool probe;                /* connect by the options */
    enum tls_level level;      /* -l */
    int64_t connect_timeout, command_timeout;
    int64_t reconnect_delay;   /* 0: no second connection */
    long reconnect_count;
    struct config *options;    /* main.cf with what the options change */
    struct config *config;     /* main.cf as it is, but for -o */
    struct arena *arena;
};

/* probe_run - connect as the options say and tell what is seen.  Waits. */
void probe_run(const struct finger *finger);
/* plan_run - tell what would be done with mail for the target by main.cf, trying it up to the end of EHLO.  Waits. */
void plan_run(const struct finger *finger);
/* show_chain - the certificates of the server, as PEM with what they are, to stdout. */
void show_chain(SSL *ssl, const char *digest);

#endif
