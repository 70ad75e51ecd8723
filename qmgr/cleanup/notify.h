/* notify.h - telling qmgr of new mail, so that it need not read it back

   One lane, one fiber.  Nobody waits for qmgr, but for a moment when it is busy (in_flow_delay): what it does not take is dropped, because it finds in the segments what it was not told -
   when it starts, and when the place of an arrival does not follow the one before.  The latest arrival is never dropped, so that it
   always hears of a gap. */
#ifndef POSTERN_QMGR_CLEANUP_NOTIFY_H
#define POSTERN_QMGR_CLEANUP_NOTIFY_H

#include "ipc/message.h"

struct notifier;

/* notifier_start - in a fiber; path of qmgr's socket. notifier_finish - waits until qmgr has everything or the deadline passes, and ends. */
struct notifier *notifier_start(const char *path) MUST_CHECK;
void notifier_finish(struct notifier *notifier, int64_t deadline);
/* notifier_wait - when qmgr is there but has much that it did not read yet: until it caught up, or that many microseconds have passed
   (in_flow_delay; 0: do not wait).  NULL notifier: at once.  Waits. */
void notifier_wait(struct notifier *notifier, int64_t patience);
/* notifier_tell - takes over the arena in which the arrival (and what it points to) lives; NULL notifier: just frees it. */
void notifier_tell(struct notifier *notifier, struct arena *arena, const struct queue_arrival *arrival);

#endif
