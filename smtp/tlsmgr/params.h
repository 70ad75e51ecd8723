/* params.h - what tlsmgr reads of main.cf */
#ifndef POSTERN_TLSMGR_PARAMS_H
#define POSTERN_TLSMGR_PARAMS_H

#include "conf/config.h"

#define TLSMGR_PARAMETERS(X) \
    X(STRING, myhostname) X(STRING, dns_servers) \
    X(BOOL, smtp_tls_mta_sts) X(STRING, smtp_tls_web_CAfile) X(INT, smtp_tls_web_port) X(BOOL, smtp_tls_reports) X(STRING, smtp_tls_reports_contact) \
    X(STRING, smtp_tls_reports_organization) X(STRING, smtp_tls_reports_sender) X(TIME, smtp_tls_reports_delay) X(TIME, smtp_tls_reports_period)

struct tlsmgr_params {
    CONFIG_MEMBERS(TLSMGR_PARAMETERS)
};

#endif
