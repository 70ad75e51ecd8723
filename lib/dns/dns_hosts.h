/* dns_hosts.h - inside the dns room: loading /etc/hosts (lookups are in dns.h) */
#ifndef POSTERN_DNS_DNS_HOSTS_H
#define POSTERN_DNS_DNS_HOSTS_H

#include "dns/dns.h"

/* dns_hosts_load - read a file of hosts(5) syntax; a missing one is an empty one.  dns_hosts_unload - forget it. */
void dns_hosts_load(const char *path);
void dns_hosts_unload(void);

#endif
