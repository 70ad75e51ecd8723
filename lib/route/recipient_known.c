/* recipient_known.c - is the recipient listed for its class (compat.md d.7) */
#include "route/route_private.h"

/* in_maps - 1, 0, -1, -2; an empty list has nobody.  In small letters, also for tables that tell capitals apart. */
static int in_maps(struct route *route, struct table_list *maps, struct slice recipient)
{
    if (table_list_is_empty(maps))
        return 0;
    struct buffer value = BUFFER_INIT, key = BUFFER_INIT;
    buffer_append_lower(&key, recipient);
    enum table_result found = address_lookup(maps, &route->keys, buffer_slice(&key), ADDRESS_KEY_ALL, &value, NULL, NULL);
    buffer_release(&value);
    buffer_release(&key);
    if (found == TABLE_TRY_AGAIN)
        return table_list_is_misconfigured(maps) ? -2 : -1;
    return found == TABLE_FOUND ? 1 : 0;
}

/* is_always_known - local parts that are never refused in our own domains; in other classes they must be listed (as Postfix does, whatever
   RFC 5321 4.5.1 would like). */
static bool is_always_known(const struct route *route, enum address_class class, struct slice local_part)
{
    if (class != ADDRESS_CLASS_LOCAL)
        return false;
    return slice_equal_case(local_part, SLICE("postmaster")) || slice_equal_case(local_part, SLICE("mailer-daemon")) ||
           slice_equal_case(local_part, slice_of(route->params.double_bounce_sender));
}

/* listed - by the class's own table. */
static int listed(struct route *route, enum address_class class, struct slice recipient, const char **table)
{
    struct table_list *maps = NULL;
    switch (class) {
    case ADDRESS_CLASS_LOCAL:
        maps = route->local_recipients;
        *table = "local recipient table";
        break;
    case ADDRESS_CLASS_VIRTUAL_ALIAS:
        *table = "virtual alias table";
        return 0; /* virtual_alias_maps was looked at already */
    case ADDRESS_CLASS_VIRTUAL_MAILBOX:
        maps = route->virtual_mailbox;
        *table = "virtual mailbox table";
        break;
    case ADDRESS_CLASS_RELAY:
        maps = route->relay_recipients;
        *table = "relay recipient table";
        break;
    case ADDRESS_CLASS_DEFAULT:
        return 1;
    }
    return table_list_is_empty(maps) ? 1 : in_maps(route, maps, recipient);
}

int route_recipient_known(struct route *route, const struct route_result *resolved, struct slice recipient, const char **table)
{
    *table = "";
    if (resolved->class == ADDRESS_CLASS_DEFAULT || is_always_known(route, resolved->class, mail_address_local(resolved->recipient)))
        return 1;
    struct table_list *rewriting[] = {route->maps.recipient_canonical, route->maps.canonical, route->maps.virtual_alias};
    for (size_t i = 0; i < COUNT_OF(rewriting); i++) {
        int known = in_maps(route, rewriting[i], resolved->recipient);
        if (known != 0)
            return known;
    }
    return listed(route, resolved->class, resolved->recipient, table);
}
