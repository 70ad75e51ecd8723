/* params.h - parameters of qmgr, the limits of each transport, and what master.cf says about it */
#ifndef POSTERN_QMGR_PARAMS_H
#define POSTERN_QMGR_PARAMS_H

#include "conf/config.h"
#include "scheduler.h"

/* The transport that defers with the text of its next hop; Postfix has no parameter for its name either. */
#define RETRY_TRANSPORT "retry"

#define QMGR_PARAMETERS(X)                                                                                              \
    X(TIME, minimal_backoff_time) X(TIME, maximal_backoff_time) X(TIME, maximal_queue_lifetime)                            \
    X(TIME, bounce_queue_lifetime) X(TIME, delay_warning_time) X(BOOL, confirm_delay_cleared) X(TIME, queue_run_delay)     \
    X(TIME, transport_retry_time) X(INT, qmgr_message_active_limit) X(INT, qmgr_message_recipient_limit) X(TIME, qmgr_ipc_timeout) X(TIME, daemon_timeout)       \
    X(STRING, defer_transports) X(STRING, default_filter_nexthop) X(STRING, recipient_delimiter)                           \
    X(BOOL, owner_request_special) X(STRING, double_bounce_sender) X(STRING, empty_address_recipient)                      \
    X(STRING, error_service_name) X(STRING, bounce_service_name)                             \
    X(STRING, defer_service_name) X(STRING, trace_service_name) X(STRING, cleanup_service_name)                            \
    X(STRING, fast_flush_domains) X(INT, default_process_limit) X(INT, default_client_limit)                               \
    X(INT, address_verify_pending_request_limit) X(BOOL, destination_concurrency_feedback_debug) X(TIME, qmgr_daemon_timeout) X(BOOL, disable_verp_bounces) X(INT, delay_logging_resolution_limit) X(STRING, mail_owner)

struct qmgr_params {
    CONFIG_MEMBERS(QMGR_PARAMETERS)
    struct config *config;
    int64_t shortest_delay; /* between two attempts */
    struct map *lane_limits; /* service name -> number of lanes, cast to a pointer */
};

/* qmgr_params_fill - from the configuration and its master.cf.  qmgr_params_release - what fill allocated. */
void qmgr_params_fill(struct qmgr_params *params, struct config *config);
void qmgr_params_release(struct qmgr_params *params);
/* qmgr_params_limits - <transport>_ parameters of one transport. */
void qmgr_params_limits(const struct qmgr_params *params, struct slice transport, struct transport_limits *limits);
/* qmgr_params_retry_delay - until the next attempt for a message of that age (compat.md f.2), with jitter: random is any number. */
int64_t qmgr_params_retry_delay(const struct qmgr_params *params, int64_t age, uint32_t random);
/* qmgr_params_lifetime - how long a message of that sender is tried. */
int64_t qmgr_params_lifetime(const struct qmgr_params *params, struct slice sender);

#endif
