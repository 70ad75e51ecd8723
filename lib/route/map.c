/* map.c - one step of a canonical-like map */
#include "base/log.h"
#include "route/route_private.h"

/* with_extension - "user@dom" and "+ext" -> "user+ext@dom". */
static struct slice with_extension(struct slice address, struct slice extension, struct arena *arena)
{
    struct mail_address parts;
    mail_address_split(address, arena, &parts);
    parts.local_part = arena_format(arena, SLICE_FORMAT SLICE_FORMAT, SLICE_ARGS(parts.local_part), SLICE_ARGS(extension));
    return mail_address_join(parts.local_part, parts.domain, arena);
}

struct slice route_map_result(struct route *route, struct slice key, struct slice value, struct slice extension, struct arena *arena)
{
    if (value.len > 1 && value.data[0] == '@') { /* the same user elsewhere */
        value = arena_format(arena, SLICE_FORMAT SLICE_FORMAT, SLICE_ARGS(mail_address_local(key)), SLICE_ARGS(value));
        extension.len = 0;
    }
    struct slice mapped = route_rewrite(route, SLICE("local"), value, arena);
    return extension.len ? with_extension(mapped, extension, arena) : mapped;
}

int route_map_address(struct route *route, struct table_list *tables, struct slice address, bool propagate, struct arena *arena,
                      struct slice *result)
{
    *result = address;
    if (table_list_is_empty(tables))
        return 0;
    struct buffer value = BUFFER_INIT;
    struct slice extension, *addresses;
    enum table_result found = address_lookup(tables, &route->keys, address, ADDRESS_KEY_ALL, &value, &extension, NULL);
    size_t count = 0;
    if (found == TABLE_FOUND && slice_equal(slice_trim(buffer_slice(&value)), SLICE("<>"))) { /* the null address is meant */
        buffer_release(&value);
        *result = (struct slice){"", 0};
        return 1;
    }
    if (found == TABLE_FOUND) {
        count = address_list_addresses(arena_slice(arena, buffer_slice(&value)), 0, arena, &addresses);
        if (count > 1)
            log_warning("map entry for \"" SLICE_FORMAT "\" returns multiple addresses: \"%.200s\" -- using the first", SLICE_ARGS(address),
                        buffer_string(&value));
        if (count == 0)
            log_warning("map entry for \"" SLICE_FORMAT "\" has no address: \"%.200s\"", SLICE_ARGS(address), buffer_string(&value));
    }
    buffer_release(&value);
    if (found == TABLE_TRY_AGAIN)
        return -1;
    if (count == 0)
        return 0;
    if (!propagate)
        extension.len = 0;
    *result = route_map_result(route, address, addresses[0], extension, arena);
    return !slice_equal(*result, address);
}
