/* address_lookup.c - keys of an address, of a domain, of a network, in Postfix's order (compat.md c.5) */
#include "table/address_lookup.h"

#include "address/mail_address.h"

static bool is_special_name(struct slice local_part)
{
    return slice_equal_case(local_part, SLICE("postmaster")) || slice_equal_case(local_part, SLICE("mailer-daemon")) ||
           slice_equal_case(local_part, SLICE("double-bounce"));
}

static bool is_list_name(struct slice local_part, struct slice delimiters)
{
    return slice_find(delimiters, '-') < delimiters.len &&
           (slice_starts_case(local_part, SLICE("owner-")) || slice_ends_case(local_part, SLICE("-request")));
}

void address_split_extension(struct slice local_part, struct slice delimiters, bool owner_request_special, struct slice *user,
                             struct slice *extension)
{
    *user = local_part;
    *extension = (struct slice){0};
    if (delimiters.len == 0 || is_special_name(local_part) || (owner_request_special && is_list_name(local_part, delimiters)))
        return;
    for (size_t i = 1; i < local_part.len; i++) {
        if (slice_find(delimiters, local_part.data[i]) < delimiters.len) {
            *user = slice_first(local_part, i);
            *extension = slice_from(local_part, i);
            return;
        }
    }
}

/* One lookup in progress. */
struct search {
    struct table_list *tables;
    struct buffer *value;
    struct arena *arena;
    bool first;            /* the next key is the full one: pattern tables see it */
    enum table_result result;
};

static bool try_key(struct search *search, struct slice key)
{
    search->result = table_list_lookup(search->tables, key, search->first, search->value);
    search->first = false;
    return search->result != TABLE_NOT_FOUND;
}

/* try_both - external form, then, if it differs, internal form. */
static bool try_both(struct search *search, struct slice local, struct slice domain, bool with_domain)
{
    bool full = search->first;
    struct slice key = with_domain ? mail_address_join(local, domain, search->arena) : (struct slice){0};

    if (!with_domain) {
        struct buffer quoted = BUFFER_INIT;
        mail_address_quote_local(local, &quoted);
        key = arena_slice(search->arena, buffer_slice(&quoted));
        buffer_release(&quoted);
    }
    if (try_key(search, key))
        return true;
    struct slice internal = with_domain ? arena_format(search->arena, SLICE_FORMAT "@" SLICE_FORMAT, SLICE_ARGS(local), SLICE_ARGS(domain)) : local;
    if (slice_equal(internal, key))
        return false;
    search->first = full;
    return try_key(search, internal);
}

static bool try_domain_keys(struct search *search, struct slice local, struct slice user, struct slice domain, int kinds, int *kind)
{
    if (kinds & ADDRESS_KEY_DOMAIN) {
        *kind = ADDRESS_KEY_DOMAIN;
        if (try_key(search, arena_format(search->arena, "@" SLICE_FORMAT, SLICE_ARGS(domain))))
            return true;
    }
    if (kinds & ADDRESS_KEY_USER_AT) {
        *kind = ADDRESS_KEY_USER_AT;
        if (try_key(search, arena_format(search->arena, SLICE_FORMAT "@", SLICE_ARGS(local))))
            return true;
        if (user.len < local.len && try_key(search, arena_format(search->arena, SLICE_FORMAT "@", SLICE_ARGS(user))))
            return true;
    }
    return false;
}

static bool try_keys(struct search *search, const struct address_keys *keys, const struct mail_address *parts, struct slice user, int kinds, int *kind)
{
    bool extended = user.len < parts->local_part.len, bare = parts->domain.len == 0;

    *kind = ADDRESS_KEY_FULL;
    if ((kinds & ADDRESS_KEY_FULL) && try_both(search, parts->local_part, parts->domain, !bare))
        return true;
    *kind = ADDRESS_KEY_NO_EXTENSION;
    if ((kinds & ADDRESS_KEY_NO_EXTENSION) && extended && try_both(search, user, parts->domain, !bare))
        return true;
    if (bare)
        return false;
    if ((kinds & ADDRESS_KEY_LOCAL) && keys->is_local != NULL && keys->is_local(keys->context, parts->domain)) {
        *kind = ADDRESS_KEY_LOCAL;
        if (try_both(search, parts->local_part, parts->domain, false))
            return true;
        if (extended) {
            *kind = ADDRESS_KEY_LOCAL | ADDRESS_KEY_NO_EXTENSION;
            if (try_both(search, user, parts->domain, false))
                return true;
        }
    }
    return try_domain_keys(search, parts->local_part, user, parts->domain, kinds, kind);
}

enum table_result address_lookup(struct table_list *tables, const struct address_keys *keys, struct slice address, int kinds,
                                 struct buffer *value, struct slice *extension, int *kind)
{
    struct mail_address parts;
    struct slice user, rest;
    int found_kind = 0;

    if (extension != NULL)
        *extension = (struct slice){0};
    if (table_list_is_empty(tables))
        return TABLE_NOT_FOUND;
    struct search search = {.tables = tables, .value = value, .arena = arena_new(0), .first = (kinds & ADDRESS_KEY_FULL) != 0, .result = TABLE_NOT_FOUND};
    mail_address_split(address, search.arena, &parts);
    address_split_extension(parts.local_part, keys->delimiters, keys->owner_request_special, &user, &rest);
    if (!try_keys(&search, keys, &parts, user, kinds, &found_kind))
        search.result = TABLE_NOT_FOUND;
    if (search.result == TABLE_FOUND && extension != NULL && (found_kind & ADDRESS_KEY_NO_EXTENSION)) {
        /* a view of the address: local parts with an extension are the same in both forms up to quotes */
        size_t at = slice_search(address, rest);
        *extension = at < address.len ? slice_first(slice_from(address, at), rest.len) : (struct slice){0};
    }
    if (kind != NULL)
        *kind = found_kind & ~ADDRESS_KEY_NO_EXTENSION ? found_kind & ~ADDRESS_KEY_NO_EXTENSION : found_kind;
    arena_free(search.arena);
    return search.result;
}

enum table_result domain_lookup(struct table_list *tables, struct slice domain, bool whole, bool parent_style, struct buffer *value)
{
    enum table_result result = table_list_lookup(tables, domain, whole, value);

    while (result == TABLE_NOT_FOUND) {
        size_t dot = slice_find(slice_from(domain, 1), '.') + 1;
        if (dot >= domain.len)
            break;
        domain = slice_from(domain, parent_style ? dot + 1 : dot);
        if (domain.len == 0)
            break;
        result = table_list_lookup(tables, domain, false, value);
    }
    return result;
}

enum table_result network_lookup(struct table_list *tables, struct slice address_text, struct buffer *value)
{
    bool six = slice_find(address_text, ':') < address_text.len;
    char separator = six ? ':' : '.';
    enum table_result result = table_list_lookup(tables, address_text, true, value);

    while (result == TABLE_NOT_FOUND) {
        size_t cut = slice_find_last(address_text, separator);
        if (cut >= address_text.len || cut == 0)
            break;
        address_text = slice_first(address_text, cut);
        if (six && slice_ends(address_text, SLICE(":")))
            address_text = slice_first(address_text, address_text.len - 1);
        if (address_text.len == 0)
            break;
        result = table_list_lookup(tables, address_text, false, value);
    }
    return result;
}
