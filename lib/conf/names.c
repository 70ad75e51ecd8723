/* names.c - see names.h */
#include "conf/names.h"

#include "base/arena.h"
#include "conf/config_private.h"
#include "conf/table_names.h"

struct known {
    enum name_class class;
    const struct parameter *row; /* NULL: user */
};

struct config_names {
    struct config *config;
    bool defaults_only;
    const struct name_service *services;
    size_t service_count;
    struct arena *arena;
    struct map *known;    /* name -> struct known */
    struct map *referred; /* names that a value of main.cf refers to */
};

const char *name_service_setting(const struct name_service *service, const char *name)
{
    const char *value = NULL;
    for (size_t i = 0; i < service->count; i++)
        if (strcmp(service->settings[i].name, name) == 0)
            value = service->settings[i].value;
    return value;
}

/* ---- $name in a value ---- */

static bool is_name_byte(char c)
{
    return isalnum((unsigned char)c) || c == '_';
}

void config_references(struct slice value, void (*found)(void *context, struct slice name), void *context)
{
    for (size_t i = 0; i + 1 < value.len; i++) {
        if (value.data[i] != '$')
            continue;
        i++;
        if (value.data[i] == '$')
            continue;
        if (value.data[i] == '{' || value.data[i] == '(')
            do
                i++;
            while (i < value.len && (value.data[i] == ' ' || value.data[i] == '\t'));
        size_t start = i;
        while (i < value.len && is_name_byte(value.data[i]))
            i++;
        struct slice name = slice_make(value.data + start, i - start);
        bool is_function = i < value.len && value.data[i] == '{' && slice_starts(name, SLICE("domain_to_"));
        if (name.len > 0 && !is_function)
            found(context, name);
        i--;
    }
}

/* ---- what is known ---- */

static void add_known(struct config_names *names, struct slice name, enum name_class class, const struct parameter *row)
{
    struct known *before = map_get(names->known, name);
    if (before != NULL) { /* local_destination_concurrency_limit and the like: built in, but a service's once there is one */
        before->class = class == NAME_SERVICE && before->class == NAME_BUILTIN ? class : before->class;
        return;
    }
    struct known *known = arena_alloc(names->arena, sizeof(*known));
    known->class = class;
    known->row = row;
    map_set(names->known, name, known);
}

static const char *set_value(const struct config_names *names, struct slice name)
{
    return names->defaults_only ? NULL : config_raw(names->config, name, NULL);
}

static void add_if_set(struct config_names *names, struct slice name)
{
    if (set_value(names, name) != NULL)
        add_known(names, name, NAME_USER, NULL);
}

static void add_builtin(struct config_names *names)
{
    const struct parameter *row;
    for (size_t i = 0; (row = parameter_at(i)) != NULL; i++)
        if (row->state != PARAMETER_OBSOLETE && row->name[0] != '<')
            add_known(names, slice_of(row->name), NAME_BUILTIN, row);
}

/* add_service_names - "name_suffix" for the agents that qmgr schedules, "name_time_limit" for what runs commands. */
static void add_service_names(struct config_names *names, const struct name_service *service)
{
    static const char *const agents[] = {"smtp", "lmtp", "local", "virtual", "pipe", "error"};
    bool is_agent = false, runs_commands = strcmp(service->command, "pipe") == 0 || strcmp(service->command, "spawn") == 0;
    for (size_t i = 0; i < COUNT_OF(agents); i++)
        is_agent |= strcmp(service->command, agents[i]) == 0;
    const struct parameter *row;
    for (size_t i = 0; (row = parameter_at(i)) != NULL; i++) {
        if (row->name[0] != '<')
            continue;
        const char *suffix = strchr(row->name, '>') + 1;
        if (strcmp(suffix, "_time_limit") == 0 ? runs_commands : is_agent)
            add_known(names, arena_format(names->arena, "%s%s", service->name, suffix), NAME_SERVICE, row);
    }
}

static void found_in_value(void *context, struct slice name)
{
    struct config_names *names = context;
    map_set(names->referred, name, names);
    add_if_set(names, name);
}

static void found_in_default(void *context, struct slice name)
{
    struct config_names *names = context;
    if (set_value(names, name) != NULL)
        add_known(names, name, NAME_USER, NULL);
    else
        add_known(names, name, NAME_LEGACY, parameter_find(name));
}

static void found_in_service(void *context, struct slice name)
{
    add_if_set(context, name);
}

static void add_referred(struct config_names *names)
{
    const struct parameter *row;
    struct slice name;
    for (size_t i = 0; (row = parameter_at(i)) != NULL; i++)
        config_references(slice_of(row->default_value), found_in_default, names);
    for (size_t at = 0; !names->defaults_only && config_next_any(names->config, &at, &name);)
        config_references(slice_of(config_raw(names->config, name, NULL)), found_in_value, names);
    for (size_t i = 0; i < names->service_count && !names->defaults_only; i++)
        for (size_t k = 0; k < names->services[i].count; k++)
            config_references(slice_of(names->services[i].settings[k].value), found_in_service, names);
}

/* each_class - the names in a value of smtpd_restriction_classes (NULL: none). */
static void each_class(struct config_names *names, const char *value, void (*found)(void *context, struct slice name), void *context)
{
    struct buffer list = BUFFER_INIT;
    struct slice rest, element;
    if (value != NULL && config_expand(names->config, slice_of(value), &list))
        for (rest = buffer_slice(&list); config_list_next(&rest, &element);)
            found(context, element);
    buffer_release(&list);
}

/* add_restriction_classes - those of main.cf, and of services, whose definition may stand in main.cf. */
static void add_restriction_classes(struct config_names *names)
{
    each_class(names, set_value(names, SLICE("smtpd_restriction_classes")), found_in_service, names);
    for (size_t i = 0; i < names->service_count && !names->defaults_only; i++)
        each_class(names, name_service_setting(&names->services[i], "smtpd_restriction_classes"), found_in_service, names);
}

/* ---- tables that are configured by parameters ---- */

static void found_table(void *context, struct slice type, struct slice name)
{
    struct config_names *names = context;
    const char *suffix;
    if (name.len == 0 || name.data[0] == '/' || name.data[0] == '.' || name.data[0] == '{')
        return;
    for (size_t i = 0; (suffix = table_setting_at(type, i)) != NULL; i++)
        add_if_set(names, arena_format(names->arena, SLICE_FORMAT "_%s", SLICE_ARGS(name), suffix));
}

static void add_table_names(struct config_names *names)
{
    struct slice name;
    for (size_t at = 0; !names->defaults_only && config_next_any(names->config, &at, &name);)
        if (map_get(names->known, name) != NULL)
            table_references(slice_of(config_raw(names->config, name, NULL)), found_table, names);
}

/* ---- the whole ---- */

struct config_names *config_names_new(struct config *config, bool defaults_only, const struct name_service *services, size_t count)
{
    struct config_names *names = memory_zalloc(1, sizeof(*names));
    names->config = config;
    names->defaults_only = defaults_only;
    names->services = services;
    names->service_count = count;
    names->arena = arena_new(0);
    names->known = map_new(NULL);
    names->referred = map_new(NULL);
    add_builtin(names);
    for (size_t i = 0; i < count; i++)
        add_service_names(names, &services[i]);
    add_referred(names);
    add_restriction_classes(names);
    add_table_names(names);
    return names;
}

void config_names_free(struct config_names *names)
{
    if (names == NULL)
        return;
    map_free(names->known);
    map_free(names->referred);
    arena_free(names->arena);
    free(names);
}

enum name_class config_names_class(const struct config_names *names, struct slice name)
{
    const struct known *known = map_get(names->known, name);
    return known != NULL ? known->class : NAME_UNKNOWN;
}

bool config_names_next(const struct config_names *names, size_t *position, struct slice *name, enum name_class *class)
{
    void *value;
    if (!map_next(names->known, position, name, &value))
        return false;
    *class = ((struct known *)value)->class;
    return true;
}

const char *config_names_default(struct config_names *names, struct slice name)
{
    const struct known *known = map_get(names->known, name);
    const char *text = derived_default(names->config, name);
    if (text != NULL)
        return text;
    return known != NULL && known->row != NULL ? known->row->default_value : "";
}

/* ---- problems ---- */

struct search {
    struct config_names *names;
    const struct name_service *service; /* NULL: main.cf */
    struct map *reported;
    name_report *report;
    void *context;
};

static bool service_sets(const struct name_service *service, struct slice name)
{
    for (size_t i = 0; i < service->count; i++)
        if (slice_equal(slice_of(service->settings[i].name), name))
            return true;
    return false;
}

/* is_last - no later setting of the service has this name. */
static bool is_last(const struct name_service *service, size_t index)
{
    for (size_t i = index + 1; i < service->count; i++)
        if (strcmp(service->settings[i].name, service->settings[index].name) == 0)
            return false;
    return true;
}

static bool any_service_sets(const struct config_names *names, struct slice name)
{
    for (size_t i = 0; i < names->service_count; i++)
        if (service_sets(&names->services[i], name))
            return true;
    return false;
}

static void check_defined(void *context, struct slice name)
{
    struct search *s = context;
    struct config_names *names = s->names;
    if (config_names_class(names, name) != NAME_UNKNOWN || set_value(names, name) != NULL ||
        (s->service != NULL ? service_sets(s->service, name) : any_service_sets(names, name)) || map_get(s->reported, name) != NULL)
        return;
    map_set(s->reported, name, s);
    s->report(s->context, s->service != NULL ? NAME_UNDEFINED_IN_MASTER : NAME_UNDEFINED_IN_MAIN, NULL,
              arena_string(names->arena, name), NULL);
}

static void check_table_file(void *context, struct slice type, struct slice path)
{
    struct search *s = context;
    struct arena *arena = s->names->arena;
    if (path.len == 0 || (path.data[0] != '/' && path.data[0] != '.') || table_setting_at(type, 0) == NULL)
        return;
    const char *table = arena_printf(arena, SLICE_FORMAT ":" SLICE_FORMAT, SLICE_ARGS(type), SLICE_ARGS(path));
    if (map_get(s->reported, slice_of(table)) != NULL)
        return;
    map_set(s->reported, slice_of(table), s);
    struct buffer text = BUFFER_INIT;
    const char *file = arena_string(arena, path);
    if (!config_read_file(file, &text)) {
        s->report(s->context, NAME_TABLE_UNREADABLE, file, arena_string(arena, type), strerror(errno));
        buffer_release(&text);
        return;
    }
    struct config *settings = config_empty_reporting(config_ignore_problem, NULL);
    struct slice name;
    config_parse(settings, buffer_slice(&text), file);
    for (size_t at = 0; config_next_set(settings, &at, &name);)
        if (!table_setting_known(type, name))
            s->report(s->context, NAME_UNUSED_IN_TABLE, table, arena_string(arena, name),
                      arena_strdup(arena, config_raw(settings, name, NULL)));
    config_free(settings);
    buffer_release(&text);
}

void config_names_undefined(struct config_names *names, name_report *report, void *context)
{
    struct search s = {.names = names, .reported = map_new(NULL), .report = report, .context = context};
    struct slice name;
    for (size_t i = 0; i < names->service_count; i++) {
        s.service = &names->services[i];
        for (size_t k = 0; k < s.service->count; k++)
            config_references(slice_of(s.service->settings[k].value), check_defined, &s);
    }
    map_free(s.reported);
    s.reported = map_new(NULL);
    s.service = NULL;
    for (size_t at = 0; config_next_any(names->config, &at, &name);)
        config_references(slice_of(config_raw(names->config, name, NULL)), check_defined, &s);
    for (size_t at = 0; config_next_any(names->config, &at, &name);)
        if (config_names_class(names, name) != NAME_UNKNOWN)
            table_references(slice_of(config_raw(names->config, name, NULL)), check_table_file, &s);
    map_free(s.reported);
}

static void mark_referred(void *context, struct slice name)
{
    map_set(context, name, context);
}

static void report_unused_settings(struct config_names *names, const struct name_service *service, name_report *report, void *context)
{
    struct map *referred = map_new(NULL);
    for (size_t i = 0; i < service->count; i++)
        config_references(slice_of(service->settings[i].value), mark_referred, referred);
    each_class(names, set_value(names, SLICE("smtpd_restriction_classes")), mark_referred, referred);
    each_class(names, name_service_setting(service, "smtpd_restriction_classes"), mark_referred, referred);
    for (size_t i = 0; i < service->count; i++) {
        struct slice name = slice_of(service->settings[i].name);
        if (config_names_class(names, name) == NAME_UNKNOWN && map_get(names->referred, name) == NULL &&
            map_get(referred, name) == NULL && is_last(service, i))
            report(context, NAME_UNUSED_IN_MASTER, NULL, service->settings[i].name, service->settings[i].value);
    }
    map_free(referred);
}

void config_names_unused(struct config_names *names, name_report *report, void *context)
{
    struct slice name;
    for (size_t at = 0; config_next_any(names->config, &at, &name);)
        if (config_names_class(names, name) == NAME_UNKNOWN)
            report(context, NAME_UNUSED_IN_MAIN, NULL, arena_string(names->arena, name), config_raw(names->config, name, NULL));
    for (size_t i = 0; i < names->service_count; i++)
        report_unused_settings(names, &names->services[i], report, context);
}
