/* dns_filter.h - records that the administrator does not want to see (smtp_dns_reply_filter) */
#ifndef POSTERN_DNS_DNS_FILTER_H
#define POSTERN_DNS_DNS_FILTER_H

#include "base/buffer.h"
#include "dns/dns.h"

/* dns_record_text - append "name. ttl IN TYPE value", as filters and logs have it. */
void dns_record_text(const struct dns_record *record, struct buffer *out);
/* dns_filter_answer - drop what the filter does not keep; nothing left: DNS_FILTERED, a filter that failed: DNS_FILTER_FAULT. */
void dns_filter_answer(dns_filter_function *keeps, void *context, struct dns_answer *answer);

#endif
