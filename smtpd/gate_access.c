/* gate_access.c - postscreen_access_list */
#include "gate_private.h"

#include "table/match.h"

struct item {
    struct table *table;        /* NULL: the others */
    struct match_list *networks;
    enum gate_verdict verdict;  /* of networks, or of anybody when there are none */
};

struct gate_access {
    struct item *items;
    size_t count;
};

/* What a word means; false: nothing. */
static bool verdict_of(struct slice word, enum gate_verdict *verdict)
{
    static const struct {
        const char *word;
        enum gate_verdict verdict;
    } words[] = {{"permit", GATE_PERMIT}, {"reject", GATE_REJECT}, {"dunno", GATE_DUNNO}};

    for (size_t i = 0; i < COUNT_OF(words); i++) {
        if (slice_equal_case(word, slice_of(words[i].word))) {
            *verdict = words[i].verdict;
            return true;
        }
    }
    return false;
}

static void unknown(const char *where, struct slice word)
{
    gate_warn("%s: unknown command: " SLICE_FORMAT " -- ignoring the remainder of this access list", where, SLICE_ARGS(word));
}

/* add - false: the list ends here. */
static bool add(struct gate_access *access, struct slice word, const char *mynetworks, struct config *config)
{
    struct item item = {0};

    if (slice_equal_case(word, SLICE("permit_mynetworks"))) {
        item.networks = match_list_new("mynetworks", mynetworks, MATCH_ADDRESS_LIST, config);
        item.verdict = GATE_PERMIT;
    } else if (slice_find(word, ':') < word.len) {
        item.table = table_open(word, TABLE_FOLD, config);
    } else if (!verdict_of(word, &item.verdict)) {
        unknown("postscreen_access_list", word);
        return false;
    }
    access->items = memory_resize(access->items, (access->count + 1) * sizeof(item));
    access->items[access->count++] = item;
    return true;
}

struct gate_access *gate_access_new(const char *value, const char *mynetworks, struct config *config)
{
    struct gate_access *access = memory_zalloc(1, sizeof(*access));
    struct slice rest = slice_of(value), word;

    while (config_list_next(&rest, &word) && add(access, word, mynetworks, config))
        continue;
    return access;
}

void gate_access_free(struct gate_access *access)
{
    if (!access)
        return;
    for (size_t i = 0; i < access->count; i++) {
        table_free(access->items[i].table);
        match_list_free(access->items[i].networks);
    }
    free(access->items);
    free(access);
}

/* ask_table - false: the list ends here. */
static bool ask_table(struct table *table, const struct net_address *address, enum gate_verdict *verdict)
{
    struct buffer key = BUFFER_INIT, value = BUFFER_INIT;
    bool good = true;

    net_address_text(address, &key);
    enum table_result found = table_lookup(table, buffer_slice(&key), &value);
    if (found == TABLE_TRY_AGAIN) {
        gate_warn("%s: table lookup error -- ignoring the remainder of this access list", table_name(table));
        good = false;
    } else if (found == TABLE_FOUND && !verdict_of(slice_trim(buffer_slice(&value)), verdict)) {
        unknown(table_name(table), slice_trim(buffer_slice(&value)));
        good = false;
    }
    buffer_release(&key);
    buffer_release(&value);
    return good;
}

enum gate_verdict gate_access_decide(const struct gate_access *access, const struct net_address *address)
{
    for (size_t i = 0; i < access->count; i++) {
        const struct item *item = &access->items[i];
        enum gate_verdict verdict = item->verdict;
        if (item->table && !ask_table(item->table, address, &verdict))
            return GATE_DUNNO;
        if (item->networks && match_host(item->networks, (struct slice){0}, address) != MATCH_YES)
            verdict = GATE_DUNNO;
        if (verdict != GATE_DUNNO)
            return verdict;
    }
    return GATE_DUNNO;
}
