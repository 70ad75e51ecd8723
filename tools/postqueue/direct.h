/* direct.h - the queue as it lies on disk, while the mail system is down */
#ifndef POSTERN_POSTQUEUE_DIRECT_H
#define POSTERN_POSTQUEUE_DIRECT_H

#include "parser.h"

/* direct_list - everything in maildrop/ and segment/ below the present directory; nothing is changed.  Reasons of deferral are in the index,
   which belongs to qmgr: they are left out.  empty_sender: shown for the null sender. */
void direct_list(const struct queue_handler *handler, const char *empty_sender);

#endif
