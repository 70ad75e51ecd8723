/* table.h - lookup tables: one interface, many drivers (compat.md section c) */
#ifndef POSTERN_TABLE_TABLE_H
#define POSTERN_TABLE_TABLE_H

#include "base/buffer.h"
#include "conf/config.h"

struct table;

enum table_result {
    TABLE_FOUND,
    TABLE_NOT_FOUND,
    TABLE_TRY_AGAIN,   /* the driver cannot answer now: a temporary failure, never 'not found' */
};

/* How a table may be used. */
enum {
    TABLE_FOLD = 1,        /* fold keys to lower case for fixed-key types (always done at lookup unless TABLE_NO_FOLD) */
    TABLE_NO_FOLD = 2,     /* postmap -f */
    TABLE_NO_SUBSTITUTION = 4, /* security sensitive: refuse $1 in pattern results */
    TABLE_PARANOID = 8,    /* additionally refuse network types */
    TABLE_SOURCE_MAY_DUPLICATE = 16, /* texthash: warn instead of fail */
    TABLE_UTF8 = 32,       /* smtputf8_enable: Unicode folding of UTF-8 keys */
    TABLE_WRITE = 64       /* caches: open for update, create when missing (hash, btree, lmdb) */
};

struct table_key_kind; /* internal */

/* table_open - open "type:name".  Never NULL: a table that cannot be opened becomes one whose lookups give TABLE_TRY_AGAIN, after a
   warning or error in Postfix's words (compat.md i.7).  config (may be NULL) is used by drivers that have parameters.
   Opening may read files: call it before the sandbox closes. */
struct table *table_open(struct slice type_and_name, int flags, struct config *config) MUST_CHECK;
void table_free(struct table *table);
const char *table_name(const struct table *table); /* "type:name" */
/* table_is_pattern - regexp, pcre, cidr, ...: gets only the full key (no partial keys). */
bool table_is_pattern(const struct table *table);
/* table_why - text about the last TABLE_TRY_AGAIN. */
const char *table_why(const struct table *table);

/* table_lookup - look up one key; appends the value to *value (cleared first).  Waits (drivers that talk to servers). */
enum table_result table_lookup(struct table *table, struct slice key, struct buffer *value);
/* Writable tables: table_update replaces; table_delete: TABLE_NOT_FOUND when absent. */
enum table_result table_update(struct table *table, struct slice key, struct slice value);
enum table_result table_delete(struct table *table, struct slice key);
/* table_next - walk all entries: first true starts over.  TABLE_NOT_FOUND at the end, TABLE_TRY_AGAIN when the type cannot. */
enum table_result table_next(struct table *table, bool first, struct buffer *key, struct buffer *value);
/* table_changed - the file behind the table is newer than what was opened; table_refresh reopens what changed (also called by
   table_lookup at most once a second), so that a daemon goes on with the new table without dropping a session. */
bool table_refresh(struct table *table);

/* ---- table lists: the value of a *_maps parameter ---- */
struct table_list;
/* table_list_new - parameter is used in messages; value as from config_string (elements "type:name", braces allowed). */
struct table_list *table_list_new(const char *parameter, const char *value, int flags, struct config *config) MUST_CHECK;
void table_list_free(struct table_list *list);
bool table_list_is_empty(const struct table_list *list);
/* table_list_lookup - first non-error, non-empty hit wins; an empty result is a configuration error and temporary (a.4).
   partial false: skips pattern tables (for partial keys).  Waits. */
enum table_result table_list_lookup(struct table_list *list, struct slice key, bool partial, struct buffer *value);
size_t table_list_count(const struct table_list *list);
struct table *table_list_at(const struct table_list *list, size_t index);

/* ---- making tables: postmap, postalias ---- */
struct table_maker;
/* table_maker_open - start writing "type:path" beside the old file (atomic replacement at commit), or update in place when
   incremental.  NULL with *why set (heap, caller frees) when the type cannot be written. */
struct table_maker *table_maker_open(struct slice type_and_name, bool incremental, struct config *config, char **why);
/* table_maker_add - false when the key is there already (the caller warns or calls with replace). */
bool table_maker_add(struct table_maker *maker, struct slice key, struct slice value, bool replace);
/* table_maker_commit - make it durable and visible, free the maker; false with *why.  table_maker_abort - as if nothing happened. */
bool table_maker_commit(struct table_maker *maker, char **why);
void table_maker_abort(struct table_maker *maker);

/* table_type_at - names of the types this build knows ("btree", ...), in sorted order, for postconf -m; NULL past the end. */
const char *table_type_at(size_t index);

#endif
