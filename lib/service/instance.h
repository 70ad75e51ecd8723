/* instance.h - is a mail system running on this queue directory? */
#ifndef POSTERN_SERVICE_INSTANCE_H
#define POSTERN_SERVICE_INSTANCE_H

#include "base/buffer.h"

#define INSTANCE_PID_FILE "pid/master.pid" /* below queue_directory; locked by the running master */

/* instance_running - from the present directory, which is queue_directory; *pid (may be NULL) is the master's. */
bool instance_running(pid_t *pid);

#define INSTANCE_VERDICT_FILE "pid/reload.result" /* what became of the last reload; there is none while one is under way */

/* The master's word to the postfix command.  instance_verdict_clear - before the signal is sent.  instance_verdict_write - reason: why the configuration
   was not taken, empty when it was; what cannot be written is logged.  instance_verdict_read - false: nothing has been said yet; appends to *reason. */
void instance_verdict_clear(void);
void instance_verdict_write(struct slice reason);
bool instance_verdict_read(struct buffer *reason);

#endif
