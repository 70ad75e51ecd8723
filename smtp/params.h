/* params.h - the client's parameters; lmtp has the same ones under lmtp_ names */
#ifndef POSTERN_SMTP_PARAMS_H
#define POSTERN_SMTP_PARAMS_H

#include "conf/config.h"
#include "ipc/submit.h"
#include "table/table.h"
#include "tls/client.h"

/* With the prefix smtp_ or lmtp_, by the program's name. */
#define CLIENT_PARAMETERS(X) \
    X(STRING, tcp_port) X(STRING, host_lookup) X(STRING, dns_support_level) X(INT, min_data_rate) X(BOOL, per_request_deadline) X(STRING, address_preference) X(STRING, bind_address) X(STRING, bind_address6) \
    X(BOOL, balance_inet_protocols) X(BOOL, cname_overrides_servername) X(BOOL, randomize_addresses) X(BOOL, defer_if_no_mx_address_found) \
    X(BOOL, never_send_ehlo) X(BOOL, always_send_ehlo) X(BOOL, skip_5xx_greeting) X(BOOL, skip_quit_response) \
    X(BOOL, connection_cache_on_demand) X(BOOL, quote_rfc821_envelope) \
    X(STRING, connection_cache_destinations) X(STRING, requiretls_policy) X(STRING, helo_name) X(STRING, fallback_relay) X(STRING, discard_ehlo_keywords) \
    X(STRING, discard_ehlo_keyword_address_maps) X(STRING, pix_workarounds) X(STRING, pix_workaround_maps) X(STRING, reply_filter) \
    X(TIME, pix_workaround_threshold_time) X(TIME, pix_workaround_delay_time) X(TIME, xforward_timeout) \
    X(BOOL, send_xforward_command) X(BOOL, bind_address_enforce) X(STRING, address_verify_target) \
    X(BOOL, sasl_auth_enable) X(STRING, sasl_password_maps) X(STRING, sasl_type) X(STRING, sasl_mechanism_filter) X(STRING, sasl_security_options) \
    X(STRING, sasl_tls_security_options) X(STRING, sasl_tls_verified_security_options) X(BOOL, sasl_auth_soft_bounce) \
    X(STRING, sasl_password_result_delimiter) X(STRING, sasl_auth_cache_name) X(TIME, sasl_auth_cache_time) X(BOOL, sender_dependent_authentication) X(BOOL, send_dummy_mail_auth) X(BOOL, tls_note_starttls_offer) X(BOOL, tls_force_insecure_host_tlsa_lookup) \
    X(INT, mx_address_limit) X(INT, mx_session_limit) X(INT, line_length_limit) X(INT, connection_reuse_count_limit) \
    X(TIME, connect_timeout) X(TIME, helo_timeout) X(TIME, mail_timeout) X(TIME, rcpt_timeout) X(TIME, data_init_timeout) \
    X(TIME, data_xfer_timeout) X(TIME, data_done_timeout) X(TIME, rset_timeout) X(TIME, quit_timeout) \
    X(TIME, connection_cache_time_limit) X(TIME, connection_reuse_time_limit) X(STRING, generic_maps) X(STRING, header_checks) \
    X(STRING, mime_header_checks) X(STRING, nested_header_checks) X(STRING, body_checks)

/* The same for both. */
#define COMMON_PARAMETERS(X) \
    X(STRING, myhostname) X(STRING, myorigin) X(STRING, mail_name) X(STRING, debug_peer_list) X(INT, debug_peer_level) X(STRING, notify_classes) X(STRING, error_notice_recipient) \
    X(STRING, double_bounce_sender) X(STRING, internal_mail_filter_classes) X(STRING, cleanup_service_name) X(STRING, relayhost) \
    X(STRING, best_mx_transport) X(STRING, dns_servers) X(BOOL, ignore_mx_lookup_error) X(STRING, use_srv_lookup) X(BOOL, allow_srv_lookup_fallback) X(BOOL, ignore_srv_lookup_error) X(BOOL, disable_dns_lookups) \
    X(BOOL, disable_mime_output_conversion) X(BOOL, lmtp_assume_final) X(BOOL, send_cyrus_sasl_authzid) \
    X(STRING, smtp_tls_dane_insecure_mx_policy) X(TIME, minimal_backoff_time) X(BOOL, requiretls_enable) X(BOOL, tls_required_enable) X(STRING, dnssec_probe) X(BOOL, smtp_tls_mta_sts) X(STRING, smtp_tls_web_CAfile) \
    X(BOOL, smtp_tls_reports) X(STRING, smtp_tls_reports_sender) X(STRING, tlsmgr_service_name)

struct outgoing_tables;
struct auth_rules;
struct requiretls_rules;

/* What is done for PIX firewalls that break SMTP (smtp_pix_workarounds). */
enum { PIX_DISABLE_ESMTP = 1, PIX_DELAY_DOTCRLF = 2 };

struct client_params {
    CONFIG_MEMBERS(CLIENT_PARAMETERS)
    CONFIG_MEMBERS(COMMON_PARAMETERS)
    bool lmtp;
    const char *name;      /* "smtp" or "lmtp": how parameters begin */
    uint16_t default_port;
    int families;          /* bits: 1 IPv4, 2 IPv6 (inet_protocols) */
    bool use_mx;           /* DNS may be asked (smtp_dns_support_level, disable_dns_lookups) */
    bool use_dns;          /* ... for addresses of hosts, too (smtp_host_lookup) */
    bool use_native;       /* smtp_host_lookup has "native": the system's way, /etc/hosts before DNS */
    int discarded_keywords; /* EHLO_ bits */
    struct table_list *discarded_keyword_maps, *pix_maps, *reply_filters; /* NULL: none */
    struct outgoing_tables *outgoing; /* what is changed in messages: outgoing.h */
    struct auth_rules *auth; /* logging in at servers: auth.h; NULL: never */
    struct requiretls_rules *requiretls; /* requiretls.h; NULL: not looked at */
    struct tls_params tls_params;
    enum tls_level tls_level;          /* where no policy says otherwise */
    struct table_list *tls_policies;   /* NULL: none */
    struct table_list *tls_sites;      /* per_site.h; NULL: none */
    struct tls_client *tls;            /* NULL: never used */
    struct match_list *debug_peers;    /* servers whose dialogue is logged; NULL (tests): none */
    struct submit_pool *cleanup;       /* for transcripts to the postmaster; NULL: none are sent */
    struct tls_manager *tls_manager;   /* for MTA-STS and reports; NULL: neither */
};

/* client_params_load - fill from the configuration; opens its tables, logs what is not yet supported.  lmtp: read the lmtp_ names. */
void client_params_load(struct config *config, bool lmtp, struct client_params *params);
/* client_params_release - closes the tables. */
void client_params_release(struct client_params *params);
/* client_params_pix - PIX_ bits of a list; warns of words that are unknown. */
int client_params_pix(const struct client_params *params, struct slice list);

#endif
