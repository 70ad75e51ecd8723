/* lifecycle.c - postmulti -e: instances come, change and go */
#include <sys/stat.h>

#include "multi.h"

#define WRAPPER "${command_directory}/postmulti -p --"
#define NAME_PREFIX "postfix-"

/* ---- the primary's list ------------------------------------------------------------------------------------------- */

static void append_directory(struct buffer *list, const char *directory)
{
    if (list->len)
        buffer_append_byte(list, ' ');
    buffer_append_string(list, directory);
}

static void write_list(struct multi *multi, struct buffer *list)
{
    const char *const settings[] = {arena_printf(multi->memory, "multi_instance_directories=%s", buffer_string(list)), NULL};
    postconf_edit(multi, config_directory(multi->config), settings);
}

/* goes_before - where -a, -g and -i put a new instance. */
static bool goes_before(const struct multi *multi, const struct instance *instance)
{
    return multi->first || ((multi->wanted_name || multi->wanted_group) && instance_is_selected(multi, instance));
}

static void add_to_list(struct multi *multi, const char *directory)
{
    struct buffer list = BUFFER_INIT;
    bool done = false;
    for (size_t i = 1; i < multi->count; i++) {
        if (!done && goes_before(multi, &multi->instances[i])) {
            append_directory(&list, directory);
            done = true;
        }
        append_directory(&list, multi->instances[i].directory);
    }
    if (!done)
        append_directory(&list, directory);
    write_list(multi, &list);
    buffer_release(&list);
}

static void take_from_list(struct multi *multi, const struct instance *gone)
{
    struct buffer list = BUFFER_INIT;
    for (size_t i = 1; i < multi->count; i++)
        if (&multi->instances[i] != gone)
            append_directory(&list, multi->instances[i].directory);
    write_list(multi, &list);
    buffer_release(&list);
}

/* ---- names -------------------------------------------------------------------------------------------------------- */

static bool is_plain(const char *text)
{
    return text[strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-")] == '\0';
}

static void check_names(struct multi *multi, const struct instance *renamed)
{
    const char *name = multi->new_name;
    if (multi->new_group && !is_plain(multi->new_group))
        log_fatal("bad group name: %s", multi->new_group);
    if (!name || !*name)
        return;
    if (strncmp(name, NAME_PREFIX, strlen(NAME_PREFIX)) != 0 || !name[strlen(NAME_PREFIX)] || !is_plain(name))
        log_fatal("instance names start with \"" NAME_PREFIX "\": %s", name);
    for (size_t i = 0; i < multi->count; i++)
        if (&multi->instances[i] != renamed && strcmp(multi->instances[i].name, name) == 0)
            log_fatal("there is an instance %s already: %s", name, multi->instances[i].directory);
}

/* sibling - the primary's directory with the new name as its last element. */
static const char *sibling(struct multi *multi, const char *parameter)
{
    struct slice path = slice_of(config_string(multi->config, parameter));
    if (strcmp(parameter, "config_directory") == 0)
        path = slice_of(config_directory(multi->config));
    if (!multi->new_name || !*multi->new_name)
        log_fatal("specify -I name, or %s=/path", parameter);
    size_t slash = slice_find_last(path, '/');
    return arena_printf(multi->memory, SLICE_FORMAT "/%s", SLICE_ARGS(slice_first(path, slash < path.len ? slash : 0)), multi->new_name);
}

static void assign_names(struct multi *multi, const char *directory)
{
    const char *settings[3];
    size_t n = 0;
    if (multi->new_name)
        settings[n++] = arena_printf(multi->memory, "multi_instance_name=%s", multi->new_name);
    if (multi->new_group)
        settings[n++] = arena_printf(multi->memory, "multi_instance_group=%s", multi->new_group);
    settings[n] = NULL;
    if (n)
        postconf_edit(multi, directory, settings);
}

/* ---- actions ------------------------------------------------------------------------------------------------------ */

/* path_argument - "name=/path" among the arguments, else NULL. */
static const char *path_argument(char **arguments, const char *name)
{
    const char *path = NULL;
    size_t len = strlen(name);
    for (; *arguments; arguments++)
        if (strncmp(*arguments, name, len) == 0 && (*arguments)[len] == '=')
            path = *arguments + len + 1;
    if (path && *path != '/')
        log_fatal("%s: an absolute path is required: %s", name, path);
    return path;
}

static const char *path_of(struct multi *multi, char **arguments, const char *parameter)
{
    const char *path = path_argument(arguments, parameter);
    return path ? path : sibling(multi, parameter);
}

static bool has_file(struct multi *multi, const char *directory, const char *name)
{
    struct stat st;
    return stat(arena_printf(multi->memory, "%s/%s", directory, name), &st) == 0;
}

static void check_arguments(char **arguments)
{
    static const char *const known[] = {"config_directory=", "queue_directory=", "data_directory="};
    for (; *arguments; arguments++) {
        bool found = false;
        for (size_t i = 0; i < COUNT_OF(known); i++)
            found |= strncmp(*arguments, known[i], strlen(known[i])) == 0;
        if (!found)
            log_fatal("unexpected argument: %s", *arguments);
    }
}

static void require_manager(const struct multi *multi)
{
    if (!multi->managed)
        log_fatal("several instances are not managed yet: first \"postmulti -e init\"");
}

/* adopt - an instance whose files are there becomes a member. */
static void adopt(struct multi *multi, const char *directory)
{
    struct config *config = config_load(directory, NULL, NULL);
    static const char *const own[] = {"queue_directory", "data_directory"};
    for (size_t i = 0; i < multi->count; i++) {
        if (strcmp(multi->instances[i].directory, directory) == 0)
            log_fatal("%s is an instance already", directory);
        for (size_t k = 0; k < COUNT_OF(own); k++)
            if (strcmp(config_string(config, own[k]), config_string(multi->instances[i].config, own[k])) == 0)
                log_fatal("%s is that of instance %s, too: %s", own[k], multi->instances[i].directory, config_string(config, own[k]));
    }
    config_free(config);
    assign_names(multi, directory);
    add_to_list(multi, directory);
}

static int do_create(struct multi *multi, char **arguments)
{
    require_manager(multi);
    check_arguments(arguments);
    check_names(multi, NULL);
    const char *directory = path_of(multi, arguments, "config_directory");
    if (!has_file(multi, directory, "main.cf") || !has_file(multi, directory, "master.cf"))
        files_create(multi, directory, path_of(multi, arguments, "queue_directory"), path_of(multi, arguments, "data_directory"));
    adopt(multi, directory);
    const char *const words[] = {command_path(multi, "postfix"), "-c", directory, "create-missing", NULL};
    return run_in_instance(multi, &multi->instances[0], words);
}

static int do_import(struct multi *multi, char **arguments)
{
    require_manager(multi);
    check_arguments(arguments);
    check_names(multi, NULL);
    adopt(multi, path_of(multi, arguments, "config_directory"));
    return 0;
}

static struct instance *secondary(struct multi *multi, const char *action)
{
    struct instance *instance = instance_only(multi, action);
    if (instance->primary)
        log_fatal("-e %s: not for the primary instance", action);
    return instance;
}

static int do_deport(struct multi *multi, char **arguments UNUSED)
{
    take_from_list(multi, secondary(multi, "deport"));
    return 0;
}

static bool is_running(struct multi *multi, const struct instance *instance)
{
    const char *const words[] = {command_path(multi, "postfix"), "-c", instance->directory, "status", NULL};
    return run_in_instance(multi, instance, words) == 0;
}

static int do_destroy(struct multi *multi, char **arguments UNUSED)
{
    struct instance *instance = secondary(multi, "destroy");
    if (instance->enabled)
        log_fatal("instance %s is enabled: first \"postmulti -i %s -e disable\"", instance->directory, multi->wanted_name);
    if (is_running(multi, instance))
        log_fatal("instance %s is running", instance->directory);
    files_destroy(multi, instance);
    take_from_list(multi, instance);
    return 0;
}

static int set_enabled(struct multi *multi, const char *action, const char *value)
{
    const char *const settings[] = {value, NULL};
    postconf_edit(multi, instance_only(multi, action)->directory, settings);
    return 0;
}

static int do_enable(struct multi *multi, char **arguments UNUSED)
{
    return set_enabled(multi, "enable", "multi_instance_enable=yes");
}

static int do_disable(struct multi *multi, char **arguments UNUSED)
{
    return set_enabled(multi, "disable", "multi_instance_enable=no");
}

static int do_assign(struct multi *multi, char **arguments UNUSED)
{
    struct instance *instance = instance_only(multi, "assign");
    if (!multi->new_name && !multi->new_group)
        log_fatal("-e assign requires -I name or -G group");
    check_names(multi, instance);
    assign_names(multi, instance->directory);
    return 0;
}

static int do_init(struct multi *multi, char **arguments UNUSED)
{
    const char *const settings[] = {"multi_instance_wrapper=" WRAPPER, "multi_instance_enable=yes", NULL};
    postconf_edit(multi, config_directory(multi->config), settings);
    return 0;
}

int lifecycle_run(struct multi *multi, const char *action, char **arguments)
{
    static const struct {
        const char *name;
        int (*run)(struct multi *multi, char **arguments);
    } actions[] = {{"init", do_init},       {"create", do_create}, {"import", do_import},   {"destroy", do_destroy},
                   {"deport", do_deport},   {"enable", do_enable}, {"disable", do_disable}, {"assign", do_assign}};
    for (size_t i = 0; i < COUNT_OF(actions); i++)
        if (strcmp(action, actions[i].name) == 0)
            return actions[i].run(multi, arguments);
    log_fatal("unknown action: -e %s", action);
}
