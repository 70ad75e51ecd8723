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
    TABLE_WRITE = 64,      /* caches: open for update, create when missing (hash, btree, lmdb) */
    TABLE_FATAL = 128,     /* commands: log_fatal when the table cannot be opened or read */
    TABLE_NO_SYNC = 512,   /* with TABLE_WRITE: changes reach the disk by table_sync, or when the table is closed; nobody else may use the file */
    TABLE_FILE_VALUES = 256 /* postmap -F, tls_server_sni_maps: a value names files, a lookup gives their joined content */
};

/* table_open - open "type:name".  Never NULL: a table that cannot be opened becomes one whose lookups give TABLE_TRY_AGAIN, after a
   warning or error in Postfix's words (compat.md i.7).  config (may be NULL) is used by drivers that have parameters.
   Opening may read files: call it before the sandbox closes. */
struct table *table_open(struct slice type_and_name, int flags, struct config *config) MUST_CHECK;
void table_free(struct table *table);
const char *table_name(const struct table *table); /* "type:name" */
/* table_is_pattern - regexp, pcre, cidr, ...: gets only the full key (no partial keys). */
bool table_is_pattern(const struct table *table);
/* table_why - text about the last TABLE_TRY_AGAIN.  table_is_misconfigured - that failure will not go away by waiting (a
   server's permanent error, an empty result).  Both are valid until the caller's next wait. */
const char *table_why(const struct table *table);
bool table_is_misconfigured(const struct table *table);
/* tables_outdated - a table of this process is older than its file and cannot be read again here (sandbox): time to let a new
   process take over. */
bool tables_outdated(void);
/* tables_look - look at the files behind all tables of this process, so that tables_outdated says so before somebody asks them. */
void tables_look(void);

/* tables_start_helper - a service calls this after its tables were opened and before it gives up its rights: lookups that may block (SQL,
   LDAP, Redis) are done by a process of their own from now on, as this user, outside of chroot and sandbox.  Without such tables nothing is
   started.  Called again (reload in place): a new one with the tables of now. */
void tables_start_helper(uid_t uid, gid_t gid);

/* table_lookup - look up one key; appends the value to *value (cleared first).  Waits (drivers that talk to servers). */
enum table_result table_lookup(struct table *table, struct slice key, struct buffer *value);
/* Writable tables: table_update replaces; table_delete: TABLE_NOT_FOUND when absent. */
enum table_result table_update(struct table *table, struct slice key, struct slice value);
enum table_result table_delete(struct table *table, struct slice key);
/* table_sync - with TABLE_NO_SYNC: what was changed is on the disk now, or TABLE_TRY_AGAIN. */
enum table_result table_sync(struct table *table);
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
/* tables_set_trace - called after each lookup that a list makes, found or not (postfix explain); NULL: nobody, the normal case.  parameter: of the
   list. */
typedef void (*table_trace)(void *context, const char *parameter, const struct table *table, struct slice key, enum table_result result,
                            struct slice value);
void tables_set_trace(table_trace trace, void *context);
/* table_list_is_misconfigured - as table_is_misconfigured, for the list's last TABLE_TRY_AGAIN. */
bool table_list_is_misconfigured(const struct table_list *list);
size_t table_list_count(const struct table_list *list);
struct table *table_list_at(const struct table_list *list, size_t index);

/* ---- making tables: postmap, postalias ---- */
struct table_maker;
struct table_maker_options {
    bool incremental;  /* update the existing file in place under its lock, instead of making a new one */
    enum { MAKER_NUL_DEFAULT, MAKER_NUL_WITHOUT, MAKER_NUL_WITH } nul; /* postmap -n, -N */
    mode_t mode;       /* of a file that is not there yet, e.g. 0644 */
    size_t expected;   /* rows expected, 0: unknown */
};
/* table_maker_open - start writing "type:path": a new file beside the old one that takes its place at commit with the owner and
   mode of the old (where the directory does not let us, the old one is emptied and written under its lock).  NULL with *why set
   (heap, caller frees) when it cannot be written. */
struct table_maker *table_maker_open(struct slice type_and_name, const struct table_maker_options *options, struct config *config,
                                     char **why);
/* table_maker_name - how the database is called in warnings: "PATH.db", "lmdb:PATH". */
const char *table_maker_name(const struct table_maker *maker);
/* table_maker_add - the key is taken as it is (fold it before).  MAKER_DUPLICATE: the key is there already and was not
   replaced.  MAKER_FAILED: the commit will fail and say why. */
enum maker_result { MAKER_ADDED, MAKER_DUPLICATE, MAKER_FAILED };
enum maker_result table_maker_add(struct table_maker *maker, struct slice key, struct slice value, bool replace);
/* table_maker_add_plain - the same, stored without NUL whatever the options say, replacing (NIS entries of alias files). */
enum maker_result table_maker_add_plain(struct table_maker *maker, struct slice key, struct slice value);
/* table_can_be_made - false with *why (heap) when the type has no files that could be made. */
bool table_can_be_made(struct slice type, char **why);
/* table_value_from_files - the value that stands for the content of the files named in a list (postmap -F).  False with *why. */
bool table_value_from_files(struct slice names, struct buffer *value, struct buffer *why);
/* table_maker_commit - make it durable and visible, free the maker; false with *why.  table_maker_abort - as if nothing happened
   (what was updated in place stays). */
bool table_maker_commit(struct table_maker *maker, char **why);
void table_maker_abort(struct table_maker *maker);

/* table_key_fold - the form under which fixed types hold a key: ASCII lower case, Unicode case folding for UTF-8 keys when utf8. */
void table_key_fold(struct slice key, bool utf8, struct buffer *out);

/* table_type_at - names of the types this build knows ("btree", ...), in sorted order, for postconf -m; NULL past the end. */
const char *table_type_at(size_t index);
/* table_type_known - can tables of that type be opened: those of table_type_at and those that postconf -m does not list. */
bool table_type_known(struct slice type);

#endif
