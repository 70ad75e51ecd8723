/* main.c - postsuper: delete, hold, release, requeue, expire messages; housekeeping (compat.md j.5) */
#include <getopt.h>

#include "base/log.h"
#include "ipc/lane.h"
#include "postsuper.h"
#include "queue/queue_id.h"
#include "run/run.h"
#include "service/command.h"
#include "service/sandbox.h"

static const char usage[] = "usage: postsuper [-c config_dir] [-d queue_id (delete)] [-e queue_id (expire)] [-f queue_id (expire and/or un-hold)] "
                            "[-h queue_id (hold)] [-H queue_id (un-hold)] [-p (purge temporary files)] [-r queue_id (requeue)] "
                            "[-s (structure fix)] [-S (redundant structure fix)][-v (verbose)] "
                            "[--sender address] [--recipient address] [--domain name] [--older-than time] [--newer-than time] [--dry-run] [queue...]";

/* ---- what can be done --------------------------------------------------------------------------------------------- */

static const struct verb {
    char letter;
    int verb;
    int queues; /* when none are named */
    const char *done, *total;
} verbs[] = {
    {'d', QUEUE_CONTROL_DELETE, QUEUE_HOLD | QUEUE_INCOMING | QUEUE_ACTIVE | QUEUE_DEFERRED, "removed", "Deleted"},
    {'r', QUEUE_CONTROL_REQUEUE, QUEUE_HOLD | QUEUE_INCOMING | QUEUE_ACTIVE | QUEUE_DEFERRED, "requeued", "Requeued"},
    {'h', QUEUE_CONTROL_HOLD, QUEUE_INCOMING | QUEUE_ACTIVE | QUEUE_DEFERRED, "placed on hold", "Placed on hold"},
    {'H', QUEUE_CONTROL_RELEASE, QUEUE_HOLD, "released from hold", "Released from hold"},
    {'e', QUEUE_CONTROL_EXPIRE, QUEUE_HOLD | QUEUE_INCOMING | QUEUE_ACTIVE | QUEUE_DEFERRED, "expired", "Force-expired"},
    {'f', QUEUE_CONTROL_EXPIRE_RELEASE, QUEUE_HOLD | QUEUE_INCOMING | QUEUE_ACTIVE | QUEUE_DEFERRED, "expired", "Force-expired"},
};

static struct action actions[COUNT_OF(verbs)];
static bool purge, fix_structure;
static struct selection selection = {.older_than = -1, .newer_than = -1};
static struct config *config;

void action_add(struct action *action, struct slice id)
{
    if (action->count == action->capacity) {
        action->capacity = action->capacity ? action->capacity * 2 : 16;
        action->ids = memory_resize(action->ids, action->capacity * sizeof(*action->ids));
    }
    action->ids[action->count++] = slice_make(memory_copy(id.data, id.len), id.len);
}

/* is_name - what could be an id of some mail system: too short for one of ours is no error, there is just no such message. */
static bool is_name(struct slice id)
{
    size_t i = 0;
    while (i < id.len && isalnum((unsigned char)id.data[i]))
        i++;
    return id.len > 0 && id.len < QUEUE_ID_MAX && i == id.len;
}

static void add_checked(struct action *action, struct slice id)
{
    if (is_name(id))
        action_add(action, id);
    else
        log_warning("invalid mail queue id: " SLICE_FORMAT, SLICE_ARGS(id));
}

static void add_from_stdin(struct action *action)
{
    char *line = NULL;
    size_t room = 0;
    for (ssize_t n; (n = getline(&line, &room, stdin)) >= 0;)
        add_checked(action, slice_trim(slice_make(line, (size_t)n)));
    free(line);
}

static void add_argument(struct action *action, const char *argument)
{
    if (strcmp(argument, "ALL") == 0)
        action->all = true;
    else if (strcmp(argument, "-") == 0)
        add_from_stdin(action);
    else
        add_checked(action, slice_of(argument));
}

/* ---- doing it ----------------------------------------------------------------------------------------------------- */

static const struct verb *verb_of(const struct action *action)
{
    return &verbs[action - actions];
}

static void on_changed(const struct action *action, struct slice queue_id)
{
    log_info(SLICE_FORMAT ": %s", SLICE_ARGS(queue_id), verb_of(action)->done);
}

static bool is_wanted(const struct action *action)
{
    return action->all || action->count > 0;
}

struct work {
    int queues; /* named on the command line; 0: none were */
    struct lane *lane;
    struct offline *offline;
};

static void do_action(struct work *work, const struct action *action)
{
    int queues = work->queues ? work->queues : verb_of(action)->queues;
    struct outcome outcome = {.changed = on_changed};
    if (queues & QUEUE_MAILDROP)
        maildrop_do(action, &outcome);
    queues &= QUEUE_HOLD | QUEUE_INCOMING | QUEUE_ACTIVE | QUEUE_DEFERRED;
    if (queues && !work->lane && !work->offline)
        work->lane = online_open(config);
    if (queues && !work->lane && !work->offline)
        work->offline = offline_open(config);
    if (queues && work->lane && !online_do(work->lane, action, queues, &outcome))
        log_fatal("the queue manager does not answer");
    else if (queues && work->offline)
        offline_do(work->offline, action, queues, &outcome);
    log_info("%s: %llu message%s", verb_of(action)->total, (unsigned long long)outcome.count, outcome.count == 1 ? "" : "s");
}

static void do_all(void *arg)
{
    struct work *work = arg;
    for (size_t i = 0; i < COUNT_OF(actions); i++) {
        if (actions[i].verb && (is_wanted(&actions[i]) || !selection_is_empty(&selection)))
            do_action(work, &actions[i]);
    }
    lane_free(work->lane);
    offline_close(work->offline);
}

/* select_messages - what ALL stands for is only what the selection fits. */
static void select_messages(const struct work *work)
{
    for (size_t i = 0; i < COUNT_OF(actions); i++) {
        if (!actions[i].all)
            continue;
        actions[i].all = false;
        selection_ids(&selection, config, work->queues ? work->queues : verbs[i].queues, &actions[i]);
    }
}

static void show_selected(void)
{
    for (size_t i = 0; i < COUNT_OF(actions); i++) {
        for (size_t k = 0; k < actions[i].count; k++)
            printf(SLICE_FORMAT "\n", SLICE_ARGS(actions[i].ids[k]));
    }
}

/* ---- command line ------------------------------------------------------------------------------------------------- */

static int queue_named(const char *name)
{
    static const struct { const char *name; int queue; } names[] = {
        {"maildrop", QUEUE_MAILDROP}, {"incoming", QUEUE_INCOMING}, {"active", QUEUE_ACTIVE}, {"deferred", QUEUE_DEFERRED},
        {"hold", QUEUE_HOLD}, {"defer", QUEUE_OTHER}, {"bounce", QUEUE_OTHER}, {"trace", QUEUE_OTHER}, {"flush", QUEUE_OTHER}};
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        if (strcmp(names[i].name, name) == 0)
            return names[i].queue;
    }
    log_fatal("invalid directory name: %s", name);
}

/* seconds - "30", "5m", "2h", "3d", "1w". */
static int64_t seconds(const char *text)
{
    static const struct { char unit; int64_t seconds; } units[] = {{'s', 1}, {'m', 60}, {'h', 3600}, {'d', 86400}, {'w', 604800}};
    struct slice number = slice_of(text);
    int64_t factor = 1, value;
    for (size_t i = 0; i < COUNT_OF(units) && number.len > 0; i++) {
        if (text[strlen(text) - 1] == units[i].unit) {
            factor = units[i].seconds;
            number.len--;
            break;
        }
    }
    if (!slice_to_i64(number, &value) || value < 0 || value > INT64_MAX / 1000000 / factor)
        log_fatal("bad time value or unit: %s", text);
    return value * factor;
}

enum { OPTION_SENDER = 256, OPTION_RECIPIENT, OPTION_DOMAIN, OPTION_OLDER, OPTION_NEWER, OPTION_DRY_RUN };

static bool read_selection(int option)
{
    switch (option) {
    case OPTION_SENDER: selection.sender = optarg; return true;
    case OPTION_RECIPIENT: selection.recipient = optarg; return true;
    case OPTION_DOMAIN: selection.domain = optarg; return true;
    case OPTION_OLDER: selection.older_than = seconds(optarg); return true;
    case OPTION_NEWER: selection.newer_than = seconds(optarg); return true;
    case OPTION_DRY_RUN: selection.dry_run = true; return true;
    default: return false;
    }
}

static bool read_action(int letter)
{
    for (size_t i = 0; i < COUNT_OF(verbs); i++) {
        if (verbs[i].letter == letter) {
            actions[i].verb = verbs[i].verb;
            add_argument(&actions[i], optarg);
            return true;
        }
    }
    return false;
}

static const char *read_options(int argc, char **argv)
{
    static const struct option names[] = {
        {"sender", required_argument, NULL, OPTION_SENDER}, {"recipient", required_argument, NULL, OPTION_RECIPIENT},
        {"domain", required_argument, NULL, OPTION_DOMAIN}, {"older-than", required_argument, NULL, OPTION_OLDER},
        {"newer-than", required_argument, NULL, OPTION_NEWER}, {"dry-run", no_argument, NULL, OPTION_DRY_RUN}, {0}};
    const char *directory = NULL;
    int letter;
    while ((letter = getopt_long(argc, argv, "c:d:e:f:h:H:pr:sSv", names, NULL)) > 0) {
        switch (letter) {
        case 'c':
            if (*optarg != '/')
                log_fatal("-c requires absolute pathname");
            directory = optarg;
            break;
        case 'p': purge = true; break;
        case 's':
        case 'S': fix_structure = true; break; /* there is nothing that could be wrong with the structure */
        case 'v': log_verbose++; break;
        default:
            if (!read_action(letter) && !read_selection(letter))
                log_fatal(usage);
        }
    }
    return directory;
}

static bool any_action(void)
{
    for (size_t i = 0; i < COUNT_OF(actions); i++) {
        if (actions[i].verb)
            return true;
    }
    return false;
}

/* check_caller - root; or mail_owner, whose all the queue is anyway: instances that run as an ordinary user. */
static void check_caller(const char *directory)
{
    struct sandbox_owner owner;
    if (getuid() == 0)
        return;
    struct config *quiet = command_config(directory, false);
    if (!sandbox_owner_find(quiet, &owner) || owner.uid != getuid())
        log_fatal("use of this command is reserved for the superuser");
    config_free(quiet);
}

static const char help[] =
    "Usage: postsuper [option ...] [queue ...]\n"
    "  -c config_dir  the directory of main.cf\n"
    "  -d id  delete\n"
    "  -e id  return to the sender at the next attempt\n"
    "  -f id  as -e, and release from hold\n"
    "  -h id  put on hold\n"
    "  -H id  release from hold\n"
    "  -p     remove files in maildrop that were never completed\n"
    "  -r id  requeue: rewrite and map addresses again\n"
    "  -s     accepted, nothing to do\n"
    "  -S     accepted, nothing to do\n"
    "  -v     more messages\n"
    "An id is a queue id, - (read ids from standard input) or ALL, which may be restricted:\n"
    "  --sender address\n"
    "  --recipient address\n"
    "  --domain name\n"
    "  --older-than time\n"
    "  --newer-than time\n"
    "  --dry-run  print ids, change nothing\n"
    "See postsuper(1).\n";

int main(int argc, char **argv)
{
    argv[0] = (char *)"postsuper"; /* getopt shows it */
    command_start("postsuper");
    command_help(argc, argv, help);
    const char *directory = read_options(argc, argv);
    struct work work = {0};
    check_caller(directory);
    config = command_config(directory, true);
    for (int i = optind; i < argc; i++)
        work.queues |= queue_named(argv[i]);
    command_queue_directory(config);
    if (!any_action() && !fix_structure)
        purge = true;
    if (purge)
        maildrop_purge();
    if (!selection_is_empty(&selection))
        select_messages(&work);
    if (selection.dry_run)
        show_selected();
    else if (any_action())
        run_main(do_all, &work);
    config_free(config);
    return 0;
}
