/* main.c - master: start-up, signals, end */
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "conf/snapshot.h"
#include "master.h"
#include "service/command.h"
#include "service/instance.h"
#include "service/network.h"

static const int64_t stop_patience = 4 * MICROSECONDS, log_check_interval = 1 * MICROSECONDS;
enum { WANTED_DESCRIPTORS = 262144, INITIALISATION_SECONDS = 100 };

struct options {
    const char *directory;
    int64_t exit_after; /* seconds; 0: never */
    bool debug, foreground, init, keep_session, test_lock, wait_for_child;
};

/* ---- process set-up ----------------------------------------------------------------------------------------------- */

static void open_standard(void)
{
    for (int fd = 0; fd < 3; fd++) {
        if (fcntl(fd, F_GETFL) < 0 && open("/dev/null", O_RDWR) != fd)
            _exit(1);
    }
}

static void parse_options(struct options *options, int argc, char **argv)
{
    int letter;
    opterr = 0;
    while ((letter = getopt(argc, argv, "c:Dde:istvw")) > 0) {
        switch (letter) {
        case 'c': options->directory = optarg; break;
        case 'D': options->debug = true; break;
        case 'd': options->foreground = true; break;
        case 'e':
            if (!slice_to_i64(slice_of(optarg), &options->exit_after))
                log_fatal("bad -e value: %s", optarg);
            break;
        case 'i': options->init = options->keep_session = true; break;
        case 's': options->keep_session = true; break;
        case 't': options->test_lock = true; break;
        case 'v': log_verbose++; break;
        case 'w': options->wait_for_child = true; break;
        default:
            log_fatal("usage: master [-c config_dir] [-D] [-d] [-e exit_time] [-i] [-s] [-t] [-v] [-w]");
        }
    }
    if (options->init && getpid() != 1)
        log_fatal("-i is allowed only for PID 1 process");
    if (options->wait_for_child && (options->foreground || options->keep_session))
        log_fatal("-w cannot be combined with -d, -i or -s");
}

static const char help[] =
    "Usage: master [option ...]\n"
    "The supervisor of the mail system; \"postfix start\" runs it.\n"
    "  -c config_dir  the directory of main.cf and master.cf\n"
    "  -D  accepted, without effect\n"
    "  -d  stay in the foreground\n"
    "  -e seconds  end after that time\n"
    "  -i  in the foreground, as process 1\n"
    "  -s  in the foreground and in the session of the caller\n"
    "  -t  only tell whether one runs: status 1\n"
    "  -v  more messages\n"
    "  -w  return when the system is up\n"
    "See master(8).\n";

/* take_environment - import_environment: names that are kept, "name=value" that is set; the rest goes. */
static void take_environment(struct config *config)
{
    struct slice rest = slice_of(config_string(config, "import_environment")), element, name, value;
    struct buffer kept = BUFFER_INIT; /* NUL ended "name=value" strings */
    while (config_list_next(&rest, &element)) {
        (void)config_braced(element, &element);
        char *text = slice_string(element);
        const char *present;
        if (!strchr(text, '=') && (present = getenv(text)))
            buffer_printf(&kept, "%s=%s%c", text, present, '\0');
        else if (slice_cut(element, '=', &name, &value))
            buffer_printf(&kept, SLICE_FORMAT "=" SLICE_FORMAT "%c", SLICE_ARGS(slice_trim(name)), SLICE_ARGS(slice_trim(value)), '\0');
        free(text);
    }
    clearenv();
    for (size_t at = 0; at < kept.len; at += strlen(kept.data + at) + 1) {
        struct slice pair = slice_of(kept.data + at);
        slice_cut(pair, '=', &name, &value);
        char *variable = slice_string(name);
        setenv(variable, value.data, 1);
        free(variable);
    }
    buffer_release(&kept);
    setenv("PATH", "/usr/bin:/bin:/usr/sbin:/sbin", 1);
    setenv("MAIL_CONFIG", config_directory(config), 1);
}

/* raise_limits - thousands of clients need thousands of descriptors. */
static void raise_limits(void)
{
    struct rlimit limit = {.rlim_cur = WANTED_DESCRIPTORS, .rlim_max = WANTED_DESCRIPTORS}, now;
    if (getrlimit(RLIMIT_NOFILE, &now) < 0 || now.rlim_cur >= WANTED_DESCRIPTORS)
        return;
    if (now.rlim_max > limit.rlim_max)
        limit.rlim_max = now.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &limit) < 0) {
        now.rlim_cur = now.rlim_max;
        setrlimit(RLIMIT_NOFILE, &now);
    }
}

/* ---- start in the background -------------------------------------------------------------------------------------- */

static int ready_pipe = -1;

static void on_alarm(int number UNUSED)
{
    static const char text[] = "master: fatal: daemon initialization failure -- see logs for details\n";
    if (write(STDERR_FILENO, text, sizeof(text) - 1) < 0)
        _exit(1);
    _exit(1);
}

/* wait_for_child - the parent of -w: success is one byte. */
static void wait_for_child(int fd, pid_t pid)
{
    char byte;
    signal(SIGALRM, on_alarm);
    alarm(INITIALISATION_SECONDS);
    ssize_t n;
    do
        n = read(fd, &byte, 1);
    while (n < 0 && errno == EINTR);
    if (n == 1)
        _exit(0);
    waitpid(pid, NULL, WNOHANG);
    log_fatal("daemon initialization failure -- see logs for details");
}

static void go_to_background(void)
{
    int pair[2];
    log_flush();
    if (pipe2(pair, O_CLOEXEC) < 0)
        log_fatal("pipe: %s", strerror(errno));
    pid_t pid = fork();
    if (pid < 0)
        log_fatal("fork: %s", strerror(errno));
    if (pid > 0) {
        close(pair[1]);
        wait_for_child(pair[0], pid);
    }
    close(pair[0]);
    ready_pipe = pair[1];
}

/* let_go_of_standard - before the first worker, which would keep the caller's pipes open; what goes wrong earlier is seen by who
   started us. */
static void let_go_of_standard(const struct options *options)
{
    log_add_stderr(false);
    if (options->keep_session || options->foreground)
        return;
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    for (int fd = 0; null >= 0 && fd < 3; fd++)
        dup2(null, fd);
    if (null >= 0)
        close(null);
}

static void tell_parent(void)
{
    if (ready_pipe >= 0 && write(ready_pipe, "", 1) < 0)
        log_warning("cannot tell the parent process: %s", strerror(errno));
    if (ready_pipe >= 0)
        close(ready_pipe);
}

/* ---- signals and timers ------------------------------------------------------------------------------------------- */

static void on_stop_patience_over(void *arg UNUSED)
{
    workers_kill();
}

static void on_terminate(int number)
{
    if (master.stopping) {
        workers_kill();
        return;
    }
    log_info("terminating on signal %d", number);
    run_timer_set(run_timer_new(on_stop_patience_over, NULL), stop_patience, 0);
    workers_stop();
}

static void on_hangup(int number UNUSED)
{
    if (!master.stopping)
        master_reload();
}

static void on_child(int number UNUSED)
{
    workers_reap();
}

static void on_log_check(void *arg UNUSED)
{
    master_check_log();
}

static void on_exit_time(void *arg UNUSED)
{
    on_terminate(SIGTERM);
}

static void watch_signals(const struct options *options)
{
    run_signal(SIGTERM, on_terminate);
    run_signal(SIGINT, on_terminate);
    run_signal(SIGHUP, on_hangup);
    run_signal(SIGCHLD, on_child);
    run_timer_set(run_timer_new(on_log_check, NULL), log_check_interval, log_check_interval);
    if (options->exit_after > 0)
        run_timer_set(run_timer_new(on_exit_time, NULL), options->exit_after * MICROSECONDS, 0);
}

/* ---- main --------------------------------------------------------------------------------------------------------- */

static void refuse(void *context UNUSED, bool fatal UNUSED, const char *file UNUSED, int line UNUSED, const char *text)
{
    log_fatal("%s", text);
}

static void start_services(const struct options *options)
{
    struct buffer why = BUFFER_INIT;
    struct list fresh;
    master.memory = arena_new(0);
    if (!configuration_accept(master.config, master.memory, NULL, &fresh, refuse, NULL, &why))
        log_fatal("%s", why.len ? buffer_string(&why) : "cannot use the configuration");
    master.snapshot = config_snapshot_create(master.config);
    if (master.snapshot < 0)
        log_fatal("cannot keep the configuration: %s", strerror(errno));
    let_go_of_standard(options);
    services_adopt(&master.services, &fresh, master.memory);
    LIST_EACH(&master.services, link) {
        struct service_entry *service = LIST_ENTRY(link, struct service_entry, link);
        service_maintain(service);
        wakeup_start(service, true);
    }
}

static void load_configuration(const struct options *options)
{
    if (options->directory)
        setenv("MAIL_CONFIG", options->directory, 1);
    master.config = options->test_lock ? config_load(options->directory, NULL, NULL) : config_load_whole(options->directory, NULL, NULL);
    if (!master.config)
        log_fatal("cannot read the configuration");
    config_set(master.config, SLICE("process_name"), SLICE("master"));
    network_settings(master.config);
    const char *queue_directory = config_string(master.config, "queue_directory");
    if (chdir(queue_directory) < 0)
        log_fatal("chdir %s: %s", queue_directory, strerror(errno));
}

int main(int argc, char **argv)
{
    struct options options = {0};
    umask(077);
    open_standard();
    log_open("master", LOG_TO_STDERR, -1);
    command_help(argc, argv, help);
    parse_options(&options, argc, argv);
    close_range(3, ~0U, 0);
    load_configuration(&options);
    if (options.test_lock)
        return instance_running(NULL) ? 1 : 0;
    if (options.wait_for_child)
        go_to_background();
    if (!options.keep_session && !options.foreground)
        setsid();
    master.foreground = options.foreground;
    take_environment(master.config);
    log_add_stderr(!options.keep_session); /* until we let go of it */
    list_init(&master.services);
    master.log.fd = -1;
    master_reopen_log();
    if (master.log.fd < 0 && *config_string(master.config, "maillog_file"))
        log_fatal("cannot open maillog_file %s: %s", config_string(master.config, "maillog_file"), strerror(errno));
    lock_take(master.config);
    master.next_number = lock_next_number();
    raise_limits();
    master.statistics = statistics_create();
    if (master.statistics < 0)
        log_warning("no statistics: %s", strerror(errno));
    run_start();
    watch_signals(&options);
    start_services(&options);
    log_info("daemon started -- version %s, configuration %s", config_string(master.config, "mail_version"),
             config_directory(master.config));
    tell_parent();
    run_until_stopped();
    log_flush();
    return 0;
}
