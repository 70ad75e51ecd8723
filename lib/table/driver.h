/* driver.h - what a table driver is (private to this room)

   A driver is one file with one const struct table_driver, listed in drivers.def.  It keeps what it needs in table->state. */
#ifndef POSTERN_TABLE_DRIVER_H
#define POSTERN_TABLE_DRIVER_H

#include <sys/stat.h>

#include "base/clock.h"
#include "base/list.h"
#include "base/log.h"
#include "table/table.h"

/* Where there is no Berkeley DB (or -DWITHOUT_BERKELEY_DB), hash: and btree: stay usable names: lmdb.c serves them, in PATH.lmdb. */
#if __has_include(<db.h>) && !defined(WITHOUT_BERKELEY_DB)
#define HAVE_BERKELEY_DB 1
#endif

enum {
    DRIVER_PATTERN = 1,    /* gets only full keys, and as they are: no folding */
    DRIVER_AS_IS = 2,      /* fixed keys, but no folding (servers) */
    DRIVER_NETWORK = 4,    /* refused for TABLE_PARANOID */
    DRIVER_HIDDEN = 8,     /* not listed by postconf -m */
    DRIVER_FILES_AT_OPEN = 16, /* TABLE_FILE_VALUES: reads the files named in values when it opens */
    DRIVER_BLOCKS = 32     /* lookups may hold the thread, open files, need the library's own ways: done by the helper process (helper.h) */
};

struct table_driver {
    const char *type;
    int kind;
    /* open - fill table->state.  False after table_fail: the table becomes one whose lookups fail. */
    bool (*open)(struct table *table);
    /* close - give back table->state (never NULL). */
    void (*close)(void *state);
    /* lookup - key is NUL terminated and holds no other NUL; value is empty. */
    enum table_result (*lookup)(struct table *table, struct slice key, struct buffer *value);
    /* The rest may be NULL. */
    enum table_result (*update)(struct table *table, struct slice key, struct slice value);
    enum table_result (*remove)(struct table *table, struct slice key);
    enum table_result (*next)(struct table *table, bool first, struct buffer *key, struct buffer *value);
    enum table_result (*sync)(struct table *table);
};

/* The identity of a file as it was when it was read. */
struct file_stamp {
    dev_t device;
    ino_t inode;
    off_t size;
    struct timespec modified;
};

struct table {
    struct list link;   /* all that are open in this process */
    const struct table_driver *driver;
    void *state;
    char *name;         /* "type:name" */
    const char *argument; /* what follows the first colon, in name */
    int flags;
    struct config *config;
    struct buffer why;
    bool is_pattern;    /* DRIVER_PATTERN, or what the first table of a pipe says */
    bool config_error;  /* the last TABLE_TRY_AGAIN will not go away by itself */
    unsigned busy;      /* lookups under way: the state must not go */
    uint32_t number;    /* DRIVER_BLOCKS: under which the helper knows it */
    /* The file behind it: */
    char *path;         /* NULL: none is watched */
    int fd;             /* kept open so that its age can be seen in a sandbox */
    struct file_stamp stamp;
    int64_t next_check; /* clock_monotonic */
    /* The text that an index is made from (source_open): */
    int source_fd; /* -1: none is watched */
    struct file_stamp source_stamp; /* when the table was opened */
    bool source_warned;
};

extern const struct table_driver table_failing; /* every lookup fails, after a warning with table->why */

/* table_fail - say why (complete, in Postfix's words) a table cannot be opened or cannot answer; returns TABLE_TRY_AGAIN. */
enum table_result table_fail(struct table *table, const char *format, ...) PRINTF_LIKE(2, 3);
/* table_watch - this file (already open; kept, closed by the room) is what the table was read from. */
void table_watch(struct table *table, const char *path, int fd);
/* file_stamp_of, file_stamp_equal */
struct file_stamp file_stamp_of(const struct stat *info);
bool file_stamp_equal(const struct file_stamp *a, const struct file_stamp *b);
/* tables_set_outdated - a file changed that this process cannot read again. */
void tables_set_outdated(void);

/* table_read_file - read a whole regular file (at most max bytes) and watch it.  False after table_fail("open PATH: reason"). */
bool table_read_file(struct table *table, const char *path, struct buffer *text);
/* table_read_descriptor - the rest of a file; false with errno. */
bool table_read_descriptor(int fd, struct buffer *text);

/* source_open - before an indexed table is opened: watch the text that it is made from and, with database_auto_update = yes, make the index
   when the text is newer.  source_close.  source_wants_reopening - the text is newer than the index, and the table should be opened anew
   for it; otherwise an old index is worth a warning in the log (once). */
void source_open(struct table *table);
void source_close(struct table *table);
bool source_wants_reopening(struct table *table);
/* value_from_files - TABLE_FILE_VALUES: the base64 form of the named files' contents.  False with *why. */
bool value_from_files(struct slice names, struct buffer *out, struct buffer *why);
bool value_decode(struct slice base64, struct buffer *out);

/* lock_shared - take the shared lock of a database file; between fibers it waits its turn, elsewhere it blocks.  Waits.
   whole_file_flock true: flock(2) (hash, btree), false: record lock of fcntl(2) (lmdb). */
bool lock_file(int fd, bool exclusive, bool by_flock);
void unlock_file(int fd, bool by_flock);

#endif
