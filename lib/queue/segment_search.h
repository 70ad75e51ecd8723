/* segment_search.h - find a waiting message by its id in the segments alone: commands that have neither the index nor the lock */
#ifndef POSTERN_QUEUE_SEGMENT_SEARCH_H
#define POSTERN_QUEUE_SEGMENT_SEARCH_H

#include "queue/segment.h"

/* segment_search - 1 with the record in the arena and *content_fd (the caller closes it) open on its content; 0: no such message waits;
   -1 with errno.  The time in the id tells where to look first.  Blocks. */
int segment_search(const char *queue_directory, struct slice queue_id, struct arena *arena, struct queue_record *record, int *content_fd) MUST_CHECK;

#endif
