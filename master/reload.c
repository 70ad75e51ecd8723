/* reload.c - SIGHUP: read main.cf and master.cf again, all or nothing; and logs that were moved away */
#include <sys/stat.h>

#include "conf/check.h"
#include "conf/snapshot.h"
#include "master.h"
#include "service/instance.h"
#include "service/network.h"

/* ---- the log ------------------------------------------------------------------------------------------------------ */

static dev_t log_device;
static ino_t log_inode;

static bool look_at_log(dev_t *device, ino_t *inode)
{
    struct stat st;
    if (!master.log.path || strncmp(master.log.path, "/dev/std", 8) == 0 || stat(master.log.path, &st) < 0)
        return false;
    *device = st.st_dev;
    *inode = st.st_ino;
    return true;
}

void master_reopen_log(void)
{
    struct log_target fresh;
    log_flush();
    if (!log_target_open(master.config, &fresh)) {
        int saved = errno;
        if (master.log.fd < 0) {
            master.log.path = fresh.path; /* it may come yet */
            log_target_use(master.config, &fresh, "master", false);
        }
        errno = saved;
        return;
    }
    int old = master.log.fd;
    master.log = fresh;
    log_target_use(master.config, &master.log, "master", false);
    look_at_log(&log_device, &log_inode);
    workers_tell(CHANNEL_LOG, master.log.fd);
    if (old >= 0)
        close(old);
}

void master_check_log(void)
{
    dev_t device = 0;
    ino_t inode = 0;
    bool gone = master.log.path && strncmp(master.log.path, "/dev/", 5) != 0 && !look_at_log(&device, &inode);
    if (gone || (look_at_log(&device, &inode) && (device != log_device || inode != log_inode)))
        master_reopen_log();
}

/* ---- the configuration -------------------------------------------------------------------------------------------- */

struct findings {
    bool fatal;
    struct buffer *why; /* the first fatal one */
};

static void log_problem(void *context, bool fatal, const char *file UNUSED, int line UNUSED, const char *text)
{
    struct findings *findings = context;
    if (fatal && !findings->fatal)
        buffer_append_string(findings->why, text);
    findings->fatal |= fatal;
    if (fatal)
        log_error("%s", text);
    else
        log_warning("%s", text);
}

/* What a new generation is made of. */
struct generation {
    struct config *config;
    int snapshot;
    struct arena *memory;
    struct list services;
};

static void discard(struct generation *generation)
{
    if (generation->snapshot > 0)
        close(generation->snapshot);
    arena_free(generation->memory);
    config_free(generation->config);
}

/* report_fatal - of all that the check finds only this is master's to tell; the postfix command tells the rest. */
struct fatal_only {
    config_report *report;
    void *context;
};

static void report_fatal(void *context, const struct finding *finding)
{
    const struct fatal_only *to = context;
    if (finding->weight == FINDING_ERROR)
        to->report(to->context, true, finding->file, finding->line, finding->text);
}

bool configuration_accept(struct config *config, struct arena *memory, const struct list *old_services, struct list *services,
                          config_report *report, void *context, struct buffer *why)
{
    struct fatal_only only = {report, context};
    struct master_cf lines;
    bool broken;
    config_check(config, report_fatal, &only, &broken);
    /* What is fatal was found above; the rest, and old defaults that are used, is for the log. */
    return !broken && master_cf_load(config_directory(config), config, memory, NULL, NULL, &lines) &&
           services_build(config, &lines, old_services, services, why);
}

/* read_generation - false: logged, and *reason says it, too. */
static bool read_generation(struct generation *generation, struct buffer *reason)
{
    struct findings findings = {.why = reason};
    struct buffer why = BUFFER_INIT;
    generation->memory = arena_new(0);
    generation->config = config_load_whole(NULL, log_problem, &findings);
    if (generation->config && (generation->snapshot = config_snapshot_create(generation->config)) < 0)
        buffer_printf(&why, "cannot keep the configuration: %s", strerror(errno));
    if (generation->config)
        network_settings(generation->config); /* ports in the new master.cf have the new names */
    bool ok = generation->snapshot > 0 && !findings.fatal &&
              configuration_accept(generation->config, generation->memory, &master.services, &generation->services, log_problem, &findings, &why);
    if (why.len)
        log_error("%s", buffer_string(&why));
    if (reason->len == 0)
        buffer_append_slice(reason, buffer_slice(&why));
    buffer_release(&why);
    if (!ok)
        network_settings(master.config);
    return ok;
}

/* tell_workers - those that reload in place do so; the others finish and are followed by new ones. */
static void tell_workers(struct service_entry *service)
{
    LIST_EACH(&service->workers, link) {
        struct worker_entry *worker = LIST_ENTRY(link, struct worker_entry, link);
        if (worker->draining)
            continue;
        worker->draining = service->removed || !(worker->reloads || service->program->reloads);
        channel_send(worker->channel, worker->draining ? CHANNEL_DRAIN : CHANNEL_RELOAD, 0, worker->draining ? -1 : master.snapshot);
    }
}

void master_reload(void)
{
    struct generation fresh = {0};
    struct buffer reason = BUFFER_INIT;
    master_check_log(); /* one that was moved away is let go whatever becomes of the configuration */
    if (!read_generation(&fresh, &reason)) {
        log_error("the configuration was not reloaded: going on with the old one");
        instance_verdict_write(reason.len ? buffer_slice(&reason) : SLICE("see the log"));
        buffer_release(&reason);
        discard(&fresh);
        return;
    }
    buffer_release(&reason);
    struct config *old_config = master.config;
    struct arena *old_memory = master.memory;
    close(master.snapshot);
    master.config = fresh.config;
    master.snapshot = fresh.snapshot;
    master.memory = fresh.memory;
    master.generation++;
    master_reopen_log();
    log_info("reload -- version %s, configuration %s", config_string(master.config, "mail_version"), config_directory(master.config));
    services_adopt(&master.services, &fresh.services, master.memory);
    LIST_EACH(&master.services, link)
        tell_workers(LIST_ENTRY(link, struct service_entry, link));
    LIST_EACH(&master.services, link) {
        struct service_entry *service = LIST_ENTRY(link, struct service_entry, link);
        service_maintain(service);
        if (!service->removed)
            wakeup_start(service, true);
    }
    arena_free(old_memory);
    config_free(old_config);
    instance_verdict_write(SLICE(""));
}
