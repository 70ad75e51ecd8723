/* main.c - postqueue: list and flush the queue; also qshape (compat.md j.4, j.8) */
#include <getopt.h>
#include <signal.h>
#include <sys/socket.h>

#include "base/log.h"
#include "direct.h"
#include "ipc/lane.h"
#include "listing.h"
#include "net/address.h"
#include "qshape.h"
#include "queue/queue_id.h"
#include "run/run.h"
#include "service/command.h"
#include "service/sandbox.h"

enum { EXIT_UNAVAILABLE = 69, PIECE = 64 * 1024 };
#define POSTQUEUE_USAGE "usage: postqueue -f | postqueue -i queueid | postqueue -j | postqueue -p | postqueue -s site"
#define QSHAPE_USAGE "usage: qshape [-s] [-p] [-m min_subdomains] [-b bucket_count] [-t bucket_time] [-l] [-w terminal_width] [-c config_dir] [queue_name ...]"

static struct config *config;

/* ---- the listing from the showq service --------------------------------------------------------------------------- */

/* showq_connect - a descriptor, or -1 with errno. */
static int showq_connect(void)
{
    struct net_address address;
    char path[256];
    snprintf(path, sizeof(path), "public/%s", config_string(config, "showq_service_name"));
    if (!net_address_unix(&address, slice_of(path))) {
        errno = ENAMETOOLONG;
        return -1;
    }
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && connect(fd, &address.u.any, address.len) < 0) {
        int saved = errno;
        close(fd);
        errno = saved;
        return -1;
    }
    return fd;
}

static void read_listing(int fd, const struct queue_handler *handler)
{
    struct queue_parser *parser = queue_parser_new(handler);
    char *piece = memory_alloc(PIECE);
    bool ok = true;
    while (ok && !queue_parser_is_complete(parser)) {
        ssize_t n = read(fd, piece, PIECE);
        if (n < 0 && errno == EINTR)
            continue;
        ok = n > 0 && queue_parser_push(parser, slice_make(piece, (size_t)n));
    }
    if (!queue_parser_is_complete(parser)) {
        fflush(stdout);
        log_fatal("malformed showq server response");
    }
    free(piece);
    queue_parser_free(parser);
}

/* may_read_disk - root, or the one user as whom everything runs, without privilege separation. */
static bool may_read_disk(void)
{
    struct sandbox_owner owner;
    return geteuid() == 0 || (sandbox_owner_find(config, &owner) && owner.uid == geteuid() && owner.uid == getuid());
}

/* list_queue - from the service, or from the disk for root while the system is down. */
static void list_queue(const struct queue_handler *handler)
{
    int fd = showq_connect();
    if (fd >= 0) {
        read_listing(fd, handler);
        close(fd);
        return;
    }
    char why[512];
    snprintf(why, sizeof(why), "Connect to the %s %s service: %s", config_string(config, "mail_name"),
             config_string(config, "showq_service_name"), strerror(errno));
    if (!may_read_disk())
        log_fatal("Queue report unavailable - mail system is down (%s)", why);
    log_warning("Mail system is down -- accessing queue directly (%s)", why);
    direct_list(config, handler, config_string(config, "empty_address_recipient"));
}

static void check_written(void)
{
    if (fflush(stdout) || ferror(stdout))
        log_fatal("output write error: %s", strerror(errno));
}

static void show_queue(bool json)
{
    struct listing listing;
    uid_t uid = getuid();
    if (!command_user_allowed(config, "authorized_mailq_users", uid))
        log_fatal("User %s(%ld) is not allowed to view the mail queue", command_user_name(uid), (long)uid);
    listing_init(&listing, stdout, config_bool(config, "enable_long_queue_ids"));
    struct queue_handler handler = json ? listing_json(&listing) : listing_text(&listing);
    list_queue(&handler);
    if (!json)
        listing_text_end(&listing);
    listing_release(&listing);
    check_written();
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
    struct request request = {.control = {.verb = verb, .argument = slice_of(argument)}};
    uid_t uid = getuid();
    if (!command_user_allowed(config, "authorized_flush_users", uid))
        log_fatal("User %s(%ld) is not allowed to flush the mail queue", command_user_name(uid), (long)uid);
    run_main(ask, &request);
    if (!request.answered)
        log_fatal("Cannot flush mail queue - mail system is down");
    if (request.error[0])
        log_fatal("%s", request.error);
}

static void flush_id(const char *id)
{
    if (!queue_id_is_valid(slice_of(id)))
        log_fatal("Cannot flush queue ID - invalid name: \"%s\"", id);
    send_request(QUEUE_CONTROL_FLUSH_ID, id);
}

static void flush_site(const char *site)
{
    if (*site == '\0' || strlen(site) > 512)
        log_fatal("Cannot flush mail queue - invalid destination: \"%s\"", site);
    send_request(QUEUE_CONTROL_FLUSH_SITE, site);
}

/* ---- command lines ------------------------------------------------------------------------------------------------ */

static void start(const char *directory)
{
    config = command_config(directory, true);
    command_queue_directory(config);
}

static int postqueue(int argc, char **argv)
{
    const char *directory = NULL, *argument = NULL;
    int mode = 0, letter;
    while ((letter = getopt(argc, argv, "c:fi:jps:v")) > 0) {
        switch (letter) {
        case 'c':
            directory = optarg;
            break;
        case 'v':
            if (getuid() == 0)
                log_verbose++;
            break;
        case '?':
            log_fatal(POSTQUEUE_USAGE);
        default:
            if (mode)
                log_fatal(POSTQUEUE_USAGE);
            mode = letter;
            argument = optarg;
        }
    }
    if (argc > optind || !mode)
        log_fatal(POSTQUEUE_USAGE);
    start(directory);
    switch (mode) {
    case 'p':
    case 'j':
        show_queue(mode == 'j');
        break;
    case 'f':
        send_request(QUEUE_CONTROL_FLUSH, "");
        break;
    case 'i':
        flush_id(argument);
        break;
    default:
        flush_site(argument);
    }
    return 0;
}

static unsigned number(const char *text, unsigned most)
{
    uint64_t value;
    if (!slice_to_u64(slice_of(text), &value) || value < 1 || value > most)
        log_fatal(QSHAPE_USAGE);
    return (unsigned)value;
}

static int qshape(int argc, char **argv)
{
    static const char *const standard[] = {"incoming", "active", NULL};
    struct qshape_options options = {.minimum_subdomains = 5, .buckets = 10, .first_bucket = 5, .width = 80, .queues = standard};
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
        case 'w': options.width = number(optarg, 1000); break;
        case 'c': directory = optarg; break;
        case 'N': /* intermediate results: */
        case 'n': /* not needed, it is fast */
            break;
        default: log_fatal(QSHAPE_USAGE);
        }
    }
    if (optind < argc)
        options.queues = (const char *const *)argv + optind;
    start(directory);
    if (!command_user_allowed(config, "authorized_mailq_users", getuid()))
        log_fatal("User %s(%ld) is not allowed to view the mail queue", command_user_name(getuid()), (long)getuid());
    struct qshape *shape = qshape_new(&options, clock_wall() / MICROSECONDS);
    struct queue_handler handler = qshape_handler(shape);
    list_queue(&handler);
    qshape_print(shape, stdout);
    qshape_free(shape);
    check_written();
    return 0;
}

static const char postqueue_help[] =
    "Usage: postqueue [-v] [-c config_dir] -f | -i queue_id | -j | -p | -s site\n"
    "  -c config_dir  the directory of main.cf\n"
    "  -f  try to deliver all deferred mail now\n"
    "  -i queue_id  try to deliver this message now\n"
    "  -j  list the queue as JSON\n"
    "  -p  list the queue\n"
    "  -s site  try to deliver mail for this site now\n"
    "  -v  more messages\n"
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
    "  -w columns  width of the table (80)\n"
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
