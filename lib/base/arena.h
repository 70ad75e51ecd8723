/* arena.h - memory of one lifetime (a session, a transaction): allocated piece by piece, given back at once */
#ifndef POSTERN_BASE_ARENA_H
#define POSTERN_BASE_ARENA_H

#include "base/slice.h"

struct arena;

/* arena_new - an empty arena; first_block is the size in bytes of the first block (0: small default), allocated on
   first use.  arena_reset gives everything back but one block; arena_free(NULL) is fine. */
struct arena *arena_new(size_t first_block) MUST_CHECK;
void arena_reset(struct arena *arena);
void arena_free(struct arena *arena);
/* arena_alloc - size bytes, zeroed, aligned for any type; never NULL. */
void *arena_alloc(struct arena *arena, size_t size);
/* arena_bytes - size bytes, not zeroed, not aligned: for data that is about to be read in. */
char *arena_bytes(struct arena *arena, size_t size);
void *arena_copy(struct arena *arena, const void *data, size_t size);
/* arena_slice, arena_string - copies that live as long as the arena; both are NUL terminated. */
struct slice arena_slice(struct arena *arena, struct slice s);
char *arena_string(struct arena *arena, struct slice s);
char *arena_strdup(struct arena *arena, const char *text);
struct slice arena_lower(struct arena *arena, struct slice s); /* ASCII lower-case copy */
char *arena_printf(struct arena *arena, const char *format, ...) PRINTF_LIKE(2, 3);
struct slice arena_format(struct arena *arena, const char *format, ...) PRINTF_LIKE(2, 3);
/* arena_size - bytes obtained from the heap. */
size_t arena_size(const struct arena *arena);

#endif
