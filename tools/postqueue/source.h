/* source.h - where answers about the queue come from: the queue manager, or the disk while the system is down */
#ifndef POSTERN_POSTQUEUE_SOURCE_H
#define POSTERN_POSTQUEUE_SOURCE_H

#include "conf/config.h"
#include "ipc/message.h"
#include "parser.h"

/* source_listing - all of it as the showq service tells it. */
void source_listing(struct config *config, const struct queue_handler *handler);

/* What a query may bring: by its form a listing, ids (text, a line each), and always groups.  Each may be NULL. */
struct source_handler {
    const struct queue_handler *listing;
    void (*ids)(void *context, struct slice lines);
    void (*group)(void *context, const struct queue_group *group);
    void *context;
};

/* source_query - fatal when there is no answer. */
void source_query(struct config *config, const struct queue_query *query, const struct source_handler *handler, struct queue_answer *total);

#endif
