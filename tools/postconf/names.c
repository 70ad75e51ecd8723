/* names.c - known, undefined and unused names: the warnings of postconf */
#include "base/log.h"
#include "master_entry.h"
#include "postconf.h"

const char *config_file(const struct postconf *pc, const char *name)
{
    return arena_printf(pc->arena, "%s/%s", pc->directory != NULL ? pc->directory : DEFAULT_CONFIG_DIRECTORY, name);
}

/* command_name - the program's name without directory. */
static const char *command_name(const char *command)
{
    const char *slash = strrchr(command, '/');
    return slash != NULL ? slash + 1 : command;
}

static struct name_service *services_of(struct postconf *pc)
{
    struct name_service *services = arena_alloc(pc->arena, (pc->entries->count + 1) * sizeof(*services));
    for (size_t i = 0; i < pc->entries->count; i++) {
        const struct master_entry *entry = &pc->entries->items[i];
        struct name_setting *settings = arena_alloc(pc->arena, (entry->word_count + 1) * sizeof(*settings));
        size_t count = 0, at = 0;
        struct slice name, value;
        while (master_entry_next_setting(entry, &at, &name, &value)) {
            settings[count].name = arena_string(pc->arena, name);
            settings[count++].value = arena_string(pc->arena, value);
        }
        services[i] = (struct name_service){entry->columns[0], entry->columns[1], command_name(entry->columns[7]), settings, count};
    }
    return services;
}

void load_names(struct postconf *pc)
{
    pc->entries = master_entries_load(pc, config_file(pc, "master.cf"), false);
    pc->names = config_names_new(pc->config, (pc->options & OPTION_d) != 0, services_of(pc), pc->entries->count);
}

static void warn(void *context, enum name_problem problem, const char *file, const char *name, const char *value)
{
    struct postconf *pc = context;
    if (problem == NAME_UNUSED_IN_MAIN && (pc->options & (OPTION_M | OPTION_F | OPTION_P)))
        return;
    switch (problem) {
    case NAME_UNDEFINED_IN_MASTER:
        log_warning("%s: undefined parameter: %s", config_file(pc, "master.cf"), name);
        break;
    case NAME_UNDEFINED_IN_MAIN:
        log_warning("%s: undefined parameter: %s", config_file(pc, "main.cf"), name);
        break;
    case NAME_UNUSED_IN_MAIN:
        log_warning("%s: unused parameter: %s=%s", config_file(pc, "main.cf"), name, value);
        break;
    case NAME_UNUSED_IN_MASTER:
        log_warning("%s: unused parameter: %s=%s", config_file(pc, "master.cf"), name, value);
        break;
    case NAME_UNUSED_IN_TABLE:
        log_warning("%s: unused parameter: %s=%s", file, name, value);
        break;
    case NAME_TABLE_UNREADABLE:
        log_warning("open \"%s\" configuration \"%s\": %s", name, file, value);
        break;
    }
}

void warn_undefined(struct postconf *pc)
{
    if (!(pc->options & (OPTION_d | OPTION_q)))
        config_names_undefined(pc->names, warn, pc);
}

void warn_unused(struct postconf *pc)
{
    if (!(pc->options & (OPTION_d | OPTION_q)))
        config_names_unused(pc->names, warn, pc);
}
