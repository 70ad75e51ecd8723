/* core.h - qmgr without the process around it */
#ifndef POSTERN_QMGR_CORE_H
#define POSTERN_QMGR_CORE_H

#include "qmgr.h"

/* core_configure - parameters, routing tables; before rights are given up.  core_reconfigure - after a reload; running deliveries go on. Waits. */
void core_configure(struct qmgr *q, struct config *config);
void core_reconfigure(struct qmgr *q, struct config *config);
/* core_start - open the queue in the present directory and begin to work (in a fiber).  core_end - start nothing any more, give running deliveries
   a moment to report so that they need not be repeated after the next start, close the queue.  Waits. */
void core_start(struct qmgr *q);
void core_end(struct qmgr *q);

#endif
