/* address.h (net) - socket addresses: text to binary and back, listening, connecting */
#ifndef POSTERN_NET_ADDRESS_H
#define POSTERN_NET_ADDRESS_H

#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/buffer.h"

struct net_address {
    socklen_t len; /* 0: none */
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
        struct sockaddr_un local;
    } u;
};

/* net_address_parse - numeric "192.0.2.1", "2001:db8::1" (also in [], also with the prefix "IPv6:"), port in host order.
   False: not a numeric address.  net_address_unix - a socket path; false when too long. */
bool net_address_parse(struct net_address *address, struct slice text, uint16_t port) MUST_CHECK;
bool net_address_unix(struct net_address *address, struct slice path) MUST_CHECK;
/* net_address_text - numeric host ("192.0.2.1", "2001:db8::1"; IPv4-mapped IPv6 as IPv4; a path for unix) into the buffer. */
void net_address_text(const struct net_address *address, struct buffer *out);
uint16_t net_address_port(const struct net_address *address); /* 0 for unix */
void net_address_set_port(struct net_address *address, uint16_t port);
bool net_address_equal_host(const struct net_address *a, const struct net_address *b);
bool net_address_is_loopback(const struct net_address *a);
/* net_service_port - "smtp", "submission", "25" -> port; 0 when unknown.  From what net_set_named_ports was told ("smtp=25, smtps=submissions=465"),
   a built-in few, and /etc/services.  net_load_services - read that file now, for a process that will not be able to open it. */
void net_set_named_ports(const char *list);
void net_load_services(void);
uint16_t net_service_port(struct slice name);

/* struct net_network - a network pattern "10.0.0.0/8", "[2001:db8::]/32", "192.0.2.1".  Parse error text goes to *error
   (a literal or heap text in buffer, may be NULL), e.g. for non-zero host bits (compat.md a.4). */
struct net_network { int family; unsigned prefix; uint8_t bytes[16]; };
bool net_network_parse(struct net_network *network, struct slice text, struct buffer *error) MUST_CHECK;
bool net_network_contains(const struct net_network *network, const struct net_address *address);

/* net_set_window_size - buffers of TCP sockets made from now on, bytes; 0: the system's own (tcp_windowsize). */
void net_set_window_size(int bytes);
/* net_listen - a non-blocking, close-on-exec listening socket (SO_REUSEADDR; IPV6_V6ONLY; TCP_NODELAY), or -1 with
   errno.  A Unix socket file left behind at the path is replaced. */
int net_listen(const struct net_address *address, int backlog);
/* net_connect - a connected non-blocking socket, or -1 with errno (ETIMEDOUT past the deadline).  source may be NULL.  Waits. */
int net_connect(const struct net_address *address, const struct net_address *source, int64_t deadline);
/* net_peer, net_local - addresses of a connected socket; false with errno. */
bool net_peer(int fd, struct net_address *address);
bool net_local(int fd, struct net_address *address);
bool net_set_nonblocking(int fd);
/* net_own_addresses - addresses of this machine's interfaces (heap array, caller frees). */
size_t net_own_addresses(struct net_address **addresses, struct net_network **networks);

#endif
