/* derived.c - defaults that come from the machine: myhostname, mydomain, mynetworks, process_id, process_name (compat.md a.5) */
#include <arpa/inet.h>

#include "base/arena.h"
#include "conf/config_private.h"
#include "conf/interfaces.h"

#define LOCAL_DOMAIN "localdomain"

/* own_name - the default of myhostname: what the machine calls itself, never DNS. */
static const char *own_name(struct config *config)
{
    char name[256] = "";
    if (gethostname(name, sizeof(name) - 1) != 0 || name[0] == '\0')
        return "localhost." LOCAL_DOMAIN;
    if (strchr(name, '.') != NULL)
        return arena_strdup(config->strings, name);
    const char *domain = config_raw(config, SLICE("mydomain"), NULL);
    return arena_printf(config->strings, "%s.%s", name, domain != NULL && domain[0] != '\0' ? domain : LOCAL_DOMAIN);
}

/* own_domain - the default of mydomain: myhostname after its first dot. */
static const char *own_domain(struct config *config)
{
    struct slice host, domain;
    if (!slice_cut(slice_of(config_string(config, "myhostname")), '.', &host, &domain) || domain.len == 0)
        return LOCAL_DOMAIN;
    return arena_string(config->strings, domain);
}

/* ---- mynetworks ---- */

enum network_style { STYLE_HOST, STYLE_SUBNET, STYLE_CLASS };

static enum network_style network_style(struct config *config)
{
    const char *style = config_string(config, "mynetworks_style");
    if (strcasecmp(style, "host") == 0)
        return STYLE_HOST;
    if (strcasecmp(style, "subnet") == 0)
        return STYLE_SUBNET;
    if (strcasecmp(style, "class") == 0)
        return STYLE_CLASS;
    config_problem(config, true, config->path, config_line_of(config, SLICE("mynetworks_style")),
                   "unknown mynetworks_style value: %s", style);
    return STYLE_HOST;
}

static unsigned class_prefix(uint8_t first_byte)
{
    return first_byte < 128 ? 8 : first_byte < 192 ? 16 : first_byte < 224 ? 24 : 4;
}

/* address_bytes - the address in network order; returns its length in bytes. */
static size_t address_bytes(const struct net_address *address, uint8_t bytes[16])
{
    if (address->u.any.sa_family == AF_INET) {
        memcpy(bytes, &address->u.v4.sin_addr, 4);
        return 4;
    }
    memcpy(bytes, &address->u.v6.sin6_addr, 16);
    return 16;
}

static void append_network(struct buffer *out, const struct net_address *address, unsigned interface_prefix, enum network_style style)
{
    uint8_t bytes[16];
    size_t len = address_bytes(address, bytes);
    unsigned prefix = style == STYLE_HOST ? (unsigned)len * 8 : interface_prefix;
    if (style == STYLE_CLASS && len == 4)
        prefix = class_prefix(bytes[0]);
    for (unsigned bit = prefix; bit < len * 8; bit++)
        bytes[bit / 8] &= (uint8_t)~(0x80u >> (bit % 8));
    char text[INET6_ADDRSTRLEN];
    inet_ntop(len == 4 ? AF_INET : AF_INET6, bytes, text, sizeof(text));
    buffer_printf(out, len == 4 ? "%s/%u" : "[%s]/%u", text, prefix);
}

/* has_word - whether word is in the blank separated list already. */
static bool has_word(struct slice list, struct slice word)
{
    struct slice known;
    while (slice_next_token(&list, " ", &known))
        if (slice_equal(known, word))
            return true;
    return false;
}

static const char *own_networks(struct config *config)
{
    if (config->own_networks != NULL)
        return config->own_networks;
    enum network_style style = network_style(config);
    struct net_address *addresses = NULL;
    struct net_network *networks = NULL;
    struct buffer list = BUFFER_INIT, one = BUFFER_INIT;
    size_t count = config_own_addresses(config, &addresses, &networks);
    for (size_t i = 0; i < count; i++) {
        buffer_clear(&one);
        append_network(&one, &addresses[i], networks[i].prefix, style);
        if (has_word(buffer_slice(&list), buffer_slice(&one)))
            continue;
        if (list.len > 0)
            buffer_append_byte(&list, ' ');
        buffer_append_slice(&list, buffer_slice(&one));
    }
    free(addresses);
    free(networks);
    buffer_release(&one);
    config->own_networks = memory_string(buffer_string(&list));
    buffer_release(&list);
    return config->own_networks;
}

const char *derived_default(struct config *config, struct slice name)
{
    static const struct {
        const char *name;
        const char *(*derive)(struct config *config);
        const char *meanwhile; /* "myhostname = mail.$mydomain" with mydomain unset, and other circles */
    } derived[] = {{"myhostname", own_name, ""}, {"mydomain", own_domain, LOCAL_DOMAIN}, {"mynetworks", own_networks, ""}};
    for (size_t i = 0; i < COUNT_OF(derived); i++) {
        if (!slice_equal(name, slice_of(derived[i].name)))
            continue;
        if (config->deriving & (1u << i))
            return derived[i].meanwhile;
        config->deriving |= 1u << i;
        const char *value = derived[i].derive(config);
        config->deriving &= ~(1u << i);
        return value;
    }
    if (slice_equal(name, SLICE("process_id")))
        return arena_printf(config->strings, "%ld", (long)getpid());
    if (slice_equal(name, SLICE("process_name")))
        return program_invocation_short_name;
    return NULL;
}
