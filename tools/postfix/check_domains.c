/* check_domains.c - a domain in more than one of the lists that give it its class */
#include "base/map.h"
#include "checks.h"

/* In the order in which the mail system looks. */
static const char *const lists[] = {"mydestination", "virtual_alias_domains", "virtual_mailbox_domains", "relay_domains"};

struct domain_search {
    struct checks *checks;
    struct map *seen; /* domain -> name of the list */
    const char *list;
    struct setting_place place;
};

static void take_domain(struct domain_search *search, struct slice domain)
{
    const char *before = map_get(search->seen, domain);
    if (!before)
        map_set(search->seen, domain, (void *)search->list);
    else if (strcmp(before, search->list) != 0)
        found(search->checks->control, FINDING_DOMAIN_OVERLAP, FINDING_WARNING, search->place.file, search->place.line,
              arena_string(search->checks->arena, domain), "do not list domain " SLICE_FORMAT " in BOTH %s and %s", SLICE_ARGS(domain), before,
              search->list);
}

/* take_table - the keys that are domains: in virtual alias tables there are addresses and names beside them. */
static void take_table(struct domain_search *search, const struct table_use *use)
{
    struct table_rows rows;
    if (!table_use_has_rows(use) || !table_rows_read(search->checks->arena, use->path, false, &rows, NULL, NULL))
        return;
    for (size_t i = 0; i < rows.count; i++) {
        struct slice key = slice_of(rows.rows[i].key);
        if (slice_find(key, '@') == key.len && slice_find(key, '.') < key.len && key.data[0] != '.')
            take_domain(search, key);
    }
}

static void take_list(struct domain_search *search)
{
    struct slice rest = slice_of(search->place.value), element;
    struct buffer folded = BUFFER_INIT;
    while (config_list_next(&rest, &element)) {
        if (slice_find(element, ':') < element.len || slice_find(element, '/') < element.len || element.data[0] == '!' || element.data[0] == '.')
            continue;
        buffer_clear(&folded);
        buffer_append_lower(&folded, element);
        take_domain(search, buffer_slice(&folded));
    }
    buffer_release(&folded);
    for (size_t i = 0; i < search->checks->tables.count; i++)
        if (strcmp(search->checks->tables.uses[i].place.name, search->place.name) == 0)
            take_table(search, &search->checks->tables.uses[i]);
}

void check_domains(struct checks *checks)
{
    struct domain_search search = {.checks = checks, .seen = map_new(NULL)};
    for (size_t i = 0; i < COUNT_OF(lists); i++) {
        search.list = lists[i];
        search.place = setting_place_of(checks, lists[i]);
        if (search.place.line == 0 && i > 0) {
            /* By default virtual_alias_domains is $virtual_alias_maps, and relay_domains of old is $mydestination. */
            if (strcmp(lists[i], "virtual_alias_domains") != 0)
                continue;
            search.place = setting_place_of(checks, "virtual_alias_maps");
        }
        take_list(&search);
    }
    map_free(search.seen);
}
