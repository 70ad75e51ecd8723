/* address.c - socket addresses: text to binary and back */
#include <arpa/inet.h>
#include <netdb.h>

#include "net/address.h"

/* host_text - the slice as a C string for inet_pton; false when it cannot be an address. */
static bool host_text(char text[INET6_ADDRSTRLEN + 1], struct slice s)
{
    if (s.len == 0 || s.len > INET6_ADDRSTRLEN || slice_find(s, '\0') < s.len)
        return false;
    memcpy(text, s.data, s.len);
    text[s.len] = '\0';
    return true;
}

/* without_decoration - strip the brackets and the prefix of an address literal; *only_v6: what is left must be IPv6. */
static bool without_decoration(struct slice *text, bool *only_v6)
{
    if (text->len && text->data[0] == '[') {
        if (text->len < 2 || text->data[text->len - 1] != ']')
            return false;
        *text = slice_make(text->data + 1, text->len - 2);
    }
    *only_v6 = slice_starts_case(*text, SLICE("IPv6:"));
    if (*only_v6)
        *text = slice_from(*text, 5);
    return true;
}

bool net_address_parse(struct net_address *address, struct slice text, uint16_t port)
{
    char host[INET6_ADDRSTRLEN + 1];
    bool only_v6;
    *address = (struct net_address){0};
    if (!without_decoration(&text, &only_v6) || !host_text(host, text))
        return false;
    if (!only_v6 && inet_pton(AF_INET, host, &address->u.v4.sin_addr) == 1) {
        address->u.v4.sin_family = AF_INET;
        address->u.v4.sin_port = htons(port);
        address->len = sizeof(address->u.v4);
    } else if (inet_pton(AF_INET6, host, &address->u.v6.sin6_addr) == 1) {
        address->u.v6.sin6_family = AF_INET6;
        address->u.v6.sin6_port = htons(port);
        address->len = sizeof(address->u.v6);
    }
    return address->len != 0;
}

bool net_address_unix(struct net_address *address, struct slice path)
{
    *address = (struct net_address){0};
    if (path.len == 0 || path.len >= sizeof(address->u.local.sun_path) || slice_find(path, '\0') < path.len)
        return false;
    address->u.local.sun_family = AF_UNIX;
    memcpy(address->u.local.sun_path, path.data, path.len);
    address->len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + path.len + 1);
    return true;
}

/* struct host - the bytes of an IP address; a mapped IPv6 address is the IPv4 address that it stands for. */
struct host {
    int family;
    const uint8_t *bytes;
    unsigned bits;
};

static bool host_of(const struct net_address *a, struct host *host)
{
    if (a->len == 0)
        return false;
    if (a->u.any.sa_family == AF_INET) {
        *host = (struct host){AF_INET, (const uint8_t *)&a->u.v4.sin_addr, 32};
        return true;
    }
    if (a->u.any.sa_family != AF_INET6)
        return false;
    const uint8_t *bytes = a->u.v6.sin6_addr.s6_addr;
    if (IN6_IS_ADDR_V4MAPPED(&a->u.v6.sin6_addr))
        *host = (struct host){AF_INET, bytes + 12, 32};
    else
        *host = (struct host){AF_INET6, bytes, 128};
    return true;
}

void net_address_text(const struct net_address *address, struct buffer *out)
{
    struct host host;
    char text[INET6_ADDRSTRLEN];
    if (host_of(address, &host)) {
        if (inet_ntop(host.family, host.bytes, text, sizeof(text)))
            buffer_append_string(out, text);
    } else if (address->len > offsetof(struct sockaddr_un, sun_path) && address->u.any.sa_family == AF_UNIX) {
        size_t room = address->len - offsetof(struct sockaddr_un, sun_path);
        buffer_append(out, address->u.local.sun_path, strnlen(address->u.local.sun_path, room));
    }
}

uint16_t net_address_port(const struct net_address *address)
{
    if (address->len == 0)
        return 0;
    switch (address->u.any.sa_family) {
    case AF_INET:
        return ntohs(address->u.v4.sin_port);
    case AF_INET6:
        return ntohs(address->u.v6.sin6_port);
    default:
        return 0;
    }
}

void net_address_set_port(struct net_address *address, uint16_t port)
{
    if (address->len && address->u.any.sa_family == AF_INET)
        address->u.v4.sin_port = htons(port);
    else if (address->len && address->u.any.sa_family == AF_INET6)
        address->u.v6.sin6_port = htons(port);
}

bool net_address_equal_host(const struct net_address *a, const struct net_address *b)
{
    struct host x, y;
    if (host_of(a, &x) && host_of(b, &y))
        return x.family == y.family && memcmp(x.bytes, y.bytes, x.bits / 8) == 0;
    return a->len && a->len == b->len && a->u.any.sa_family == AF_UNIX && b->u.any.sa_family == AF_UNIX &&
           memcmp(&a->u.local, &b->u.local, a->len) == 0;
}

bool net_address_is_loopback(const struct net_address *a)
{
    struct host host;
    if (!host_of(a, &host))
        return false;
    if (host.family == AF_INET)
        return host.bytes[0] == 127;
    return IN6_IS_ADDR_LOOPBACK(&a->u.v6.sin6_addr);
}

/* What known_tcp_ports says; NULL: nothing. */
static char *named_ports;

void net_set_named_ports(const char *list)
{
    free(named_ports);
    named_ports = memory_string(list);
}

/* named_port - "name=port" or "name=other=port", separated by commas and blanks; 0: not there. */
static uint16_t named_port(const char *list, struct slice name)
{
    struct slice rest = slice_of(list), entry, word;
    uint64_t number;

    while (slice_next_token(&rest, ", \t\r\n", &entry)) {
        bool found = false;
        while (slice_next_token(&entry, "=", &word)) {
            if (found && entry.len == 0 && slice_to_u64(word, &number) && number <= 65535)
                return (uint16_t)number;
            found = found || slice_equal(word, name);
        }
    }
    return 0;
}

/* "name=port" words of /etc/services, as net_load_services found them. */
static char *services;

static void add_service(struct buffer *list, const char *name, int port)
{
    buffer_printf(list, "%s=%u ", name, (unsigned)ntohs((uint16_t)port));
}

void net_load_services(void)
{
    struct buffer list = BUFFER_INIT;
    struct servent *entry;
    if (services)
        return;
    setservent(1);
    while ((entry = getservent())) {
        if (strcmp(entry->s_proto, "tcp") != 0)
            continue;
        add_service(&list, entry->s_name, entry->s_port);
        for (char **alias = entry->s_aliases; *alias; alias++)
            add_service(&list, *alias, entry->s_port);
    }
    endservent();
    services = memory_string(buffer_string(&list));
    buffer_release(&list);
}

uint16_t net_service_port(struct slice name)
{
    static const struct {
        const char *name;
        uint16_t port;
    } known[] = {{"smtp", 25},       {"smtps", 465}, {"submissions", 465}, {"ssmtp", 465}, {"submission", 587},
                 {"lmtp", 24},       {"domain", 53}, {"http", 80},         {"https", 443}, {"qmqp", 628},
                 {"ldap", 389},      {"ldaps", 636}};
    uint64_t number;
    if (slice_to_u64(name, &number))
        return number <= 65535 ? (uint16_t)number : 0;
    uint16_t named = named_port(named_ports, name);
    if (named)
        return named;
    for (size_t i = 0; i < COUNT_OF(known); i++) {
        if (slice_equal(name, slice_of(known[i].name)))
            return known[i].port;
    }
    char text[64];
    if (services)
        return named_port(services, name);
    if (name.len == 0 || name.len >= sizeof(text))
        return 0;
    memcpy(text, name.data, name.len);
    text[name.len] = '\0';
    struct servent *entry = getservbyname(text, "tcp");
    return entry ? ntohs((uint16_t)entry->s_port) : 0;
}

/* ---- networks ----------------------------------------------------------------------------------------------------- */

static bool complain(struct buffer *error, const char *format, ...) PRINTF_LIKE(2, 3);
static bool complain(struct buffer *error, const char *format, ...)
{
    if (error) {
        va_list args;
        va_start(args, format);
        buffer_vprintf(error, format, args);
        va_end(args);
    }
    return false;
}

/* mask - clear the bits after the prefix; returns whether any was set. */
static bool mask(uint8_t *bytes, unsigned prefix, unsigned bits)
{
    bool any = false;
    for (unsigned i = prefix; i < bits; i++) {
        uint8_t bit = (uint8_t)(0x80 >> (i % 8));
        any |= (bytes[i / 8] & bit) != 0;
        bytes[i / 8] = (uint8_t)(bytes[i / 8] & ~bit);
    }
    return any;
}

static bool split_pattern(struct slice text, struct slice *host, struct slice *prefix)
{
    bool slash;
    /* "[2001:db8::]/32" and "[2001:db8::/32]" are both in use. */
    if (text.len && text.data[0] == '[' && slice_find(text, ']') == text.len - 1)
        text = slice_make(text.data + 1, text.len - 2);
    slash = slice_cut(text, '/', host, prefix);
    return slash;
}

bool net_network_parse(struct net_network *network, struct slice text, struct buffer *error)
{
    struct slice host_part, prefix_part;
    struct net_address address;
    struct host host;
    uint64_t prefix;
    bool slash = split_pattern(text, &host_part, &prefix_part);
    *network = (struct net_network){0};
    if (!net_address_parse(&address, host_part, 0) || !host_of(&address, &host))
        return complain(error, "bad net/mask pattern: \"" SLICE_FORMAT "\"", SLICE_ARGS(text));
    /* A mapped address keeps its 128-bit spelling in a pattern with a prefix: /96 + n is n. */
    bool mapped = address.u.any.sa_family == AF_INET6 && host.family == AF_INET;
    prefix = host.bits;
    if (slash && (!slice_to_u64(prefix_part, &prefix) || prefix > (mapped ? 128 : host.bits)))
        return complain(error, "bad net/mask pattern: \"" SLICE_FORMAT "\"", SLICE_ARGS(text));
    if (slash && mapped)
        prefix = prefix > 96 ? prefix - 96 : 0;
    network->family = host.family;
    network->prefix = (unsigned)prefix;
    memcpy(network->bytes, host.bytes, host.bits / 8);
    if (mask(network->bytes, network->prefix, host.bits)) {
        char proper[INET6_ADDRSTRLEN] = "";
        inet_ntop(host.family, network->bytes, proper, sizeof(proper));
        return complain(error, "non-null host address bits in \"" SLICE_FORMAT "\", perhaps you should use \"%s/%u\" instead",
                        SLICE_ARGS(text), proper, network->prefix);
    }
    return true;
}

bool net_network_contains(const struct net_network *network, const struct net_address *address)
{
    struct host host;
    if (!host_of(address, &host) || host.family != network->family)
        return false;
    unsigned whole = network->prefix / 8, rest = network->prefix % 8;
    if (memcmp(host.bytes, network->bytes, whole) != 0)
        return false;
    return rest == 0 || ((host.bytes[whole] ^ network->bytes[whole]) >> (8 - rest)) == 0;
}
