/* dns_connect.c - a connection to a host by its name */
#include "base/log.h"
#include "dns/dns.h"

int dns_connect(struct slice host, uint16_t port, int64_t deadline)
{
    struct arena *arena = arena_new(0);
    struct dns_answer answer = dns_addresses(host, 3, true, arena);
    int fd = -1, error = EADDRNOTAVAIL;

    if (answer.count == 0)
        log_warning("host or service " SLICE_FORMAT ":%u not found", SLICE_ARGS(host), port);
    for (size_t i = 0; fd < 0 && i < answer.count; i++) {
        net_address_set_port(&answer.records[i].address, port);
        fd = net_connect(&answer.records[i].address, NULL, deadline);
        error = errno;
    }
    arena_free(arena);
    errno = error;
    return fd;
}
