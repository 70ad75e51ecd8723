/* library.h - client libraries that are loaded when a table of their type is opened, so that daemons without such tables stay small and
   a machine without the library has all the other types (private to this room)

   A driver lists the functions it calls:
     #define FUNCTIONS(X) X(PQexec) X(PQclear)
     static struct { FUNCTIONS(LIBRARY_MEMBER) } pq;
     #define SYMBOL(name) {#name, &pq.name},
     static const struct library_symbol symbols[] = {FUNCTIONS(SYMBOL) {0}};
     static const struct library library = {"libpq.so.5", "libpq5", symbols}; */
#ifndef POSTERN_TABLE_LIBRARY_H
#define POSTERN_TABLE_LIBRARY_H

#include "table/driver.h"

struct library_symbol { const char *name; void *where; };

#define LIBRARY_MEMBER(name) __typeof__(name) *name;

struct library {
    const char *file;    /* for dlopen */
    const char *package; /* Debian's name, for messages */
    const struct library_symbol *symbols; /* ends with a NULL name */
};

/* library_load - false after table_fail, which names the package that is missing. */
bool library_load(struct table *table, const struct library *library);
/* library_find - the same outside of opening a table: false with *why. */
bool library_find(const char *type, const struct library *library, struct buffer *why);
/* library_not_built - what open says where the header was missing when this was built. */
bool library_not_built(struct table *table, const char *package);

#endif
