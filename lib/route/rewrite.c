/* rewrite.c - addresses to fully qualified form (compat.md e.3) */
#include "base/log.h"
#include "route/route_private.h"

/* strip_route - "@a,@b:user@c" is user@c. */
static struct slice strip_route(struct slice address)
{
    if (address.len == 0 || address.data[0] != '@')
        return address;
    size_t colon = slice_find(address, ':');
    bool literal = slice_find(address, '[') < colon; /* "@[IPv6:..." is no route end */
    return colon == address.len || literal ? address : slice_from(address, colon + 1);
}

bool route_unroute(const struct route *route, struct slice local_part, struct arena *arena, struct mail_address *address)
{
    size_t at = slice_find_last(local_part, '@');
    if (at == local_part.len && route->params.swap_bangpath) {
        size_t bang = slice_find(local_part, '!');
        if (bang < local_part.len) {
            address->domain = slice_first(local_part, bang);
            address->local_part = slice_from(local_part, bang + 1);
            return true;
        }
    }
    if (at == local_part.len && route->params.allow_percent_hack)
        at = slice_find_last(local_part, '%');
    if (at == local_part.len)
        return false;
    address->local_part = slice_first(local_part, at);
    address->domain = slice_from(local_part, at + 1);
    return true;
}

struct slice route_qualify(const struct route *route, bool local_context, struct slice domain, struct arena *arena)
{
    if (domain.len == 0 || domain.data[0] == '[')
        return domain;
    if (domain.data[domain.len - 1] == '.')
        return slice_first(domain, domain.len - 1);
    const char *parent = local_context ? route->params.mydomain : route->params.remote_header_rewrite_domain;
    if (route->params.append_dot_mydomain && parent[0] && slice_find(domain, '.') == domain.len)
        return arena_format(arena, SLICE_FORMAT ".%s", SLICE_ARGS(domain), parent);
    return domain;
}

/* is_final - nothing can change: "plain@domain.with.dots". */
static bool is_final(struct slice address)
{
    size_t at = slice_find(address, '@');
    if (at == 0 || at + 2 >= address.len || address.data[0] == '"')
        return false;
    struct slice domain = slice_from(address, at + 1);
    return slice_find(domain, '.') < domain.len && domain.data[domain.len - 1] != '.' && slice_find(domain, '@') == domain.len;
}

/* origin - the domain for addresses without one, NULL: leave them. */
static const char *origin(const struct route *route, bool local_context)
{
    if (!local_context)
        return route->params.remote_header_rewrite_domain[0] ? route->params.remote_header_rewrite_domain : NULL;
    return route->params.append_at_myorigin ? route->params.myorigin : NULL;
}

struct slice route_rewrite(struct route *route, struct slice context, struct slice address, struct arena *arena)
{
    bool local_context = !slice_equal(context, SLICE("remote"));
    address = strip_route(address);
    if (address.len == 0 || is_final(address))
        return address;
    if (slice_equal(address, SLICE("@")))
        return (struct slice){"", 0};
    if (address.data[address.len - 1] == '@') /* no address: whoever resolves it says so */
        return address;
    bool quoted = address.data[0] == '"';
    struct mail_address parts;
    mail_address_split(address, arena, &parts);
    if (parts.domain.len == 0 && parts.local_part.len && !quoted) {
        struct mail_address routed;
        if (route_unroute(route, parts.local_part, arena, &routed)) {
            if (routed.domain.len == 0)
                return arena_format(arena, SLICE_FORMAT "@", SLICE_ARGS(routed.local_part));
            parts = routed;
        }
    }
    if (parts.domain.len == 0) {
        const char *domain = origin(route, local_context);
        if (!domain)
            return mail_address_join(parts.local_part, parts.domain, arena);
        parts.domain = slice_of(domain);
    }
    struct slice domain = parts.domain;
    parts.domain = route_qualify(route, local_context, domain, arena);
    struct slice result = mail_address_join(parts.local_part, parts.domain, arena);
    if (route->old_append_dot_mydomain && parts.domain.len > domain.len)
        log_info("using backwards-compatible default setting append_dot_mydomain=yes to rewrite \"" SLICE_FORMAT "\" to \"" SLICE_FORMAT "\"",
                 SLICE_ARGS(address), SLICE_ARGS(result));
    return result;
}
