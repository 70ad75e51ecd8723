/* services.c - from lines of master.cf to services with sockets and limits; a reload makes them anew and takes over what goes on */
#include "master.h"

struct master master;

enum { WORKERS_MAX = 24 /* of one event-driven service: worker numbers must also do for those that are still finishing */ };

/* ---- limits ------------------------------------------------------------------------------------------------------- */

/* worker_processes - how many workers an event-driven service has.  "auto" is one for two processors: the services are stages of one pipeline, which
   run at the same time anyway, and fewer workers mean fewer switches and more messages per disk flush (measured: two thirds of the CPU). */
static int64_t worker_processes(struct config *config)
{
    int64_t number = 0;
    const char *text = config_string(config, "worker_processes");
    if (strcasecmp(text, "auto") == 0 || !slice_to_i64(slice_of(text), &number))
        number = (sysconf(_SC_NPROCESSORS_ONLN) + 1) / 2;
    return number < 1 ? 1 : number > WORKERS_MAX ? WORKERS_MAX : number;
}

static int64_t divide_up(int64_t a, int64_t b)
{
    return (a + b - 1) / b;
}

static void limit_event_service(struct service_entry *service, struct config *config)
{
    int64_t limit = service->program->has_own_limits ? -1 : service->line->process_limit;
    int64_t dial = config_int(config, "process_client_limit");
    int64_t workers = worker_processes(config);
    service->client_limit = limit < 0 ? config_int(config, "default_client_limit") : limit;
    if (dial > 0) {
        service->clients_per_worker = dial;
        service->process_limit = service->client_limit ? divide_up(service->client_limit, dial) : 0;
        service->batch = 1;
        return;
    }
    if (service->client_limit && workers > service->client_limit)
        workers = service->client_limit;
    service->process_limit = service->batch = workers;
    service->clients_per_worker = divide_up(service->client_limit, workers);
}

/* set_limits - maxproc is the greatest number of simultaneous clients, however many workers share them. */
static void set_limits(struct service_entry *service, struct config *config)
{
    switch (service->program->kind) {
    case PROGRAM_EVENT:
        limit_event_service(service, config);
        return;
    case PROGRAM_SINGLE:
        service->process_limit = service->batch = 1;
        service->client_limit = service->clients_per_worker = config_int(config, "default_client_limit");
        return;
    default:
        service->process_limit = service->line->process_limit;
        if (service->process_limit < 0)
            service->process_limit = config_int(config, "default_process_limit");
        service->client_limit = service->process_limit;
        service->clients_per_worker = service->batch = 1;
    }
}

/* ---- entries ------------------------------------------------------------------------------------------------------ */

void service_free(struct service_entry *service)
{
    service_stop_listening(service);
    wakeup_stop(service);
    run_timer_free(service->throttle);
    sockets_close(service);
    free(service->label);
    free(service->path);
    free(service);
}

static struct service_entry *service_new(const struct master_service *line)
{
    struct service_entry *service = memory_zalloc(1, sizeof(*service));
    struct buffer path = BUFFER_INIT;
    service->line = line;
    service->program = program_find(line->command);
    /* Of several services that send mail ("smtp", "relay") only the one named like its program is sure to be used; the clients of a "pass" service
       are served by the gate in front of it. */
    service->eager = service->program->eager && line->type != SERVICE_PASS && (line->type == SERVICE_INET || service->program->kind == PROGRAM_SINGLE
                                                 || strcmp(line->name, service->program->name) == 0);
    list_init(&service->link);
    list_init(&service->workers);
    if (line->type != SERVICE_INET) {
        buffer_printf(&path, "%s/%s", line->is_private ? "private" : "public", line->name);
        service->path = buffer_steal(&path);
    }
    service->label = memory_string(service->path ? service->path : line->name);
    return service;
}

static void free_list(struct list *services)
{
    LIST_EACH(services, link) {
        list_remove(link);
        service_free(LIST_ENTRY(link, struct service_entry, link));
    }
}

bool services_build(struct config *config, const struct master_cf *lines, const struct list *old_services, struct list *services,
                    struct buffer *why)
{
    list_init(services);
    for (size_t i = 0; i < lines->count; i++) {
        struct service_entry *service = service_new(&lines->services[i]);
        set_limits(service, config);
        if (service->program->kind != PROGRAM_ABSORBED && !sockets_open(service, config, old_services, why)) {
            service_free(service);
            free_list(services);
            return false;
        }
        list_append(services, &service->link);
    }
    return true;
}

/* ---- taking over -------------------------------------------------------------------------------------------------- */

static struct service_entry *find_same(const struct list *services, const struct service_entry *as)
{
    LIST_EACH(services, link) {
        struct service_entry *service = LIST_ENTRY(link, struct service_entry, link);
        if (service->line->type == as->line->type && strcmp(service->line->name, as->line->name) == 0
            && strcmp(service->line->command, as->line->command) == 0)
            return service;
    }
    return NULL;
}

static void take_workers(struct service_entry *from, struct service_entry *to)
{
    LIST_EACH(&from->workers, link) {
        list_remove(link);
        list_append(&to->workers, link);
        LIST_ENTRY(link, struct worker_entry, link)->service = to;
    }
    to->used = from->used;
    to->stress_until = from->stress_until;
    to->next_limit_warning = from->next_limit_warning;
}

/* keep_as_removed - its workers still finish; the entry goes with the last of them. The line it points at goes with the old generation's
   memory, so it gets a copy of what is still needed. */
static void keep_as_removed(struct service_entry *service, struct list *services, struct arena *memory)
{
    struct master_service *line = arena_copy(memory, service->line, sizeof(*line));
    line->name = arena_strdup(memory, service->line->name);
    line->command = arena_strdup(memory, service->line->command);
    service->line = line;
    service->removed = true;
    service_stop_listening(service);
    wakeup_stop(service);
    sockets_close(service);
    list_append(services, &service->link);
}

void services_adopt(struct list *old_services, struct list *fresh, struct arena *memory)
{
    LIST_EACH(old_services, link) {
        struct service_entry *old = LIST_ENTRY(link, struct service_entry, link);
        struct service_entry *same = old->removed ? NULL : find_same(fresh, old);
        list_remove(link);
        if (same)
            take_workers(old, same);
        if (list_is_empty(&old->workers))
            service_free(old);
        else
            keep_as_removed(old, fresh, memory);
    }
    /* The head moves: link the entries to master's own. */
    LIST_EACH(fresh, link) {
        list_remove(link);
        list_append(old_services, link);
    }
}
