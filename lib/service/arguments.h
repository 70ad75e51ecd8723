/* arguments.h - the command line of a daemon (compat.md b.2) */
#ifndef POSTERN_SERVICE_ARGUMENTS_H
#define POSTERN_SERVICE_ARGUMENTS_H

#include "base/base.h"

struct service_arguments {
    const char *program;      /* last path element of argv[0]: "lmtp" and "smtp" are one executable */
    const char *service_name; /* -n, default: program */
    const char *service_type; /* -t */
    bool chroot;              /* -c */
    bool unprivileged;        /* -u */
    bool one_process;         /* -l: process limit 1 */
    bool no_process_limit;    /* -z: process limit 0 */
    bool stand_alone;         /* -S */
    bool log_to_stderr;       /* -V */
    bool debug;               /* -D */
    int verbose;              /* -v, counted */
    unsigned socket_count;    /* -s, default 1 */
    const char **overrides;   /* -o name=value, in order; heap array of pointers into argv */
    size_t override_count;
    const char *const *words; /* the service's own words: rest of argv */
    size_t word_count;
};

/* service_arguments_parse - false with *why (a literal) when malformed.  service_arguments_release - frees the array. */
bool service_arguments_parse(struct service_arguments *arguments, int argc, char **argv, const char **why) MUST_CHECK;
void service_arguments_release(struct service_arguments *arguments);

#endif
