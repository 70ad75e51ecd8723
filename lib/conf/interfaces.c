/* interfaces.c - see interfaces.h */
#include "conf/interfaces.h"

#include <netdb.h>

#include "conf/config_private.h"

struct address_set {
    struct net_address *items;
    size_t count;
};

static void add_address(struct address_set *set, const struct net_address *address)
{
    set->items = memory_resize(set->items, (set->count + 1) * sizeof(*set->items));
    set->items[set->count++] = *address;
}

static bool has_address(const struct address_set *set, const struct net_address *address)
{
    for (size_t i = 0; i < set->count; i++)
        if (net_address_equal_host(&set->items[i], address))
            return true;
    return false;
}

/* ---- inet_protocols ---- */

static bool uses_protocol(struct config *config, const char *protocol)
{
    struct slice rest = slice_of(config_string(config, "inet_protocols")), element;
    while (config_list_next(&rest, &element))
        if (slice_equal_case(element, SLICE("all")) || slice_equal_case(element, slice_of(protocol)))
            return true;
    return false;
}

bool config_uses_ipv4(struct config *config)
{
    return uses_protocol(config, "ipv4");
}

bool config_uses_ipv6(struct config *config)
{
    return uses_protocol(config, "ipv6");
}

int config_families(struct config *config)
{
    int families = (config_uses_ipv4(config) ? 1 : 0) | (config_uses_ipv6(config) ? 2 : 0);
    return families ? families : 1;
}

static bool uses_family(struct config *config, int family)
{
    return (family == AF_INET && config_uses_ipv4(config)) || (family == AF_INET6 && config_uses_ipv6(config));
}

/* ---- lists of names and addresses ---- */

/* resolve - add what a name or a numeric address stands for; false when it is unknown. */
static bool resolve(struct config *config, struct slice text, struct address_set *set)
{
    struct net_address address;
    if (net_address_parse(&address, text, 0)) {
        add_address(set, &address);
        return true;
    }
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *found = NULL;
    char *name = slice_string(text);
    int status = getaddrinfo(name, NULL, &hints, &found);
    free(name);
    if (status != 0)
        return false;
    for (struct addrinfo *at = found; at != NULL; at = at->ai_next) {
        if (at->ai_addrlen > sizeof(address.u) || !uses_family(config, at->ai_family))
            continue;
        memset(&address, 0, sizeof(address));
        memcpy(&address.u, at->ai_addr, at->ai_addrlen);
        address.len = at->ai_addrlen;
        if (!has_address(set, &address))
            add_address(set, &address);
    }
    freeaddrinfo(found);
    return true;
}

static void resolve_list(struct config *config, const char *parameter, struct address_set *set)
{
    struct slice rest = slice_of(config_string(config, parameter)), element;
    while (config_list_next(&rest, &element))
        if (!resolve(config, element, set))
            config_problem(config, true, config->path, config_line_of(config, slice_of(parameter)),
                           "config variable %s: host not found: " SLICE_FORMAT, parameter, SLICE_ARGS(element));
}

size_t config_proxy_addresses(struct config *config, struct net_address **addresses)
{
    struct address_set set = {0};
    resolve_list(config, "proxy_interfaces", &set);
    *addresses = set.items;
    return set.count;
}

/* report_missing - an address of inet_interfaces must be on an interface of this machine. */
static void report_missing(struct config *config, const struct address_set *wanted, const struct address_set *own)
{
    for (size_t i = 0; i < wanted->count; i++) {
        if (has_address(own, &wanted->items[i]))
            continue;
        struct buffer text = BUFFER_INIT;
        net_address_text(&wanted->items[i], &text);
        config_problem(config, true, config->path, config_line_of(config, SLICE("inet_interfaces")),
                       "parameter inet_interfaces: no local interface found for %s", buffer_string(&text));
        buffer_release(&text);
    }
}

size_t config_own_addresses(struct config *config, struct net_address **addresses, struct net_network **networks)
{
    const char *value = config_string(config, "inet_interfaces");
    bool all = strcasecmp(value, "all") == 0, loopback = strcasecmp(value, "loopback-only") == 0;
    struct net_network *own_networks = NULL;
    struct address_set own = {0}, wanted = {0};
    own.count = net_own_addresses(&own.items, &own_networks);
    if (!all && !loopback) {
        resolve_list(config, "inet_interfaces", &wanted);
        report_missing(config, &wanted, &own);
    }
    size_t kept = 0;
    for (size_t i = 0; i < own.count; i++) {
        struct net_address *address = &own.items[i];
        if (!uses_family(config, address->u.any.sa_family))
            continue;
        if (all || (loopback ? net_address_is_loopback(address) : has_address(&wanted, address))) {
            own_networks[kept] = own_networks[i];
            own.items[kept++] = *address;
        }
    }
    free(wanted.items);
    *addresses = own.items;
    if (networks != NULL)
        *networks = own_networks;
    else
        free(own_networks);
    return kept;
}
