/* service.c - one worker: start-up in order, the status channel, the end */
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/stat.h>

#include "base/log.h"
#include "conf/snapshot.h"
#include "net/address.h"
#include "service/log_target.h"
#include "service/network.h"
#include "service/service_private.h"
#include "service/stand_alone.h"
#include "service/statistics.h"
#include "table/table.h"

/* How long what cannot be interrupted may go on when the system stops. */
enum { STOP_GRACE = 3 /* seconds */ };
static const int64_t stop_grace = STOP_GRACE * MICROSECONDS, stop_grace_single = 1 * MICROSECONDS,
                     stop_grace_last = STOP_GRACE * MICROSECONDS + MICROSECONDS / 2; /* below master's patience */

static struct worker worker;

/* ---- status channel ----------------------------------------------------------------------------------------------- */

static struct run_watch *channel_watch;
static struct run_timer *stop_timer;

void worker_notify(struct worker *w, enum channel_kind kind, uint32_t value)
{
    if (w->has_channel)
        channel_send(WORKER_CHANNEL_FD, kind, value, -1);
}

static void run_end_hook(void *arg)
{
    struct worker *w = arg;
    if (w->service->end)
        w->service->end(&w->context);
    run_stop();
}

void worker_finish(struct worker *w)
{
    if (w->ended)
        return;
    w->ended = true;
    fiber_start("end", run_end_hook, w);
}

void worker_drain(struct worker *w)
{
    if (w->draining)
        return;
    w->draining = true;
    clients_stop_accepting();
    if (w->service->drain)
        w->service->drain(&w->context);
    clients_interrupt(INTERRUPTIBLE_AT_DRAIN);
    if (clients_count() == 0)
        worker_finish(w);
}

static void on_grace_over(void *arg UNUSED)
{
    if (worker.ended)
        run_stop(); /* even the end hook takes too long */
    worker_finish(&worker);
    run_timer_set(stop_timer, stop_grace_single, 0);
}

/* stop - the system stops, or master is gone: finish what cannot be interrupted, within a few seconds. */
static void stop(void)
{
    if (worker.stopping)
        return;
    worker.stopping = true;
    worker_drain(&worker);
    clients_interrupt(INTERRUPTIBLE_AT_STOP);
    stop_timer = run_timer_new(on_grace_over, NULL);
    int flags = worker.service->flags;
    run_timer_set(stop_timer, flags & SERVICE_ENDS_LAST ? stop_grace_last : flags & SERVICE_SINGLE ? stop_grace_single : stop_grace, 0);
}

static void on_signal(int number UNUSED)
{
    stop();
}

/* load_main - what master accepted; the files only when started by hand. */
static struct config *load_main(config_report *report)
{
    if (worker.snapshot <= 0)
        return config_load(NULL, report, NULL);
    struct config *config = config_load_snapshot(NULL, worker.snapshot, report, NULL);
    close(worker.snapshot);
    worker.snapshot = 0;
    return config;
}

/* load_config - main.cf, then -o in order, then who we are. */
static struct config *load_config(const struct service_arguments *arguments, config_report *report)
{
    struct config *config = load_main(report);
    if (!config)
        return NULL;
    for (size_t i = 0; i < arguments->override_count; i++) {
        if (!config_set_argument(config, arguments->overrides[i])) {
            config_free(config);
            return NULL;
        }
    }
    config_set(config, SLICE("process_name"), slice_of(arguments->program));
    config_set(config, SLICE("service_name"), slice_of(arguments->service_name));
    network_settings(config);
    return config;
}

static void report_reload_problem(void *context UNUSED, bool fatal, const char *file UNUSED, int line UNUSED, const char *text)
{
    if (fatal)
        log_error("%s", text);
    else
        log_warning("%s", text);
}

/* start_table_helper - while files can still be opened by anybody. */
static void start_table_helper(struct worker *w)
{
    struct sandbox_owner owner = {.uid = geteuid(), .gid = getegid()};
    if (w->context.running_as_root && !sandbox_owner_find(w->context.config, &owner))
        return; /* give_up_rights says why this is the end */
    tables_start_helper(owner.uid, owner.gid);
}

static void reload_in_place(void *arg UNUSED)
{
    struct config *fresh = load_config(&worker.arguments, report_reload_problem);
    if (!fresh) {
        log_warning("the configuration cannot be read: going on with the old one");
        return;
    }
    struct config *old = worker.context.config;
    worker.context.config = fresh;
    if (worker.service->reload)
        worker.service->reload(&worker.context);
    start_table_helper(&worker);
    config_free(old);
}

/* start_reload - the newest configuration is the one that counts. */
static void start_reload(int fd)
{
    if (!(worker.service->flags & SERVICE_RELOADS)) {
        worker_drain(&worker);
        return;
    }
    if (worker.snapshot > 0)
        close(worker.snapshot);
    worker.snapshot = fd >= 0 ? fcntl(fd, F_DUPFD_CLOEXEC, WORKER_SOCKET_FD) : 0;
    fiber_start("reload", reload_in_place, NULL);
}

static void take_note(const struct channel_note *note, int *fd)
{
    switch (note->kind) {
    case CHANNEL_RELOAD:
        start_reload(*fd);
        break;
    case CHANNEL_DRAIN:
        worker_drain(&worker);
        break;
    case CHANNEL_STOP:
        stop();
        break;
    case CHANNEL_STRESS:
        worker.context.stress = note->value != 0;
        break;
    case CHANNEL_LOG:
        if (*fd >= 0) {
            log_flush();
            dup3(*fd, WORKER_LOG_FD, O_CLOEXEC);
        }
        break;
    case CHANNEL_OPEN:
        files_take_answer(note->value, fd);
        break;
    default:
        log_warning("unknown note %u from master", note->kind);
    }
}

static void on_channel(void *arg UNUSED, int events UNUSED)
{
    struct channel_note note;
    int fd, result;
    while ((result = channel_receive(WORKER_CHANNEL_FD, &note, &fd)) > 0) {
        take_note(&note, &fd);
        if (fd >= 0)
            close(fd);
    }
    if (result < 0) {
        run_unwatch(channel_watch);
        stop();
    }
}

bool files_have_master(void)
{
    return worker.has_channel;
}

bool service_is_draining(void)
{
    return worker.draining;
}

bool service_is_stopping(void)
{
    return worker.stopping;
}

void service_request_replacement(const char *why)
{
    static bool asked;
    if (asked || worker.draining)
        return;
    asked = true;
    log_info("%s", why);
    worker_notify(&worker, CHANNEL_REPLACE, 0);
}

/* at_turn - a table that changed and cannot be opened from here needs a process that can. */
static void at_turn(void)
{
    if (tables_outdated())
        service_request_replacement("a lookup table has changed -- restarting");
    if (worker.service->flags & SERVICE_MANY_CLIENTS)
        log_flush();
}

static void on_look(void *arg UNUSED)
{
    tables_look();
}

/* watch_tables - what cannot open its tables again looks at them while nobody asks: the first who asks after a change gets the new answer. */
static void watch_tables(const struct worker *w)
{
    static const int64_t interval = 2 * MICROSECONDS;
    if (w->arguments.chroot || (w->service->flags & SERVICE_NO_FILES))
        run_timer_set(run_timer_new(on_look, NULL), interval, interval);
}

/* ---- start-up ----------------------------------------------------------------------------------------------------- */

/* open_standard - descriptors 0 to 2 are never those of something else. */
static void open_standard(void)
{
    for (int fd = 0; fd < 3; fd++) {
        if (fcntl(fd, F_GETFL) < 0 && open("/dev/null", fd ? O_WRONLY : O_RDONLY) != fd)
            _exit(1);
    }
}

static unsigned number_from_environment(const char *name)
{
    uint64_t number = 0;
    const char *text = getenv(name);
    if (text && (!slice_to_u64(slice_of(text), &number) || number > UINT_MAX))
        number = 0;
    unsetenv(name);
    return (unsigned)number;
}

/* take_environment - what master says about this worker; gone before the program's own code runs. */
static enum log_sink take_environment(struct worker *w)
{
    const char *log = getenv(WORKER_ENV_LOG);
    enum log_sink sink = !log ? LOG_TO_STDERR : strcmp(log, "syslog") == 0 ? LOG_TO_SYSLOG : LOG_TO_FILE;
    unsetenv(WORKER_ENV_LOG);
    w->client_limit = number_from_environment(WORKER_ENV_CLIENT_LIMIT);
    w->context.worker = number_from_environment(WORKER_ENV_NUMBER);
    statistics_use(WORKER_STATISTICS_FD, number_from_environment(WORKER_ENV_SLOT));
    w->snapshot = (int)number_from_environment(WORKER_ENV_CONFIG);
    w->permanent = number_from_environment(WORKER_ENV_PERMANENT) != 0 || (w->service->flags & SERVICE_NEVER_IDLE_EXIT);
    if (!(w->service->flags & SERVICE_MANY_CLIENTS))
        w->client_limit = 1;
    return sink;
}

static bool is_channel(int fd)
{
    int type = 0;
    socklen_t len = sizeof(type);
    return getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) == 0 && type == SOCK_SEQPACKET;
}

static const char *transport_of(const char *service_name)
{
    const char *colon = strrchr(service_name, ':');
    return colon ? colon + 1 : service_name;
}

static void start_log(const struct service_arguments *arguments, struct config *config, enum log_sink sink)
{
    struct log_target target = {.sink = sink, .fd = WORKER_LOG_FD};
    log_target_use(config, &target, arguments->program, false);
    log_add_stderr(arguments->log_to_stderr);
}

/* check_limits - what the program needs of its line in master.cf (compat.md b.3). */
static void check_limits(const struct worker *w)
{
    const char *name = w->context.service_name;
    if ((w->service->flags & SERVICE_SINGLE) && !w->arguments.one_process)
        log_fatal("service %s requires a process limit of 1", name);
    if ((w->service->flags & SERVICE_PRIVILEGED) && w->arguments.unprivileged)
        log_fatal("service %s requires privileged operation", name);
}

static void fill_context(struct worker *w)
{
    struct service_context *context = &w->context;
    context->service_name = w->arguments.service_name;
    context->transport = transport_of(w->arguments.service_name);
    context->service_type = w->arguments.service_type;
    context->queue_directory = ".";
    context->arguments = w->arguments.words;
    context->argument_count = w->arguments.word_count;
    context->single_client = w->arguments.one_process || w->client_limit == 1;
    context->running_as_root = geteuid() == 0;
    context->privileged = context->running_as_root && !w->arguments.unprivileged;
    context->stress = *config_string(context->config, "stress") != '\0';
    w->max_idle = config_time(context->config, "max_idle");
    w->max_use = (unsigned)config_int(context->config, "max_use");
}

/* give_up_rights - services that read their configuration again stay out of the jail, or they could not find it. */
static void give_up_rights(struct worker *w)
{
    struct sandbox_owner owner;
    if (!w->context.running_as_root)
        return;
    if (!sandbox_owner_find(w->context.config, &owner))
        log_fatal("file %s/main.cf: parameter mail_owner: unknown user name value: %s", config_directory(w->context.config),
                  config_string(w->context.config, "mail_owner"));
    if (w->arguments.chroot && !(w->service->flags & SERVICE_RELOADS))
        sandbox_chroot();
    if (!w->context.privileged)
        sandbox_drop(&owner);
}

static void first_fiber(void *arg)
{
    struct worker *w = arg;
    if (w->service->start)
        w->service->start(&w->context);
    clients_start(w);
    worker_notify(w, CHANNEL_READY, w->service->flags & SERVICE_RELOADS ? 1 : 0);
}

static void run_worker(struct worker *w)
{
    run_start();
    if (w->service->open)
        w->service->open(&w->context);
    start_table_helper(w);
    if (w->arguments.chroot || (w->service->flags & SERVICE_NO_FILES))
        net_load_services();
    give_up_rights(w);
    if (w->service->flags & SERVICE_NO_FILES)
        sandbox_no_files();
    signal(SIGHUP, SIG_IGN);
    signal(SIGINT, SIG_IGN);
    run_signal(SIGTERM, on_signal);
    log_set_buffered((w->service->flags & SERVICE_MANY_CLIENTS) != 0);
    if (!(w->service->flags & (SERVICE_MANY_CLIENTS | SERVICE_SINGLE)))
        run_may_block();
    run_at_turn(at_turn);
    watch_tables(w);
    channel_watch = run_watch(WORKER_CHANNEL_FD, WAIT_READ, on_channel, NULL);
    fiber_start("start", first_fiber, w);
    run_until_stopped();
    log_flush();
}

static void enter_queue_directory(struct config *config)
{
    const char *directory = config_string(config, "queue_directory");
    if (chdir(directory) < 0)
        log_fatal("chdir %s: %s", directory, strerror(errno));
}

/* print_help - for who looks what this program is. */
static NO_RETURN void print_help(const char *program, const struct service *service)
{
    printf("%s is a daemon of the mail system: master starts it, by its line in master.cf.\n"
           "  -o name=value  instead of what main.cf says\n"
           "  -v  more messages\n", program);
    if (service->stand_alone)
        puts("  -S  talk on standard input and output");
    printf("See %s(8), master(5).\n", program);
    exit(fflush(stdout) == 0 ? 0 : 1);
}

static void parse_arguments(struct worker *w, int argc, char **argv)
{
    const char *why;
    if (argc > 1 && strcmp(argv[1], "--help") == 0) {
        const char *slash = strrchr(argv[0], '/');
        print_help(slash ? slash + 1 : argv[0], w->service);
    }
    bool ok = service_arguments_parse(&w->arguments, argc, argv, &why);
    log_verbose = w->arguments.verbose;
    if (!ok)
        log_fatal("%s: %s", w->arguments.program, why);
}

/* close_others - descriptors that are not ours by service/channel.h. */
static void close_others(struct worker *w)
{
    int first = WORKER_SOCKET_FD + (int)w->arguments.socket_count;
    if (w->snapshot != first)
        w->snapshot = 0;
    close_range((unsigned)first + (w->snapshot > 0), ~0U, 0);
}

int service_main(int argc, char **argv, const struct service *service)
{
    umask(077);
    open_standard();
    worker.service = service;
    log_open(service->name, LOG_TO_STDERR, -1);
    parse_arguments(&worker, argc, argv);
    if (worker.arguments.stand_alone)
        return stand_alone_run(&worker);
    if (!is_channel(WORKER_CHANNEL_FD))
        log_fatal("do not run this command by hand");
    worker.has_channel = true;
    for (int fd = WORKER_LOG_FD; fd <= WORKER_CHANNEL_FD; fd++)
        fcntl(fd, F_SETFD, FD_CLOEXEC);
    enum log_sink sink = take_environment(&worker);
    close_others(&worker);
    log_open(service->name, sink, WORKER_LOG_FD); /* problems of main.cf are told there */
    worker.context.config = load_config(&worker.arguments, NULL);
    if (!worker.context.config)
        log_fatal("cannot read the configuration");
    start_log(&worker.arguments, worker.context.config, sink);
    fill_context(&worker);
    check_limits(&worker);
    enter_queue_directory(worker.context.config);
    run_worker(&worker);
    return 0;
}

/* ---- -S ----------------------------------------------------------------------------------------------------------- */

int stand_alone_run(struct worker *w)
{
    if (!w->service->stand_alone)
        log_fatal("%s: -S is not supported", w->arguments.program);
    w->context.config = load_config(&w->arguments, NULL);
    if (!w->context.config)
        log_fatal("cannot read the configuration");
    struct log_target target;
    /* A user who may not write the log talks all the same; standard error is the terminal of the dialogue. */
    if (!log_target_open(w->context.config, &target))
        target = (struct log_target){.sink = LOG_TO_FILE, .fd = open("/dev/null", O_WRONLY | O_CLOEXEC)};
    log_target_use(w->context.config, &target, w->arguments.program, true);
    log_add_stderr(w->arguments.log_to_stderr);
    fill_context(w);
    w->context.single_client = true;
    w->context.privileged = false;
    enter_queue_directory(w->context.config);
    return stand_alone_dialogue(w->service, &w->context);
}
