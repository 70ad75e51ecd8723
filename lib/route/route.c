/* route.c - the tables of routing: opening and closing, own domains */
#include "route/route.h"

#include "conf/interfaces.h"
#include "route/route_private.h"

#define CONFIG_STRUCT struct route_params
static const struct config_binding bindings[] = {CONFIG_BINDINGS(ROUTE_PARAMETERS)};

static enum match_result match_own_literal(struct route *route, struct slice domain)
{
    struct net_address address;
    if (!domain_is_literal(domain) || !net_address_parse(&address, slice_make(domain.data + 1, domain.len - 2), 0))
        return MATCH_NO;
    for (size_t i = 0; i < route->own_count; i++) {
        if (net_address_equal_host(&route->own_addresses[i], &address))
            return MATCH_YES;
    }
    for (size_t i = 0; i < route->proxy_count; i++) {
        if (net_address_equal_host(&route->proxy_addresses[i], &address))
            return MATCH_YES;
    }
    return MATCH_NO;
}

enum match_result route_is_local_domain(struct route *route, struct slice domain)
{
    if (domain.len && domain.data[0] == '[')
        return match_own_literal(route, domain);
    return match_string(route->local_domains, domain);
}

/* keys_are_local - address_keys.is_local: bare "user" keys apply to $myorigin as well. */
static bool keys_are_local(void *context, struct slice domain)
{
    struct route *route = context;
    return slice_equal_case(domain, slice_of(route->params.myorigin)) || route_is_local_domain(route, domain) == MATCH_YES;
}

const struct address_keys *route_keys(const struct route *route)
{
    return &route->keys;
}

const struct route_maps *route_maps(const struct route *route)
{
    return &route->maps;
}

static struct table_list *open_maps(struct config *config, const struct route_params *params, const char *name, const char *value,
                                    int flags)
{
    return table_list_new(name, value, flags | TABLE_FOLD | (params->smtputf8_enable ? TABLE_UTF8 : 0), config);
}

static void open_transports(struct route *route, struct config *config)
{
    const struct route_params *p = &route->params;
    route->delivery = (struct route_transports){
        .local = p->local_transport, .virtual = p->virtual_transport, .relay = p->relay_transport,
        .fallback = p->default_transport, .relayhost = p->relayhost,
        .maps = open_maps(config, p, "transport_maps", p->transport_maps, TABLE_NO_SUBSTITUTION),
        .sender_relayhost = open_maps(config, p, "sender_dependent_relayhost_maps", p->sender_dependent_relayhost_maps,
                                      TABLE_NO_SUBSTITUTION),
        .sender_transport = open_maps(config, p, "sender_dependent_default_transport_maps",
                                      p->sender_dependent_default_transport_maps, TABLE_NO_SUBSTITUTION)};
    route->verify = (struct route_transports){
        .local = p->address_verify_local_transport, .virtual = p->address_verify_virtual_transport,
        .relay = p->address_verify_relay_transport, .fallback = p->address_verify_default_transport,
        .relayhost = p->address_verify_relayhost,
        .maps = open_maps(config, p, "address_verify_transport_maps", p->address_verify_transport_maps, TABLE_NO_SUBSTITUTION),
        .sender_relayhost = open_maps(config, p, "address_verify_sender_dependent_relayhost_maps",
                                      p->address_verify_sender_dependent_relayhost_maps, TABLE_NO_SUBSTITUTION),
        .sender_transport = open_maps(config, p, "address_verify_sender_dependent_default_transport_maps",
                                      p->address_verify_sender_dependent_default_transport_maps, TABLE_NO_SUBSTITUTION)};
}

static void close_transports(struct route_transports *transports)
{
    table_list_free(transports->maps);
    table_list_free(transports->sender_relayhost);
    table_list_free(transports->sender_transport);
}

static void open_recipient_maps(struct route *route, struct config *config)
{
    const struct route_params *p = &route->params;
    route->relocated = open_maps(config, p, "relocated_maps", p->relocated_maps, 0);
    route->maps.recipient_canonical = open_maps(config, p, "recipient_canonical_maps", p->recipient_canonical_maps, 0);
    route->maps.canonical = open_maps(config, p, "canonical_maps", p->canonical_maps, 0);
    route->maps.virtual_alias = open_maps(config, p, "virtual_alias_maps", p->virtual_alias_maps, 0);
    route->virtual_mailbox = open_maps(config, p, "virtual_mailbox_maps", p->virtual_mailbox_maps, 0);
    route->local_recipients = open_maps(config, p, "local_recipient_maps", p->local_recipient_maps, 0);
    route->relay_recipients = open_maps(config, p, "relay_recipient_maps", p->relay_recipient_maps, 0);
}

struct route *route_new(struct config *config)
{
    struct route *route = memory_zalloc(1, sizeof(*route));
    config_fill(config, bindings, COUNT_OF(bindings), &route->params);
    const struct route_params *p = &route->params;
    route->old_append_dot_mydomain = config_is_old_default(config, "append_dot_mydomain");
    route->keys = (struct address_keys){.delimiters = slice_of(p->recipient_delimiter), .owner_request_special = p->owner_request_special,
                                        .is_local = keys_are_local, .context = route};
    route->local_domains = match_list_new("mydestination", p->mydestination, MATCH_STRING_LIST, config);
    route->alias_domains = match_list_new("virtual_alias_domains", p->virtual_alias_domains, MATCH_STRING_LIST, config);
    route->mailbox_domains = match_list_new("virtual_mailbox_domains", p->virtual_mailbox_domains, MATCH_STRING_LIST, config);
    route->relay_domains = match_list_new("relay_domains", p->relay_domains, MATCH_DOMAIN_LIST, config);
    route->transport_parent_style = match_parent_style(config, "transport_maps");
    route->own_count = config_own_addresses(config, &route->own_addresses, NULL);
    route->proxy_count = config_proxy_addresses(config, &route->proxy_addresses);
    open_transports(route, config);
    open_recipient_maps(route, config);
    return route;
}

void route_free(struct route *route)
{
    if (!route)
        return;
    match_list_free(route->local_domains);
    match_list_free(route->alias_domains);
    match_list_free(route->mailbox_domains);
    match_list_free(route->relay_domains);
    free(route->own_addresses);
    free(route->proxy_addresses);
    close_transports(&route->delivery);
    close_transports(&route->verify);
    table_list_free(route->relocated);
    table_list_free(route->maps.recipient_canonical);
    table_list_free(route->maps.canonical);
    table_list_free(route->maps.virtual_alias);
    table_list_free(route->virtual_mailbox);
    table_list_free(route->local_recipients);
    table_list_free(route->relay_recipients);
    free(route);
}
