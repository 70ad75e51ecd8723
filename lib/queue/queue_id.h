/* queue_id.h - queue ids: never reused, in the shapes that log parsers expect (compat.md k.2)

   An id is made of the second, the microsecond and the number of the worker that made it; one worker never makes two ids in one
   microsecond.  Short form: 5 hex digits of microseconds, then hex of ((seconds since 2025-01-01) * 64 + worker), upper case.
   Long form (enable_long_queue_ids): base 52 seconds (6+) and microseconds (4), "z", base 51 of the worker. */
#ifndef POSTERN_QUEUE_QUEUE_ID_H
#define POSTERN_QUEUE_QUEUE_ID_H

#include "base/slice.h"

#define QUEUE_ID_MAX 24 /* bytes with the NUL */
#define QUEUE_ID_WORKERS 64

struct queue_id_maker { unsigned worker; bool long_form; int64_t last; };

void queue_id_maker_init(struct queue_id_maker *maker, unsigned worker, bool long_form);
/* queue_id_make - a fresh id into text, returns its slice. */
struct slice queue_id_make(struct queue_id_maker *maker, char text[QUEUE_ID_MAX]);
/* queue_id_is_valid - alphanumeric, plausible length: what tools accept from users. */
bool queue_id_is_valid(struct slice text);
/* queue_id_time - when the id was made (microseconds since 1970); 0 when that cannot be told from it. */
int64_t queue_id_time(struct slice id);
/* queue_id_sort_key - the id as bytes that sort by time of arrival (memcmp), into key; one to one. */
struct slice queue_id_sort_key(struct slice id, char key[QUEUE_ID_MAX]);

#endif
