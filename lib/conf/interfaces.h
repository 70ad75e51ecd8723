/* interfaces.h - the addresses of this machine that mail is received on: inet_interfaces, inet_protocols (compat.md a.5) */
#ifndef POSTERN_CONF_INTERFACES_H
#define POSTERN_CONF_INTERFACES_H

#include "conf/config.h"
#include "net/address.h"

/* config_own_addresses - own addresses as inet_interfaces and inet_protocols select them, in interface order; with each the
   network of its interface (networks may be NULL).  Heap arrays, the caller frees.  Names in inet_interfaces are looked up with
   getaddrinfo, so this belongs to start-up.  An address that is on no interface is reported as fatal. */
size_t config_own_addresses(struct config *config, struct net_address **addresses, struct net_network **networks);
/* config_proxy_addresses - the addresses of proxy_interfaces. */
size_t config_proxy_addresses(struct config *config, struct net_address **addresses);
/* config_uses_ipv4, config_uses_ipv6 - what inet_protocols says. */
bool config_uses_ipv4(struct config *config);
bool config_uses_ipv6(struct config *config);
/* config_families - the same as bits, 1 IPv4, 2 IPv6, for connections to others: never 0. */
int config_families(struct config *config);

#endif
