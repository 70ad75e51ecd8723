/* params.h - the SMTP server's parameters */
#ifndef POSTERN_SMTPD_PARAMS_H
#define POSTERN_SMTPD_PARAMS_H

#include "conf/config.h"

#define SMTPD_PARAMETERS(X) \
    /* names and addresses */ \
    X(STRING, myhostname) X(STRING, mydomain) X(STRING, myorigin) X(STRING, mail_name) X(STRING, smtpd_banner) \
    X(STRING, debug_peer_list) X(INT, debug_peer_level) X(STRING, mynetworks) X(STRING, dns_servers) X(BOOL, smtputf8_enable) X(BOOL, requiretls_enable) X(BOOL, strict_smtputf8) \
    X(BOOL, strict_rfc821_envelopes) X(BOOL, allow_min_user) X(BOOL, resolve_numeric_domain) X(STRING, recipient_delimiter) X(STRING, double_bounce_sender) X(STRING, internal_mail_filter_classes) \
    X(BOOL, smtpd_peername_lookup) X(BOOL, smtpd_client_port_logging) X(STRING, cleanup_service_name) X(STRING, info_log_address_format) \
    /* the dialogue */ \
    X(BOOL, smtpd_helo_required) X(BOOL, disable_vrfy_command) X(STRING, smtpd_discard_ehlo_keywords) \
    X(STRING, smtpd_discard_ehlo_keyword_address_maps) X(STRING, smtpd_noop_commands) X(STRING, smtpd_forbidden_commands) \
    X(STRING, smtpd_command_filter) X(BOOL, smtpd_forbid_unauth_pipelining) X(STRING, smtpd_forbid_bare_newline) \
    X(STRING, smtpd_forbid_bare_newline_exclusions) X(INT, smtpd_forbid_bare_newline_reject_code) X(INT, line_length_limit) \
    X(TIME, smtpd_timeout) X(INT, smtpd_min_data_rate) X(TIME, smtpd_error_sleep_time) X(INT, smtpd_soft_error_limit) \
    X(INT, smtpd_hard_error_limit) X(INT, smtpd_junk_command_limit) X(BOOL, soft_bounce) X(RAW, smtpd_reject_footer) \
    X(STRING, smtpd_reject_footer_maps) X(STRING, smtpd_reject_filter_maps) X(RAW, smtpd_expansion_filter) \
    X(STRING, smtpd_authorized_verp_clients) X(STRING, verp_delimiter_filter) X(STRING, default_verp_delimiters) \
    X(STRING, smtpd_authorized_xclient_hosts) X(STRING, smtpd_authorized_xforward_hosts) X(STRING, fast_flush_domains) \
    X(STRING, notify_classes) X(STRING, error_notice_recipient) X(STRING, bounce_notice_recipient) X(INT, smtpd_history_flush_threshold) \
    X(STRING, smtpd_upstream_proxy_protocol) X(TIME, smtpd_upstream_proxy_timeout) \
    /* the message */ \
    X(SIZE, message_size_limit) X(SIZE, queue_minfree) X(INT, smtpd_recipient_limit) X(INT, smtpd_recipient_overshoot_limit) \
    X(STRING, content_filter) X(STRING, receive_override_options) X(STRING, local_header_rewrite_clients) X(STRING, smtpd_proxy_filter) X(STRING, smtpd_proxy_ehlo) X(STRING, smtpd_proxy_options) X(TIME, smtpd_proxy_timeout) \
    X(STRING, smtpd_milters) X(STRING, smtpd_milter_maps) X(BOOL, smtpd_delay_open_until_valid_rcpt) X(BOOL, smtpd_hide_client_session) \
    /* limits by client */ \
    X(INT, smtpd_client_connection_count_limit) X(INT, smtpd_client_connection_rate_limit) X(INT, smtpd_client_message_rate_limit) \
    X(INT, smtpd_client_recipient_rate_limit) X(STRING, smtpd_client_event_limit_exceptions) X(INT, smtpd_client_ipv4_prefix_length) \
    X(INT, smtpd_client_ipv6_prefix_length) \
    /* access control */ \
    X(BOOL, smtpd_delay_reject) X(STRING, smtpd_client_restrictions) X(STRING, smtpd_helo_restrictions) X(STRING, smtpd_sender_restrictions) \
    X(STRING, smtpd_relay_restrictions) X(STRING, smtpd_recipient_restrictions) X(STRING, smtpd_data_restrictions) \
    X(STRING, smtpd_end_of_data_restrictions) X(STRING, smtpd_etrn_restrictions) X(STRING, smtpd_restriction_classes) \
    X(BOOL, smtpd_relay_before_recipient_restrictions) X(BOOL, smtpd_reject_unlisted_recipient) X(BOOL, smtpd_reject_unlisted_sender) \
    X(BOOL, allow_untrusted_routing) X(BOOL, show_user_unknown_table_name) X(STRING, smtpd_null_access_lookup_key) \
    X(STRING, smtpd_log_access_permit_actions) X(STRING, permit_mx_backup_networks) X(STRING, proxy_interfaces) \
    X(INT, reject_code) X(INT, defer_code) X(INT, access_map_reject_code) X(INT, access_map_defer_code) X(INT, maps_rbl_reject_code) \
    X(RAW, default_rbl_reply) X(STRING, maps_rbl_domains) X(STRING, rbl_reply_maps) X(INT, relay_domains_reject_code) \
    X(INT, invalid_hostname_reject_code) X(INT, non_fqdn_reject_code) X(INT, unknown_client_reject_code) X(INT, unknown_hostname_reject_code) \
    X(INT, unknown_address_reject_code) X(INT, unknown_local_recipient_reject_code) X(INT, unknown_relay_recipient_reject_code) \
    X(INT, unknown_virtual_alias_reject_code) X(INT, unknown_virtual_mailbox_reject_code) X(INT, multi_recipient_bounce_reject_code) \
    X(INT, plaintext_reject_code) X(STRING, unknown_address_tempfail_action) X(STRING, unknown_helo_hostname_tempfail_action) \
    X(STRING, reject_tempfail_action) \
    X(INT, address_verify_poll_count) X(TIME, address_verify_poll_delay) X(INT, unverified_sender_defer_code) \
    X(INT, unverified_sender_reject_code) X(STRING, unverified_sender_reject_reason) X(STRING, unverified_sender_tempfail_action) \
    X(INT, unverified_recipient_defer_code) X(INT, unverified_recipient_reject_code) X(STRING, unverified_recipient_reject_reason) \
    X(STRING, unverified_recipient_tempfail_action) \
    X(TIME, greylist_delay) X(TIME, greylist_retry_window) X(TIME, greylist_lifetime) X(INT, greylist_client_allow_count) \
    X(INT, greylist_ipv4_prefix_length) X(INT, greylist_ipv6_prefix_length) X(STRING, greylist_reply_text) \
    /* limits by user */ \
    X(INT, smtpd_user_limit_messages_per_hour) X(INT, smtpd_user_limit_messages_per_day) X(INT, smtpd_user_limit_recipients_per_hour) \
    X(INT, smtpd_user_limit_recipients_per_day) X(STRING, smtpd_user_limit_exception_maps) X(STRING, smtpd_user_limit_action) \
    X(BOOL, smtpd_user_limit_report_only) \
    /* TLS: more in tls/params.h */ \
    X(BOOL, smtpd_tls_auth_only) X(BOOL, smtpd_tls_received_header) X(STRING, relay_clientcerts) X(INT, smtpd_client_new_tls_session_rate_limit) \
    /* SASL */ \
    X(BOOL, smtpd_sasl_auth_enable) X(STRING, smtpd_sasl_type) X(STRING, smtpd_sasl_path) X(STRING, smtpd_sasl_service) \
    X(STRING, smtpd_sasl_local_domain) X(STRING, smtpd_sasl_security_options) X(STRING, smtpd_sasl_tls_security_options) \
    X(STRING, smtpd_sasl_mechanism_filter) X(STRING, smtpd_sasl_exceptions_networks) X(INT, smtpd_sasl_response_limit) \
    X(BOOL, smtpd_sasl_authenticated_header) X(BOOL, broken_sasl_auth_clients) X(INT, smtpd_client_auth_rate_limit) \
    X(TIME, smtpd_auth_failure_delay) X(TIME, smtpd_auth_failure_max_delay) X(TIME, smtpd_auth_failure_window) X(STRING, smtpd_auth_failure_exceptions) \
    X(INT, smtpd_auth_failure_offender_limit) X(TIME, smtpd_auth_failure_offender_time)

struct smtpd_params {
    CONFIG_MEMBERS(SMTPD_PARAMETERS)
};

/* smtpd_params_load - fill from the configuration; what cannot be honoured yet is said in the log. */
void smtpd_params_load(struct config *config, struct smtpd_params *params);

#endif
