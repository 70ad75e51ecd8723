/* status_filter.h - smtp_delivery_status_filter and its relatives: the administrator's view of delivery results */
#ifndef POSTERN_SERVICE_STATUS_FILTER_H
#define POSTERN_SERVICE_STATUS_FILTER_H

#include "service/agent.h"

/* status_filter_open - the filter of an agent by its program name; before the sandbox closes. */
void status_filter_open(const char *program, struct config *config);
/* status_filter_apply - look up "5.1.1 reason" and put what is found in its place (memory of the arena).  A failure may become a delay and the other
   way round, a success stays one: other results are warned of and ignored.  Waits. */
void status_filter_apply(struct arena *arena, struct delivery_status *status);

#endif
