/* programs.h - the programs that lines of master.cf may name: how master runs them (see docs/architecture.md, processes) */
#ifndef POSTERN_SERVICE_PROGRAMS_H
#define POSTERN_SERVICE_PROGRAMS_H

#include "base/base.h"

enum program_kind {
    PROGRAM_ONE_CLIENT,  /* a process per client, on demand; all programs that are not in the table */
    PROGRAM_EVENT,       /* a few workers, many clients each */
    PROGRAM_SINGLE,      /* one event-driven process */
    PROGRAM_QMGR_SOCKET, /* qmgr does the job and gets the socket */
    PROGRAM_ABSORBED     /* the job is done inside another program: nothing is started */
};

struct program {
    const char *name;
    enum program_kind kind;
    bool eager;              /* workers start at once, not at the first connection */
    const char *absorbed_by; /* who does the job instead; NULL: nobody yet */
    bool reloads;            /* reads its configuration again in place (SERVICE_RELOADS) */
    bool has_own_limits;     /* its line says maxproc 1, which is not a limit of clients: parameters of its own limit them */
};

/* program_find - by the command column of master.cf; never NULL. */
const struct program *program_find(const char *command);

#endif
