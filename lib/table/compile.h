/* compile.h - a text becomes a table: "key whitespace value" (postmap), "name: value" (postalias) (compat.md c.3) */
#ifndef POSTERN_TABLE_COMPILE_H
#define POSTERN_TABLE_COMPILE_H

#include "table/table.h"

struct table_text {
    const char *file;    /* for messages */
    bool alias;          /* "name: value" */
    bool fold_off, utf8, file_values, replace, silent_duplicates;
    const char *nis_master; /* of alias tables: what YP_MASTER_NAME says; NULL: no such rows */
    /* progress - called now and then with how much of the text is done; may be NULL. */
    void (*progress)(void *context, size_t done, size_t total);
    void *context;
};

/* table_compile - add every row of the text to the maker.  Lines that are no rows, or whose value cannot be made (file_values), are skipped with
   a warning; the result is their number. */
size_t table_compile(struct table_maker *maker, const struct table_text *how, struct slice text);

#endif
