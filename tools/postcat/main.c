/* main.c - postcat: show a message of the queue (compat.md j.6) */
#include <fcntl.h>
#include <getopt.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/log.h"
#include "damaged.h"
#include "ipc/lane.h"
#include "print.h"
#include "queue/maildrop_export.h"
#include "queue/queue_id.h"
#include "queue/segment_search.h"
#include "queue/store.h"
#include "run/run.h"
#include "service/command.h"

static const char usage[] = "usage: %s [-b (body text)] [-c config_dir] [-d (decimal record type)] [-e (envelope records)] [-f (file name prefix)] "
                            "[-h (header text)] [-o (record offset)] [-q (access queue)] [-r (raw order)] [-s offset] [-v] [file(s)...]";

#define ANSWER_TIME (10 * MICROSECONDS)
static struct print_options options;
static struct config *config;
static bool by_id, raw;
static int64_t start_offset;

static void put(void *context, char type, struct slice data)
{
    print_record(context, type, data);
}

/* ---- files in the format of maildrop/ ----------------------------------------------------------------------------- */

enum { JUMPS_MAX = 10000 };

/* follow - a pointer record leads elsewhere in the file; false: cannot. */
static bool follow(struct maildrop_reader *reader, struct printer *printer, struct slice data, unsigned *jumps)
{
    int64_t offset;
    if (raw || !slice_to_i64(slice_trim(data), &offset) || offset <= 0)
        return true;
    if (++*jumps > JUMPS_MAX || !maildrop_seek(reader, offset))
        return false;
    printer->offset = (uint64_t)offset;
    return true;
}

static void show_file(int fd, const char *name)
{
    struct maildrop_reader reader;
    struct printer printer;
    enum maildrop_result result = MAILDROP_NO_MORE;
    enum maildrop_phase phase = MAILDROP_ENVELOPE;
    char type;
    struct slice data;
    unsigned jumps = 0;
    bool any = false;
    print_begin(&printer, &options, name);
    maildrop_reader_open(&reader, fd);
    if (start_offset > 0 && !maildrop_seek(&reader, start_offset))
        log_fatal("seek %s: %s", name, strerror(errno));
    printer.offset = (uint64_t)start_offset;
    while (phase != MAILDROP_COMPLETE && (result = maildrop_read(&reader, &type, &data)) == MAILDROP_RECORD) {
        bool expected = maildrop_step(&phase, type, false);
        if (!any && (!expected || (start_offset == 0 && type != MAILDROP_SIZE && type != MAILDROP_TIME))) { /* what begins otherwise is something else */
            log_warning("%s: input is not a valid queue file", name);
            break;
        }
        any = true;
        print_record(&printer, type, data);
        if (type == MAILDROP_POINTER && !follow(&reader, &printer, data, &jumps))
            log_fatal("%s: bad pointer record", name);
    }
    if (any && result == MAILDROP_MALFORMED)
        log_fatal("record read error");
    if (!any && result != MAILDROP_RECORD)
        log_warning("%s: input is not a valid queue file", name);
    maildrop_reader_release(&reader);
}

/* ---- messages of the queue ---------------------------------------------------------------------------------------- */

/* Asking the queue manager where a message is. */
struct question {
    char path[256];
    const char *id;
    char queue[16];
};

static void ask(void *arg)
{
    struct question *question = arg;
    struct queue_control request = {.verb = QUEUE_CONTROL_WHERE, .argument = slice_of(question->id)};
    struct arena *arena = arena_new(0);
    struct lane *lane = lane_connect(question->path, clock_after(ANSWER_TIME));
    const struct queue_control_reply *reply =
        lane ? lane_call(lane, MESSAGE_queue_control, &request, -1, MESSAGE_queue_control_reply, arena, clock_after(ANSWER_TIME)) : NULL;
    if (reply && reply->ids_count == 1)
        snprintf(question->queue, sizeof(question->queue), SLICE_FORMAT, SLICE_ARGS(slice_first(reply->ids[0].queue_id, sizeof(question->queue) - 1)));
    lane_free(lane);
    arena_free(arena);
}

/* queue_of - the name to show; while the mail system is down only the record is asked. */
static const char *queue_of(const char *id, const struct queue_record *record)
{
    static struct question question;
    question = (struct question){.id = id};
    snprintf(question.path, sizeof(question.path), "public/%s", config_string(config, "queue_service_name"));
    if (store_is_locked("."))
        run_main(ask, &question);
    if (question.queue[0])
        return question.queue;
    return record->state == MESSAGE_STATE_HELD ? "hold" : "deferred";
}

static bool show_from_segments(const char *id)
{
    struct arena *arena = arena_new(0);
    struct queue_record record;
    int fd;
    int found = segment_search(".", slice_of(id), arena, &record, &fd);
    if (found < 0)
        log_fatal("open queue file %s: %s", id, strerror(errno));
    if (found > 0) {
        struct printer printer;
        char name[64];
        snprintf(name, sizeof(name), "%s/%s", queue_of(id, &record), id);
        print_begin(&printer, &options, name);
        if (!maildrop_export(&record, fd, put, &printer))
            log_fatal("read queue file %s: %s", id, strerror(errno));
        if (!record_check_content(fd, &record))
            log_warning("queue file %s: its content is damaged", id);
        close(fd);
    }
    arena_free(arena);
    return found > 0;
}

static bool show_from_maildrop(const char *id)
{
    char path[80];
    snprintf(path, sizeof(path), "maildrop/%s", id);
    int fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return false;
    show_file(fd, path);
    close(fd);
    return true;
}

static void show_id(const char *id)
{
    if (!queue_id_is_valid(slice_of(id)))
        log_fatal("bad mail queue ID: %s", id);
    if (!show_from_segments(id) && !show_from_maildrop(id))
        log_fatal("open queue file %s: %s", id, strerror(ENOENT));
}

static void show_path(const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        log_fatal("open %s: %s", path, strerror(errno));
    if (!damaged_show(fd, path, &options))
        show_file(fd, path);
    close(fd);
}

/* ---- command line ------------------------------------------------------------------------------------------------- */

static const char *read_options(int argc, char **argv)
{
    const char *directory = NULL;
    int letter;
    while ((letter = getopt(argc, argv, "bc:defhnoqrs:v")) > 0) {
        switch (letter) {
        case 'b': options.body = true; break;
        case 'c': directory = optarg; break;
        case 'd': options.decimal = true; break;
        case 'e': options.envelope = true; break;
        case 'f': options.prefix = true; break;
        case 'h': options.header = true; break;
        case 'n': break;
        case 'o': options.offset = true; break;
        case 'q': by_id = true; break;
        case 'r': raw = true; break;
        case 's':
            if (!slice_to_i64(slice_of(optarg), &start_offset) || start_offset < 0)
                log_fatal("bad offset: %s", optarg);
            break;
        case 'v': log_verbose++; break;
        default: log_fatal(usage, argv[0]);
        }
    }
    if (!options.body && !options.envelope && !options.header)
        options.body = options.envelope = options.header = true;
    return directory;
}

static const char help[] =
    "Usage: postcat [option ...] [file ...]\n"
    "  -b  the body\n"
    "  -c config_dir  the directory of main.cf\n"
    "  -d  record types as numbers\n"
    "  -e  the envelope\n"
    "  -f  file name in front of records\n"
    "  -h  the header\n"
    "  -o  offset in front of records\n"
    "  -q  arguments are queue ids\n"
    "  -r  records as they lie in the file\n"
    "  -s offset  begin there\n"
    "  -v  more messages\n"
    "See postcat(1).\n";

int main(int argc, char **argv)
{
    command_start("postcat");
    command_help(argc, argv, help);
    const char *directory = read_options(argc, argv);
    config = command_config(directory, false);
    if (optind == argc)
        show_file(STDIN_FILENO, "stdin");
    else if (by_id)
        command_queue_directory(config);
    for (int i = optind; i < argc; i++) {
        if (by_id)
            show_id(argv[i]);
        else
            show_path(argv[i]);
    }
    if (fflush(stdout) || ferror(stdout))
        log_fatal("write error: %s", strerror(errno));
    config_free(config);
    return 0;
}
