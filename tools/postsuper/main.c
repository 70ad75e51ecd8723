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
                            "[--sender address] [--recipient address] [--domain name] [--reason regex] [--sasl-user name] [--older-than time] [--newer-than time] "
                            "[--size [+|-]size] [--queue name] [--limit number] [--dry-run [--count | --group-by what]] [queue...]";

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
    /* then a second step releases */
    {'f', QUEUE_CONTROL_EXPIRE, QUEUE_HOLD | QUEUE_INCOMING | QUEUE_ACTIVE | QUEUE_DEFERRED, "expired", "Force-expired"},
};

static struct action actions[COUNT_OF(verbs)];
static bool purge, fix_structure;
static struct queue_selection selection;
static bool dry_run;
static const char *form = "--ids", *group; /* of --dry-run: what is shown */
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
    const struct verb *verb = verbs;
    while (verb->verb != action->verb)
        verb++;
    return verb;
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

static void do_step(struct work *work, const struct action *action)
{
    if (is_wanted(action))
        do_action(work, action);
    else /* no id was good */
        log_info("%s: 0 messages", verb_of(action)->total);
}

static void do_all(void *arg)
{
    struct work *work = arg;
    for (size_t i = 0; i < COUNT_OF(actions); i++) {
        if (!actions[i].verb)
            continue;
        do_step(work, &actions[i]);
        struct action release = actions[i];
        release.verb = QUEUE_CONTROL_RELEASE;
        if (verbs[i].letter == 'f')
            do_step(work, &release);
    }
    lane_free(work->lane);
    offline_close(work->offline);
}

/* queues_for - those of the arguments and of --queue, or the verb's. */
static int queues_for(const struct work *work, size_t verb)
{
    return work->queues ? work->queues : verbs[verb].queues;
}

/* show_selected - what would be changed; of one action, because the answer is postqueue's. */
static void show_selected(const struct work *work)
{
    for (size_t i = 0; i < COUNT_OF(actions); i++) {
        for (size_t k = 0; k < actions[i].count; k++)
            printf(SLICE_FORMAT "\n", SLICE_ARGS(actions[i].ids[k]));
    }
    for (size_t i = 0; i < COUNT_OF(actions); i++) {
        if (actions[i].all)
            selection_show(config, &selection, queues_for(work, i), form, group);
    }
}

/* select_messages - ALL stands for those of the selection only. */
static void select_messages(void)
{
    for (size_t i = 0; i < COUNT_OF(actions); i++) {
        if (actions[i].all)
            actions[i].selection = &selection;
        else if (actions[i].verb)
            log_fatal("a selection needs ALL, not queue ids");
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

enum { OPTION_DRY_RUN = 256, OPTION_COUNT, OPTION_GROUP };

static bool read_long_option(int option)
{
    switch (option) {
    case OPTION_DRY_RUN:
        dry_run = true;
        return true;
    case OPTION_COUNT:
        form = "--count";
        return true;
    case OPTION_GROUP:
        if (!selection_group_kind(optarg))
            log_fatal("unknown group: %s (domain, sender, sender-domain, reason, nexthop, queue)", optarg);
        form = "--group-by";
        group = optarg;
        return true;
    default:
        return selection_option(&selection, option, optarg);
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
    static const struct option names[] = {SELECTION_OPTIONS, {"dry-run", no_argument, NULL, OPTION_DRY_RUN}, {"count", no_argument, NULL, OPTION_COUNT},
                                          {"group-by", required_argument, NULL, OPTION_GROUP}, {0}};
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
            if (!read_action(letter) && !read_long_option(letter))
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
    SELECTION_HELP
    "  --dry-run  print ids, change nothing\n"
    "  --count    --dry-run: print how many it would be\n"
    "  --group-by what  --dry-run: counts by domain, sender, sender-domain, reason, nexthop or queue\n"
    "See postsuper(1).\n";

/* take_queues - --queue names queues as arguments do; what remains are conditions. */
static void take_queues(struct work *work)
{
    struct slice rest = selection.queues, name;
    while (slice_next_token(&rest, " ,", &name)) {
        char *text = slice_string(name);
        work->queues |= queue_named(text);
        free(text);
    }
    selection.queues = (struct slice){NULL, 0};
}

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
    if ((dry_run || strcmp(form, "--ids") != 0 || selection_is_given(&selection)) && !any_action())
        log_fatal(usage);
    if (!dry_run && strcmp(form, "--ids") != 0)
        log_fatal("--count and --group-by need --dry-run");
    if (!any_action() && !fix_structure)
        purge = true;
    if (purge && !dry_run)
        maildrop_purge();
    take_queues(&work);
    if (selection_is_given(&selection))
        select_messages();
    if (dry_run)
        show_selected(&work);
    else if (any_action())
        run_main(do_all, &work);
    config_free(config);
    return 0;
}
