/* hosts.h - from a next hop to the addresses that are tried, in order (RFC 5321 5.1, compat.md g.1) */
#ifndef POSTERN_SMTP_HOSTS_H
#define POSTERN_SMTP_HOSTS_H

#include "dns/dns.h"
#include "params.h"

struct destination {
    struct slice host;      /* without brackets */
    uint16_t port;
    bool mx_lookup;         /* false: [host], an address literal, LMTP */
    struct slice unix_path; /* not empty: a local socket */
    struct slice text;      /* as written: the key of TLS policies */
    bool bracketed;         /* [host]: no SRV records either */
    struct slice service;   /* the name of the port, when it was given by name or not at all */
};

struct host {
    struct slice name;
    struct net_address address; /* port set */
    unsigned preference;
    bool secure_mx, secure_address;         /* DNSSEC: how the name was found (or it was given), and its address */
    struct slice canonical_name;            /* at the end of the CNAMEs; empty: the name itself */
    const struct destination *destination;  /* NULL: none (tests) */
};

/* Why no host was found, or none could be used. */
struct host_failure {
    bool temporary;
    const char *status; /* "5.4.4" */
    struct slice reason;
    bool loop;          /* mail loops back to myself */
};

/* destination_parse - one element of a next hop: "domain", "[host]:port", "host:port", "unix:path", "inet:host:port".  False: bad syntax. */
bool destination_parse(const struct client_params *params, struct slice text, struct arena *arena, struct destination *destination);
/* hosts_find - addresses of the destination in the order in which they are to be tried; 0 with *failure.  detect_loops: leave out hosts that are
   ourselves or no better than ourselves.  Waits. */
size_t hosts_find(const struct client_params *params, const struct destination *destination, struct arena *arena, struct host **hosts,
                  struct host_failure *failure);
/* hosts_arrange - in the order in which they are tried: by preference; equal ones share the load (smtp_randomize_addresses), after the address family
   that smtp_address_preference wants first. */
void hosts_arrange(const struct client_params *params, struct host *hosts, size_t count);
/* hosts_limit - leave at most limit hosts (0: all), in their order; returns how many.  balance: both address families get a part of them
   (smtp_balance_inet_protocols). */
size_t hosts_limit(struct host *hosts, size_t count, size_t limit, bool balance);
/* host_relay - as the log names it: "name[address]:port", "name[path]". */
char *host_relay(const struct host *host, struct arena *arena);
/* hosts_load_own - learn our own addresses (before the sandbox closes). */
void hosts_load_own(struct config *config);

#endif
