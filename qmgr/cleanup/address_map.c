/* address_map.c - canonical maps and masquerading */
#include "base/log.h"
#include "transaction.h"

/* map_step - one canonical map, until a result has no entry or is its own; false: the table failed. */
static bool map_step(struct transaction *t, struct table_list *maps, const char *name, struct slice *address)
{
    struct slice result;
    if (table_list_is_empty(maps) || address->len == 0)
        return true;
    for (int i = 0; i < ROUTE_MAP_NESTING_MAX && address->len > 0; i++) {
        int found = route_map_address(t->cleanup->route, maps, *address, t->cleanup->propagate_canonical, t->arena, &result);
        if (found < 0) {
            transaction_map_failed(t, name, *address);
            return false;
        }
        bool same = found == 0 || slice_equal_case(*address, result);
        *address = result;
        if (same)
            return true;
    }
    if (address->len > 0)
        log_warning(SLICE_FORMAT ": unreasonable %s map nesting for " SLICE_FORMAT " -- the rest is not looked up", SLICE_ARGS(t->queue_id), name,
                    SLICE_ARGS(*address));
    return true;
}

/* masquerade - "user@host.dom" to "user@dom" where masquerade_domains say so. */
static bool masquerade(struct transaction *t, struct slice *address)
{
    const struct cleanup *c = t->cleanup;
    struct slice domain = mail_address_domain(*address), local = mail_address_local(*address);
    if (c->masquerade_count == 0 || domain.len == 0)
        return true;
    if (!match_list_is_empty(c->masquerade_exceptions)) {
        enum match_result match = match_string(c->masquerade_exceptions, local);
        if (match == MATCH_TRY_AGAIN)
            transaction_map_failed(t, "masquerade_exceptions", *address);
        if (match != MATCH_NO)
            return match == MATCH_YES;
    }
    for (size_t i = 0; i < c->masquerade_count; i++) {
        const struct masquerade_domain *m = &c->masquerade[i];
        if (slice_equal_case(domain, m->name))
            return true;
        size_t cut = domain.len > m->name.len ? domain.len - m->name.len : 0;
        if (cut == 0 || domain.data[cut - 1] != '.' || !slice_equal_case(slice_from(domain, cut), m->name))
            continue;
        if (!m->leave)
            *address = arena_format(t->arena, SLICE_FORMAT "@" SLICE_FORMAT, SLICE_ARGS(local), SLICE_ARGS(m->name));
        return true;
    }
    return true;
}

bool address_map(struct transaction *t, int class, struct slice *address)
{
    const struct cleanup *c = t->cleanup;
    bool sender = class & (CLASS_ENVELOPE_SENDER | CLASS_HEADER_SENDER);
    if ((t->options & SUBMIT_NO_ADDRESS_MAPPING) || address->len == 0)
        return true;
    if (sender && (c->sender_canonical_classes & class) && !map_step(t, c->sender_canonical, "sender_canonical_maps", address))
        return false;
    if (!sender && (c->recipient_canonical_classes & class) &&
        !map_step(t, c->maps->recipient_canonical, "recipient_canonical_maps", address))
        return false;
    if ((c->canonical_classes & class) && !map_step(t, c->maps->canonical, "canonical_maps", address))
        return false;
    return !(c->masquerade_classes & class) || masquerade(t, address);
}
