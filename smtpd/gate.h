/* gate.h - postscreen: the gate in front of the SMTP server, which keeps out what does not behave like a mail server

   A client that is not known yet is told to wait, and watched. One that talks too early or is on DNS lists is turned away, or may talk to a server
   that refuses all mail (the dialogue of gate_dialogue.c), so that the log tells whom it wanted to reach. One that passes becomes a session of smtpd
   in the same worker, and is remembered. A client that only waits has no fiber: thousands of zombies must cost little. */
#ifndef POSTERN_SMTPD_GATE_H
#define POSTERN_SMTPD_GATE_H

#include "server.h"

struct gate;
struct gate_client;

/* The tests, in the order of the cache's text. */
enum gate_test { GATE_GREET, GATE_DNSBL, GATE_PIPELINING, GATE_NON_SMTP, GATE_BARE_NEWLINE, GATE_TESTS };
enum { GATE_EARLY = 1 << GATE_GREET | 1 << GATE_DNSBL, GATE_DEEP = 1 << GATE_PIPELINING | 1 << GATE_NON_SMTP | 1 << GATE_BARE_NEWLINE };

/* What is done with a client that failed. */
enum gate_action { GATE_IGNORE, GATE_ENFORCE, GATE_DROP };

#define GATE_PARAMETERS(X) \
    X(STRING, myhostname) X(SIZE, message_size_limit) X(BOOL, smtputf8_enable) X(BOOL, respectful_logging) X(STRING, mynetworks) \
    X(INT, line_length_limit) X(STRING, smtpd_service_name) \
    X(STRING, postscreen_access_list) X(STRING, postscreen_denylist_action) X(STRING, postscreen_allowlist_interfaces) \
    X(TIME, postscreen_cache_retention_time) \
    X(STRING, postscreen_greet_banner) X(TIME, postscreen_greet_wait) X(STRING, postscreen_greet_action) X(TIME, postscreen_greet_ttl) \
    X(STRING, postscreen_dnsbl_sites) X(INT, postscreen_dnsbl_threshold) X(INT, postscreen_dnsbl_allowlist_threshold) \
    X(STRING, postscreen_dnsbl_action) X(STRING, postscreen_dnsbl_reply_map) X(TIME, postscreen_dnsbl_timeout) \
    X(TIME, postscreen_dnsbl_min_ttl) X(TIME, postscreen_dnsbl_max_ttl) \
    X(BOOL, postscreen_pipelining_enable) X(STRING, postscreen_pipelining_action) X(TIME, postscreen_pipelining_ttl) \
    X(BOOL, postscreen_non_smtp_command_enable) X(STRING, postscreen_non_smtp_command_action) X(TIME, postscreen_non_smtp_command_ttl) \
    X(BOOL, postscreen_bare_newline_enable) X(STRING, postscreen_bare_newline_action) X(TIME, postscreen_bare_newline_ttl) \
    X(STRING, postscreen_forbidden_commands) X(TIME, postscreen_command_time_limit) X(INT, postscreen_command_count_limit) \
    X(STRING, postscreen_command_filter) X(BOOL, postscreen_disable_vrfy_command) X(BOOL, postscreen_helo_required) \
    X(STRING, postscreen_discard_ehlo_keywords) X(STRING, postscreen_discard_ehlo_keyword_address_maps) \
    X(RAW, postscreen_reject_footer) X(STRING, postscreen_reject_footer_maps) X(RAW, postscreen_expansion_filter) \
    X(INT, postscreen_client_connection_count_limit) X(INT, postscreen_pre_queue_limit) X(INT, postscreen_post_queue_limit) \
    X(STRING, postscreen_upstream_proxy_protocol) X(TIME, postscreen_upstream_proxy_timeout)

struct gate_params {
    CONFIG_MEMBERS(GATE_PARAMETERS)
};

/* gate_is_named - was this program started as postscreen?  gate_open - read the gate's configuration, and the one of the "pass" line of master.cf
   for the sessions behind it, and open the tables: before the sandbox closes.  context->config must outlive it. */
bool gate_is_named(const char *program);
struct gate *gate_open(struct service_context *context) MUST_CHECK;
/* gate_server - of the sessions behind it. */
struct server *gate_server(const struct gate *gate);
/* gate_serve - one connection, from its first byte on; with service_park.  Waits. */
void gate_serve(struct gate *gate, struct service_client *connection);

#endif
