/* redis.h - commands to the server behind a redis: table, for caches that live there; connections, passwords and TLS as in redis_table(5) */
#ifndef POSTERN_TABLE_REDIS_H
#define POSTERN_TABLE_REDIS_H

#include "base/arena.h"
#include "table/table.h"

struct redis_element {
    bool is_nil;
    struct slice text; /* numbers in decimal */
};

/* redis_command - table: from table_open, of type redis.  The reply's elements (one, or those of a list; at most max) are copied to the arena; *count
   of them.  False after a warning, with table_why, when no server answers or it reports an error.  Blocks: not for event-driven processes. */
bool redis_command(struct table *table, size_t word_count, const struct slice *words, struct arena *arena, struct redis_element *elements, size_t max,
                   size_t *count);

#endif
