/* spawn.c - start one worker: descriptors, environment, arguments (compat.md b.2; service/channel.h) */
#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>

#include "master.h"

enum { WORKER_NUMBERS = 64, ARGUMENT_ROOM = 24 };

/* ---- numbers ------------------------------------------------------------------------------------------------------ */

/* number_used - by a live worker of the same program, in whatever service: queue ids are made from it. */
static bool number_used(const struct program *program, const char *command, unsigned number)
{
    LIST_EACH(&master.services, link) {
        const struct service_entry *service = LIST_ENTRY(link, struct service_entry, link);
        if (service->program != program || strcmp(service->line->command, command) != 0)
            continue;
        LIST_EACH(&service->workers, worker_link) {
            if (LIST_ENTRY(worker_link, struct worker_entry, link)->number == number)
                return true;
        }
    }
    return false;
}

/* pick_number - queue ids are made by cleanup alone; programs that make none may have more workers than there are numbers (many smtpd services, many
   cores): the last number is for all of them. */
static unsigned pick_number(const struct service_entry *service)
{
    if (service->program->kind == PROGRAM_ONE_CLIENT || strcmp(service->program->name, "cleanup") != 0)
        return WORKER_NUMBERS - 1;
    for (unsigned tries = 0; tries < WORKER_NUMBERS; tries++) {
        unsigned number = master.next_number++ % WORKER_NUMBERS;
        if (!number_used(service->program, service->line->command, number))
            return number;
    }
    return WORKER_NUMBERS;
}

/* ---- arguments ---------------------------------------------------------------------------------------------------- */

struct arguments {
    const char **words;
    size_t count;
};

static void add(struct arguments *arguments, const char *word)
{
    arguments->words[arguments->count++] = word;
}

static bool under_stress(const struct service_entry *service)
{
    return service->stress_until > clock_monotonic();
}

/* socket_total - own sockets, and for qmgr those of the services it does the job of. */
static size_t socket_total(const struct service_entry *service)
{
    size_t total = service->socket_count;
    if (service->program->kind != PROGRAM_SINGLE || !strstr(service->line->command, "qmgr"))
        return total;
    LIST_EACH(&master.services, link) {
        const struct service_entry *other = LIST_ENTRY(link, struct service_entry, link);
        if (other->program->kind == PROGRAM_QMGR_SOCKET && !other->removed)
            total += other->socket_count;
    }
    return total;
}

static void build_arguments(const struct service_entry *service, struct arena *arena, struct arguments *arguments)
{
    const struct master_service *line = service->line;
    const char *slash = strrchr(line->command, '/');
    const char *program = slash ? slash + 1 : line->command;
    arguments->words = arena_alloc(arena, (line->argument_count + ARGUMENT_ROOM + (size_t)log_verbose) * sizeof(char *));
    add(arguments, program);
    if (line->process_limit == 1)
        add(arguments, "-l");
    if (line->process_limit == 0)
        add(arguments, "-z");
    if (strcmp(line->name, program) != 0) {
        add(arguments, "-n");
        add(arguments, line->name);
    }
    add(arguments, "-t");
    add(arguments, service_type_name(line->type));
    if (master.foreground)
        add(arguments, "-d");
    for (int i = 0; i < log_verbose; i++)
        add(arguments, "-v");
    if (line->unprivileged)
        add(arguments, "-u");
    if (line->chroot)
        add(arguments, "-c");
    if (service->external && line->process_limit != 1) {
        add(arguments, "-o");
        add(arguments, under_stress(service) ? "stress=yes" : "stress=");
    }
    size_t sockets = socket_total(service);
    if (sockets != 1) {
        add(arguments, "-s");
        add(arguments, arena_printf(arena, "%zu", sockets));
    }
    for (size_t i = 0; i < line->argument_count; i++)
        add(arguments, line->arguments[i]);
    add(arguments, NULL);
}

/* ---- the child ---------------------------------------------------------------------------------------------------- */

/* Descriptors in the order they go to 3, 4, ... */
struct descriptors {
    int *fds;
    size_t count;
};

static void collect_descriptors(const struct service_entry *service, int channel, struct arena *arena, struct descriptors *out)
{
    size_t sockets = socket_total(service);
    out->fds = arena_alloc(arena, (sockets + 4) * sizeof(int));
    out->fds[out->count++] = master.log.fd >= 0 ? master.log.fd : STDERR_FILENO;
    out->fds[out->count++] = master.statistics;
    out->fds[out->count++] = channel;
    for (size_t i = 0; i < service->socket_count; i++)
        out->fds[out->count++] = service->sockets[i].fd;
    if (sockets != service->socket_count) {
        LIST_EACH(&master.services, link) {
            const struct service_entry *other = LIST_ENTRY(link, struct service_entry, link);
            for (size_t i = 0; other->program->kind == PROGRAM_QMGR_SOCKET && !other->removed && i < other->socket_count; i++)
                out->fds[out->count++] = other->sockets[i].fd;
        }
    }
    out->fds[out->count++] = master.snapshot;
}

/* place_descriptors - first out of the way, then to their places. */
static bool place_descriptors(struct descriptors *from)
{
    int floor = WORKER_LOG_FD + (int)from->count;
    for (size_t i = 0; i < from->count; i++) {
        if (from->fds[i] < 0)
            from->fds[i] = open("/dev/null", O_RDWR | O_CLOEXEC);
        if ((from->fds[i] = fcntl(from->fds[i], F_DUPFD_CLOEXEC, floor)) < 0)
            return false;
    }
    for (size_t i = 0; i < from->count; i++) {
        if (dup2(from->fds[i], WORKER_LOG_FD + (int)i) < 0)
            return false;
    }
    return true;
}

static void default_signals(void)
{
    sigset_t none;
    for (int number = 1; number < NSIG; number++)
        signal(number, SIG_DFL);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

static void set_number(const char *name, int64_t value)
{
    char text[24];
    snprintf(text, sizeof(text), "%lld", (long long)value);
    setenv(name, text, 1);
}

static void run_child(const struct service_entry *service, unsigned number, unsigned slot, struct descriptors *descriptors, const char *path,
                      const struct arguments *arguments)
{
    char generation[24];
    default_signals();
    if (!place_descriptors(descriptors))
        _exit(126);
    snprintf(generation, sizeof(generation), "%o", master.generation);
    setenv("GENERATION", generation, 1);
    /* By configuration, not by what is open now: a syslog socket that comes later is handed on. */
    setenv(WORKER_ENV_LOG, *config_string(master.config, "maillog_file") ? "file" : "syslog", 1);
    set_number(WORKER_ENV_CLIENT_LIMIT, service->clients_per_worker);
    set_number(WORKER_ENV_NUMBER, number);
    set_number(WORKER_ENV_SLOT, slot);
    set_number(WORKER_ENV_PERMANENT, service->eager);
    set_number(WORKER_ENV_CONFIG, WORKER_LOG_FD + (int64_t)descriptors->count - 1);
    execv(path, (char *const *)arguments->words);
    log_warning("cannot execute %s: %s", path, strerror(errno));
    log_flush();
    _exit(127);
}

static void on_channel(void *arg, int events UNUSED);

static struct worker_entry *add_worker(struct service_entry *service, pid_t pid, int channel, unsigned number)
{
    struct worker_entry *worker = memory_zalloc(1, sizeof(*worker));
    *worker = (struct worker_entry){.service = service, .pid = pid, .channel = channel, .number = number, .started = clock_monotonic()};
    list_append(&service->workers, &worker->link);
    worker->watch = run_watch(channel, WAIT_READ, on_channel, worker);
    return worker;
}

static void on_channel(void *arg, int events UNUSED)
{
    workers_take_notes(arg);
}

struct worker_entry *spawn_worker(struct service_entry *service)
{
    struct arena *arena = arena_new(0);
    struct arguments arguments = {0};
    struct descriptors descriptors = {0};
    const char *command = service->line->command;
    char *path = *command == '/' ? arena_strdup(arena, command)
                                 : arena_printf(arena, "%s/%s", config_string(master.config, "daemon_directory"), command);
    unsigned number = pick_number(service);
    struct worker_entry *worker = NULL;
    int pair[2];
    if (access(path, X_OK) < 0) {
        log_warning("service %s: cannot run %s: %s", service->line->name, path, strerror(errno));
    } else if (number >= WORKER_NUMBERS) {
        log_warning("service %s: too many workers are still finishing: no new one now", service->line->name);
    } else if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0) {
        log_warning("service %s: status channel: %s", service->line->name, strerror(errno));
    } else {
        build_arguments(service, arena, &arguments);
        collect_descriptors(service, pair[1], arena, &descriptors);
        log_flush();
        unsigned slot = statistics_take_slot(service->line->name);
        pid_t pid = fork();
        if (pid == 0)
            run_child(service, number, slot, &descriptors, path, &arguments);
        close(pair[1]);
        if (pid > 0) {
            worker = add_worker(service, pid, pair[0], number);
            worker->slot = slot;
            statistics_slot_pid(slot, pid);
        } else {
            log_warning("fork: %s", strerror(errno));
            statistics_give_slot(slot);
            close(pair[0]);
        }
    }
    arena_free(arena);
    return worker;
}
