/* stand_alone.h - -S: one dialogue on standard input and output, as the caller */
#ifndef POSTERN_SERVICE_STAND_ALONE_H
#define POSTERN_SERVICE_STAND_ALONE_H

#include "service/service_private.h"

/* stand_alone_run - load the configuration, open the log, hold the dialogue; gives the exit status. */
int stand_alone_run(struct worker *worker);
/* stand_alone_dialogue - open and stand_alone hooks in a fiber. */
int stand_alone_dialogue(const struct service *service, struct service_context *context);

#endif
