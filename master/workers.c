/* workers.c - how many workers a service has, what they report, what happens when they die

   A worker that dies before it was ready, or before its first client, throttles its service: starting it again and again would help
   nobody.  One that was killed from outside is started again at once, after a moment's pause. */
#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "master.h"

static const int64_t killed_pause = MICROSECONDS / 10, quick_death = MICROSECONDS, warning_interval = 1000 * MICROSECONDS;

/* ---- counting ----------------------------------------------------------------------------------------------------- */

size_t workers_count(void)
{
    size_t count = 0;
    LIST_EACH(&master.services, link) {
        LIST_EACH(&LIST_ENTRY(link, struct service_entry, link)->workers, worker_link)
            count++;
    }
    return count;
}

struct worker_counts {
    int64_t all, live, with_room;
};

/* count_workers - live: not draining; with_room: starting, or able to take another client. */
static struct worker_counts count_workers(const struct service_entry *service)
{
    struct worker_counts counts = {0};
    LIST_EACH(&service->workers, link) {
        const struct worker_entry *worker = LIST_ENTRY(link, struct worker_entry, link);
        counts.all++;
        if (worker->draining)
            continue;
        counts.live++;
        counts.with_room += !worker->full;
    }
    return counts;
}

/* may_start - a single process is followed only when it is gone: it owns things (the queue) that cannot have two owners. */
static bool may_start(const struct service_entry *service, const struct worker_counts *counts)
{
    if (service->program->kind == PROGRAM_SINGLE)
        return counts->all == 0;
    return service->process_limit == 0 || counts->live < service->process_limit;
}

/* ---- throttle ----------------------------------------------------------------------------------------------------- */

static void on_throttle_over(void *arg)
{
    struct service_entry *service = arg;
    service->throttled = service->hopeless = false;
    service_stop_listening(service);
    service_maintain(service);
}

static void throttle(struct service_entry *service, int64_t delay)
{
    service->throttled = true;
    if (!service->throttle)
        service->throttle = run_timer_new(on_throttle_over, service);
    run_timer_set(service->throttle, delay, 0);
}

/* ---- listening for clients when no worker does -------------------------------------------------------------------- */

static void start_workers(struct service_entry *service, int64_t wanted)
{
    struct worker_counts counts = count_workers(service);
    for (; wanted > 0 && may_start(service, &counts); wanted--) {
        if (!spawn_worker(service)) {
            service->hopeless = true;
            throttle(service, config_time(master.config, "service_throttle_time"));
            return;
        }
        counts = count_workers(service);
    }
}

static void on_client(void *arg, int events UNUSED)
{
    struct service_entry *service = arg;
    service_stop_listening(service);
    if (!service->used) {
        service->used = true;
        wakeup_start(service, false);
    }
    start_workers(service, service->batch);
    service_maintain(service);
}

void service_stop_listening(struct service_entry *service)
{
    if (!service->watches)
        return;
    for (size_t i = 0; i < service->socket_count; i++)
        run_unwatch(service->watches[i]);
    free(service->watches);
    service->watches = NULL;
}

static void listen_with(struct service_entry *service, void (*on_call)(void *arg, int events))
{
    if (service->watches)
        return;
    service->watches = memory_zalloc(service->socket_count, sizeof(struct run_watch *));
    for (size_t i = 0; i < service->socket_count; i++)
        service->watches[i] = run_watch(service->sockets[i].fd, WAIT_READ, on_call, service);
}

/* on_vain_call - nobody will come: the caller hears of it now, not when its patience ends. */
static void on_vain_call(void *arg, int events UNUSED)
{
    struct service_entry *service = arg;
    for (size_t i = 0; i < service->socket_count; i++) {
        for (int fd; (fd = accept4(service->sockets[i].fd, NULL, NULL, SOCK_CLOEXEC)) >= 0;)
            close(fd);
    }
}

/* turns_away - a private service whose program does not start, and no worker is left; clients of others may wait. */
static bool turns_away(const struct service_entry *service)
{
    return service->hopeless && service->line->type == SERVICE_UNIX && service->line->is_private && count_workers(service).live == 0;
}

/* set_stress - event-driven workers are told; processes started from now on have stress=yes. */
static void set_stress(struct service_entry *service)
{
    bool began = service->stress_until < clock_monotonic();
    service->stress_until = clock_after(warning_interval);
    if (!began || !service->external)
        return;
    LIST_EACH(&service->workers, link)
        channel_send(LIST_ENTRY(link, struct worker_entry, link)->channel, CHANNEL_STRESS, 1, -1);
}

static void limit_reached(struct service_entry *service)
{
    set_stress(service);
    if (service->next_limit_warning > clock_monotonic())
        return;
    service->next_limit_warning = clock_after(warning_interval);
    int64_t limit = service->clients_per_worker == 1 ? service->process_limit : service->client_limit;
    log_warning("service \"%s\" (%s) has reached its process limit \"%lld\": new clients may experience noticeable delays",
                service->line->name, service->label, (long long)limit);
    log_warning("to avoid this condition, increase the process count in master.cf or reduce the service time per client");
    log_warning("see http://www.postfix.org/STRESS_README.html for examples of stress-adapting configuration settings");
}

void service_maintain(struct service_entry *service)
{
    bool starts_something = service->program->kind <= PROGRAM_SINGLE;
    if (master.stopping || service->removed || !starts_something || service->throttled) {
        service_stop_listening(service);
        if (!master.stopping && !service->removed && service->throttled && turns_away(service))
            listen_with(service, on_vain_call);
        return;
    }
    struct worker_counts counts = count_workers(service);
    if (service->eager && counts.live < service->batch)
        start_workers(service, service->batch - counts.live);
    counts = count_workers(service);
    if (service->throttled || counts.with_room > 0 || !may_start(service, &counts))
        service_stop_listening(service);
    else
        listen_with(service, on_client);
    if (counts.live > 0 && counts.with_room == 0 && !may_start(service, &counts) && service->program->kind != PROGRAM_SINGLE)
        limit_reached(service);
}

/* ---- what workers report ------------------------------------------------------------------------------------------ */

/* replace - the worker asked for a fresh one in its place. */
static void replace(struct worker_entry *worker)
{
    struct service_entry *service = worker->service;
    worker->draining = true;
    channel_send(worker->channel, CHANNEL_DRAIN, 0, -1);
    service_maintain(service);
}

/* announce - a path that the worker may have opened later; only before it was ready, that is before it had a client. */
static void announce(struct worker_entry *worker, uint32_t number, const char *path)
{
    if (worker->ready || number != worker->file_count || number >= CHANNEL_FILES_MAX) {
        log_warning("process %d announced a file too late", (int)worker->pid);
        return;
    }
    worker->files = memory_resize(worker->files, (worker->file_count + 1) * sizeof(*worker->files));
    worker->files[worker->file_count++] = memory_string(path);
}

/* open_for - a regular file, or nothing. */
static void open_for(const struct worker_entry *worker, uint32_t number)
{
    struct stat st;
    int fd = number < worker->file_count ? open(worker->files[number], O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK) : -1;

    if (fd >= 0 && (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))) {
        close(fd);
        fd = -1;
    }
    channel_send(worker->channel, CHANNEL_OPEN, number, fd);
    if (fd >= 0)
        close(fd);
}

static void forget_files(struct worker_entry *worker)
{
    for (size_t i = 0; i < worker->file_count; i++)
        free(worker->files[i]);
    free(worker->files);
}

static void take_note(struct worker_entry *worker, const struct channel_note *note, const char *text)
{
    switch (note->kind) {
    case CHANNEL_READY:
        worker->ready = true;
        worker->reloads = note->value != 0;
        return;
    case CHANNEL_SERVED:
        worker->served = true;
        if (!worker->service->used) {
            worker->service->used = true;
            wakeup_start(worker->service, false);
        }
        return;
    case CHANNEL_FULL:
        worker->full = true;
        break;
    case CHANNEL_FREE:
        worker->full = false;
        break;
    case CHANNEL_REPLACE:
        replace(worker);
        return;
    case CHANNEL_ANNOUNCE:
        announce(worker, note->value, text);
        return;
    case CHANNEL_OPEN:
        open_for(worker, note->value);
        return;
    default:
        log_warning("unknown note %u from process %d", note->kind, (int)worker->pid);
        return;
    }
    if (!worker->draining)
        service_maintain(worker->service);
}

/* workers_take_notes - end of file: it is about to die; SIGCHLD tells how. */
void workers_take_notes(struct worker_entry *worker)
{
    struct channel_note note;
    char text[CHANNEL_TEXT_MAX];
    int fd, result;
    while ((result = channel_receive_text(worker->channel, &note, &fd, text)) > 0) {
        if (fd >= 0)
            close(fd);
        take_note(worker, &note, text);
    }
    if (result == 0)
        return;
    run_unwatch(worker->watch);
    worker->watch = NULL;
    worker->draining = true;
}

/* ---- their end ---------------------------------------------------------------------------------------------------- */

static struct worker_entry *find_worker(pid_t pid)
{
    LIST_EACH(&master.services, link) {
        LIST_EACH(&LIST_ENTRY(link, struct service_entry, link)->workers, worker_link) {
            struct worker_entry *worker = LIST_ENTRY(worker_link, struct worker_entry, link);
            if (worker->pid == pid)
                return worker;
        }
    }
    return NULL;
}

/* judge_death - log an unnatural end, and decide how soon the next start may be. */
static void judge_death(const struct worker_entry *worker, int status)
{
    struct service_entry *service = worker->service;
    const char *directory = config_string(master.config, "daemon_directory");
    const char *command = service->line->command;
    bool killed = WIFSIGNALED(status) && (WTERMSIG(status) == SIGKILL || WTERMSIG(status) == SIGTERM);
    if (WIFSIGNALED(status))
        log_warning("process %s/%s pid %d killed by signal %d", directory, command, (int)worker->pid, WTERMSIG(status));
    else if (WEXITSTATUS(status) != 0)
        log_warning("process %s/%s pid %d exit status %d", directory, command, (int)worker->pid, WEXITSTATUS(status));
    else
        return;
    bool lived = worker->ready && (worker->served || clock_monotonic() - worker->started > quick_death);
    if (killed) {
        throttle(service, killed_pause);
    } else if (!lived) {
        log_warning("%s/%s: bad command startup -- throttling", directory, command);
        service->hopeless = true;
        throttle(service, config_time(master.config, "service_throttle_time"));
    } else if (clock_monotonic() - worker->started < quick_death) {
        throttle(service, quick_death);
    }
}

static void bury(struct worker_entry *worker, int status)
{
    struct service_entry *service = worker->service;
    if (worker->watch)
        workers_take_notes(worker); /* what it said last */
    run_unwatch(worker->watch);
    close(worker->channel);
    forget_files(worker);
    statistics_give_slot(worker->slot);
    list_remove(&worker->link);
    if (!master.stopping)
        judge_death(worker, status);
    free(worker);
    if (service->removed && list_is_empty(&service->workers)) {
        list_remove(&service->link);
        service_free(service);
        return;
    }
    service_maintain(service);
}

void workers_reap(void)
{
    int status;
    pid_t pid;
    while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
        struct worker_entry *worker = find_worker(pid);
        if (worker)
            bury(worker, status);
    }
    if (master.stopping && workers_count() == 0)
        run_stop();
}

/* ---- all of them -------------------------------------------------------------------------------------------------- */

void workers_tell(enum channel_kind kind, int pass_fd)
{
    LIST_EACH(&master.services, link) {
        LIST_EACH(&LIST_ENTRY(link, struct service_entry, link)->workers, worker_link)
            channel_send(LIST_ENTRY(worker_link, struct worker_entry, link)->channel, kind, 0, pass_fd);
    }
}

void workers_stop(void)
{
    master.stopping = true;
    LIST_EACH(&master.services, link) {
        struct service_entry *service = LIST_ENTRY(link, struct service_entry, link);
        service_stop_listening(service);
        wakeup_stop(service);
        sockets_close(service); /* nobody shall wait for an answer that will not come */
    }
    workers_tell(CHANNEL_STOP, -1);
    if (workers_count() == 0)
        run_stop();
}

void workers_kill(void)
{
    LIST_EACH(&master.services, link) {
        LIST_EACH(&LIST_ENTRY(link, struct service_entry, link)->workers, worker_link)
            kill(LIST_ENTRY(worker_link, struct worker_entry, link)->pid, SIGKILL);
    }
}
