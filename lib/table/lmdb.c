/* lmdb.c - lmdb: tables, one file PATH.lmdb without a lock file, locked with record locks as Postfix does (compat.md c.4)

   LMDB's own locking is off (MDB_NOLOCK), so a read transaction lives only under the shared lock of the file. */
#include <fcntl.h>
#include <lmdb.h>

#include "table/driver.h"
#include "table/maker.h"

struct lmdb {
    MDB_env *env;
    MDB_dbi dbi;
    MDB_txn *reader; /* reset between lookups; NULL before the first */
    int fd;          /* the same file; owned by the table */
    off_t least;     /* a file shorter than this is not the one that was mapped */
    bool writable;
    enum { NUL_UNKNOWN, NUL_WITH, NUL_WITHOUT } nul;
    struct buffer position; /* key of table_next */
};

static size_t map_size(struct config *config)
{
    int64_t size = config ? config_int(config, "lmdb_map_size") : 0;
    return size > 0 ? (size_t)size : 16777216;
}

static MDB_val val_of(const void *data, size_t len)
{
    return (MDB_val){.mv_size = len, .mv_data = (void *)(uintptr_t)data};
}

static struct slice up_to_nul(const MDB_val *val)
{
    struct slice s = slice_make(val->mv_data, val->mv_size);
    return slice_first(s, slice_find(s, '\0'));
}

/* ---- opening ------------------------------------------------------------------------------------------------------- */

/* open_environment - 0 or an error number. */
static int open_environment(MDB_env **env, MDB_dbi *dbi, const char *path, unsigned flags, size_t size)
{
    MDB_txn *txn;
    struct stat info;
    /* A file that has grown beyond lmdb_map_size is mapped whole. */
    if (stat(path, &info) == 0 && info.st_size > 0 && (size_t)info.st_size > size)
        size = (size_t)info.st_size;
    int error = mdb_env_create(env);
    if (error)
        return error;
    error = mdb_env_set_mapsize(*env, size);
    if (!error)
        error = mdb_env_open(*env, path, MDB_NOSUBDIR | MDB_NOLOCK | MDB_NOTLS | flags, 0644);
    if (!error)
        error = mdb_txn_begin(*env, NULL, flags & MDB_RDONLY, &txn);
    if (!error) {
        error = mdb_dbi_open(txn, NULL, 0, dbi);
        if (error)
            mdb_txn_abort(txn);
        else
            error = mdb_txn_commit(txn);
    }
    if (error)
        mdb_env_close(*env);
    return error;
}

static void lmdb_close(void *state)
{
    struct lmdb *l = state;
    if (l->reader)
        mdb_txn_abort(l->reader);
    mdb_env_close(l->env);
    buffer_release(&l->position);
    free(l);
}

static unsigned open_flags(const struct table *table, bool writable)
{
    return !writable ? MDB_RDONLY : table->flags & TABLE_NO_SYNC ? MDB_NOSYNC : 0;
}

static bool open_locked(struct table *table, const char *path, bool writable)
{
    struct lmdb *l = memory_zalloc(1, sizeof(*l));
    struct stat info;
    int error = open_environment(&l->env, &l->dbi, path, open_flags(table, writable), map_size(table->config));
    if (error) {
        free(l);
        table_fail(table, "open database %s: %s", path, mdb_strerror(error));
        return false;
    }
    if (fstat(table->fd, &info) == 0) {
        l->least = info.st_size;
        table->stamp = file_stamp_of(&info);
    }
    l->fd = table->fd;
    l->writable = writable;
    table->state = l;
    return true;
}

static bool lmdb_open(struct table *table)
{
    bool writable = table->flags & TABLE_WRITE;
    struct buffer path = BUFFER_INIT;
    buffer_printf(&path, "%s.lmdb", table->argument);
    int fd = open(buffer_string(&path), (writable ? O_RDWR | O_CREAT : O_RDONLY) | O_CLOEXEC | O_NOCTTY, 0644);
    bool ok = fd >= 0;
    if (!ok)
        table_fail(table, "open database %s: %s", buffer_string(&path), strerror(errno));
    if (ok) {
        table_watch(table, buffer_string(&path), fd);
        ok = lock_file(fd, writable, false);
        if (!ok)
            table_fail(table, "lock database %s: %s", buffer_string(&path), strerror(errno));
    }
    if (ok) {
        ok = open_locked(table, buffer_string(&path), writable);
        unlock_file(fd, false);
    }
    buffer_release(&path);
    return ok;
}

/* ---- reading ------------------------------------------------------------------------------------------------------- */

static enum table_result broken(struct table *table, const char *what, int error)
{
    table_fail(table, "error %s %s: %s", what, table->name, mdb_strerror(error));
    if (table->flags & TABLE_FATAL)
        log_fatal("%s", buffer_string(&table->why));
    return TABLE_TRY_AGAIN;
}

/* renew - a file that was made anew in place (shorter than the mapping): map it again. */
static int renew(struct table *table, struct lmdb *l)
{
    MDB_env *env;
    MDB_dbi dbi;
    struct stat info;
    int error = open_environment(&env, &dbi, table->path, open_flags(table, l->writable), map_size(table->config));
    if (error) {
        tables_set_outdated();
        return error;
    }
    if (l->reader)
        mdb_txn_abort(l->reader);
    mdb_env_close(l->env);
    l->reader = NULL;
    l->env = env;
    l->dbi = dbi;
    l->nul = NUL_UNKNOWN;
    if (fstat(l->fd, &info) == 0)
        l->least = info.st_size;
    return 0;
}

/* begin - lock the file and start reading.  False after table_fail. */
static bool begin(struct table *table)
{
    struct lmdb *l = table->state;
    struct stat info;
    if (!lock_file(l->fd, false, false)) {
        table_fail(table, "lock %s: %s", table->path, strerror(errno));
        return false;
    }
    int error = 0;
    if (fstat(l->fd, &info) == 0 && info.st_size < l->least)
        error = renew(table, l);
    if (!error)
        error = l->reader ? mdb_txn_renew(l->reader) : mdb_txn_begin(l->env, NULL, MDB_RDONLY, &l->reader);
    if (error == MDB_MAP_RESIZED) {
        if (l->reader)
            mdb_txn_abort(l->reader);
        l->reader = NULL;
        error = mdb_env_set_mapsize(l->env, 0);
        if (!error)
            error = mdb_txn_begin(l->env, NULL, MDB_RDONLY, &l->reader);
    }
    if (error) {
        unlock_file(l->fd, false);
        broken(table, "reading", error);
        return false;
    }
    return true;
}

static void end(struct table *table)
{
    struct lmdb *l = table->state;
    mdb_txn_reset(l->reader);
    unlock_file(l->fd, false);
}

/* get - with the NUL, then without; remembers which it was. */
static int get(struct lmdb *l, struct slice key, MDB_val *value)
{
    int error = MDB_NOTFOUND;
    if (l->nul != NUL_WITHOUT) {
        MDB_val with = val_of(key.data, key.len + 1);
        error = mdb_get(l->reader, l->dbi, &with, value);
        if (error == 0)
            l->nul = NUL_WITH;
    }
    if (error == MDB_NOTFOUND && l->nul != NUL_WITH) {
        MDB_val without = val_of(key.data, key.len);
        error = mdb_get(l->reader, l->dbi, &without, value);
        if (error == 0)
            l->nul = NUL_WITHOUT;
    }
    return error;
}

static enum table_result lmdb_lookup(struct table *table, struct slice key, struct buffer *value)
{
    MDB_val found;
    if (!begin(table))
        return TABLE_TRY_AGAIN;
    int error = get(table->state, key, &found);
    if (error == 0)
        buffer_append_slice(value, up_to_nul(&found));
    end(table);
    if (error == 0)
        return TABLE_FOUND;
    /* A key that LMDB cannot hold is in no table; only a command says so. */
    if (error == MDB_NOTFOUND || (error == MDB_BAD_VALSIZE && !(table->flags & TABLE_FATAL)))
        return TABLE_NOT_FOUND;
    return broken(table, "reading", error);
}

static enum table_result lmdb_next(struct table *table, bool first, struct buffer *key, struct buffer *value)
{
    struct lmdb *l = table->state;
    MDB_cursor *cursor;
    MDB_val at, what;
    if (!begin(table))
        return TABLE_TRY_AGAIN;
    int error = mdb_cursor_open(l->reader, l->dbi, &cursor);
    if (!error) {
        if (first) {
            error = mdb_cursor_get(cursor, &at, &what, MDB_FIRST);
        } else {
            /* The last key again, or what took its place. */
            at = val_of(l->position.data, l->position.len);
            error = mdb_cursor_get(cursor, &at, &what, MDB_SET_RANGE);
            if (!error && slice_equal(slice_make(at.mv_data, at.mv_size), buffer_slice(&l->position)))
                error = mdb_cursor_get(cursor, &at, &what, MDB_NEXT);
        }
        if (!error) {
            buffer_clear(&l->position);
            buffer_append(&l->position, at.mv_data, at.mv_size);
            buffer_append_slice(key, up_to_nul(&at));
            buffer_append_slice(value, up_to_nul(&what));
        }
        mdb_cursor_close(cursor);
    }
    end(table);
    if (error == 0)
        return TABLE_FOUND;
    return error == MDB_NOTFOUND ? TABLE_NOT_FOUND : broken(table, "seeking", error);
}

/* ---- writing ------------------------------------------------------------------------------------------------------- */

/* grow - twice the room; no transaction is open. */
static int grow(MDB_env *env)
{
    MDB_envinfo info;
    int error = mdb_env_info(env, &info);
    return error ? error : mdb_env_set_mapsize(env, info.me_mapsize * 2);
}

/* change_once - put (value) or delete (NULL) in a transaction of its own. */
static int change_once(struct lmdb *l, MDB_val *key, MDB_val *value)
{
    MDB_txn *txn;
    int error = mdb_txn_begin(l->env, NULL, 0, &txn);
    if (error)
        return error;
    error = value ? mdb_put(txn, l->dbi, key, value, 0) : mdb_del(txn, l->dbi, key, NULL);
    if (error) {
        mdb_txn_abort(txn);
        return error;
    }
    return mdb_txn_commit(txn);
}

static int change(struct lmdb *l, MDB_val key, MDB_val *value)
{
    if (l->reader) {
        mdb_txn_abort(l->reader);
        l->reader = NULL;
    }
    int error = change_once(l, &key, value);
    if (error == MDB_MAP_RESIZED && (error = mdb_env_set_mapsize(l->env, 0)) == 0)
        error = change_once(l, &key, value);
    for (int attempt = 0; error == MDB_MAP_FULL && attempt < 8; attempt++) {
        error = grow(l->env);
        if (!error)
            error = change_once(l, &key, value);
    }
    return error;
}

static void finish_change(struct table *table)
{
    struct lmdb *l = table->state;
    struct stat info;
    if (fstat(l->fd, &info) == 0)
        table->stamp = file_stamp_of(&info);
    unlock_file(l->fd, false);
}

static enum table_result lmdb_update(struct table *table, struct slice key, struct slice value)
{
    struct lmdb *l = table->state;
    if (!lock_file(l->fd, true, false))
        return table_fail(table, "lock %s: %s", table->path, strerror(errno));
    char *key_text = slice_string(key), *value_text = slice_string(value);
    size_t nul = l->nul != NUL_WITHOUT;
    MDB_val what = val_of(value_text, value.len + nul);
    int error = change(l, val_of(key_text, key.len + nul), &what);
    finish_change(table);
    free(key_text);
    free(value_text);
    return error ? broken(table, "updating", error) : TABLE_FOUND;
}

static enum table_result lmdb_remove(struct table *table, struct slice key)
{
    struct lmdb *l = table->state;
    if (!lock_file(l->fd, true, false))
        return table_fail(table, "lock %s: %s", table->path, strerror(errno));
    char *text = slice_string(key);
    int error = l->nul == NUL_WITHOUT ? MDB_NOTFOUND : change(l, val_of(text, key.len + 1), NULL);
    if (error == MDB_NOTFOUND && l->nul != NUL_WITH)
        error = change(l, val_of(text, key.len), NULL);
    finish_change(table);
    free(text);
    if (error == 0)
        return TABLE_FOUND;
    return error == MDB_NOTFOUND || error == MDB_BAD_VALSIZE ? TABLE_NOT_FOUND : broken(table, "deleting", error);
}

static enum table_result lmdb_sync(struct table *table)
{
    struct lmdb *l = table->state;
    int error = l->writable ? mdb_env_sync(l->env, 1) : 0;
    return error ? broken(table, "updating", error) : TABLE_FOUND;
}

const struct table_driver table_driver_lmdb = {"lmdb", 0, lmdb_open, lmdb_close, lmdb_lookup, lmdb_update, lmdb_remove, lmdb_next, lmdb_sync};

/* ---- making --------------------------------------------------------------------------------------------------------- */

/* A put that finds no room leaves its transaction unusable, so room is made before it can run out: a transaction may add so much
   that the map suffices even when every page of the file is copied once and the new pages are half full. */
struct making {
    MDB_env *env;
    MDB_dbi dbi;
    MDB_txn *txn;
    size_t allowed; /* bytes that may still be added in this transaction */
};

enum { PAGE = 4096, ROW_OVERHEAD = 16, LEAST_BATCH = 1 << 22, SLACK = 1 << 20 };

static size_t cost_of(struct slice key, struct slice value)
{
    size_t cost = key.len + value.len + ROW_OVERHEAD;
    return cost < PAGE / 2 ? cost : (cost + 2 * PAGE - 1) / PAGE * PAGE;
}

/* start_batch - begin a transaction with room for at least need bytes, growing the map when it must. */
static int start_batch(struct making *m, size_t need)
{
    MDB_envinfo info;
    int error = m->txn ? mdb_txn_commit(m->txn) : 0;
    m->txn = NULL;
    if (!error)
        error = mdb_env_info(m->env, &info);
    if (error)
        return error;
    size_t used = (info.me_last_pgno + 1) * PAGE, batch = used / 2 > LEAST_BATCH ? used / 2 : LEAST_BATCH;
    size_t wanted = 2 * used + SLACK + 4 * (batch > need ? batch : need), size = info.me_mapsize;
    while (size < wanted)
        size *= 2;
    if (size > info.me_mapsize)
        error = mdb_env_set_mapsize(m->env, size);
    m->allowed = (size - 2 * used - SLACK) / 4;
    return error ? error : mdb_txn_begin(m->env, NULL, 0, &m->txn);
}

static bool make(struct table_maker *maker, const char *file)
{
    struct making *m = memory_zalloc(1, sizeof(*m));
    int error = open_environment(&m->env, &m->dbi, file, MDB_NOSYNC, map_size(maker->config));
    if (!error) {
        error = start_batch(m, 0);
        if (error)
            mdb_env_close(m->env);
    }
    if (error) {
        maker_fail(maker, "open database %s: %s", file, mdb_strerror(error));
        free(m);
        return false;
    }
    maker->state = m;
    return true;
}

static enum maker_result lmdb_add(struct table_maker *maker, struct slice key, struct slice value, bool replace)
{
    struct making *m = maker->state;
    char *key_text = slice_string(key), *value_text = slice_string(value);
    size_t nul = maker_nul(maker);
    size_t cost = cost_of(key, value);
    int error = cost > m->allowed ? start_batch(m, cost) : 0;
    if (!error) {
        MDB_val at = val_of(key_text, key.len + nul), what = val_of(value_text, value.len + nul);
        error = mdb_put(m->txn, m->dbi, &at, &what, replace ? 0 : MDB_NOOVERWRITE);
        m->allowed -= cost;
    }
    free(key_text);
    free(value_text);
    if (error == MDB_KEYEXIST)
        return MAKER_DUPLICATE;
    if (error == 0)
        return MAKER_ADDED;
    maker_fail(maker, "error updating %s: %s", maker->name, mdb_strerror(error));
    return MAKER_FAILED;
}

static bool lmdb_finish(struct table_maker *maker)
{
    struct making *m = maker->state;
    int error = 0;
    maker->state = NULL;
    if (!m)
        return true;
    if (m->txn)
        error = mdb_txn_commit(m->txn);
    if (!error)
        error = mdb_env_sync(m->env, 1);
    mdb_env_close(m->env);
    free(m);
    if (error)
        maker_fail(maker, "error updating %s: %s", maker->name, mdb_strerror(error));
    return error == 0;
}

const struct maker_format maker_format_lmdb = {"lmdb", ".lmdb", false, false, make, make, lmdb_add, lmdb_finish};

#ifndef HAVE_BERKELEY_DB
const struct table_driver table_driver_hash = {"hash", 0, lmdb_open, lmdb_close, lmdb_lookup, lmdb_update, lmdb_remove, lmdb_next, lmdb_sync};
const struct table_driver table_driver_btree = {"btree", 0, lmdb_open, lmdb_close, lmdb_lookup, lmdb_update, lmdb_remove, lmdb_next, lmdb_sync};
const struct maker_format maker_format_hash = {"hash", ".lmdb", false, false, make, make, lmdb_add, lmdb_finish};
const struct maker_format maker_format_btree = {"btree", ".lmdb", false, false, make, make, lmdb_add, lmdb_finish};
#endif
