/* proxy_header.h - the line or block that a load balancer sends first: HAProxy PROXY protocol, versions 1 and 2 (compat.md d.11) */
#ifndef POSTERN_SMTPD_PROXY_HEADER_H
#define POSTERN_SMTPD_PROXY_HEADER_H

#include "session.h"

enum { PROXY_HEADER_MAX = 536 /* version 2: 16 bytes and what an address block with its extensions may need */ };

/* proxy_header_receive - when smtpd_upstream_proxy_protocol = haproxy: read the header and put the addresses it tells in the place of the
   connection's own.  False: it did not come or is malformed, the client was told.  Waits. */
bool proxy_header_receive(struct session *s, struct net_address *peer, struct net_address *local);
/* proxy_header_parse - a pure function: bytes so far.  1: *used bytes are the header (peer and local set, or left alone for LOCAL and UNKNOWN), 0: more
   is needed, -1: malformed. */
int proxy_header_parse(struct slice bytes, struct net_address *peer, struct net_address *local, size_t *used);

#endif
