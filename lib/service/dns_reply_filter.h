/* dns_reply_filter.h - smtp_dns_reply_filter, smtpd_dns_reply_filter: a table says which records are not to be seen */
#ifndef POSTERN_SERVICE_DNS_REPLY_FILTER_H
#define POSTERN_SERVICE_DNS_REPLY_FILTER_H

#include "dns/dns.h"
#include "table/table.h"

/* dns_reply_filter_open - set the filter of options, for dns_start, if the parameter (a name that stays) has tables. */
void dns_reply_filter_open(struct config *config, const char *parameter, struct dns_options *options);

#endif
