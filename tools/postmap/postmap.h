/* postmap.h - inside postmap and postalias: options, and the jobs (compat.md c.3) */
#ifndef POSTERN_TOOLS_POSTMAP_POSTMAP_H
#define POSTERN_TOOLS_POSTMAP_POSTMAP_H

#include "table/table.h"

struct options {
    const char *program;      /* "postmap", "postalias" */
    bool alias;               /* postalias: "name: value" */
    bool incremental, dump, fold_off, without_nul, with_nul, keep_root, default_mode, replace, silent_duplicates, no_utf8, force_utf8;
    bool bodies, headers, mime, file_values, json;
    const char *query, *delete_key, *config_directory;
    struct config *config;
    int table_flags;
};

/* make.c - build one database from its text, or add to it from standard input. */
void make_table(const struct options *options, struct slice type, struct slice path);
/* query.c - exit statuses: 0 found, 1 not found. */
int query_key(const struct options *options, const char *const *tables, size_t count);
int query_stdin(const struct options *options, const char *const *tables, size_t count);
int query_message(const struct options *options, const char *const *tables, size_t count);
int delete_key(const struct options *options, const char *const *tables, size_t count);
int dump_table(const struct options *options, const char *table);

#endif
