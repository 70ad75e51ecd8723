/* dns.h - all DNS: c-ares driven by fibers, answers cached for their time to live, negative answers told apart */
#ifndef POSTERN_DNS_DNS_H
#define POSTERN_DNS_DNS_H

#include "base/arena.h"
#include "net/address.h"

enum dns_status {
    DNS_FOUND,
    DNS_NO_DOMAIN, /* the name does not exist (NXDOMAIN) */
    DNS_NO_DATA,   /* the name exists, no record of that type */
    DNS_TRY_AGAIN, /* SERVFAIL, timeout, no server, ... */
    DNS_MALFORMED, /* the answer or the name in it cannot be used */
    DNS_FILTERED,  /* dns_options.filter left nothing of it */
    DNS_FILTER_FAULT /* the filter did not know what to do */
};

enum dns_type { DNS_A = 1, DNS_NS = 2, DNS_CNAME = 5, DNS_PTR = 12, DNS_MX = 15, DNS_TXT = 16, DNS_AAAA = 28, DNS_SRV = 33, DNS_TLSA = 52 };

struct dns_record {
    enum dns_type type;
    uint32_t ttl;
    struct slice owner;        /* name at the end of the CNAME chain */
    struct slice name;         /* PTR, NS, CNAME, MX exchange, SRV target: lower case, no trailing dot; "" is the root */
    uint16_t preference;       /* MX preference, SRV priority */
    uint16_t weight, port;     /* SRV */
    struct net_address address; /* A, AAAA; port 0 */
    struct slice text;         /* TXT: strings joined */
    uint8_t usage, selector, matching; /* TLSA */
    struct slice data;         /* TLSA association data */
};

struct dns_answer {
    enum dns_status status;
    bool authentic;            /* AD bit: the resolver validated it (dns_options.dnssec) */
    struct dns_record *records;
    size_t count;
    struct slice alias;        /* of DNS_NO_DATA: where the CNAME chain ends, or who was asked for last, if there is one */
    bool endless;              /* of DNS_NO_DATA: it does not end */
    uint32_t seconds;          /* how long it holds: the least TTL of the records, or what the SOA says of there being none; 0: not told */
};

/* What a filter says of a record, which it gets as text: "name. ttl IN TYPE value".  May wait. */
enum dns_filter_result { DNS_FILTER_KEEP, DNS_FILTER_DROP, DNS_FILTER_FAILED };
typedef enum dns_filter_result dns_filter_function(void *context, struct slice record);

struct dns_options {
    const char *servers;       /* dns_servers: "127.0.0.1:5353, [::1]:53"; NULL or empty: /etc/resolv.conf */
    int64_t timeout;           /* microseconds per try; 0: default of resolv.conf */
    int tries;                 /* 0: default */
    bool dnssec;               /* ask for AD */
    dns_filter_function *filter; /* NULL: none */
    void *filter_context;
};

/* dns_start - set up the resolver (reads /etc/resolv.conf and /etc/hosts: before chroot and sandbox).  Once per process. */
void dns_start(const struct dns_options *options);
void dns_stop(void);

/* dns_query - one type; follows CNAME chains (bounded), and asks for their end when the server does not follow them; TCP fallback.  That they do not
   end is logged.  The answer is in the arena.  Waits. */
struct dns_answer dns_query(struct slice name, enum dns_type type, struct arena *arena);
/* dns_ask - dns_query without a fiber, and without dns_options.filter: done gets the answer once, on the loop's stack (or before dns_ask returns when it
   is known already), and must not wait.  The answer is gone after the call. */
typedef void dns_done(void *context, const struct dns_answer *answer);
void dns_ask(struct slice name, enum dns_type type, dns_done *done, void *context);
/* dns_hosts_lookup - /etc/hosts as read by dns_start: addresses of a name; count 0 when it is not there.  dns_hosts_name - name of an address. */
struct dns_answer dns_hosts_lookup(struct slice name, struct arena *arena);
bool dns_hosts_name(const struct net_address *address, struct arena *arena, struct slice *name);
/* dns_reverse - PTR name of an address: /etc/hosts first, then DNS.  dns_addresses - A and AAAA of a name (families: bits 1 = IPv4, 2 = IPv6; asked
   side by side), /etc/hosts first when use_hosts.  Waits. */
struct dns_answer dns_reverse(const struct net_address *address, struct arena *arena);
struct dns_answer dns_addresses(struct slice name, int families, bool use_hosts, struct arena *arena);
/* dns_connect - to a service that is given by host name (/etc/hosts first): its addresses one after the other.  As net_connect; that the name was not
   found is logged (EADDRNOTAVAIL).  Waits. */
int dns_connect(struct slice host, uint16_t port, int64_t deadline);
/* dns_mx - MX records sorted by preference, equal preferences shuffled when randomize.  Null MX (RFC 7505): one record with an empty name. Waits. */
struct dns_answer dns_mx(struct slice domain, bool randomize, struct arena *arena);
/* dns_status_text - words of compat.md g.1: "Host not found", "Host not found, try again", "Host found but no data record of requested type", ... */
const char *dns_status_text(enum dns_status status);
const char *dns_type_name(enum dns_type type);
/* dns_reverse_name - "1.0.0.127" + suffix ".in-addr.arpa" / nibbles "ip6.arpa", or any other suffix (DNSBL domain). */
void dns_reverse_name(const struct net_address *address, const char *suffix4, const char *suffix6, struct buffer *out);

/* dns_parse - wire answer -> records (a pure function over bytes, fuzzed).  Returns the status. */
enum dns_status dns_parse(struct slice packet, enum dns_type type, struct arena *arena, struct dns_answer *answer);

#endif
