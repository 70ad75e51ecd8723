/* main.c - postconf: show and change the configuration (compat.md j.3) */
#include <getopt.h>

#include "base/log.h"
#include "postconf.h"
#include "service/command.h"

#define LISTS (OPTION_a | OPTION_A | OPTION_b | OPTION_l | OPTION_m | OPTION_t | OPTION_T)
#define EDITS (OPTION_e | OPTION_X | OPTION_HASH)

static void usage(void) NO_RETURN;
static void usage(void)
{
    log_fatal("usage: postconf [-a (server SASL types)] [-A (client SASL types)] [-b (bounce templates)] [-c config_dir] [-C param_class] "
          "[-d (parameter defaults)] [-e (edit configuration)] [-f (fold lines)] [-F (master.cf fields)] [-h (no names)] "
          "[-H (no values)] [-j (JSON format)] [-l (lock types)] [-m (map types)] [-M (master.cf)] [-n (non-default parameters)] "
          "[-o name=value (override parameter value)] [-p (main.cf, default)] [-P (master.cf parameters)] [-q (no warnings)] "
          "[-t (bounce templates)] [-T compile-version|run-version|public-key-algorithms] [-v (verbose)] "
          "[-x (expand parameter values)] [-X (exclude)] [-# (comment-out)] [name...]");
}

static unsigned parse_classes(const char *argument)
{
    static const struct {
        const char *name;
        unsigned bits;
    } classes[] = {{"builtin", NAME_BUILTIN},
                   {"service", NAME_SERVICE},
                   {"user", NAME_USER},
                   {"all", NAME_BUILTIN | NAME_SERVICE | NAME_USER}};
    unsigned result = 0;
    struct slice rest = slice_of(argument), word;
    while (config_list_next(&rest, &word)) {
        size_t i = 0;
        while (i < COUNT_OF(classes) && !slice_equal_case(word, slice_of(classes[i].name)))
            i++;
        if (i == COUNT_OF(classes))
            log_fatal("unknown -C option value \"" SLICE_FORMAT "\" in \"%s\"", SLICE_ARGS(word), argument);
        result |= classes[i].bits;
    }
    return result;
}

static enum postconf_option option_of(int letter)
{
    static const struct {
        char letter;
        enum postconf_option option;
    } options[] = {{'a', OPTION_a}, {'A', OPTION_A}, {'b', OPTION_b}, {'d', OPTION_d}, {'e', OPTION_e}, {'f', OPTION_f},
                   {'F', OPTION_F}, {'h', OPTION_h}, {'H', OPTION_H}, {'j', OPTION_j}, {'l', OPTION_l}, {'m', OPTION_m},
                   {'M', OPTION_M}, {'n', OPTION_n}, {'o', OPTION_o}, {'p', OPTION_p}, {'P', OPTION_P}, {'q', OPTION_q},
                   {'t', OPTION_t}, {'T', OPTION_T}, {'x', OPTION_x}, {'X', OPTION_X}, {'#', OPTION_HASH}};
    for (size_t i = 0; i < COUNT_OF(options); i++)
        if (options[i].letter == letter)
            return options[i].option;
    usage();
}

static void parse_options(struct postconf *pc, int argc, char **argv)
{
    int letter;
    while ((letter = getopt(argc, argv, "+aAbc:C:deEfFhHjlmMno:pPqtT:vxX#")) > 0) {
        if (letter == 'c')
            pc->directory = optarg;
        else if (letter == 'C')
            pc->classes = parse_classes(optarg);
        else if (letter == 'v')
            log_verbose++;
        else
            pc->options |= option_of(letter);
        if (letter == 'T')
            pc->tls_mode = optarg;
        if (letter == 'o')
            pc->overrides[pc->override_count++] = optarg;
    }
    for (int i = optind; i < argc && !(pc->options & (LISTS | EDITS)); i++)
        if (strchr(argv[i], '=') != NULL)
            pc->options |= OPTION_e;
    for (int i = optind; i < argc && (pc->options & (OPTION_X | OPTION_HASH)); i++)
        if (strchr(argv[i], '=') != NULL)
            pc->options |= OPTION_e; /* fails below */
    options_check(pc->options);
}

static void load_config(struct postconf *pc)
{
    pc->config = pc->options & OPTION_d ? config_empty() : config_load(pc->directory, NULL, NULL);
    if (pc->config == NULL)
        exit(1);
    for (size_t i = 0; i < pc->override_count; i++)
        config_set_argument(pc->config, pc->overrides[i]);
}

static void edit(struct postconf *pc, char **requests, int count)
{
    if (count == 0)
        log_fatal(pc->options & OPTION_e ? "-e requires name=value argument" : "missing service argument");
    if (pc->options & (OPTION_M | OPTION_F | OPTION_P))
        edit_master(pc, requests, count);
    else
        edit_main(pc, requests, count);
}

static void show(struct postconf *pc, char **arguments, int count)
{
    load_names(pc);
    warn_undefined(pc);
    if (pc->options & (OPTION_M | OPTION_F | OPTION_P))
        show_master(pc, arguments, count);
    else
        show_main(pc, arguments, count);
    fflush(stdout);
    warn_unused(pc);
}

static const char help[] =
    "Usage: postconf [option ...] [name ...]\n"
    "       postconf -e name=value ...\n"
    "       postconf -M | -F | -P [option ...] [service/type ...]\n"
    "  -a  SASL types of the server\n"
    "  -A  SASL types of the client\n"
    "  -b  texts of bounce messages, expanded\n"
    "  -c config_dir  the directory of main.cf and master.cf\n"
    "  -C class  parameters of these classes: builtin service user all\n"
    "  -d  built-in defaults\n"
    "  -e  change main.cf or (-M, -F, -P) master.cf\n"
    "  -f  fold long lines\n"
    "  -F  fields of master.cf\n"
    "  -h  no names\n"
    "  -H  no values\n"
    "  -j  JSON\n"
    "  -l  ways to lock a mailbox\n"
    "  -m  types of lookup tables\n"
    "  -M  entries of master.cf\n"
    "  -n  only what is set\n"
    "  -o name=value  override a value\n"
    "  -p  parameters of main.cf (default)\n"
    "  -P  -o settings in master.cf\n"
    "  -q  no warnings\n"
    "  -t  texts of bounce messages, as written\n"
    "  -T mode  compile-version, run-version, public-key-algorithms\n"
    "  -v  more messages\n"
    "  -x  expand $name in values\n"
    "  -X  delete entries\n"
    "  -#  turn entries into comments\n"
    "See postconf(1), postconf(5).\n";

int main(int argc, char **argv)
{
    command_start("postconf");
    command_help(argc, argv, help);
    struct postconf pc = {.classes = NAME_BUILTIN | NAME_SERVICE | NAME_USER, .arena = arena_new(0)};
    pc.directory = getenv("MAIL_CONFIG");
    pc.overrides = arena_alloc(pc.arena, (size_t)argc * sizeof(*pc.overrides));
    parse_options(&pc, argc, argv);
    argc -= optind;
    argv += optind;
    if (pc.options & EDITS) {
        edit(&pc, argv, argc);
    } else if (pc.options & LISTS) {
        if (pc.options & (OPTION_b | OPTION_t))
            load_config(&pc);
        show_lists(&pc, argv, argc);
    } else {
        load_config(&pc);
        show(&pc, argv, argc);
    }
    if (fflush(stdout) != 0 || ferror(stdout))
        log_fatal("write to standard output: %s", strerror(errno));
    config_names_free(pc.names);
    config_free(pc.config);
    arena_free(pc.arena);
    return 0;
}
