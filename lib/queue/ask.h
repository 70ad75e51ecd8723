/* ask.h - questions about the queue to the queue manager that is running (postqueue; qmgr answers in query.c) */
#ifndef POSTERN_QUEUE_ASK_H
#define POSTERN_QUEUE_ASK_H

#include "ipc/message.h"

/* text - a piece of the listing or of the ids; group - one of the counts.  Either may be NULL.  What they get is valid during the call. */
struct queue_ask_handler {
    void (*text)(void *context, struct slice text);
    void (*group)(void *context, const struct queue_group *group);
    void *context;
};

enum queue_ask_result { QUEUE_ASK_DONE, QUEUE_ASK_DOWN /* errno: nobody there */, QUEUE_ASK_FAILED };

/* queue_ask - service: queue_service_name, below the present directory.  *total gets the last answer's numbers.  When it failed *why says so (heap,
   may be NULL).  Waits. */
enum queue_ask_result queue_ask(const char *service, const struct queue_query *query, const struct queue_ask_handler *handler,
                                struct queue_answer *total, char **why);

#endif
