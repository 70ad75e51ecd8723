/* master.h - the supervisor: services, their sockets, their workers

   Event handlers only: master holds no dialogue.  It reads main.cf and master.cf, owns the listening sockets, starts workers, watches them and
   replaces them.  No tables, no TLS, no DNS. */
#ifndef POSTERN_MASTER_MASTER_H
#define POSTERN_MASTER_MASTER_H

#include "base/list.h"
#include "base/log.h"
#include "conf/master_cf.h"
#include "net/address.h"
#include "run/run.h"
#include "service/channel.h"
#include "service/log_target.h"
#include "service/programs.h"
#include "service/statistics.h"

struct socket {
    int fd;
    struct net_address address; /* len 0 for a FIFO */
};

struct service_entry {
    struct list link; /* master.services */
    const struct master_service *line; /* memory of the generation */
    const struct program *program;
    char *label;    /* address in log lines: "smtp", "private/local" */
    char *path;     /* Unix socket or FIFO, relative to queue_directory; NULL: inet */
    bool eager;     /* workers start at once, not at the first connection */
    bool external;  /* reachable from other machines */
    struct socket *sockets;
    size_t socket_count;
    struct run_watch **watches; /* one per socket while no worker has room, or callers are turned away; else NULL */
    int64_t process_limit;      /* workers at most; 0: unlimited */
    int64_t client_limit;       /* clients of the service, as configured; 0: unlimited */
    int64_t clients_per_worker; /* 0: unlimited */
    int64_t batch;              /* workers started together */
    struct list workers;
    struct run_timer *throttle; /* running while starts are throttled */
    bool throttled;
    bool hopeless; /* ... because its program does not even start: callers are not to wait for it */
    int64_t stress_until, next_limit_warning; /* monotonic */
    struct run_timer *wakeup;
    bool used; /* a client came: "wakeup?" services are woken from now on */
    bool removed; /* no longer in master.cf; kept until its workers are gone */
};

struct worker_entry {
    struct list link; /* service_entry.workers */
    struct service_entry *service;
    pid_t pid;
    int channel;
    struct run_watch *watch;
    unsigned number, slot; /* see service/channel.h */
    int64_t started; /* monotonic */
    bool ready, served, full, draining, reloads;
    char **files; /* what it may have opened: paths it named before it was ready */
    size_t file_count;
};

struct master {
    struct config *config; /* as it was accepted: main.cf and master.cf */
    int snapshot;          /* descriptor of its texts, for workers (conf/snapshot.h); 0: none */
    struct arena *memory;  /* of this generation's master.cf */
    struct list services;
    struct log_target log;
    int statistics; /* descriptor of the page, -1: none */
    bool stopping;
    bool foreground; /* -d: told to the workers */
    unsigned generation;
    unsigned next_number; /* where the search for a free worker number starts */
};

extern struct master master;

/* ---- sockets.c ---- */
/* sockets_open - the listening sockets of the service; one that another service of the old list has is shared.  False with a text. */
bool sockets_open(struct service_entry *service, struct config *config, const struct list *old_services, struct buffer *why);
void sockets_close(struct service_entry *service);

/* ---- services.c ---- */
/* services_build - entries with sockets for all lines that start something; false with a text when one cannot be made; then nothing remains. */
bool services_build(struct config *config, const struct master_cf *lines, const struct list *old_services, struct list *services,
                    struct buffer *why);
/* services_adopt - the new entries take over workers and states of the old ones, which go, and become members of the old list.  memory: of the
   new generation. */
void services_adopt(struct list *old_services, struct list *fresh, struct arena *memory);
void service_free(struct service_entry *service);

/* ---- workers.c ---- */
/* service_maintain - start what should run, listen for clients where no worker has room. */
void service_maintain(struct service_entry *service);
void service_stop_listening(struct service_entry *service);
/* workers_reap - after SIGCHLD.  workers_tell - a note to all workers. */
void workers_reap(void);
void workers_take_notes(struct worker_entry *worker);
void workers_tell(enum channel_kind kind, int pass_fd);
/* workers_stop - ask all to stop; the loop ends when the last is gone.  workers_kill - the hard way. */
void workers_stop(void);
void workers_kill(void);
size_t workers_count(void);

/* ---- spawn.c ---- */
/* spawn_worker - fork and exec; NULL when it could not be started (logged). */
struct worker_entry *spawn_worker(struct service_entry *service) MUST_CHECK;

/* ---- wakeup.c ---- */
void wakeup_start(struct service_entry *service, bool at_once);
void wakeup_stop(struct service_entry *service);

/* ---- lock.c ---- */
/* lock_take - become the one master of this queue; fatal when one runs (instance_running tells without trying). */
void lock_take(struct config *config);
/* lock_next_number - where worker numbers start in this life: never those of a master that was just killed. */
unsigned lock_next_number(void);

/* ---- reload.c ---- */
/* configuration_accept - look at everything in main.cf and master.cf, and make services of it.  config comes from config_load_whole; report gets what
   is fatal.  False (reported or in why) when something would break the mail system. */
bool configuration_accept(struct config *config, struct arena *memory, const struct list *old_services, struct list *services,
                          config_report *report, void *context, struct buffer *why);
void master_reload(void);
/* master_check_log - reopen the log when its file or socket was replaced. */
void master_check_log(void);
void master_reopen_log(void);

#endif
