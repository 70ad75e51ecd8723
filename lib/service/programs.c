/* programs.c - the programs that lines of master.cf may name */
#include "service/programs.h"

static const struct program programs[] = {
    {"smtpd", PROGRAM_EVENT, true, NULL},
    {"postscreen", PROGRAM_EVENT, true, NULL, .has_own_limits = true},
    {"qmqpd", PROGRAM_EVENT, false, NULL},
    {"cleanup", PROGRAM_EVENT, true, NULL},
    {"qmgr", PROGRAM_SINGLE, true, NULL, .reloads = true},
    {"nqmgr", PROGRAM_SINGLE, true, NULL, .reloads = true},
    {"oqmgr", PROGRAM_SINGLE, true, NULL, .reloads = true},
    {"pickup", PROGRAM_SINGLE, true, NULL},
    {"bounce", PROGRAM_EVENT, false, NULL},
    {"smtp", PROGRAM_EVENT, true, NULL},
    {"lmtp", PROGRAM_EVENT, false, NULL},
    {"error", PROGRAM_EVENT, false, NULL},
    {"retry", PROGRAM_EVENT, false, NULL},
    {"discard", PROGRAM_EVENT, false, NULL},
    {"anvil", PROGRAM_SINGLE, true, NULL}, /* reads the files of its caches, and keeps the list of offenders up to date */
    {"tlsmgr", PROGRAM_SINGLE, false, NULL},
    {"postlogd", PROGRAM_SINGLE, false, NULL},
    {"showq", PROGRAM_QMGR_SOCKET, false, "qmgr"},
    {"flush", PROGRAM_QMGR_SOCKET, false, "qmgr"},
    {"trivial-rewrite", PROGRAM_ABSORBED, false, "cleanup, qmgr and local"},
    {"scache", PROGRAM_ABSORBED, false, "smtp"},
    {"proxymap", PROGRAM_ABSORBED, false, "every program"},
    {"verify", PROGRAM_ABSORBED, false, "smtpd, qmgr and anvil"},
    {"dnsblog", PROGRAM_ABSORBED, false, "smtpd"},
    {"tlsproxy", PROGRAM_ABSORBED, false, "smtpd"},
    /* not yet: nobody does their job */
};

static const struct program unknown = {"", PROGRAM_ONE_CLIENT, false, NULL};

const struct program *program_find(const char *command)
{
    const char *slash = strrchr(command, '/');
    const char *name = slash ? slash + 1 : command;
    for (size_t i = 0; i < COUNT_OF(programs); i++) {
        if (strcmp(programs[i].name, name) == 0)
            return &programs[i];
    }
    return &unknown;
}
