/* map.h - hash table from byte strings to pointers */
#ifndef POSTERN_BASE_MAP_H
#define POSTERN_BASE_MAP_H

#include "base/slice.h"

struct map;

/* map_new - empty; release (may be NULL) is called for each value that is replaced, removed, or left when the map is freed. */
struct map *map_new(void (*release)(void *value)) MUST_CHECK;
void map_free(struct map *map);
/* map_set - the key is copied.  map_get - NULL when absent.  map_remove - false when absent. */
void map_set(struct map *map, struct slice key, void *value);
void *map_get(const struct map *map, struct slice key);
bool map_remove(struct map *map, struct slice key);
size_t map_count(const struct map *map);
/* map_next - walk in insertion order: start with *position = 0; false at the end.  Do not change the map while walking,
   except by map_remove of the key just returned. */
bool map_next(const struct map *map, size_t *position, struct slice *key, void **value);

#endif
