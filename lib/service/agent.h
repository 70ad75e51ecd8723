/* agent.h - what all delivery agents share: lanes from qmgr, results, the delivery log line (compat.md i.6) */
#ifndef POSTERN_SERVICE_AGENT_H
#define POSTERN_SERVICE_AGENT_H

#include "base/verdict.h"
#include "service/service.h"

/* One delivery: a message and some of its recipients for one next hop. */
struct delivery {
    const struct delivery_request *request;
    const struct recipient *recipients; /* request->envelope.recipients */
    size_t recipient_count;
    struct arena *arena;                /* this delivery's memory */
    int content_fd;                     /* positioned reads only: content is [content_offset, content_offset + content_length) */
    int64_t content_offset, content_length;
    struct service_context *context;
    void *lane_state;                   /* kept by the agent between deliveries of one lane (an open SMTP session) */
    int64_t agent_time;                 /* wall clock when the agent got the request */
    int64_t connected_time;             /* set by the agent when the connection (or whatever comes before transmission) is ready; 0: none */
    unsigned connection_use;            /* conn_use= when > 1 */
    struct delivery_reply reply;        /* results are filled by delivery_result; site_failure etc. by the agent */
    bool *settled;                      /* per recipient: a result was given */
    struct lane *lane;                  /* from qmgr */
};

struct agent {
    struct service service; /* name, flags, open, start, drain ...; serve is set by agent_main */
    /* deliver - give every recipient a result (delivery_result); those without one are deferred with a warning.  May wait. */
    void (*deliver)(struct delivery *delivery);
    /* lane_closed - the lane ended: release delivery->lane_state; optional. */
    void (*lane_closed)(void *lane_state);
    /* lane_patience - microseconds that the lane may wait for its next request before lane_idle is called, CLOCK_NEVER for no limit; both optional
       (called only when lane_state is not NULL).  lane_idle may wait. */
    int64_t (*lane_patience)(void *lane_state);
    void (*lane_idle)(void *lane_state);
};

int agent_main(int argc, char **argv, const struct agent *agent);

/* delivery_written - the agent has written what it had to and only waits for the disk from now on: locks are free, nothing runs.  Tells qmgr, if it wants to
   know and this is its last recipient, so that another delivery to the same destination may begin.  Waits. */
void delivery_written(struct delivery *delivery);

/* delivery_result - settle one recipient: log the status record and add it to the reply.  relay: "local", "host[1.2.3.4]:25", "none".
   OUTCOME_BOUNCED becomes deferred with soft_bounce=yes; with DELIVERY_PROBE the log words are deliverable / undeliverable. */
struct delivery_status {
    int outcome;               /* OUTCOME_ */
    const char *status;        /* "2.0.0" */
    const char *relay;
    const char *action;        /* NULL: relayed / failed / delayed from the outcome */
    const char *remote_mta;    /* NULL: none */
    const char *diagnostic_type; /* NULL: none */
    struct slice diagnostic;
    struct slice reason;       /* goes into (...) and the notice */
    bool soft_bounced;         /* logged as SOFTBOUNCE; set here, not by agents */
    bool notice_passed_on;     /* the next host promised to send the success notice */
    bool original_hidden;      /* a list with an owner: what the list's address was does not show */
    struct slice address;      /* final recipient after expansion by the agent; empty: the recipient itself */
};
void delivery_result(struct delivery *delivery, size_t recipient, const struct delivery_status *status);
/* delivery_result_relay - add a result that another agent gave (it has logged it already). */
void delivery_result_relay(struct delivery *delivery, size_t recipient, const struct delivery_result *result);
/* agent_ask - let the agent of request->transport deliver the content of this delivery: the request is the delivery's own as the caller changed
   it.  The answer is in the delivery's arena, its results are logged already; NULL when there is none (a warning was logged).  Waits.
   agent_hand_over - give all recipients that have no result yet to "transport:next_hop" (without ":next_hop": that of the request), and take over its
   results.  Waits. */
struct delivery_reply *agent_ask(const struct delivery *delivery, struct delivery_request *request);
void agent_hand_over(struct delivery *delivery, struct slice transport_and_next_hop);
/* delivery_result_format - the common case: reason by format. */
void delivery_result_format(struct delivery *delivery, size_t recipient, int outcome, const char *status, const char *relay, const char *format, ...)
    PRINTF_LIKE(6, 7);
/* delivery_log - the log line alone (qmgr uses it for what it settles itself). a..d of delays= come from the times (microseconds since 1970; 0 unknown). */
struct delivery_times { int64_t arrival, active, agent, connected, done; };
void delivery_log(struct slice queue_id, const struct recipient *recipient, const struct delivery_times *times, unsigned connection_use,
                  const struct delivery_status *status);

/* delivery_log_digits - delay_logging_resolution_limit, for programs that are no agents (agent_main sets it). */
void delivery_log_digits(int64_t digits);
/* delivery_delay_text - a time span as in delay=: two significant digits, at most that many decimals. */
void delivery_delay_text(struct buffer *out, int64_t microseconds);

/* content_read - positioned read of the content into the buffer (at most max bytes from position); false with errno. */
bool content_read(const struct delivery *delivery, int64_t position, size_t max, struct buffer *out);

#endif
