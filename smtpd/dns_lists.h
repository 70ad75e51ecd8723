/* dns_lists.h - what DNS lists say, asked side by side and remembered for the session */
#ifndef POSTERN_SMTPD_DNS_LISTS_H
#define POSTERN_SMTPD_DNS_LISTS_H

#include "dns/dns.h"
#include "session.h"

struct dns_list_answer {
    struct dns_answer addresses;
    struct slice text; /* of all TXT records */
    bool failed;       /* could not be asked */
};

/* dns_list_begin - ask now; the answer will be wanted soon.  True: it is there.  Waits so many microseconds for it.  dns_list_ask - the answer, valid until the session ends or asks for many others.  Waits. */
bool dns_list_begin(struct session *s, struct slice query, int64_t patience);
const struct dns_list_answer *dns_list_ask(struct session *s, struct slice query);
/* dns_lists_forget - at the end of the session; questions that are under way come to nothing. */
void dns_lists_forget(struct session *s);

#endif
