/* gate_lists.h - postscreen_dnsbl_sites: DNS lists of clients, with weights; their sum decides */
#ifndef POSTERN_SMTPD_GATE_LISTS_H
#define POSTERN_SMTPD_GATE_LISTS_H

#include "base/arena.h"
#include "dns/dns.h"

struct gate_lists;

/* What the lists said of a client, so far. */
struct gate_score {
    int64_t rank;
    int64_t heaviest;     /* the weight of what listed_by stands for */
    struct slice listed_by; /* the domain that speaks most against the client; empty: none does */
    int64_t seconds;      /* how long the answers hold, the least; -1: there was none yet */
};

/* gate_lists_new - "domain[=pattern][*weight] ..."; NULL when there is none.  What is malformed is logged and left out. */
struct gate_lists *gate_lists_new(struct slice sites) MUST_CHECK;
void gate_lists_free(struct gate_lists *lists);
/* gate_lists_count, gate_lists_domain - the domains to ask: each once, however many sites speak of it. */
size_t gate_lists_count(const struct gate_lists *lists);
struct slice gate_lists_domain(const struct gate_lists *lists, size_t index);
/* gate_lists_weigh - add what the answer of a domain means. */
void gate_lists_weigh(const struct gate_lists *lists, size_t index, const struct dns_answer *answer, struct gate_score *score);

/* The lookups for one client, all at the same time. */
struct gate_asking;
/* gate_asking_start - ask all lists about an address (its text is for the log).  done(context) is called, on the loop's stack, when the last
   answer is there and gate_asking_start has returned; it must not wait.  Many at once wait for their turn. */
struct gate_asking *gate_asking_start(struct gate_lists *lists, const struct net_address *address, void (*done)(void *context), void *context)
    MUST_CHECK;
/* gate_asking_score - what is known now.  gate_asking_is_complete - is that all?  gate_asking_end - the answers that are still to come are not
   wanted; NULL is fine. */
const struct gate_score *gate_asking_score(const struct gate_asking *asking);
bool gate_asking_is_complete(const struct gate_asking *asking);
void gate_asking_end(struct gate_asking *asking);

#endif
