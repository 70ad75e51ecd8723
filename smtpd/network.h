/* network.h - clients of one network are one: for limits, greylisting, counts of failures */
#ifndef POSTERN_SMTPD_NETWORK_H
#define POSTERN_SMTPD_NETWORK_H

#include "net/address.h"

/* network_text - append "192.0.2.0/24", or the address alone when the prefix of its family leaves nothing out (or is negative). */
void network_text(const struct net_address *address, int64_t ipv4_prefix, int64_t ipv6_prefix, struct buffer *out);

#endif
