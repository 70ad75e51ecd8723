/* log_target.h - where log lines go by configuration: maillog_file, /dev/stdout, syslog, or postlogd for those who cannot open the file */
#ifndef POSTERN_SERVICE_LOG_TARGET_H
#define POSTERN_SERVICE_LOG_TARGET_H

#include "base/log.h"
#include "conf/config.h"

struct log_target {
    enum log_sink sink; /* LOG_TO_STDERR: nothing could be opened */
    int fd;             /* -1 for LOG_TO_STDERR; the caller closes it */
    const char *path;   /* maillog_file, the syslog socket, or NULL; memory of the config or a literal */
};

/* log_target_open - open what maillog_file says; without it, syslog.  When the file cannot be opened for lack of permission the lines
   go to postlogd's socket below queue_directory.  False with errno when there is nothing to write to. */
bool log_target_open(struct config *config, struct log_target *target);
/* log_target_use - log there as "syslog_name/PROGRAM" with syslog_facility.  MAIL_LOGTAG of the environment, when use_environment,
   goes before syslog_name. */
void log_target_use(struct config *config, const struct log_target *target, const char *program, bool use_environment);

#endif
