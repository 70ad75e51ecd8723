/* instances.c - which instances there are, and running something in them */
#include <sys/wait.h>

#include "multi.h"

static void add(struct multi *multi, const char *directory, struct config *config)
{
    struct instance *instance = &multi->instances[multi->count++];
    *instance = (struct instance){.config = config, .directory = directory, .primary = multi->count == 1};
    instance->name = config_string(config, "multi_instance_name");
    instance->group = config_string(config, "multi_instance_group");
    instance->enabled = config_bool(config, "multi_instance_enable") || (instance->primary && !multi->managed);
}

static void problem(void *context, bool fatal, const char *file UNUSED, int line UNUSED, const char *text)
{
    if (fatal)
        log_error("%s", text);
}

void instances_load(struct multi *multi)
{
    struct slice rest = slice_of(config_string(multi->config, "multi_instance_directories")), element, again = rest;
    size_t room = 1;
    while (config_list_next(&again, &element))
        room++;
    multi->instances = arena_alloc(multi->memory, room * sizeof(*multi->instances));
    multi->managed = *config_string(multi->config, "multi_instance_wrapper") != '\0';
    add(multi, config_directory(multi->config), multi->config);
    while (config_list_next(&rest, &element)) {
        const char *directory = arena_string(multi->memory, element);
        struct config *config = config_load(directory, problem, NULL);
        if (!config)
            log_fatal("cannot read the configuration of instance %s", directory);
        add(multi, directory, config);
        for (size_t i = 0; i + 1 < multi->count; i++)
            if (strcmp(multi->instances[i].directory, directory) == 0)
                log_fatal("the primary's multi_instance_directories names %s twice", directory);
    }
}

bool instance_is_selected(const struct multi *multi, const struct instance *instance)
{
    if (multi->wanted_group && strcmp(multi->wanted_group, instance->group) != 0)
        return false;
    if (!multi->wanted_name)
        return true;
    if (strcmp(multi->wanted_name, "-") == 0)
        return instance->primary;
    return strcmp(multi->wanted_name, *multi->wanted_name == '/' ? instance->directory : instance->name) == 0;
}

struct instance *instance_only(struct multi *multi, const char *action)
{
    if (!multi->wanted_name)
        log_fatal("-e %s requires -i name", action);
    for (size_t i = 0; i < multi->count; i++)
        if (instance_is_selected(multi, &multi->instances[i]))
            return &multi->instances[i];
    log_fatal("no instance %s", multi->wanted_name);
}

const char *command_path(struct multi *multi, const char *name)
{
    return arena_printf(multi->memory, "%s/%s", config_string(multi->config, "command_directory"), name);
}

static void set_environment(const struct multi *multi, const struct instance *instance)
{
    static const char *const parameters[] = {"daemon_directory", "command_directory", "config_directory", "queue_directory",
                                             "data_directory", "multi_instance_name", "multi_instance_group"};
    for (size_t i = 0; i < COUNT_OF(parameters); i++)
        setenv(parameters[i], config_string(instance->config, parameters[i]), 1);
    setenv("multi_instance_enable", instance->enabled ? "yes" : "no", 1);
    setenv("MAIL_CONFIG", instance->directory, 1);
    if (multi->verbose)
        setenv("MAIL_VERBOSE", "", 1);
}

int run_in_instance(const struct multi *multi, const struct instance *instance, const char *const *words)
{
    int status;
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        set_environment(multi, instance);
        execvp(words[0], (char *const *)words);
        fprintf(stderr, "postmulti: fatal: %s: %s\n", words[0], strerror(errno));
        _exit(1);
    }
    if (pid < 0)
        log_fatal("fork: %s", strerror(errno));
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            return 1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}
