/* check_rows.c - --tables: rows that nothing ever gets to, because another comes first */
#include "base/log.h"
#include "base/map.h"
#include "checks.h"
#include "conf/config_file.h"
#include "conf/logical_lines.h"
#include "net/address.h"
#include "table/table.h"

static void shadowed(struct checks *checks, const struct table_use *use, int line, const char *key, const char *by)
{
    found(checks->control, FINDING_TABLE_SHADOWED, FINDING_WARNING, use->path, line, use->name, "\"%s\" is never used: %s comes first", key, by);
}

static bool is_pattern(const struct table_use *use)
{
    return strcmp(use->type, "pcre") == 0 || strcmp(use->type, "regexp") == 0;
}

/* ---- within one list of tables: an earlier table has the key, too -------------------------------------------------- */

static struct table *open_quietly(struct checks *checks, const struct table_use *use)
{
    return table_open(slice_of(use->name), 0, checks->config); /* check_tables has told what is wrong with it */
}

static bool is_local(const struct table_use *use)
{
    return table_use_has_rows(use) || is_pattern(use) || strcmp(use->type, "cidr") == 0 || strcmp(use->type, "inline") == 0 ||
           strcmp(use->type, "static") == 0;
}

static void check_against(struct checks *checks, const struct table_use *use, const struct table_rows *rows, const struct table_use *earlier)
{
    struct table *table = open_quietly(checks, earlier);
    struct buffer value = BUFFER_INIT;
    for (size_t i = 0; i < rows->count; i++)
        if (table_lookup(table, slice_of(rows->rows[i].key), &value) == TABLE_FOUND)
            shadowed(checks, use, rows->rows[i].line, rows->rows[i].key, earlier->name);
    buffer_release(&value);
    table_free(table);
}

/* check_group - a *_maps value: the first table that has a key wins.  Lists of restrictions are no such thing: each restriction looks on its own. */
static void check_group(struct checks *checks, size_t index)
{
    const struct table_use *use = &checks->tables.uses[index];
    struct table_rows rows;
    struct slice parameter = slice_of(use->place.name);
    if (!table_use_has_rows(use) || !(slice_ends(parameter, SLICE("_maps")) || slice_ends(parameter, SLICE("_checks"))) ||
        !table_rows_read(checks->arena, use->path, table_use_is_alias(use), &rows, NULL, NULL))
        return;
    for (size_t i = 0; i < index; i++)
        if (checks->tables.uses[i].group == use->group && is_local(&checks->tables.uses[i]))
            check_against(checks, use, &rows, &checks->tables.uses[i]);
}

/* ---- within one file: a wider network, an expression that matches everything -------------------------------------- */

struct earlier {
    struct net_network network;
    const char *text;
    int line;
};

/* covers - everything in b is in a. */
static bool covers(const struct net_network *a, const struct net_network *b)
{
    if (a->family != b->family || a->prefix > b->prefix)
        return false;
    for (unsigned bit = 0; bit < a->prefix; bit++)
        if ((a->bytes[bit / 8] ^ b->bytes[bit / 8]) & (0x80u >> (bit % 8)))
            return false;
    return true;
}

static void check_networks(struct checks *checks, const struct table_use *use, struct slice text)
{
    enum { NETWORKS_MAX = 5000 }; /* compared each with each */
    struct earlier *earlier = memory_zalloc(NETWORKS_MAX, sizeof(*earlier));
    size_t count = 0;
    struct logical_lines lines;
    struct buffer line = BUFFER_INIT;
    logical_lines_start(&lines, text);
    while (count < NETWORKS_MAX && logical_lines_next(&lines, &line)) {
        struct slice rest = buffer_slice(&line), key;
        struct earlier *now = &earlier[count];
        if (slice_starts(rest, SLICE("if")) || slice_starts(rest, SLICE("endif")))
            break; /* what is inside is a list of its own */
        if (!slice_next_token(&rest, " \t", &key) || !net_network_parse(&now->network, key, NULL))
            continue;
        now->text = arena_string(checks->arena, key);
        now->line = lines.first;
        for (size_t i = 0; i < count; i++)
            if (covers(&earlier[i].network, &now->network)) {
                shadowed(checks, use, now->line, now->text, arena_printf(checks->arena, "%s (line %d)", earlier[i].text, earlier[i].line));
                break;
            }
        count++;
    }
    free(earlier);
    buffer_release(&line);
}

/* expression_of - "/.../flags" at the start of a rule. */
static struct slice expression_of(struct slice rule)
{
    size_t i = 1;
    while (i < rule.len && rule.data[i] != rule.data[0])
        i += rule.data[i] == '\\' ? 2 : 1;
    while (i < rule.len && rule.data[i] != ' ' && rule.data[i] != '\t')
        i++;
    return slice_first(rule, i < rule.len ? i : rule.len);
}

static bool matches_all(struct slice expression)
{
    static const char *const all[] = {"/./", "/.*/", "/^/", "/$/", "/^.*/", "/^.*$/", "/.*$/", "//", "/.+/", "/^.+$/"};
    for (size_t i = 0; i < COUNT_OF(all); i++)
        if (slice_equal(expression, slice_of(all[i])))
            return true;
    return false;
}

static void check_expressions(struct checks *checks, const struct table_use *use, struct slice text)
{
    struct logical_lines lines;
    struct buffer line = BUFFER_INIT;
    struct map *seen = map_new(NULL);
    const char *all = NULL;
    logical_lines_start(&lines, text);
    while (logical_lines_next(&lines, &line)) {
        struct slice rule = slice_trim(buffer_slice(&line));
        if (slice_starts(rule, SLICE("if")) || slice_starts(rule, SLICE("endif")))
            break; /* what is inside is a list of its own */
        struct slice expression = expression_of(rule), action = slice_trim(slice_from(rule, expression.len));
        if (rule.data[0] == '!' || slice_starts(action, SLICE("DUNNO")) || slice_starts(action, SLICE("WARN")) || slice_starts(action, SLICE("PREPEND")))
            continue;
        const char *name = arena_string(checks->arena, expression), *before = map_get(seen, expression);
        const char *here = arena_printf(checks->arena, "%s (line %d)", name, lines.first);
        if (all || before)
            shadowed(checks, use, lines.first, name, all ? all : before);
        else
            map_set(seen, expression, (void *)here);
        if (!all && matches_all(expression))
            all = here;
    }
    map_free(seen);
    buffer_release(&line);
}

static void check_file(struct checks *checks, const struct table_use *use)
{
    struct buffer text = BUFFER_INIT;
    bool networks = strcmp(use->type, "cidr") == 0;
    if (use->path[0] == '/' && (networks || is_pattern(use)) && config_read_file(use->path, &text)) {
        if (networks)
            check_networks(checks, use, buffer_slice(&text));
        else
            check_expressions(checks, use, buffer_slice(&text));
    }
    buffer_release(&text);
}

/* ---- a catch-all alias hides mailboxes ---------------------------------------------------------------------------- */

static bool has_key(struct table_list *aliases, struct slice key)
{
    struct buffer value = BUFFER_INIT;
    bool found_it = table_list_lookup(aliases, key, true, &value) == TABLE_FOUND;
    buffer_release(&value);
    return found_it;
}

static void check_catch_all(struct checks *checks, struct table_list *aliases, const struct table_use *use)
{
    struct table_rows rows;
    if (!table_use_has_rows(use) || strcmp(use->place.name, "virtual_mailbox_maps") != 0 ||
        !table_rows_read(checks->arena, use->path, false, &rows, NULL, NULL))
        return;
    for (size_t i = 0; i < rows.count; i++) {
        struct slice key = slice_of(rows.rows[i].key), domain = slice_from(key, slice_find_last(key, '@'));
        if (domain.len > 1 && domain.len < key.len && has_key(aliases, domain) && !has_key(aliases, key))
            shadowed(checks, use, rows.rows[i].line, rows.rows[i].key,
                     arena_printf(checks->arena, SLICE_FORMAT " of virtual_alias_maps", SLICE_ARGS(domain)));
    }
}

static bool all_local(struct checks *checks, const char *parameter)
{
    for (size_t i = 0; i < checks->tables.count; i++)
        if (strcmp(checks->tables.uses[i].place.name, parameter) == 0 && !is_local(&checks->tables.uses[i]))
            return false;
    return true;
}

static void drop_text(enum log_severity severity, const char *text, void *context) {}

void check_rows(struct checks *checks)
{
    struct map *seen = map_new(NULL);
    log_set_watcher(drop_text, NULL);
    struct table_list *aliases = NULL;
    if (all_local(checks, "virtual_alias_maps"))
        aliases = table_list_new("virtual_alias_maps", config_string(checks->config, "virtual_alias_maps"), TABLE_FOLD, checks->config);
    log_set_watcher(NULL, NULL);
    for (size_t i = 0; i < checks->tables.count; i++) {
        const struct table_use *use = &checks->tables.uses[i];
        check_group(checks, i);
        if (aliases)
            check_catch_all(checks, aliases, use);
        if (!map_get(seen, slice_of(use->name)))
            check_file(checks, use);
        map_set(seen, slice_of(use->name), checks);
    }
    table_list_free(aliases);
    map_free(seen);
}
