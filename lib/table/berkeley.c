/* berkeley.c - hash: and btree: tables in Berkeley DB files, the same files as Postfix's (compat.md c.4)

   Keys and values are stored with one NUL, or without (postmap -n); which of the two a file holds is found out at the first hit.
   Other programs rewrite a file in place under an exclusive flock, so every lookup is made under a shared one, and looks at
   the age of the open file under it: the pages held in memory are never older than the file.  Three system calls, about a
   microsecond. */
#include "table/driver.h"
#include "table/maker.h"

#ifdef HAVE_BERKELEY_DB
#include <db.h>
#include <fcntl.h>

struct berkeley {
    DB *db;
    DBC *walk;
    int fd; /* the same file, for locks and age; owned by the table (table_watch) */
    struct file_stamp stamp;
    enum { NUL_UNKNOWN, NUL_WITH, NUL_WITHOUT } nul;
    DBTYPE type;
    bool writable;
};

static void silence(const DB_ENV *environment, const char *prefix, const char *message)
{
    log_debug("Berkeley DB: %s", message);
}

static DBT dbt_of(const void *data, size_t len)
{
    DBT dbt;
    memset(&dbt, 0, sizeof(dbt));
    dbt.data = (void *)(uintptr_t)data;
    dbt.size = (u_int32_t)len;
    return dbt;
}

/* open_database - 0 or an error number (errno values, or negative ones of Berkeley DB). */
static int open_database(DB **db, const char *path, DBTYPE type, u_int32_t flags, size_t cache, size_t expected)
{
    int error = db_create(db, NULL, 0);
    if (error)
        return error;
    (*db)->set_errcall(*db, silence);
    error = (*db)->set_cachesize(*db, (u_int32_t)(cache >> 30), (u_int32_t)(cache & ((1u << 30) - 1)), 1);
    if (!error && type == DB_HASH && (flags & DB_CREATE))
        error = (*db)->set_h_nelem(*db, expected > 4096 ? (u_int32_t)expected : 4096);
    if (!error)
        error = (*db)->open(*db, NULL, path, NULL, type, flags, 0644);
    if (error)
        (*db)->close(*db, 0);
    return error;
}

static const char *error_text(int error)
{
    return error > 0 ? strerror(error) : db_strerror(error);
}

static size_t cache_size(struct config *config, const char *parameter, size_t otherwise)
{
    int64_t size = config ? config_int(config, parameter) : 0;
    return size > 0 ? (size_t)size : otherwise;
}

/* ---- reading ------------------------------------------------------------------------------------------------------- */

static void berkeley_close(void *state)
{
    struct berkeley *b = state;
    if (b->walk)
        b->walk->close(b->walk);
    b->db->close(b->db, b->writable ? 0 : DB_NOSYNC);
    free(b);
}

/* open_locked - the file is locked: nobody changes it while Berkeley DB looks at it. */
static bool open_locked(struct table *table, const char *path, DBTYPE type, bool writable)
{
    struct berkeley *b = memory_zalloc(1, sizeof(*b));
    struct stat info;
    bool empty = fstat(table->fd, &info) == 0 && info.st_size == 0;
    u_int32_t flags = writable ? (empty ? DB_CREATE : 0) : DB_RDONLY;
    int error = open_database(&b->db, path, type, flags, cache_size(table->config, "berkeley_db_read_buffer_size", 131072), 0);
    if (!error && writable && empty)
        error = b->db->sync(b->db, 0);
    if (error) {
        free(b);
        table_fail(table, "open database %s: %s", path, error_text(error));
        return false;
    }
    if (fstat(table->fd, &info) == 0)
        b->stamp = file_stamp_of(&info);
    b->fd = table->fd;
    b->type = type;
    b->writable = writable;
    table->stamp = b->stamp;
    table->state = b;
    return true;
}

static bool berkeley_open(struct table *table, DBTYPE type)
{
    bool writable = table->flags & TABLE_WRITE;
    struct buffer path = BUFFER_INIT;
    buffer_printf(&path, "%s.db", table->argument);
    int fd = open(buffer_string(&path), (writable ? O_RDWR | O_CREAT : O_RDONLY) | O_CLOEXEC | O_NOCTTY, 0644);
    bool ok = fd >= 0;
    if (!ok)
        table_fail(table, "open database %s: %s", buffer_string(&path), strerror(errno));
    if (ok) {
        table_watch(table, buffer_string(&path), fd);
        ok = lock_file(fd, writable, true);
        if (!ok)
            table_fail(table, "lock database %s: %s", buffer_string(&path), strerror(errno));
    }
    if (ok) {
        ok = open_locked(table, buffer_string(&path), type, writable);
        unlock_file(fd, true);
    }
    buffer_release(&path);
    return ok;
}

static bool hash_open(struct table *table)
{
    return berkeley_open(table, DB_HASH);
}

static bool btree_open(struct table *table)
{
    return berkeley_open(table, DB_BTREE);
}

/* renew - the locked file is not as it was when it was opened: read it again.  False after table_fail. */
static bool renew(struct table *table, struct berkeley *b)
{
    DB *fresh;
    struct stat info;
    int error = open_database(&fresh, table->path, b->type, b->writable ? 0 : DB_RDONLY,
                              cache_size(table->config, "berkeley_db_read_buffer_size", 131072), 0);
    if (error || fstat(b->fd, &info) < 0) {
        tables_set_outdated();
        table_fail(table, "%s: it was changed and cannot be read again: %s", table->path, error_text(error));
        return false;
    }
    if (b->walk)
        b->walk->close(b->walk);
    b->walk = NULL;
    b->db->close(b->db, DB_NOSYNC);
    b->db = fresh;
    b->nul = NUL_UNKNOWN;
    b->stamp = table->stamp = file_stamp_of(&info);
    return true;
}

/* begin - lock, and see to it that what is in memory is what is in the file.  False after table_fail. */
static bool begin(struct table *table, bool exclusive)
{
    struct berkeley *b = table->state;
    struct stat info;
    if (!lock_file(b->fd, exclusive, true)) {
        table_fail(table, "lock %s: %s", table->path, strerror(errno));
        return false;
    }
    if (fstat(b->fd, &info) < 0) {
        table_fail(table, "fstat %s: %s", table->path, strerror(errno));
        unlock_file(b->fd, true);
        return false;
    }
    struct file_stamp now = file_stamp_of(&info);
    if (table->flags & TABLE_NO_SYNC)
        return true; /* the change is our own: a page that had to leave memory */
    if (!file_stamp_equal(&now, &b->stamp) && info.st_nlink > 0 && !renew(table, b)) {
        unlock_file(b->fd, true);
        return false;
    }
    return true;
}

static void end(struct table *table)
{
    struct berkeley *b = table->state;
    unlock_file(b->fd, true);
}

static enum table_result broken(struct table *table, const char *what, int error)
{
    table_fail(table, "error %s %s: %s", what, table->path, error_text(error));
    if (table->flags & TABLE_FATAL)
        log_fatal("%s", buffer_string(&table->why));
    return TABLE_TRY_AGAIN;
}

/* get - with the NUL, then without, then it is remembered which. */
static int get(struct berkeley *b, struct slice key, DBT *value)
{
    int error = DB_NOTFOUND;
    if (b->nul != NUL_WITHOUT) {
        DBT with = dbt_of(key.data, key.len + 1);
        error = b->db->get(b->db, NULL, &with, value, 0);
        if (error == 0)
            b->nul = NUL_WITH;
    }
    if (error == DB_NOTFOUND && b->nul != NUL_WITH) {
        DBT without = dbt_of(key.data, key.len);
        error = b->db->get(b->db, NULL, &without, value, 0);
        if (error == 0)
            b->nul = NUL_WITHOUT;
    }
    return error;
}

static struct slice up_to_nul(const DBT *dbt)
{
    struct slice s = slice_make(dbt->data, dbt->size);
    return slice_first(s, slice_find(s, '\0'));
}

static enum table_result berkeley_lookup(struct table *table, struct slice key, struct buffer *value)
{
    DBT found = dbt_of(NULL, 0);
    if (!begin(table, false))
        return TABLE_TRY_AGAIN;
    int error = get(table->state, key, &found);
    if (error == 0)
        buffer_append_slice(value, up_to_nul(&found));
    end(table);
    if (error == 0)
        return TABLE_FOUND;
    return error == DB_NOTFOUND || error == DB_KEYEMPTY ? TABLE_NOT_FOUND : broken(table, "reading", error);
}

/* ---- updating and walking ------------------------------------------------------------------------------------------ */

/* note_own_change - our own write is no reason to read the file again. */
static int finish_change(struct table *table, int error)
{
    struct berkeley *b = table->state;
    struct stat info;
    if (!error && !(table->flags & TABLE_NO_SYNC))
        error = b->db->sync(b->db, 0);
    if (fstat(b->fd, &info) == 0)
        b->stamp = table->stamp = file_stamp_of(&info);
    end(table);
    return error;
}

static enum table_result berkeley_update(struct table *table, struct slice key, struct slice value)
{
    struct berkeley *b = table->state;
    if (!begin(table, true))
        return TABLE_TRY_AGAIN;
    char *key_text = slice_string(key), *value_text = slice_string(value);
    size_t nul = b->nul != NUL_WITHOUT;
    DBT to = dbt_of(key_text, key.len + nul), what = dbt_of(value_text, value.len + nul);
    int error = finish_change(table, b->db->put(b->db, NULL, &to, &what, 0));
    free(key_text);
    free(value_text);
    return error ? broken(table, "writing", error) : TABLE_FOUND;
}

static enum table_result berkeley_remove(struct table *table, struct slice key)
{
    struct berkeley *b = table->state;
    if (!begin(table, true))
        return TABLE_TRY_AGAIN;
    char *text = slice_string(key);
    DBT with = dbt_of(text, key.len + 1), without = dbt_of(text, key.len);
    int error = b->nul == NUL_WITHOUT ? DB_NOTFOUND : b->db->del(b->db, NULL, &with, 0);
    if (error == DB_NOTFOUND && b->nul != NUL_WITH)
        error = b->db->del(b->db, NULL, &without, 0);
    free(text);
    if (error == DB_NOTFOUND) {
        end(table);
        return TABLE_NOT_FOUND;
    }
    error = finish_change(table, error);
    return error ? broken(table, "writing", error) : TABLE_FOUND;
}

static enum table_result berkeley_sync(struct table *table)
{
    struct berkeley *b = table->state;
    if (!begin(table, true))
        return TABLE_TRY_AGAIN;
    int error = b->db->sync(b->db, 0);
    struct stat info;
    if (fstat(b->fd, &info) == 0)
        b->stamp = table->stamp = file_stamp_of(&info);
    end(table);
    return error ? broken(table, "writing", error) : TABLE_FOUND;
}

static enum table_result berkeley_next(struct table *table, bool first, struct buffer *key, struct buffer *value)
{
    DBT at = dbt_of(NULL, 0), what = dbt_of(NULL, 0);
    if (!begin(table, false))
        return TABLE_TRY_AGAIN;
    struct berkeley *b = table->state;
    int error = 0;
    if (first && b->walk) {
        b->walk->close(b->walk);
        b->walk = NULL;
    }
    if (!b->walk)
        error = first ? b->db->cursor(b->db, NULL, &b->walk, 0) : DB_NOTFOUND;
    if (!error)
        error = b->walk->get(b->walk, &at, &what, first ? DB_FIRST : DB_NEXT);
    if (!error) {
        buffer_append_slice(key, up_to_nul(&at));
        buffer_append_slice(value, up_to_nul(&what));
    }
    end(table);
    if (error == 0)
        return TABLE_FOUND;
    return error == DB_NOTFOUND ? TABLE_NOT_FOUND : broken(table, "seeking", error);
}

const struct table_driver table_driver_hash = {"hash",          0,               hash_open,       berkeley_close, berkeley_lookup,
                                               berkeley_update, berkeley_remove, berkeley_next, berkeley_sync};
const struct table_driver table_driver_btree = {"btree",         0,               btree_open,      berkeley_close, berkeley_lookup,
                                                berkeley_update, berkeley_remove, berkeley_next, berkeley_sync};

/* ---- making --------------------------------------------------------------------------------------------------------- */

static bool make(struct table_maker *maker, const char *file, DBTYPE type, u_int32_t flags)
{
    DB *db;
    size_t cache = cache_size(maker->config, "berkeley_db_create_buffer_size", 16777216);
    int error = open_database(&db, file, type, flags, cache, maker->options.expected);
    if (error) {
        maker_fail(maker, "open database %s: %s", file, error_text(error));
        return false;
    }
    maker->state = db;
    return true;
}

static bool hash_create(struct table_maker *maker, const char *file)
{
    return make(maker, file, DB_HASH, DB_CREATE);
}

static bool hash_open_existing(struct table_maker *maker, const char *file)
{
    return make(maker, file, DB_HASH, 0);
}

static bool btree_create(struct table_maker *maker, const char *file)
{
    return make(maker, file, DB_BTREE, DB_CREATE);
}

static bool btree_open_existing(struct table_maker *maker, const char *file)
{
    return make(maker, file, DB_BTREE, 0);
}

static enum maker_result berkeley_add(struct table_maker *maker, struct slice key, struct slice value, bool replace)
{
    DB *db = maker->state;
    char *key_text = slice_string(key), *value_text = slice_string(value);
    size_t nul = maker_nul(maker);
    DBT to = dbt_of(key_text, key.len + nul), what = dbt_of(value_text, value.len + nul);
    int error = db->put(db, NULL, &to, &what, replace ? 0 : DB_NOOVERWRITE);
    free(key_text);
    free(value_text);
    if (error == DB_KEYEXIST)
        return MAKER_DUPLICATE;
    if (error == 0)
        return MAKER_ADDED;
    maker_fail(maker, "error writing %s: %s", maker->path, error_text(error));
    return MAKER_FAILED;
}

static bool berkeley_finish(struct table_maker *maker)
{
    DB *db = maker->state;
    maker->state = NULL;
    int error = db ? db->close(db, 0) : 0;
    if (error)
        maker_fail(maker, "error writing %s: %s", maker->path, error_text(error));
    return error == 0;
}

const struct maker_format maker_format_hash = {"hash",       ".db", true, true, hash_create, hash_open_existing, berkeley_add,
                                               berkeley_finish};
const struct maker_format maker_format_btree = {"btree",      ".db", true, true, btree_create, btree_open_existing, berkeley_add,
                                                berkeley_finish};
#endif
