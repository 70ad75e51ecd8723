/* private.h - inside the milter room: settings, sessions, filters */
#ifndef POSTERN_MILTER_PRIVATE_H
#define POSTERN_MILTER_PRIVATE_H

#include "base/clock.h"
#include "base/log.h"
#include "milter/milter.h"
#include "milter/reply.h"
#include "net/address.h"
#include "net/stream.h"

#define MILTER_PARAMETERS(X) \
    X(TIME, milter_connect_timeout) X(TIME, milter_command_timeout) X(TIME, milter_content_timeout) X(STRING, milter_default_action) \
    X(STRING, milter_protocol) X(STRING, milter_macro_daemon_name) X(STRING, milter_macro_v) X(STRING, milter_macro_defaults) \
    X(STRING, milter_connect_macros) X(STRING, milter_helo_macros) X(STRING, milter_mail_macros) X(STRING, milter_rcpt_macros) \
    X(STRING, milter_data_macros) X(STRING, milter_end_of_data_macros) X(STRING, milter_end_of_header_macros) X(STRING, milter_unknown_command_macros)

struct milter_params {
    CONFIG_MEMBERS(MILTER_PARAMETERS)
};

/* One filter as configured. */
struct milter_endpoint {
    char *text;                 /* as in log lines: "inet:127.0.0.1:8891" */
    struct slice name;          /* of text: the host, when it is no address */
    uint16_t port;              /* 0: a Unix socket */
    struct net_address address; /* of a name: what it was at start; len 0: not known then */
    int64_t connect_timeout, command_timeout, content_timeout;
    char *default_action;
    char *protocol;
    bool broken;                /* cannot be used as it is written; was logged */
};

struct milter_list {
    struct config *config;
    struct milter_params params;
    struct milter_endpoint *endpoints;
    size_t count;
};

enum milter_state {
    MILTER_IS_NEW,      /* no connection yet */
    MILTER_IS_OPEN,
    MILTER_HAS_DECIDED, /* about this message: not asked until the next */
    MILTER_HAS_LEFT     /* for this session: accepted, or refused for good (see settled) */
};

struct milter {
    struct milters *all;
    const struct milter_endpoint *endpoint; /* NULL: taken from smtpd */
    char *name;
    int64_t command_timeout, content_timeout;
    char *default_action;
    enum milter_state state;
    struct stream *stream;
    uint32_t version, steps;                /* as negotiated */
    uint32_t skipped;                       /* STEP_NO_ bits: no more of these until the message ends */
    char *macros[STAGE_COUNT];              /* lists that the filter asked for; NULL: as configured */
    struct milter_outcome *settled;         /* answer to everything from now on (left), or to the content (decided); NULL: continue */
    /* the content of a message */
    bool content_begun, header_done, body_done;
    struct buffer header_macros, message_macros; /* data of "D" without the letter */
    struct buffer body;                     /* not sent yet */
};

struct milters {
    struct milter_list *list;
    milter_macro_value *macro;
    void *context;
    struct milter **filters;
    size_t count;
    bool in_mail; /* from MAIL to the end of the message */
};

/* ---- filter.c: one filter ---- */
struct milter *milter_new(struct milters *all, const char *name) MUST_CHECK;
void milter_free(struct milter *f);
/* milter_leave - close; settle: everything is answered with that from now on (NULL: continue). */
void milter_leave(struct milter *f, const struct milter_outcome *settle);
/* milter_fail - communication broke: milter_default_action.  milter_fail_configuration - it cannot work as it
   is: the same where that lets mail pass, else 4.3.5. */
void milter_fail(struct milter *f, struct milter_outcome *outcome);
void milter_fail_configuration(struct milter *f, struct milter_outcome *outcome);
void milter_set_refusal(struct milter_outcome *outcome, int code, const char *status, const char *text);
/* milter_open - connect and negotiate.  Waits. */
void milter_open(struct milter *f, struct milter_outcome *outcome);
/* milter_send - append one command; macros (data without the letter) are sent before when not NULL. */
void milter_send(struct milter *f, char command, const struct buffer *macros, struct slice data);
/* milter_send_macros - only what goes before a command. */
void milter_send_macros(struct milter *f, char command, const struct buffer *macros);
/* milter_receive - the next packet: its code, and its data into packet.  Flushes first; command names it in warnings.  False: lost, logged.  Waits. */
bool milter_receive(struct milter *f, char command, int64_t timeout, struct buffer *packet, char *code);
/* milter_await - the answer to a command that has no edits: updates the filter's state and the outcome.  for_session: accept and reject are about the
   session.  *skip: set when the filter wants no more of these.  Waits. */
void milter_await(struct milter *f, char command, int64_t timeout, bool for_session, bool *skip, struct milter_outcome *outcome);
/* milter_obey - the same for a reply that was received already; false: wait for another. */
bool milter_obey(struct milter *f, const struct milter_reply *reply, bool for_session, bool *skip, struct milter_outcome *outcome);

/* ---- macros.c ---- */
/* milter_macros - the names and values of a stage, as data of "D" without the letter. */
void milter_macros(struct milter *f, enum milter_stage stage, struct buffer *out);

#endif
