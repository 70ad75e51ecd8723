/* main.c - postmulti: list instances, run commands in each, add and take away */
#include <getopt.h>

#include "multi.h"

static const char help[] =
    "Usage: postmulti -l | -p command | -x command | -e action [options] [argument...]\n"
    "  -l  list the instances\n"
    "  -j  with -l: a JSON object for each\n"
    "  -p  run postfix(1) with the command for each instance\n"
    "  -x  run any command in the environment of each instance\n"
    "  -e action  init create import destroy deport enable disable assign\n"
    "  -a  all instances; create, import: at the front of the list\n"
    "  -g group  instances of the group only; create, import: in front of the group\n"
    "  -i name  this instance only, by name or directory; \"-\" is the primary\n"
    "  -R  in reverse order\n"
    "  -I name  the new name, \"postfix-something\"; \"-\" is none\n"
    "  -G group  the new group; \"-\" is none\n"
    "  -v  more messages\n"
    "See postmulti(1).\n";

enum mode { MODE_NONE, MODE_LIST, MODE_POSTFIX, MODE_COMMAND, MODE_EDIT };

struct options {
    enum mode mode;
    const char *action;
    bool json;
};

static void set_mode(struct options *options, enum mode mode)
{
    if (options->mode != MODE_NONE)
        log_fatal("specify one of -e, -l, -p, -x");
    options->mode = mode;
}

static void parse_options(struct multi *multi, struct options *options, int argc, char **argv)
{
    int letter;
    opterr = 0;
    while ((letter = getopt(argc, argv, "+ae:g:i:jlpRvxG:I:")) > 0) {
        switch (letter) {
        case 'a': multi->first = true; break;
        case 'e': set_mode(options, MODE_EDIT); options->action = optarg; break;
        case 'g': multi->wanted_group = strcmp(optarg, "-") == 0 ? "" : optarg; break;
        case 'i': multi->wanted_name = optarg; break;
        case 'j': options->json = true; break;
        case 'l': set_mode(options, MODE_LIST); break;
        case 'p': set_mode(options, MODE_POSTFIX); break;
        case 'R': multi->reverse = true; break;
        case 'v': multi->verbose++; break;
        case 'x': set_mode(options, MODE_COMMAND); break;
        case 'G': multi->new_group = strcmp(optarg, "-") == 0 ? "" : optarg; break;
        case 'I': multi->new_name = strcmp(optarg, "-") == 0 ? "" : optarg; break;
        default: options->mode = MODE_NONE; return;
        }
    }
}

/* ---- list --------------------------------------------------------------------------------------------------------- */

static const char *or_none(const char *text)
{
    return *text ? text : "-";
}

static int list(const struct multi *multi, bool json)
{
    for (size_t i = 0; i < multi->count; i++) {
        const struct instance *instance = &multi->instances[multi->reverse ? multi->count - 1 - i : i];
        if (!instance_is_selected(multi, instance))
            continue;
        if (json) /* names, groups and directories of instances have no characters that JSON minds */
            printf("{\"name\": \"%s\", \"group\": \"%s\", \"enabled\": %s, \"config_directory\": \"%s\"}\n", or_none(instance->name),
                   or_none(instance->group), instance->enabled ? "true" : "false", instance->directory);
        else
            printf("%-15s %-15s %-9s %s\n", or_none(instance->name), or_none(instance->group), instance->enabled ? "y" : "n",
                   instance->directory);
    }
    return 0;
}

/* ---- commands ----------------------------------------------------------------------------------------------------- */

static int run_each(struct multi *multi, const char *const *words)
{
    int worst = 0;
    for (size_t i = 0; i < multi->count; i++) {
        const struct instance *instance = &multi->instances[multi->reverse ? multi->count - 1 - i : i];
        int status = instance_is_selected(multi, instance) ? run_in_instance(multi, instance, words) : 0;
        worst = status > worst ? status : worst;
    }
    return worst;
}

/* postfix_words - "postfix -c directory words...". */
static const char **postfix_words(struct multi *multi, const struct instance *instance, char **arguments, const char *command)
{
    size_t count = 0, n = 0;
    while (arguments[count])
        count++;
    const char **words = arena_alloc(multi->memory, (count + 4) * sizeof(*words));
    words[n++] = command_path(multi, "postfix");
    words[n++] = "-c";
    words[n++] = instance->directory;
    for (size_t i = 0; i < count; i++)
        words[n++] = i == 0 && command ? command : arguments[i];
    words[n] = NULL;
    return words;
}

static int run_postfix(struct multi *multi, char **arguments)
{
    const char *command = arguments[0];
    bool starts = config_list_has(config_string(multi->config, "postmulti_start_commands"), command);
    bool stops = config_list_has(config_string(multi->config, "postmulti_stop_commands"), command);
    bool controls = config_list_has(config_string(multi->config, "postmulti_control_commands"), command);
    int worst = 0;
    if (multi->reverse)
        log_fatal("-R cannot be used with -p");
    for (size_t i = 0; i < multi->count; i++) {
        const struct instance *instance = &multi->instances[stops ? multi->count - 1 - i : i];
        if (!instance_is_selected(multi, instance) || ((stops || controls) && !instance->enabled))
            continue;
        const char *instead = starts && !instance->enabled ? "check" : NULL;
        int status = run_in_instance(multi, instance, postfix_words(multi, instance, arguments, instead));
        worst = status > worst ? status : worst;
        if (status && starts)
            break; /* later ones may need this one */
    }
    return worst;
}

/* check_caller - a secondary instance manages nobody. */
static void check_caller(struct multi *multi)
{
    const char *directory = getenv("MAIL_CONFIG");
    if (!directory || strcmp(directory, DEFAULT_CONFIG_DIRECTORY) == 0 || access(DEFAULT_CONFIG_DIRECTORY "/main.cf", R_OK) < 0)
        return;
    struct config *config = config_load(DEFAULT_CONFIG_DIRECTORY, config_ignore_problem, NULL);
    if (config && config_list_has(config_string(config, "multi_instance_directories"), directory))
        log_fatal("MAIL_CONFIG=%s is a secondary instance: use the primary", directory);
    config_free(config);
}

int main(int argc, char **argv)
{
    static struct multi multi; /* reachable to the end: what it holds is not given back */
    struct options options = {0};
    command_start("postmulti");
    command_help(argc, argv, help);
    multi.memory = arena_new(0);
    parse_options(&multi, &options, argc, argv);
    bool wants_words = options.mode == MODE_POSTFIX || options.mode == MODE_COMMAND;
    if (options.mode == MODE_NONE || (wants_words && optind >= argc))
        log_fatal("usage: postmulti -l | -p command | -x command | -e action [-aRv] [-g group] [-i name] [-G group] [-I name]");
    check_caller(&multi);
    multi.config = command_config(NULL, false);
    instances_load(&multi);
    switch (options.mode) {
    case MODE_LIST: return list(&multi, options.json);
    case MODE_POSTFIX: return run_postfix(&multi, argv + optind);
    case MODE_COMMAND: return run_each(&multi, (const char *const *)argv + optind);
    default: return lifecycle_run(&multi, options.action, argv + optind);
    }
}
