/* resolve.c - (sender, recipient) -> (transport, next hop, recipient, class); compat.md f.1 */
#include "route/route_private.h"

#include "base/log.h"

enum { GREATEST_ROUTE = 100 /* routing steps that one address may hold */, OVERLAP_WARNINGS = 20 };

/* One resolution under way. */
struct resolution {
    struct route *route;
    const struct route_transports *transports;
    struct slice sender;
    struct arena *arena;
    struct mail_address address;
    struct route_result *result;
    struct buffer value; /* of the last lookup */
    bool try_again;      /* a table failed */
};

static bool has_routing(const struct route *route, struct slice local_part)
{
    return slice_find(local_part, '@') < local_part.len || (route->params.swap_bangpath && slice_find(local_part, '!') < local_part.len) ||
           (route->params.allow_percent_hack && slice_find(local_part, '%') < local_part.len);
}

static bool is_local(struct resolution *r, struct slice domain)
{
    enum match_result match = route_is_local_domain(r->route, domain);
    r->try_again |= match == MATCH_TRY_AGAIN;
    return match == MATCH_YES;
}

/* strip_local_routing - "user%dom@here" means user@dom, again and again. */
static void strip_local_routing(struct resolution *r)
{
    struct mail_address *a = &r->address, inner;
    for (int step = 0; step < GREATEST_ROUTE; step++) {
        if (a->domain.len && !(has_routing(r->route, a->local_part) && is_local(r, a->domain)))
            break;
        if (!route_unroute(r->route, a->local_part, r->arena, &inner))
            break;
        inner.domain = route_qualify(r->route, true, inner.domain, r->arena);
        *a = inner;
    }
    if (has_routing(r->route, a->local_part))
        r->result->flags |= ROUTE_ROUTED;
}

/* check_domain - false: bad syntax. A bare IP address becomes a literal where that is wanted. */
static bool check_domain(struct resolution *r)
{
    struct mail_address *a = &r->address;
    const struct route_params *p = &r->route->params;
    struct net_address ip;
    if (a->domain.len == 0)
        return false;
    if (domain_is_valid(a->domain, NULL))
        return true;
    if (!p->resolve_numeric_domain || a->domain.data[0] == '[' || !net_address_parse(&ip, a->domain, 0))
        return false;
    a->domain = arena_format(r->arena, ip.u.any.sa_family == AF_INET6 ? "[IPv6:" SLICE_FORMAT "]" : "[" SLICE_FORMAT "]",
                             SLICE_ARGS(a->domain));
    return true;
}

/* normalise - the recipient as it will be delivered; false: bad syntax. */
static bool normalise(struct resolution *r, struct slice recipient)
{
    const struct route_params *p = &r->route->params;
    struct mail_address *a = &r->address;
    mail_address_split(recipient, r->arena, a);
    bool null_domain = a->domain.len == 0 && slice_ends(recipient, SLICE("@")) && recipient.len > 1;
    if (null_domain && !p->resolve_null_domain)
        return false;
    /* resolve_dequoted_address = no: what was quoted is no routing. */
    if (p->resolve_dequoted_address || recipient.len == 0 || recipient.data[0] != '"')
        strip_local_routing(r);
    if (a->local_part.len == 0 && (a->domain.len == 0 || is_local(r, a->domain))) /* elsewhere "" may be somebody */
        a->local_part = slice_of(p->empty_address_recipient);
    if (a->domain.len == 0)
        a->domain = slice_of(p->myhostname);
    return check_domain(r) && (p->allow_min_user || a->local_part.data[0] != '-');
}

/* is_unchanged - the parts are still the two ends of the plain external form (the normal case: nothing to build). */
static bool is_unchanged(const struct mail_address *parts, struct slice external)
{
    return parts->local_part.data == external.data && parts->domain.data == external.data + parts->local_part.len + 1 &&
           parts->local_part.len + 1 + parts->domain.len == external.len && slice_find(parts->local_part, '@') == parts->local_part.len;
}

static bool matches(struct resolution *r, struct match_list *list)
{
    enum match_result match = match_string(list, r->address.domain);
    r->try_again |= match == MATCH_TRY_AGAIN;
    return match == MATCH_YES;
}

static void warn_overlap(struct resolution *r, const char *first, const char *second)
{
    if (r->route->overlap_warnings++ < OVERLAP_WARNINGS)
        log_warning("do not list domain " SLICE_FORMAT " in BOTH %s and %s", SLICE_ARGS(r->address.domain), first, second);
}

static enum address_class find_class(struct resolution *r)
{
    struct route *route = r->route;
    if (is_local(r, r->address.domain)) {
        if (!match_list_is_empty(route->alias_domains) && matches(r, route->alias_domains))
            warn_overlap(r, "mydestination", "virtual_alias_domains");
        if (!match_list_is_empty(route->mailbox_domains) && matches(r, route->mailbox_domains))
            warn_overlap(r, "mydestination", "virtual_mailbox_domains");
        return ADDRESS_CLASS_LOCAL;
    }
    if (matches(r, route->alias_domains)) {
        if (!match_list_is_empty(route->mailbox_domains) && matches(r, route->mailbox_domains))
            warn_overlap(r, "virtual_alias_domains", "virtual_mailbox_domains");
        return ADDRESS_CLASS_VIRTUAL_ALIAS;
    }
    if (matches(r, route->mailbox_domains))
        return ADDRESS_CLASS_VIRTUAL_MAILBOX;
    enum match_result relay = match_domain(route->relay_domains, r->address.domain);
    r->try_again |= relay == MATCH_TRY_AGAIN;
    return relay == MATCH_YES ? ADDRESS_CLASS_RELAY : ADDRESS_CLASS_DEFAULT;
}

/* split_transport - "transport:next_hop"; an absent or empty next hop leaves *next_hop as it is: true when there was one. */
static bool split_transport(struct slice value, struct slice *transport, struct slice *next_hop)
{
    struct slice head, tail;
    bool colon = slice_cut(value, ':', &head, &tail);
    *transport = slice_trim(head);
    tail = colon ? slice_trim(tail) : (struct slice){NULL, 0};
    if (tail.len)
        *next_hop = tail;
    return tail.len > 0;
}

/* by_sender - a sender-dependent table; empty: no entry. "DUNNO" means none. */
static struct slice by_sender(struct resolution *r, struct table_list *maps, const char *empty_key)
{
    struct slice none = {NULL, 0};
    if (table_list_is_empty(maps))
        return none;
    struct buffer *value = &r->value;
    enum table_result found =
        r->sender.len ? address_lookup(maps, &r->route->keys, r->sender, ADDRESS_KEY_ALL, value, NULL, NULL)
                      : table_list_lookup(maps, slice_of(empty_key), true, value);
    r->try_again |= found == TABLE_TRY_AGAIN;
    struct slice text = slice_trim(buffer_slice(value));
    if (found != TABLE_FOUND || slice_equal_case(text, SLICE("DUNNO")))
        return none;
    return arena_slice(r->arena, text);
}

/* relay_next_hop - where relayed mail goes unless the transport says so itself. */
static struct slice relay_next_hop(struct resolution *r)
{
    struct slice host = by_sender(r, r->transports->sender_relayhost, r->route->params.empty_address_relayhost_maps_lookup_key);
    if (host.len == 0)
        host = slice_of(r->transports->relayhost);
    return host.len ? host : r->address.domain;
}

static void base_transport(struct resolution *r)
{
    const struct route_transports *t = r->transports;
    const struct route_params *p = &r->route->params;
    struct route_result *result = r->result;
    struct slice value = {NULL, 0};
    result->next_hop = r->address.domain;
    switch (result->class) {
    case ADDRESS_CLASS_LOCAL:
        value = slice_of(t->local);
        break;
    case ADDRESS_CLASS_VIRTUAL_ALIAS:
        result->transport = SLICE("error");
        result->next_hop = p->show_user_unknown_table_name ? SLICE("5.1.1 User unknown in virtual alias table") : SLICE("5.1.1 User unknown");
        return;
    case ADDRESS_CLASS_VIRTUAL_MAILBOX:
        value = slice_of(t->virtual);
        break;
    case ADDRESS_CLASS_RELAY:
        result->next_hop = relay_next_hop(r);
        value = slice_of(t->relay);
        break;
    case ADDRESS_CLASS_DEFAULT:
        result->next_hop = relay_next_hop(r);
        value = by_sender(r, t->sender_transport, p->empty_address_default_transport_maps_lookup_key);
        if (value.len == 0)
            value = slice_of(t->fallback);
        break;
    }
    split_transport(value, &result->transport, &result->next_hop);
}

/* lookup_transport - transport_maps in its key order (compat.md c.5): addresses, domain and parents, "*". */
static enum table_result lookup_transport(struct resolution *r, struct buffer *value)
{
    struct table_list *maps = r->transports->maps;
    enum table_result found = address_lookup(maps, &r->route->keys, r->result->recipient, ADDRESS_KEY_FULL | ADDRESS_KEY_NO_EXTENSION,
                                             value, NULL, NULL);
    if (found == TABLE_NOT_FOUND)
        found = domain_lookup(maps, r->address.domain, false, r->route->transport_parent_style, value);
    if (found == TABLE_NOT_FOUND)
        found = table_list_lookup(maps, SLICE("*"), true, value);
    return found;
}

static void apply_transport_maps(struct resolution *r)
{
    struct buffer *value = &r->value;
    if (table_list_is_empty(r->transports->maps))
        return;
    enum table_result found = lookup_transport(r, value);
    if (found == TABLE_TRY_AGAIN)
        log_warning("transport_maps lookup failure");
    r->try_again |= found == TABLE_TRY_AGAIN;
    if (found != TABLE_FOUND)
        return;
    struct slice text = arena_slice(r->arena, slice_trim(buffer_slice(value))), transport, next_hop = r->result->next_hop;
    bool has_next_hop = split_transport(text, &transport, &next_hop);
    if (transport.len) {
        bool fails = slice_equal(transport, SLICE("error")) || slice_equal(transport, SLICE("retry"));
        r->result->transport = transport;
        r->result->next_hop = has_next_hop ? next_hop : fails ? SLICE("Address is undeliverable") : r->address.domain;
    } else if (has_next_hop) {
        r->result->next_hop = next_hop;
    }
}

static void apply_relocated(struct resolution *r)
{
    struct buffer *value = &r->value;
    if (table_list_is_empty(r->route->relocated))
        return;
    enum table_result found = address_lookup(r->route->relocated, &r->route->keys, r->result->recipient, ADDRESS_KEY_ALL, value, NULL, NULL);
    r->try_again |= found == TABLE_TRY_AGAIN;
    if (found != TABLE_FOUND)
        return;
    r->result->transport = SLICE("error");
    r->result->next_hop = arena_format(r->arena, r->route->params.relocated_prefix_enable ? "5.1.6 User has moved to %s" : "%s",
                                       buffer_string(value));
}

static void fail(struct route_result *result, int flag, struct slice transport, struct slice reason)
{
    result->flags |= flag;
    result->transport = transport;
    result->next_hop = reason;
}

void route_resolve(struct route *route, struct slice sender, struct slice recipient, bool verify, struct arena *arena,
                   struct route_result *result)
{
    struct resolution r = {.route = route, .transports = verify ? &route->verify : &route->delivery, .sender = sender, .arena = arena,
                           .result = result};
    *result = (struct route_result){.recipient = recipient, .class = ADDRESS_CLASS_DEFAULT};
    bool good = normalise(&r, recipient);
    if (good && r.address.local_part.len == 0)
        result->recipient = arena_format(arena, "\"\"@" SLICE_FORMAT, SLICE_ARGS(r.address.domain));
    else if (!is_unchanged(&r.address, recipient))
        result->recipient = mail_address_join(r.address.local_part, r.address.domain, arena);
    if (!good) {
        fail(result, ROUTE_BAD_SYNTAX, SLICE("error"), SLICE("5.1.3 bad address syntax"));
        return;
    }
    result->class = find_class(&r);
    base_transport(&r);
    if (result->class != ADDRESS_CLASS_VIRTUAL_ALIAS)
        apply_transport_maps(&r);
    apply_relocated(&r);
    if (r.try_again)
        fail(result, ROUTE_TRY_AGAIN, SLICE("retry"), SLICE("4.3.0 address resolver failure"));
    buffer_release(&r.value);
}
