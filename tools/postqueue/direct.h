/* direct.h - the queue as it lies on disk, while the mail system is down */
#ifndef POSTERN_POSTQUEUE_DIRECT_H
#define POSTERN_POSTQUEUE_DIRECT_H

#include "conf/config.h"
#include "parser.h"

/* direct_list - everything in maildrop/ and segment/ below the present directory, with what the index knows of it.  Root becomes the mail owner
   for good: files that the index makes must be his.  empty_sender: shown for the null sender. */
void direct_list(struct config *config, const struct queue_handler *handler, const char *empty_sender);

#endif
