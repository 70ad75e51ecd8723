/* arguments.c - the command line of a daemon */
#include <getopt.h>

#include "base/slice.h"
#include "service/arguments.h"

static const char *last_element(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

/* take_option - one option letter; false: unknown or out of range. */
static bool take_option(struct service_arguments *arguments, int letter, const char *value)
{
    uint64_t number;
    switch (letter) {
    case 'c': arguments->chroot = true; return true;
    case 'd': return true; /* master stays in the foreground: nothing changes for us */
    case 'D': arguments->debug = true; return true;
    case 'l': arguments->one_process = true; return true;
    case 'n': arguments->service_name = value; return true;
    case 'o': arguments->overrides[arguments->override_count++] = value; return true;
    case 's':
        if (!slice_to_u64(slice_of(value), &number) || number == 0 || number > 1000)
            return false;
        arguments->socket_count = (unsigned)number;
        return true;
    case 'S': arguments->stand_alone = true; return true;
    case 't': arguments->service_type = value; return true;
    case 'u': arguments->unprivileged = true; return true;
    case 'v': arguments->verbose++; return true;
    case 'V': arguments->log_to_stderr = true; return true;
    case 'z': arguments->no_process_limit = true; return true;
    case 'i': return true; /* instance limit of old versions */
    default: return false;
    }
}

bool service_arguments_parse(struct service_arguments *arguments, int argc, char **argv, const char **why)
{
    const char *program = argc > 0 ? last_element(argv[0]) : "unknown";
    *arguments = (struct service_arguments){.program = program, .service_name = program, .service_type = "unix", .socket_count = 1};
    arguments->overrides = memory_zalloc((size_t)argc + 1, sizeof(*arguments->overrides));
    opterr = 0;
    optind = 1;
    int letter;
    while ((letter = getopt(argc, argv, "+cdDi:ln:o:s:St:uvVz")) > 0) {
        if (!take_option(arguments, letter, optarg)) {
            *why = "invalid option";
            return false;
        }
    }
    arguments->words = (const char *const *)(argv + optind);
    arguments->word_count = (size_t)(argc - optind);
    return true;
}

void service_arguments_release(struct service_arguments *arguments)
{
    free(arguments->overrides);
    arguments->overrides = NULL;
    arguments->override_count = 0;
}
