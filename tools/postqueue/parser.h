/* parser.h - the queue listing as it comes from the showq service: NUL-terminated names and values

   Pushed in pieces of any size; the handler is told of each message and each of its recipients.  Names that are not known are skipped, so
   that a newer service may say more. */
#ifndef POSTERN_POSTQUEUE_PARSER_H
#define POSTERN_POSTQUEUE_PARSER_H

#include "base/buffer.h"

struct queue_message {
    struct slice queue_name, queue_id, sender;
    int64_t time, size;
    bool forced_expire;
    /* What only our own service tells: */
    int64_t attempts, last_attempt, next_attempt; /* seconds since 1970, 0: not known */
    struct slice destination;                     /* transport:next_hop of the first recipient */
};

struct queue_recipient {
    struct slice original, address, reason, status;
};

struct queue_handler {
    void (*message)(void *context, const struct queue_message *message);
    void (*recipient)(void *context, const struct queue_recipient *recipient);
    void (*message_end)(void *context);
    void *context;
};

struct queue_parser;

struct queue_parser *queue_parser_new(const struct queue_handler *handler) MUST_CHECK;
void queue_parser_free(struct queue_parser *parser);
/* queue_parser_push - false: malformed (a name or value that is too long, a number that is none); sticky. */
bool queue_parser_push(struct queue_parser *parser, struct slice bytes);
/* queue_parser_is_complete - the end of the listing was seen. */
bool queue_parser_is_complete(const struct queue_parser *parser);

#endif
