/* instance.h - is a mail system running on this queue directory? */
#ifndef POSTERN_SERVICE_INSTANCE_H
#define POSTERN_SERVICE_INSTANCE_H

#include "base/base.h"

#define INSTANCE_PID_FILE "pid/master.pid" /* below queue_directory; locked by the running master */

/* instance_running - from the present directory, which is queue_directory; *pid (may be NULL) is the master's. */
bool instance_running(pid_t *pid);

#endif
