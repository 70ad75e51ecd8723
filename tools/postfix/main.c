/* main.c - postfix, postern: start, stop and look after everything (compat.md j.2) */
#include <getopt.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/log.h"
#include "checks.h"
#include "control.h"
#include "service/instance.h"

static const char help[] =
    "Usage: postfix [-c config_dir] [-Dv] command\n"
    "  -c config_dir  the directory of main.cf and master.cf\n"
    "  -D             accepted, without effect\n"
    "  -v             more messages\n"
    "  --json    check: print the findings as one JSON object\n"
    "  --dns     check: ask the name server about this machine and its domains\n"
    "  --tables  check: rows of tables that are never used, too\n"
    "Commands:\n"
    "  check start start-fg stop abort drain reload flush status statistics logrotate\n"
    "  explain address: every rewrite and lookup on its way, and where it goes; nothing is sent\n"
    "  explain auth user: what AUTH offers, and whether the user can log in with a password that is asked for\n"
    "  --sender address   explain: from there\n"
    "  --client address   explain: the restrictions for a client of this address, too\n"
    "  --sasl user        explain: for somebody who has logged in\n"
    "  --helo name        explain: for a client that says this\n"
    "  --service name     explain: at this SMTP server of master.cf\n"
    "  tls enable-client: TLS on in the SMTP client; enable-server, new-server-key, ...: see postfix-tls(1)\n"
    "  set-permissions upgrade-configuration post-install quick-start quick-stop\n"
    "See postfix(1).\n";

enum { STOP_POLLS = 100, FORCE_POLLS = 50 };
static const useconds_t poll_pause = 50000;

/* ---- running programs --------------------------------------------------------------------------------------------- */

const char *program_path(struct control *control, const char *directory_parameter, const char *name)
{
    return arena_printf(control->memory, "%s/%s", config_string(control->config, directory_parameter), name);
}

int run_program(const char *path, const char *const *words)
{
    int status;
    log_flush();
    pid_t pid = fork();
    if (pid == 0) {
        execvp(path, (char *const *)words);
        fprintf(stderr, "%s: %s\n", path, strerror(errno));
        _exit(1);
    }
    if (pid < 0)
        say_fatal("fork: %s", strerror(errno));
    while (waitpid(pid, &status, 0) < 0) {
        if (errno != EINTR)
            return 1;
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

static void master_words(struct control *control, const char **words, const char *mode)
{
    size_t n = 0;
    words[n++] = "master";
    words[n++] = mode;
    if (control->debug)
        words[n++] = "-D";
    for (int i = 0; i < control->verbose && n < 8; i++)
        words[n++] = "-v";
    words[n] = NULL;
}

/* ---- sub-commands ------------------------------------------------------------------------------------------------- */

static pid_t must_run(void)
{
    pid_t pid = 0;
    if (!instance_running(&pid))
        say_fatal("the Postfix mail system is not running");
    return pid;
}

/* prepare - nothing is started or reloaded with a configuration that would break the mail system. */
static void prepare(struct control *control, const char *refusal)
{
    compatibility_hint(control);
    if (!configuration_check(control) || !checks_before_start(control))
        say_fatal("%s: %s", "the configuration has errors", refusal);
    if (!files_check(control))
        say_fatal("Postfix integrity check failed!");
}

static int do_start(struct control *control)
{
    const char *words[12];
    if (strcmp(config_string(control->config, "maillog_file"), "/dev/stdout") == 0)
        say_fatal("to log to standard output, use start-fg: maillog_file = /dev/stdout");
    if (instance_running(NULL))
        say_fatal("the Postfix mail system is already running");
    prepare(control, "not started");
    say_progress("starting the Postfix mail system");
    master_words(control, words, "-w");
    if (run_program(program_path(control, "daemon_directory", "master"), words) != 0)
        say_fatal("mail system startup failed");
    return 0;
}

static int do_start_foreground(struct control *control)
{
    const char *words[12];
    if (*config_string(control->config, "multi_instance_directories"))
        say_fatal("start-fg does not support multi_instance_directories");
    if (instance_running(NULL))
        say_fatal("the Postfix mail system is already running");
    prepare(control, "not started");
    say_progress("starting the Postfix mail system");
    master_words(control, words, getpid() == 1 ? "-i" : "-s");
    log_flush();
    const char *path = program_path(control, "daemon_directory", "master");
    execv(path, (char *const *)words);
    say_fatal("%s: %s", path, strerror(errno));
}

static bool gone_after(int polls)
{
    for (int i = 0; i < polls; i++) {
        if (!instance_running(NULL))
            return true;
        usleep(poll_pause);
    }
    return false;
}

static int do_stop(struct control *control UNUSED)
{
    pid_t pid = must_run();
    say_progress("stopping the Postfix mail system");
    kill(pid, SIGTERM);
    if (gone_after(STOP_POLLS))
        return 0;
    say_progress("stopping the Postfix mail system with force");
    if (kill(-pid, SIGKILL) < 0)
        kill(pid, SIGKILL);
    return gone_after(FORCE_POLLS) ? 0 : 1;
}

static int do_abort(struct control *control UNUSED)
{
    pid_t pid = must_run();
    say_progress("aborting the Postfix mail system");
    kill(pid, SIGTERM);
    return 0;
}

/* do_drain - master alone is ended: its workers close their ports, finish what is in flight and go. */
static int do_drain(struct control *control UNUSED)
{
    pid_t pid = must_run();
    say_progress("stopping the Postfix mail system");
    kill(pid, SIGKILL);
    return 0;
}

/* await_verdict - a port that somebody else has is tried for five seconds; whoever says nothing may be of a version that does not. */
static void await_verdict(void)
{
    struct buffer reason = BUFFER_INIT;
    enum { PAUSE = 10000, POLLS = 700 };
    for (int i = 0; i < POLLS; i++) {
        if (instance_verdict_read(&reason)) {
            if (reason.len)
                say_fatal("not reloaded: %s: going on with the old one", buffer_string(&reason));
            buffer_release(&reason);
            return;
        }
        usleep(PAUSE);
        if (i % 10 == 9 && !instance_running(NULL))
            say_fatal("the Postfix mail system ended while it reloaded: see the log");
    }
    say_warning("master has not said yet whether it took the configuration: see the log");
}

static int do_reload(struct control *control)
{
    pid_t pid = must_run();
    prepare(control, "going on with the old one");
    say_progress("refreshing the Postfix mail system");
    instance_verdict_clear();
    if (kill(pid, SIGHUP) < 0)
        say_fatal("kill %d: %s", (int)pid, strerror(errno));
    await_verdict();
    return 0;
}

static int do_status(struct control *control)
{
    pid_t pid;
    compatibility_hint(control);
    if (!instance_running(&pid)) {
        say_info("the Postfix mail system is not running");
        return 1;
    }
    say_info("the Postfix mail system is running: PID: %d", (int)pid);
    return 0;
}

static int do_flush(struct control *control)
{
    const char *words[] = {"postqueue", "-f", NULL};
    return run_program(program_path(control, "command_directory", "postqueue"), words);
}

static int do_check(struct control *control)
{
    static const struct option options[] = {
        {"json", no_argument, NULL, 'j'}, {"dns", no_argument, NULL, 'd'}, {"tables", no_argument, NULL, 't'}, {NULL, 0, NULL, 0}};
    int letter;
    optind = 0;
    while ((letter = getopt_long((int)control->argument_count + 1, (char *const *)control->arguments - 1, "", options, NULL)) > 0) {
        switch (letter) {
        case 'j': control->json = true; break;
        case 'd': control->look_at_dns = true; break;
        case 't': control->look_at_rows = true; break;
        default: say_fatal("usage: postfix check [--json] [--dns] [--tables]");
        }
    }
    control->to_check = true;
    if (!control->json)
        compatibility_hint(control);
    configuration_check(control);
    files_check(control);
    checks_run(control);
    advise(control);
    if (control->json)
        findings_print(control);
    return findings_count(control, FINDING_ERROR) ? 1 : 0;
}

static int do_set_permissions(struct control *control)
{
    for (size_t i = 0; i < control->argument_count; i++)
        config_set_argument(control->config, control->arguments[i]);
    files_set_permissions(control);
    return 0;
}

static int do_create_missing(struct control *control)
{
    return files_create_missing(control) ? 0 : 1;
}

static int do_upgrade_configuration(struct control *control)
{
    upgrade_configuration(control);
    return 0;
}

static int do_post_install(struct control *control)
{
    files_set_permissions(control);
    upgrade_configuration(control);
    return 0;
}

static int do_not_yet(struct control *control UNUSED)
{
    say_fatal("this sub-command is not implemented yet"); /* not yet: non-bdb */
}

static const struct {
    const char *name;
    int (*run)(struct control *control);
} commands[] = {
    {"check", do_check},         {"start", do_start},   {"start-fg", do_start_foreground}, {"stop", do_stop},
    {"abort", do_abort},         {"flush", do_flush},   {"reload", do_reload},             {"status", do_status},
    {"drain", do_drain},         {"quick-stop", do_stop}, {"quick-start", do_start},       {"logrotate", rotate_log},
    {"create-missing", do_create_missing}, {"set-permissions", do_set_permissions}, {"upgrade-configuration", do_upgrade_configuration}, {"post-install", do_post_install},
    {"statistics", print_statistics}, {"explain", do_explain},
    {"tls", do_tls},         {"non-bdb", do_not_yet},
};

/* ---- main --------------------------------------------------------------------------------------------------------- */

/* check_caller - root, or the owner of a private instance. */
static void check_caller(struct control *control)
{
    struct stat st;
    control->root = geteuid() == 0;
    if (control->root)
        return;
    const char *queue_directory = config_string(control->config, "queue_directory");
    if (stat(queue_directory, &st) < 0 || st.st_uid != getuid())
        log_fatal("the postfix command is reserved for the superuser");
}

/* run_wrapper - with several instances the wrapper does the work for each of them. */
static void run_wrapper(struct control *control, char **argv)
{
    struct slice rest = slice_of(config_string(control->config, "multi_instance_wrapper")), word;
    const char *words[64];
    size_t n = 0;
    while (n < 32 && config_list_next(&rest, &word))
        words[n++] = slice_string(word);
    for (; *argv && n < COUNT_OF(words) - 1; argv++)
        words[n++] = *argv;
    words[n] = NULL;
    if (!words[0])
        log_fatal("multi_instance_wrapper names no command");
    setenv("MAIL_CONFIG", config_directory(control->config), 1);
    execvp(words[0], (char *const *)words);
    log_fatal("%s: %s", words[0], strerror(errno));
}

static void enter_queue_directory(struct control *control)
{
    const char *path = config_string(control->config, "queue_directory");
    if (mkdir(path, 0755) < 0 && errno != EEXIST)
        log_fatal("mkdir %s: %s", path, strerror(errno));
    command_queue_directory(control->config);
}

static const char *parse_options(struct control *control, int argc, char **argv)
{
    const char *directory = NULL;
    int letter;
    opterr = 0;
    while ((letter = getopt(argc, argv, "+c:Dv")) > 0) {
        switch (letter) {
        case 'c':
            if (*optarg != '/')
                log_fatal("-c requires absolute pathname");
            directory = optarg;
            break;
        case 'D': control->debug = true; break;
        case 'v': control->verbose++; break;
        default: log_fatal("usage: postfix [-c config_dir] [-Dv] command");
        }
    }
    if (optind >= argc)
        log_fatal("usage: postfix [-c config_dir] [-Dv] command");
    return directory;
}

int main(int argc, char **argv)
{
    static struct control control; /* reachable to the end: what it holds is not given back */
    command_start("postfix");
    command_help(argc, argv, help);
    control.memory = arena_new(0);
    const char *directory = parse_options(&control, argc, argv);
    findings_start(&control);
    control.config = load_configuration(&control, directory);
    setenv("MAIL_CONFIG", config_directory(control.config), 1);
    check_caller(&control);
    if (!directory && *config_string(control.config, "multi_instance_wrapper"))
        run_wrapper(&control, argv + optind);
    enter_queue_directory(&control);
    say_open(control.config, "postfix-script");
    control.arguments = (const char *const *)argv + optind + 1;
    control.argument_count = (size_t)(argc - optind - 1);
    bool tells = strcmp(argv[optind], "check") == 0;
    if (control.broken && !tells) {
        configuration_check(&control);
        say_fatal("the configuration has errors: %s/main.cf", config_directory(control.config));
    }
    for (size_t i = 0; i < COUNT_OF(commands); i++) {
        if (strcmp(argv[optind], commands[i].name) == 0)
            return commands[i].run(&control);
    }
    say_fatal("unknown command: '%s'. Usage: postfix start (or stop, reload, abort, flush, check, status, set-permissions, "
              "upgrade-configuration, logrotate)", argv[optind]);
}
