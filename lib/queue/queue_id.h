/* queue_id.h - queue ids: never reused, in the shapes that log parsers expect (compat.md k.2)

   Short form: ten upper-case hexadecimal digits, as long as Postfix's, so that listings keep their columns.  They are a block number (6 digits)
   and a count within the block (4).  Blocks are handed out by the file segment/.ids, shared by all workers; their numbers follow the time
   (one for each 32 seconds since 2025-01-01, or the next free one when more are needed), so that a lost file leads to no repetition.  They
   last for 17 years of 2,000 ids a second without a pause.
   Long form (enable_long_queue_ids): base 52 seconds (6+) and microseconds (4), "z", base 51 of the worker; one worker never makes two
   ids in one microsecond, and no two live workers have the same number. */
#ifndef POSTERN_QUEUE_QUEUE_ID_H
#define POSTERN_QUEUE_QUEUE_ID_H

#include "base/slice.h"

#define QUEUE_ID_MAX 24 /* bytes with the NUL */
#define QUEUE_ID_WORKERS 64

struct queue_id_maker {
    unsigned worker;
    bool long_form;
    int64_t last;        /* microsecond of the last id */
    int fd;              /* of segment/.ids, -1: blocks of this process only */
    uint64_t block;
    unsigned used;       /* ids of the block */
    int64_t block_until; /* when it is given up: ids tell roughly their time */
};

/* queue_id_maker_init - ids that are unique in this process.  queue_id_maker_share - and among all processes that share the queue directory;
   false with errno.  queue_id_maker_release - closes what share opened. */
void queue_id_maker_init(struct queue_id_maker *maker, unsigned worker, bool long_form);
bool queue_id_maker_share(struct queue_id_maker *maker, const char *queue_directory) MUST_CHECK;
void queue_id_maker_release(struct queue_id_maker *maker);
/* queue_id_make - a fresh id into text, returns its slice. */
struct slice queue_id_make(struct queue_id_maker *maker, char text[QUEUE_ID_MAX]);
/* queue_id_is_valid - alphanumeric, plausible length: what tools accept from users. */
bool queue_id_is_valid(struct slice text);
/* queue_id_time - when the id was made (microseconds since 1970), for the short form to some minutes; 0 when that cannot be told from it. */
int64_t queue_id_time(struct slice id);
/* queue_id_sort_key - the id as bytes that sort by time of arrival (memcmp; Postfix's own short ids too), into key; one to one. */
struct slice queue_id_sort_key(struct slice id, char key[QUEUE_ID_MAX]);

#endif
