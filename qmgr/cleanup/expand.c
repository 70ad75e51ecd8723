/* expand.c - virtual_alias_maps: one recipient to the addresses it stands for (compat.md e.3)

   A worklist instead of recursion: each entry is looked up until it has no entry or maps to itself.  The limits make it end. */
#include "base/log.h"
#include "transaction.h"

struct entry {
    struct slice address;
    int64_t depth;
    bool final; /* not looked up again */
    bool own;   /* its own result */
};

struct worklist {
    struct transaction *transaction;
    struct slice recipient; /* where it began, for messages */
    struct entry *entries;
    size_t count, room;
};

static void push(struct worklist *list, struct entry entry)
{
    if (list->count == list->room) {
        size_t room = list->room ? list->room * 2 : 8;
        struct entry *larger = arena_alloc(list->transaction->arena, room * sizeof(*larger));
        if (list->count)
            memcpy(larger, list->entries, list->count * sizeof(*larger));
        list->entries = larger;
        list->room = room;
    }
    list->entries[list->count++] = entry;
}

/* unreasonable - a limit is exceeded: what says which. */
static bool unreasonable(struct worklist *list, const char *what)
{
    struct transaction *t = list->transaction;
    log_warning(SLICE_FORMAT ": unreasonable virtual_alias_maps %s for " SLICE_FORMAT " -- message not accepted, try again later",
                SLICE_ARGS(t->queue_id), what, SLICE_ARGS(list->recipient));
    transaction_refuse(t, SUBMIT_STATUS_TEMPORARY, 451, SLICE("4.6.0 Alias expansion error"));
    return false;
}

/* is_known - an address that was found to stand for itself (and others) is that address wherever it comes up again. */
static bool is_known(const struct worklist *list, struct slice address)
{
    for (size_t i = 0; i < list->count; i++)
        if (list->entries[i].own && slice_equal_case(list->entries[i].address, address))
            return true;
    return false;
}

/* replace - the results of a lookup take the entry's place: the first in it, the others at the end. */
static bool replace(struct worklist *list, size_t at, struct slice value, struct slice extension)
{
    const struct cleanup *c = list->transaction->cleanup;
    struct entry old = list->entries[at];
    struct slice *results;
    size_t count = address_list_addresses(value, 0, list->transaction->arena, &results);
    for (size_t i = 0; i < count; i++) {
        struct slice result = route_map_result(c->route, old.address, results[i], extension, list->transaction->arena);
        if (result.len > (size_t)c->params.virtual_alias_address_length_limit)
            return unreasonable(list, "map result");
        bool own = slice_equal_case(result, old.address);
        struct entry entry = {result, old.depth + 1, own || is_known(list, result), own};
        if (i == 0)
            list->entries[at] = entry;
        else
            push(list, entry);
        if (list->count > (size_t)c->params.virtual_alias_expansion_limit)
            return unreasonable(list, "map expansion size");
    }
    if (count == 0) {
        log_warning("virtual_alias_maps lookup of " SLICE_FORMAT " returns non-address result \"" SLICE_FORMAT "\"", SLICE_ARGS(old.address), SLICE_ARGS(value));
        transaction_map_failed(list->transaction, "virtual_alias_maps", old.address);
        return false;
    }
    return true;
}

/* expand_entry - until it is final. */
static bool expand_entry(struct worklist *list, size_t at, struct buffer *value)
{
    struct transaction *t = list->transaction;
    while (!list->entries[at].final) {
        struct slice address = list->entries[at].address, extension;
        if (list->entries[at].depth >= t->cleanup->params.virtual_alias_recursion_limit)
            return unreasonable(list, "map nesting");
        switch (address_lookup(t->cleanup->maps->virtual_alias, route_keys(t->cleanup->route), address, ADDRESS_KEY_ALL, value, &extension, NULL)) {
        case TABLE_FOUND:
            if (!t->cleanup->propagate_virtual)
                extension.len = 0;
            if (!replace(list, at, arena_slice(t->arena, buffer_slice(value)), extension))
                return false;
            break;
        case TABLE_NOT_FOUND:
            list->entries[at].final = true;
            break;
        case TABLE_TRY_AGAIN:
            transaction_map_failed(t, "virtual_alias_maps", address);
            return false;
        }
    }
    return true;
}

bool recipients_expand(struct transaction *t, struct slice address, struct slice **results, size_t *count)
{
    struct worklist list = {.transaction = t, .recipient = address};
    struct buffer value = BUFFER_INIT;
    bool good = true;
    push(&list, (struct entry){.address = address});
    for (size_t i = 0; good && i < list.count; i++)
        good = expand_entry(&list, i, &value);
    buffer_release(&value);
    if (!good)
        return false;
    *results = arena_alloc(t->arena, list.count * sizeof(**results));
    for (size_t i = 0; i < list.count; i++)
        (*results)[i] = list.entries[i].address;
    *count = list.count;
    return true;
}
