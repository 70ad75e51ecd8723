/* params.h (tls) - the parameters of TLS: the same names for smtpd_, smtp_ and lmtp_, and those that all share */
#ifndef POSTERN_TLS_PARAMS_H
#define POSTERN_TLS_PARAMS_H

#include "conf/config.h"

/* With the prefix smtpd_, smtp_ or lmtp_. */
#define TLS_PREFIXED_PARAMETERS(X) \
    X(STRING, tls_security_level) X(BOOL, use_tls) X(BOOL, enforce_tls) X(BOOL, tls_wrappermode) X(TIME, starttls_timeout) \
    X(STRING, tls_chain_files) X(STRING, tls_cert_file) X(STRING, tls_key_file) X(STRING, tls_dcert_file) X(STRING, tls_dkey_file) \
    X(STRING, tls_eccert_file) X(STRING, tls_eckey_file) X(STRING, tls_CAfile) X(STRING, tls_CApath) \
    X(STRING, tls_protocols) X(STRING, tls_mandatory_protocols) X(STRING, tls_ciphers) X(STRING, tls_mandatory_ciphers) \
    X(STRING, tls_exclude_ciphers) X(STRING, tls_mandatory_exclude_ciphers) X(STRING, tls_fingerprint_digest) \
    X(STRING, tls_loglevel) X(TIME, tls_session_cache_timeout)

#define TLS_SERVER_PARAMETERS(X) \
    X(BOOL, smtpd_tls_ask_ccert) X(BOOL, smtpd_tls_req_ccert) X(INT, smtpd_tls_ccert_verifydepth) X(STRING, smtpd_tls_dh1024_param_file) \
    X(STRING, smtpd_tls_eecdh_grade) X(BOOL, smtpd_tls_always_issue_session_ids) \
    X(STRING, smtpd_tls_certificate_directory) X(STRING, tls_server_sni_maps) X(STRING, tls_session_ticket_cipher) X(BOOL, tls_preempt_cipherlist)

/* Of the client, with the prefix smtp_ or lmtp_. */
#define TLS_CLIENT_PARAMETERS(X) \
    X(STRING, tls_policy_maps) X(BOOL, tls_enforce_peername) X(INT, tls_scert_verifydepth) X(STRING, tls_verify_cert_match) \
    X(STRING, tls_secure_cert_match) X(STRING, tls_fingerprint_cert_match) X(STRING, tls_servername) X(STRING, tls_session_cache_database) \
    X(BOOL, tls_connection_reuse) X(STRING, tls_trust_anchor_file) X(BOOL, tls_enforce_sts_mx_patterns) X(STRING, tls_per_site)

#define TLS_SHARED_PARAMETERS(X) \
    X(STRING, tls_high_cipherlist) X(STRING, tls_medium_cipherlist) X(STRING, tls_null_cipherlist) X(STRING, tls_eecdh_auto_curves) \
    X(STRING, tls_eecdh_strong_curve) X(STRING, tls_eecdh_ultra_curve) X(STRING, tls_ffdhe_auto_groups) X(STRING, tls_ssl_options) \
    X(STRING, tls_disable_workarounds) X(BOOL, tls_append_default_CA) X(BOOL, tls_wildcard_matches_multiple_labels) \
    X(STRING, tls_config_file) X(STRING, tls_config_name) X(STRING, tls_dane_digests)

struct tls_params {
    CONFIG_MEMBERS(TLS_PREFIXED_PARAMETERS)
    CONFIG_MEMBERS(TLS_SERVER_PARAMETERS)
    CONFIG_MEMBERS(TLS_CLIENT_PARAMETERS)
    CONFIG_MEMBERS(TLS_SHARED_PARAMETERS)
    const char *prefix; /* "smtpd", "smtp", "lmtp" */
    int log;            /* TLS_LOG_ bits of loglevel */
};

/* What is logged. */
enum {
    TLS_LOG_SUMMARY = 1,   /* one line per handshake */
    TLS_LOG_UNTRUSTED = 2, /* why a certificate was not believed, even if nobody asked for one that is */
    TLS_LOG_PEERCERT = 4,  /* names and fingerprints of the peer's certificate */
    TLS_LOG_VERBOSE = 8,   /* the beginning of handshakes */
    TLS_LOG_CERTMATCH = 16, /* the name that was found in the peer's certificate (client) */
    TLS_LOG_STEPS = 32     /* each step of a handshake, alerts, certificates of the chain (trace.h) */
};

/* tls_params_load - fill from the configuration.  prefix: "smtpd", "smtp" or "lmtp"; params lives as long as config. */
void tls_params_load(struct config *config, const char *prefix, struct tls_params *params);
/* tls_log_bits - of a loglevel "0" .. "4" or a list of words; parameter: its name, to warn of what is unknown. */
int tls_log_bits(const char *level, const char *parameter);

#endif
