/* maker.h - the part of making tables that differs from format to format (private to this room) */
#ifndef POSTERN_TABLE_MAKER_H
#define POSTERN_TABLE_MAKER_H

#include "table/table.h"

struct table_maker;

struct maker_format {
    const char *type;
    const char *suffix;  /* of the file: ".db" */
    bool by_flock;       /* how the file is locked */
    bool named_by_path;  /* warnings name it "PATH.db", else "type:PATH" */
    /* create - a new database in the file (which is there and empty); open_existing - the one in the file, for update.
       False after maker_fail. */
    bool (*create)(struct table_maker *maker, const char *file);
    bool (*open_existing)(struct table_maker *maker, const char *file);
    enum maker_result (*add)(struct table_maker *maker, struct slice key, struct slice value, bool replace);
    /* close - write everything out and free maker->state (may be NULL); false after maker_fail. */
    bool (*close)(struct table_maker *maker);
};

extern const struct maker_format maker_format_hash, maker_format_btree, maker_format_lmdb, maker_format_cdb;

struct table_maker {
    const struct maker_format *format;
    void *state;
    struct config *config;
    struct table_maker_options options;
    char *name;      /* for warnings */
    char *path;      /* of the database */
    char *temporary; /* what is written until the commit; NULL: path itself, in place */
    int lock_fd;     /* -1, or path, locked */
    struct buffer why;
};

/* table_maker_suffix - ".db" of a type whose files are made by postmap, else NULL. */
const char *table_maker_suffix(const char *type);
/* maker_fail - keep the first reason why it will not work. */
void maker_fail(struct table_maker *maker, const char *format, ...) PRINTF_LIKE(2, 3);
/* maker_nul - are key and value stored with a NUL after them? */
bool maker_nul(const struct table_maker *maker);

#endif
