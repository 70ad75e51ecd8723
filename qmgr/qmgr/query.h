/* query.h - looking at all messages of the queue, one by one, in bounded memory */
#ifndef POSTERN_QMGR_QUERY_H
#define POSTERN_QMGR_QUERY_H

#include "qmgr.h"
#include "queue/selection.h"

/* item - of each message that is selected; it must not wait.  pause - every now and then, where waiting is allowed; false: stop. */
struct query_visitor {
    void (*item)(void *context, const struct queue_item *item);
    bool (*pause)(void *context);
    void *context;
};

/* query_each - in Postfix's order: maildrop, active, incoming, deferred, hold; of those what selection (NULL: everything) takes.  A message that moves
   meanwhile may be missed or met twice.  False: stopped by pause.  Waits. */
bool query_each(struct qmgr *q, struct selection *selection, const struct query_visitor *visitor);
/* query_serve - answer a question that came by a lane.  Waits. */
void query_serve(struct qmgr *q, struct lane *lane, const struct queue_query *query);

/* showq_put - a message as the showq service sends it; extended: with what Postfix does not have. */
void showq_put(struct buffer *out, const struct queue_item *item, struct slice empty_sender, bool extended);

#endif
