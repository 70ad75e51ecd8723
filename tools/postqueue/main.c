/* main.c - postqueue: list and flush the queue; also qshape (compat.md j.4, j.8) */
#include <getopt.h>
#include <signal.h>

#include "address/mail_address.h"
#include "base/log.h"
#include "ipc/lane.h"
#include "listing.h"
#include "qshape.h"
#include "queue/queue_id.h"
#include "queue/selection.h"
#include "report.h"
#include "run/run.h"
#include "service/command.h"
#include "source.h"

enum { EXIT_UNAVAILABLE = 69, NARROW = 80 /* columns of a qshape table, at least */ };
/* Modes that have no letter. */
enum { MODE_JSON = 256, MODE_IDS, MODE_COUNT, MODE_GROUP, MODE_SUMMARY, OPTION_DRY_RUN };
#define POSTQUEUE_USAGE "usage: postqueue -f | postqueue -i queueid | postqueue -j | postqueue -p | postqueue -s site"
#define QSHAPE_USAGE "usage: qshape [-s] [-p] [-m min_subdomains] [-b bucket_count] [-t bucket_time] [-l] [-w terminal_width] [-c config_dir] [queue_name ...]"

static struct config *config;
static struct queue_query query; /* selection and what else the command line asks for */
static bool dry_run;

static void check_written(void)
{
    if (fflush(stdout) || ferror(stdout))
        log_fatal("output write error: %s", strerror(errno));
}

static void check_viewer(void)
{
    uid_t uid = getuid();
    if (!command_user_allowed(config, "authorized_mailq_users", uid))
        log_fatal("User %s(%ld) is not allowed to view the mail queue", command_user_name(uid), (long)uid);
}

/* show_queue - mode 'p', 'j', or JSON with more. */
static void show_queue(int mode)
{
    struct listing listing;
    listing_init(&listing, stdout, config_bool(config, "enable_long_queue_ids"));
    struct queue_handler handler = mode == 'p' ? listing_text(&listing) : listing_json(&listing, mode == MODE_JSON);
    if (mode == MODE_JSON || selection_is_given(&query.selection)) {
        const struct source_handler source = {.listing = &handler};
        struct queue_answer total;
        query.form = QUEUE_QUERY_LISTING;
        source_query(config, &query, &source, &total);
    } else {
        source_listing(config, &handler);
    }
    if (mode == 'p')
        listing_text_end(&listing);
    listing_release(&listing);
}

static void put_ids(void *context UNUSED, struct slice lines)
{
    fwrite(lines.data, 1, lines.len, stdout);
}

static void show_ids(void)
{
    const struct source_handler source = {.ids = put_ids};
    struct queue_answer total;
    query.form = QUEUE_QUERY_IDS;
    source_query(config, &query, &source, &total);
}

static void add_group(void *context, const struct queue_group *group)
{
    report_add(context, group);
}

static void show_counts(int mode)
{
    struct report *report = report_new();
    const struct source_handler source = {.group = add_group, .context = report};
    struct queue_answer total;
    query.form = QUEUE_QUERY_COUNTS;
    if (mode == MODE_SUMMARY)
        query.group_by = QUEUE_GROUP_QUEUE | QUEUE_GROUP_DOMAIN | QUEUE_GROUP_SENDER | QUEUE_GROUP_NEXT_HOP | QUEUE_GROUP_REASON;
    source_query(config, &query, &source, &total);
    if (mode == MODE_SUMMARY)
        report_summary(report, &total, clock_wall(), stdout);
    else if (mode == MODE_GROUP)
        report_groups(report, stdout);
    else
        printf("%lld\n", (long long)total.messages);
    report_free(report);
}

/* ---- requests to qmgr --------------------------------------------------------------------------------------------- */

struct request {
    struct queue_control control;
    bool answered;
    char error[512];
};

static void ask(void *arg)
{
    struct request *request = arg;
    struct arena *arena = arena_new(0);
    char path[256];
    snprintf(path, sizeof(path), "public/%s", config_string(config, "queue_service_name"));
    struct lane *lane = lane_connect(path, clock_after(100 * MICROSECONDS));
    const struct queue_control_reply *reply = NULL;
    if (lane)
        reply = lane_call(lane, MESSAGE_queue_control, &request->control, -1, MESSAGE_queue_control_reply, arena,
                          clock_after(3600 * MICROSECONDS));
    request->answered = reply != NULL;
    if (reply)
        snprintf(request->error, sizeof(request->error), SLICE_FORMAT, SLICE_ARGS(reply->error));
    lane_free(lane);
    arena_free(arena);
}

static void send_request(int64_t verb, const char *argument)
{
    struct request request = {.control = {.verb = verb, .argument = slice_of(argument), .selection = query.selection}};
    request.control.selected = verb == QUEUE_CONTROL_FLUSH && selection_is_given(&query.selection);
    uid_t uid = getuid();
    if (!command_user_allowed(config, "authorized_flush_users", uid))
        log_fatal("User %s(%ld) is not allowed to flush the mail queue", command_user_name(uid), (long)uid);
    run_main(ask, &request);
    if (!request.answered)
        log_fatal("Cannot flush mail queue - mail system is down");
    if (request.error[0])
        log_fatal("%s", request.error);
}

/* is_alphanumeric - what is too short for a queue id may be asked for all the same: there is no such message. */
static bool is_alphanumeric(const char *id)
{
    size_t len = strlen(id);
    return len > 0 && len < QUEUE_ID_MAX && strspn(id, "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz") == len;
}

static void flush_id(const char *id)
{
    if (!is_alphanumeric(id))
        log_fatal("Cannot flush queue ID - invalid name: \"%s\"", id);
    send_request(QUEUE_CONTROL_FLUSH_ID, id);
}

static void flush_site(const char *site)
{
    struct slice domain = slice_of(*site == '@' ? site + 1 : site);
    if (domain.len == 0 || (domain.data[0] != '[' && !domain_is_valid(domain, NULL)))
        log_fatal("Cannot flush mail queue - invalid destination: \"%s\"", site);
    send_request(QUEUE_CONTROL_FLUSH_SITE, site);
}

/* ---- command lines ------------------------------------------------------------------------------------------------ */

static void start(const char *directory)
{
    config = command_config(directory, true);
    command_queue_directory(config);
}

/* flush_selected - the deferred ones of the selection. */
static void flush_selected(void)
{
    if (dry_run && query.selection.queues.len == 0)
        query.selection.queues = SLICE("deferred");
    if (dry_run)
        show_ids();
    else
        send_request(QUEUE_CONTROL_FLUSH, "");
}

static void do_mode(int mode, const char *argument)
{
    switch (mode) {
    case 'f': flush_selected(); return;
    case 'i': flush_id(argument); return;
    case 's': flush_site(argument); return;
    case MODE_IDS: check_viewer(); show_ids(); return;
    case MODE_COUNT:
    case MODE_GROUP:
    case MODE_SUMMARY: check_viewer(); show_counts(mode); return;
    default: check_viewer(); show_queue(mode); return;
    }
}

static void set_mode(int *mode, int wanted)
{
    if (*mode)
        log_fatal(POSTQUEUE_USAGE);
    *mode = wanted;
}

static void set_group(const char *name)
{
    query.group_by = selection_group_kind(name);
    if (!query.group_by)
        log_fatal("unknown group: %s (domain, sender, sender-domain, reason, nexthop, queue)", name);
}

static int postqueue(int argc, char **argv)
{
    static const struct option names[] = {
        SELECTION_OPTIONS, {"json", no_argument, NULL, MODE_JSON}, {"ids", no_argument, NULL, MODE_IDS}, {"count", no_argument, NULL, MODE_COUNT},
        {"group-by", required_argument, NULL, MODE_GROUP}, {"summary", no_argument, NULL, MODE_SUMMARY},
        {"dry-run", no_argument, NULL, OPTION_DRY_RUN}, {0}};
    const char *directory = NULL, *argument = NULL;
    int mode = 0, letter;
    while ((letter = getopt_long(argc, argv, "c:fi:jps:v", names, NULL)) > 0) {
        if (selection_option(&query.selection, letter, optarg))
            continue;
        switch (letter) {
        case 'c':
            directory = optarg;
            break;
        case 'v':
            if (getuid() == 0)
                log_verbose++;
            break;
        case OPTION_DRY_RUN:
            dry_run = true;
            break;
        case '?':
            log_fatal(POSTQUEUE_USAGE);
        case MODE_GROUP:
            set_group(optarg);
            /* fall through */
        default:
            set_mode(&mode, letter);
            argument = optarg;
        }
    }
    bool selected = selection_is_given(&query.selection);
    if (!mode && selected)
        mode = 'p';
    if (argc > optind || !mode || (dry_run && mode != 'f') || (selected && (mode == 'i' || mode == 's')))
        log_fatal(POSTQUEUE_USAGE);
    start(directory);
    do_mode(mode, argument);
    check_written();
    return 0;
}

static unsigned number(const char *text, unsigned most)
{
    uint64_t value;
    if (!slice_to_u64(slice_of(text), &value) || value < 1 || value > most)
        log_fatal(QSHAPE_USAGE);
    return (unsigned)value;
}

static void shape_group(void *context, const struct queue_group *group)
{
    qshape_add(context, group);
}

static int qshape(int argc, char **argv)
{
    struct buffer queues = BUFFER_INIT;
    struct qshape_options options = {.minimum_subdomains = 5, .buckets = 10, .first_bucket = 5, .width = NARROW};
    const char *directory = NULL;
    int letter;
    while ((letter = getopt(argc, argv, "spm:b:t:lw:N:n:c:")) > 0) {
        switch (letter) {
        case 's': options.by_sender = true; break;
        case 'p': options.parents = true; break;
        case 'l': options.linear = true; break;
        case 'm': options.minimum_subdomains = number(optarg, 1000000); break;
        case 'b': options.buckets = number(optarg, options.linear ? QSHAPE_BUCKETS_MAX : 30); break;
        case 't': options.first_bucket = number(optarg, 100000); break;
        case 'w': options.width = number(optarg, 1000) > NARROW ? number(optarg, 1000) : NARROW; break;
        case 'c': directory = optarg; break;
        case 'N': /* intermediate results: */
        case 'n': /* not needed, it is fast */
            break;
        default: log_fatal(QSHAPE_USAGE);
        }
    }
    for (int i = optind; i < argc; i++)
        buffer_printf(&queues, "%s ", argv[i]);
    if (optind == argc)
        buffer_append_string(&queues, "incoming active");
    start(directory);
    check_viewer();
    struct qshape *shape = qshape_new(&options);
    query = qshape_query(&options);
    query.selection.queues = slice_of(buffer_string(&queues));
    const struct source_handler source = {.group = shape_group, .context = shape};
    struct queue_answer total;
    source_query(config, &query, &source, &total);
    qshape_print(shape, stdout);
    qshape_free(shape);
    buffer_release(&queues);
    check_written();
    return 0;
}

static const char postqueue_help[] =
    "Usage: postqueue [-v] [-c config_dir] -f | -i queue_id | -j | -p | -s site\n"
    "       postqueue [-v] [-c config_dir] [-f | -j | -p | --json | --ids | --count | --group-by what | --summary] selection ...\n"
    "  -c config_dir  the directory of main.cf\n"
    "  -f  try to deliver all deferred mail now\n"
    "  -i queue_id  try to deliver this message now\n"
    "  -j  list the queue as JSON\n"
    "  -p  list the queue\n"
    "  -s site  try to deliver mail for this site now\n"
    "  -v  more messages\n"
    "  --json     as -j, with original addresses, status codes, attempts, transport and next hop\n"
    "  --ids      queue ids, a line each\n"
    "  --count    how many messages\n"
    "  --group-by what  counts by domain, sender, sender-domain, reason, nexthop or queue\n"
    "  --summary  the queues, and the most frequent domains, senders, next hops and reasons\n"
    "  --dry-run  -f: print ids, change nothing\n"
    SELECTION_HELP
    "See postqueue(1).\n";

static const char qshape_help[] =
    "Usage: qshape [option ...] [queue ...]\n"
    "  -b count  number of age columns (10)\n"
    "  -c config_dir  the directory of main.cf\n"
    "  -l  columns of equal age\n"
    "  -m count  -p: parent domains with at least so many subdomains (5)\n"
    "  -p  parent domains too\n"
    "  -s  by sender domain\n"
    "  -t minutes  age of the first column (5)\n"
    "  -w columns  width of the table (80, not less)\n"
    "See qshape(1).\n";

int main(int argc, char **argv)
{
    const char *slash = strrchr(argv[0], '/');
    const char *name = slash ? slash + 1 : argv[0];
    bool shape = strcmp(name, "qshape") == 0;
    command_start(shape ? "qshape" : "postqueue");
    command_help(argc, argv, shape ? qshape_help : postqueue_help);
    log_set_fatal_exit(EXIT_UNAVAILABLE);
    argv[0] = (char *)(shape ? "qshape" : "postqueue"); /* getopt shows it */
    return shape ? qshape(argc, argv) : postqueue(argc, argv);
}
