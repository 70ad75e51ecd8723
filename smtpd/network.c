/* network.c - see network.h */
#include "network.h"

/* masked - the address with all but its first bits zero. */
static struct net_address masked(const struct net_address *address, unsigned prefix)
{
    struct net_address result = *address;
    bool six = address->u.any.sa_family == AF_INET6;
    uint8_t *bytes = six ? result.u.v6.sin6_addr.s6_addr : (uint8_t *)&result.u.v4.sin_addr;

    for (unsigned i = 0; i < (six ? 16u : 4u); i++) {
        unsigned kept = prefix <= i * 8 ? 0 : prefix >= i * 8 + 8 ? 8 : prefix - i * 8;
        bytes[i] &= (uint8_t)(0xFF00u >> kept);
    }
    return result;
}

void network_text(const struct net_address *address, int64_t ipv4_prefix, int64_t ipv6_prefix, struct buffer *out)
{
    bool six = address->u.any.sa_family == AF_INET6;
    int64_t prefix = six ? ipv6_prefix : ipv4_prefix;

    if (address->u.any.sa_family != AF_INET && !six) {
        net_address_text(address, out);
    } else if (prefix >= (six ? 128 : 32) || prefix < 0) {
        net_address_text(address, out);
    } else {
        struct net_address network = masked(address, (unsigned)prefix);
        net_address_text(&network, out);
        buffer_printf(out, "/%u", (unsigned)prefix);
    }
}
