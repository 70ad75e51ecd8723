/* master_cf.h - master.cf: the services (compat.md section b) */
#ifndef POSTERN_CONF_MASTER_CF_H
#define POSTERN_CONF_MASTER_CF_H

#include "conf/config.h"

enum service_type { SERVICE_INET, SERVICE_UNIX, SERVICE_FIFO, SERVICE_PASS, SERVICE_UNIX_DGRAM };

struct master_service {
    const char *name; /* as written: "smtp", "127.0.0.1:10025", "private/x" never */
    enum service_type type;
    bool is_private;
    bool unprivileged;
    bool chroot;
    bool chroot_default; /* the column said '-' */
    int64_t wakeup;      /* seconds, 0 = never */
    bool wakeup_after_use; /* '?' */
    int64_t process_limit; /* 0 = unlimited; -1 = the column said '-' */
    const char *command;   /* program name */
    const char *const *arguments; /* NULL terminated words after the command, braces taken off */
    size_t argument_count;
    int line; /* first physical line */
    /* raw column texts for postconf -M, -F; index 0 name .. 7 command */
    const char *columns[8];
};

struct master_cf {
    const struct master_service *services;
    size_t count;
};

/* master_cf_load - read DIRECTORY/master.cf, or the text that the config kept (snapshot.h); problems go to report as in config_load (Postfix's words).  The result lives in the
   arena.  Duplicates: the last entry wins (warning).  master_service_disable is applied when config is not NULL.  False after a fatal
   problem. */
bool master_cf_load(const char *directory, struct config *config, struct arena *arena, config_report *report, void *context,
                    struct master_cf *result) MUST_CHECK;
/* master_cf_parse - the same from memory. */
bool master_cf_parse(struct slice text, const char *file_name, struct config *config, struct arena *arena, config_report *report,
                     void *context, struct master_cf *result) MUST_CHECK;
/* master_cf_word - take the next argument word off *rest: "word", or "{ words }" whose braces and edge blanks are taken off (*braced).
   *wrong says what is wrong with the braces, else NULL.  False at the end. */
bool master_cf_word(struct slice *rest, struct slice *word, bool *braced, const char **wrong);
/* master_cf_next_setting - walk over the "-o name=value" arguments; start with *at 0.  What follows the first argument that is no option
   is not looked at. */
bool master_cf_next_setting(const struct master_service *service, size_t *at, struct slice *name, struct slice *value);
const char *service_type_name(enum service_type type); /* "inet", "unix", "fifo", "pass", "unix-dgram" */

#endif
