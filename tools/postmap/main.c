/* main.c - postmap and postalias: make and query lookup tables */
#include <getopt.h>
#include <errno.h>

#include "base/log.h"
#include "postmap.h"
#include "run/run.h"
#include "service/command.h"

struct job { struct options options; char **arguments; int count; int status; };

static NO_RETURN void usage(const struct options *o)
{
    if (o->alias)
        log_fatal("usage: postalias [-Nfinoprsuvw] [-c config_dir] [-d key] [-q key] [map_type:]file...");
    log_fatal("usage: postmap [-bfFhimnNoprsuUvw] [-c config_dir] [-d key] [-q key] [map_type:]file...");
}

static void take_key(const char **key)
{
    if (*key != NULL)
        log_fatal("specify only one of -s -q or -d");
    *key = optarg;
}

static void take_option(struct options *o, int letter)
{
    switch (letter) {
    case 'N': o->with_nul = true; break;
    case 'c': o->config_directory = optarg; break;
    case 'd': take_key(&o->delete_key); break;
    case 'f': o->fold_off = true; break;
    case 'i': o->incremental = true; break;
    case 'n': o->without_nul = true; break;
    case 'o': o->keep_root = true; break;
    case 'p': o->default_mode = true; break;
    case 'q': take_key(&o->query); break;
    case 'r': o->replace = true; break;
    case 's': o->dump = true; break;
    case 'u': o->no_utf8 = true; break;
    case 'v': log_verbose++; break;
    case 'w': o->silent_duplicates = true; break;
    case 'b': o->bodies = true; break;
    case 'h': o->headers = true; break;
    case 'm': o->mime = true; break;
    case 'F': o->file_values = true; break;
    case 'U': o->force_utf8 = true; break;
    case 'j': o->json = true; break;
    default: usage(o);
    }
}

static void check_options(struct options *o, int count)
{
    if (o->query != NULL && o->delete_key != NULL)
        log_fatal("specify only one of -s -q or -d");
    if (o->dump && (o->query != NULL || o->delete_key != NULL))
        log_fatal("specify only one of -s -q or -d");
    if (o->query != NULL && strcmp(o->query, "-") == 0 && count == 0 && o->delete_key == NULL)
        usage(o);
    if ((o->bodies || o->headers || o->mime) && (o->query == NULL || strcmp(o->query, "-") != 0))
        log_fatal("specify -b -h or -m only with \"-q -\"");
    if (o->mime && !o->bodies && !o->headers) {
        log_warning("ignoring -m option without -b or -h");
        o->mime = false;
    }
    if (count == 0)
        usage(o);
}

static void prepare(struct options *o)
{
    o->config = command_config(o->config_directory, true);
    bool utf8 = (config_bool(o->config, "smtputf8_enable") && !o->no_utf8) || o->force_utf8;
    o->table_flags = TABLE_FATAL | TABLE_SOURCE_MAY_DUPLICATE | (o->fold_off ? TABLE_NO_FOLD : 0) | (utf8 ? TABLE_UTF8 : 0) | (o->file_values ? TABLE_FILE_VALUES : 0);
}

/* full_names - "[type:]name": default_database_type where no type is given. */
static const char *const *full_names(const struct options *o, char **arguments, int count)
{
    const char **names = memory_zalloc((size_t)count + 1, sizeof(*names));
    const char *type = config_string(o->config, "default_database_type");

    for (int i = 0; i < count; i++) {
        if (strchr(arguments[i], ':') != NULL)
            names[i] = arguments[i];
        else if (asprintf((char **)&names[i], "%s:%s", type, arguments[i]) < 0)
            log_fatal("out of memory");
    }
    return names;
}

static void free_names(const char *const *names, char **arguments, int count)
{
    for (int i = 0; i < count; i++)
        if (names[i] != arguments[i])
            free((char *)(uintptr_t)names[i]);
    free((void *)(uintptr_t)names);
}

static int make_all(const struct options *o, const char *const *names, int count)
{
    struct slice type, path;

    for (int i = 0; i < count; i++) {
        slice_cut(slice_of(names[i]), ':', &type, &path);
        make_table(o, type, path);
    }
    return 0;
}

static void work(void *arg)
{
    struct job *job = arg;
    struct options *o = &job->options;

    prepare(o);
    const char *const *names = full_names(o, job->arguments, job->count);
    size_t count = (size_t)job->count;
    if (o->delete_key != NULL)
        job->status = delete_key(o, names, count);
    else if (o->query != NULL && (o->bodies || o->headers))
        job->status = query_message(o, names, count);
    else if (o->query != NULL && strcmp(o->query, "-") == 0)
        job->status = query_stdin(o, names, count);
    else if (o->query != NULL)
        job->status = query_key(o, names, count);
    else if (o->dump)
        job->status = dump_table(o, names[0]);
    else
        job->status = make_all(o, names, job->count);
    fflush(stdout);
    free_names(names, job->arguments, job->count);
    config_free(o->config);
}

static const char postmap_help[] =
    "Usage: postmap [option ...] [type:]file ...\n"
    "  -b  -q -: body lines of a message\n"
    "  -c config_dir  the directory of main.cf\n"
    "  -d key  delete a key; - reads keys from standard input\n"
    "  -f  do not fold keys to lower case\n"
    "  -F  values are names of files\n"
    "  -h  -q -: header fields of a message\n"
    "  -i  add rows from standard input\n"
    "  -j  JSON\n"
    "  -m  -b, -h: MIME parts too\n"
    "  -n  end keys and values without a NUL\n"
    "  -N  end them with a NUL\n"
    "  -o  keep the rights of root\n"
    "  -p  do not take the mode of the text\n"
    "  -q key  look up a key; - reads keys from standard input\n"
    "  -r  replace rows that are there\n"
    "  -s  print all rows\n"
    "  -u  no UTF-8\n"
    "  -U  UTF-8 in any case\n"
    "  -v  more messages\n"
    "  -w  no warnings about keys that are there already\n"
    "See postmap(1).\n";

static const char postalias_help[] =
    "Usage: postalias [option ...] [type:]file ...\n"
    "  -c config_dir  the directory of main.cf\n"
    "  -d key  delete a key; - reads keys from standard input\n"
    "  -f  do not fold keys to lower case\n"
    "  -i  add rows from standard input\n"
    "  -n  end keys and values without a NUL\n"
    "  -N  end them with a NUL\n"
    "  -o  keep the rights of root\n"
    "  -p  do not take the mode of the text\n"
    "  -q key  look up a key; - reads keys from standard input\n"
    "  -r  replace rows that are there\n"
    "  -s  print all rows\n"
    "  -u  no UTF-8\n"
    "  -v  more messages\n"
    "  -w  no warnings about keys that are there already\n"
    "See postalias(1).\n";

int main(int argc, char **argv)
{
    struct job job = {0};
    int letter;

    job.options.alias = strcmp(program_invocation_short_name, "postalias") == 0;
    job.options.program = job.options.alias ? "postalias" : "postmap";
    command_start(job.options.program);
    command_help(argc, argv, job.options.alias ? postalias_help : postmap_help);
    argv[0] = (char *)(uintptr_t)job.options.program;
    while ((letter = getopt(argc, argv, job.options.alias ? "Nc:d:finopq:rsuvw" : "FNUbc:d:fhijmnopq:rsuvw")) > 0)
        take_option(&job.options, letter);
    job.arguments = argv + optind;
    job.count = argc - optind;
    check_options(&job.options, job.count);
    run_may_block();
    run_main(work, &job); /* in a fiber: some tables talk to servers */
    return job.status;
}
