/* service_private.h - what the files of this room share about the running process */
#ifndef POSTERN_SERVICE_SERVICE_PRIVATE_H
#define POSTERN_SERVICE_SERVICE_PRIVATE_H

#include "service/arguments.h"
#include "service/channel.h"
#include "service/sandbox.h"
#include "service/service.h"

/* The one worker that this process is. */
struct worker {
    const struct service *service;
    struct service_context context;
    struct service_arguments arguments;
    unsigned client_limit; /* clients at once; 0: no limit */
    int snapshot;          /* the accepted configuration while it waits to be read; 0: none, the files */
    bool permanent;        /* never exits for being idle */
    int64_t max_idle;      /* microseconds */
    unsigned max_use;      /* one-client services: exit after that many clients */
    bool has_channel;      /* false: stand-alone, tests */
    bool draining, stopping, ended;
};

/* worker_finish - no client is left and none will come: run the end hook, then leave the loop. */
void worker_finish(struct worker *worker);
/* worker_drain - stop accepting; the process ends with its last client. */
void worker_drain(struct worker *worker);
/* worker_notify - a note to master; nothing without one. */
void worker_notify(struct worker *worker, enum channel_kind kind, uint32_t value);

/* ---- files.c ---- */
/* files_have_master - does master open files for us?  files_take_answer - it opened one, or not (-1): takes over *fd when somebody waits. */
bool files_have_master(void);
void files_take_answer(uint32_t number, int *fd);

/* ---- clients.c ---------------------------------------------------------------------------------------------------- */

/* clients_start - watch the listening sockets.  clients_stop_accepting - close them.  clients_interrupt - end the waits of clients that
   said they may be interrupted at that event or an earlier one. */
void clients_start(struct worker *worker);
void clients_stop_accepting(void);
void clients_interrupt(int when);
unsigned clients_count(void);

#endif
