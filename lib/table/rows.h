/* rows.h - keys and values in memory, made for many rows: one text, one array, one open-addressing index */
#ifndef POSTERN_TABLE_ROWS_H
#define POSTERN_TABLE_ROWS_H

#include "table/table.h"

struct rows;

struct rows *rows_new(void) MUST_CHECK;
void rows_free(struct rows *rows);
/* rows_reserve - room for that many rows and bytes of text. */
void rows_reserve(struct rows *rows, size_t count, size_t text);
/* rows_set - false when the key is there and replace is not wanted, or when the memory limit is reached (4 GiB of text).
   rows_get - value views are valid until the next rows_set. */
bool rows_set(struct rows *rows, struct slice key, struct slice value, bool replace);
bool rows_get(const struct rows *rows, struct slice key, struct slice *value);
bool rows_remove(struct rows *rows, struct slice key);
size_t rows_count(const struct rows *rows);
/* rows_next - walk in insertion order from *position = 0. */
bool rows_next(const struct rows *rows, size_t *position, struct slice *key, struct slice *value);
/* rows_walk - the same for a driver's next: one walk at a time in a process. */
enum table_result rows_walk(const struct rows *rows, bool first, struct buffer *key, struct buffer *value);

#endif
