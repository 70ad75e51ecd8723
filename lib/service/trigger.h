/* trigger.h - wake a service with a few bytes: postkick, postdrop (compat.md j.8) */
#ifndef POSTERN_SERVICE_TRIGGER_H
#define POSTERN_SERVICE_TRIGGER_H

#include "base/slice.h"

/* trigger_send - to CLASS/SERVICE ("public", "pickup") below the present directory: a stream socket, a datagram socket or a FIFO.  Never
   waits long.  False with errno. */
bool trigger_send(const char *class_name, const char *service, struct slice request);

#endif
