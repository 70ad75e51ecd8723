/* gate_private.h - between the files of the gate */
#ifndef POSTERN_SMTPD_GATE_PRIVATE_H
#define POSTERN_SMTPD_GATE_PRIVATE_H

#include "gate.h"
#include "gate_access.h"
#include "gate_lists.h"
#include "gate_memory.h"

/* Of a client's texts: "[2001:db8::1]:65535". */
enum { GATE_PEER_MAX = INET6_ADDRSTRLEN + 10 };

struct gate {
    struct gate_params params;
    struct config *config;
    struct server *server;
    struct gate_access *access;
    struct gate_lists *lists;          /* NULL: postscreen_dnsbl_sites is empty */
    enum gate_action deny_action, actions[GATE_TESTS];
    int64_t ttl[GATE_TESTS];           /* microseconds; that of DNS lists is the greatest */
    unsigned enabled;                  /* bits of tests */
    struct match_list *allow_interfaces, *forbidden_commands;
    struct table_list *reply_map, *command_filter, *footer_maps, *ehlo_keyword_maps;
    bool filter_allowed[256];          /* postscreen_expansion_filter */
    int ehlo_discarded;
    struct tls_params tls_params;
    struct tls_server *tls;            /* NULL: not offered */
    bool tls_required;
    int64_t starttls_timeout;
    /* who is here */
    struct map *counts;                /* address -> number of its connections, by intptr_t */
    int64_t testing;                   /* connections that are not passed on yet */
    int64_t passing;                   /* those of them that wait for a place in the server */
    int64_t passed;                    /* connections in the server */
    int64_t passed_max;                /* how many it takes: maxproc of the pass line; 0: no limit */
    struct condition place;            /* there may be one */
    bool stress;                       /* too many of them */
    int64_t stress_greet_wait, stress_command_time;
    struct list waiting[3];            /* clients in the early tests, the one whose time ends first in front: of the greeting, under stress, of lists only */
    struct run_timer *timer;           /* of the first of all */
};

/* One connection until it is passed on or ends. */
struct gate_client {
    struct gate *gate;
    struct service_client *connection;
    char peer[GATE_PEER_MAX];          /* "[192.0.2.1]:4711" */
    char address[INET6_ADDRSTRLEN];
    bool counted;
    int64_t began;                     /* of the present stage of tests, for "after n" */
    struct gate_memory memory;
    unsigned todo, passed, failed;     /* bits of tests; failed: those that are held against it */
    unsigned ignored;                  /* failed, without consequences */
    bool denied, vetoed;               /* by postscreen_access_list with enforce; by postscreen_allowlist_interfaces */
    bool is_new;                       /* not known, or it failed a test that is on and never passed it */
    const char *refusal;               /* what the client is told, "5.5.1 Protocol error"; NULL: to come again */
    char *refusal_memory;              /* heap, when it was made for this client */
    /* while it waits */
    struct list link;
    struct run_watch *watch;
    int64_t deadline;
    struct gate_asking *asking;        /* NULL: no lookup is under way */
    int64_t list_seconds;              /* how long the lists' answers hold */
};

/* ---- gate_config.c ---- */
/* gate_new - with its own configuration, in front of a server (gate_open, tests). */
struct gate *gate_new(struct config *config, struct server *server) MUST_CHECK;

/* ---- gate.c ---- */
/* gate_client_new - for a connection; gate_forget frees it. */
struct gate_client *gate_client_new(struct gate *gate, struct service_client *connection) MUST_CHECK;
/* gate_log - a line of postscreen, though the process logs as smtpd. */
void gate_log(const char *format, ...) PRINTF_LIKE(1, 2);
void gate_warn(const char *format, ...) PRINTF_LIKE(1, 2);
/* gate_fail - a test was failed: what it means is up to its action, which is returned.  text: literal, for RCPT. */
enum gate_action gate_fail(struct gate_client *c, enum gate_test test, const char *text);
/* gate_judge - the early tests are over: pass the client on, let it talk to the dialogue, or end it.  A fiber. */
void gate_judge(struct service_context *context, struct service_client *connection);
/* gate_turn_away - the last reply (text NULL: what it has earned), and the end.  Waits. */
void gate_turn_away(struct gate_client *c, int code, const char *status, const char *text);
/* gate_forget - the client is not ours any more; frees it. */
void gate_forget(struct gate_client *c);

/* ---- gate_admit.c ---- */
/* gate_admit - it is a client of the SMTP server from now on, as soon as that has a place.  Waits. */
void gate_admit(struct gate_client *c);
/* gate_count_testing - one more, or less, is tested: begins and ends the stress. gate_is_full_before, gate_is_full_behind - too many are tested; too
   many wait for a place.  Of all workers. */
void gate_count_testing(struct gate *gate, int change);
bool gate_is_full_before(const struct gate *gate);
bool gate_is_full_behind(const struct gate *gate);

/* ---- gate_wait.c ---- */
/* gate_wait - leave the client to the loop until its early tests are over; then gate_judge goes on.  To be called last in a fiber. */
void gate_wait(struct gate_client *c);
void gate_wait_open(struct gate *gate);

/* ---- gate_dialogue.c ---- */
/* gate_dialogue - talk to the client and take no mail.  greet: it has not been greeted yet.  True: it has passed the deep tests.  Waits. */
bool gate_dialogue(struct gate_client *c, bool greet);

/* ---- gate_answer.c ---- */
/* gate_answer - one reply: status "" for none; lines of text separated by LF; with the footer when it is a refusal.  Waits (tables). */
void gate_answer(struct gate_client *c, int code, const char *status, struct slice text);
/* gate_refuse - with what the client has earned: its refusal. */
void gate_refuse(struct gate_client *c, int code);

#endif
