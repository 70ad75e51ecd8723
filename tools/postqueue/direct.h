/* direct.h - the queue as it lies on disk, while the mail system is down */
#ifndef POSTERN_POSTQUEUE_DIRECT_H
#define POSTERN_POSTQUEUE_DIRECT_H

#include "conf/config.h"
#include "parser.h"
#include "queue/selection.h"

/* direct_each - everything in maildrop/ and segment/ below the present directory, with what the index knows of it.  Root becomes the mail owner
   for good: files that the index makes must be his.  In a fiber.  direct_tell - an item as the handler of a
   listing wants it; empty_sender: shown for the null sender. */
void direct_each(struct config *config, void (*visit)(void *context, const struct queue_item *item), void *context);
void direct_tell(const struct queue_item *item, const struct queue_handler *handler, const char *empty_sender);

#endif
