/* bounce.h - who gets which notification */
#ifndef POSTERN_QMGR_BOUNCE_BOUNCE_H
#define POSTERN_QMGR_BOUNCE_BOUNCE_H

#include "service/service.h"

void bounce_open(struct service_context *context);
void bounce_start(struct service_context *context);
/* bounce_serve - one lane from qmgr: bounce_request in, bounce_reply out.  A request is done when its notices are durable in the queue. */
void bounce_serve(struct service_context *context, struct service_client *client);

#endif
