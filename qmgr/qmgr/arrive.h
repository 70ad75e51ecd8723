/* arrive.h - new mail */
#ifndef POSTERN_QMGR_ARRIVE_H
#define POSTERN_QMGR_ARRIVE_H

#include "qmgr.h"

/* arrive_init - before anything else.  arrive_start - after recovery: the fibers that look at the tails of the segments.  arrive_scan - look now. */
void arrive_init(void);
void arrive_start(struct qmgr *q);
void arrive_scan(void);
/* arrive_message - cleanup announced it.  Waits (tables). */
void arrive_message(struct qmgr *q, const struct queue_arrival *arrival);
/* arrive_later - a message that cannot stay in memory while the index cannot be written: it is read again and tried again until it can. */
void arrive_later(const struct queue_place *place);
/* Store events. */
void arrive_found(void *context, const struct queue_record *record);
void arrive_corrupt(void *context, const struct queue_place *place, const char *text);

#endif
