/* references.c - settings as programs see them, and the tables that they name */
#include "checks.h"
#include "conf/restrictions.h"
#include "table/table.h"

bool is_program(const struct master_service *service, const char *program)
{
    const char *slash = strrchr(service->command, '/');
    return strcmp(slash ? slash + 1 : service->command, program) == 0;
}

/* ---- settings ----------------------------------------------------------------------------------------------------- */

static bool is_class(struct checks *checks, struct slice name)
{
    char *text = slice_string(name);
    bool found = config_list_has(config_string(checks->config, "smtpd_restriction_classes"), text);
    free(text);
    return found;
}

/* is_text - a setting whose value programs read as it is after expansion. */
static bool is_text(struct checks *checks, struct slice name)
{
    const struct parameter *row = parameter_find(name);
    return row ? row->type == PARAMETER_STRING : is_class(checks, name);
}

struct setting_place setting_place_of(struct checks *checks, const char *name)
{
    int line;
    config_raw(checks->config, slice_of(name), &line);
    return (struct setting_place){name, config_string(checks->config, name), checks->main_file, line, checks->config};
}

void settings_each(struct checks *checks, void (*each)(void *context, const struct setting_place *place), void *context)
{
    struct slice name, value;
    for (size_t at = 0; config_next_set(checks->config, &at, &name);)
        if (is_text(checks, name)) {
            struct setting_place place = setting_place_of(checks, arena_string(checks->arena, name));
            each(context, &place);
        }
    for (size_t i = 0; i < checks->services.count; i++) {
        size_t at = 0;
        while (master_cf_next_setting(&checks->services.services[i], &at, &name, &value))
            if (is_text(checks, name)) {
                const char *text = arena_string(checks->arena, name);
                struct config *config = checks->service_configs[i];
                each(context, &(struct setting_place){text, config_string(config, text), checks->master_file, checks->services.services[i].line, config});
            }
    }
    bool delivers = false;
    for (size_t i = 0; i < checks->services.count; i++)
        delivers |= is_program(&checks->services.services[i], "local");
    struct setting_place aliases = setting_place_of(checks, "alias_maps");
    if (delivers && aliases.line == 0)
        each(context, &aliases);
}

/* ---- tables ------------------------------------------------------------------------------------------------------- */

enum { USES_MAX = 10000, NESTING_MAX = 10 };

struct search {
    struct checks *checks;
    const struct setting_place *place;
    size_t group, room;
    bool only_tables; /* the setting holds nothing else: a type that is not known is a slip */
};

/* is_table_type - types of this build, and those of Postfix that it lacks: they are told, too. */
static bool is_table_type(struct slice type)
{
    static const char *const others[] = {"cdb", "dbm", "mongodb", "nis", "nisplus", "sdbm"};
    if (table_type_known(type))
        return true;
    for (size_t i = 0; i < COUNT_OF(others); i++)
        if (slice_equal(type, slice_of(others[i])))
            return true;
    return false;
}

static void add_use(struct search *search, struct slice type, struct slice path)
{
    struct table_uses *tables = &search->checks->tables;
    struct arena *arena = search->checks->arena;
    if (tables->count >= USES_MAX)
        return;
    if (tables->count == search->room) {
        size_t room = search->room ? search->room * 2 : 32;
        struct table_use *larger = arena_alloc(arena, room * sizeof(*larger));
        if (tables->count)
            memcpy(larger, tables->uses, tables->count * sizeof(*larger));
        tables->uses = larger;
        search->room = room;
    }
    struct table_use *use = &tables->uses[tables->count++];
    *use = (struct table_use){.type = arena_string(arena, type), .path = arena_string(arena, path), .place = *search->place, .group = search->group};
    use->name = arena_printf(arena, "%s:%s", use->type, use->path);
}

static void search_list(struct search *search, struct slice list, int depth)
{
    struct slice element, inside, type, name;
    while (config_list_next(&list, &element)) {
        if (depth < NESTING_MAX && config_braced(element, &inside)) {
            search_list(search, inside, depth + 1);
            continue;
        }
        while (element.len && element.data[0] == '!')
            element = slice_from(element, 1);
        while (slice_cut(element, ':', &type, &name) && (slice_equal(type, SLICE("proxy")) || slice_equal(type, SLICE("debug"))))
            element = name;
        if (!slice_cut(element, ':', &type, &name) || !(search->only_tables || is_table_type(type)))
            continue;
        bool nests = slice_equal(type, SLICE("pipemap")) || slice_equal(type, SLICE("unionmap"));
        if (nests && depth < NESTING_MAX && config_braced(name, &inside))
            search_list(search, inside, depth + 1);
        else if (!nests)
            add_use(search, type, name);
    }
}

/* search_restrictions - words, some with an argument that is no table though it has a colon: "check_policy_service inet:127.0.0.1:10031". */
static void search_restrictions(struct search *search, struct slice list)
{
    struct slice word, argument;
    while (config_list_next(&list, &word)) {
        enum restriction_argument wanted = RESTRICTION_NONE;
        if (!restriction_known(word, &wanted)) {
            search_list(search, word, 0);
            continue;
        }
        if (wanted != RESTRICTION_NONE && config_list_next(&list, &argument) && wanted == RESTRICTION_TABLE)
            search_list(search, argument, 0);
    }
}

/* is_cache - tables that programs write themselves. */
static bool is_cache(const char *parameter)
{
    struct slice name = slice_of(parameter);
    return slice_ends(name, SLICE("_cache_database")) || slice_ends(name, SLICE("_cache_map")) || slice_ends(name, SLICE("_verify_map"));
}

static void search_setting(void *context, const struct setting_place *place)
{
    struct search *search = context;
    if (is_cache(place->name))
        return;
    struct slice name = slice_of(place->name);
    search->place = place;
    search->only_tables = slice_ends(name, SLICE("_checks")) || (slice_ends(name, SLICE("_maps")) && !slice_starts(name, SLICE("proxy_")));
    search->group++;
    if (slice_ends(name, SLICE("_restrictions")) || is_class(search->checks, name)) {
        search->only_tables = true;
        search_restrictions(search, slice_of(place->value));
    } else {
        search_list(search, slice_of(place->value), 0);
    }
    search->place = NULL;
}

void table_uses_find(struct checks *checks)
{
    struct search search = {.checks = checks};
    settings_each(checks, search_setting, &search);
}
