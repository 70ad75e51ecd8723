/* index_bdb.c - the index on Berkeley DB 5.3: environment, transactions, maintenance

   Commits are written but not synced; a checkpoint in the offload pool makes them durable and bounds the log.  After a kill nothing
   that was committed is lost; after a power cut the index is as it was some moments before, which is as good: segments are the truth.
   The process is the only user and all but the checkpoint runs in its one thread, so there is no lock subsystem. */
#include "queue/index_bdb.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include "base/clock.h"
#include "base/log.h"
#include "queue/segment_file.h"

enum {
    CACHE_BYTES = 96 << 20,
    LOG_FILE_BYTES = 16 << 20,
    LOG_BUFFER_BYTES = 512 << 10,
    CHECKPOINT_KILOBYTES = 16 << 10,
    CLEAN_PERCENT = 20,
    PAGE_BYTES = 8192,
    /* Given up when the disk is full, so that what is queued can still be worked off: a share of what is free at start. */
    RESERVE_MOST = 8 << 20,
    RESERVE_LEAST = 128 << 10,
    RESERVE_SHARE = 20,
};
#define LAYOUT "postern index 2"
#define QUIET_INTERVAL (10 * MICROSECONDS)

static _Thread_local bool in_pool; /* no logging there */

/* ---- failures ----------------------------------------------------------------------------------------------------- */

/* may_speak - a full disk would otherwise fill the log too. */
static bool may_speak(int64_t *quiet_until)
{
    int64_t now = clock_monotonic();
    if (now < *quiet_until)
        return false;
    *quiet_until = now + QUIET_INTERVAL;
    return true;
}

static void on_message(const DB_ENV *env UNUSED, const char *prefix UNUSED, const char *text)
{
    static int64_t quiet_until;
    if (!in_pool && may_speak(&quiet_until))
        log_warning("queue index: %s", text);
}

static int path_in(const struct index *index, const char *name, char path[PATH_MAX])
{
    int n = snprintf(path, PATH_MAX, "%s/%s", index->directory, name);
    return n > 0 && n < PATH_MAX ? 0 : -1;
}

static void leave_damage_note(struct index *index)
{
    char path[PATH_MAX];
    index->damaged = true;
    int fd = path_in(index, "damaged", path) == 0 ? open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600) : -1;
    if (fd >= 0)
        close(fd);
}

void index_bdb_failed(struct index *index, const char *what, int error)
{
    static int64_t quiet_until;
    char path[PATH_MAX];
    if (may_speak(&quiet_until))
        log_error("queue index: %s: %s", what, db_strerror(error));
    if (error == ENOSPC && path_in(index, "reserve", path) == 0 && unlink(path) == 0)
        log_warning("queue index: the disk is full, using the reserve");
    else if (error == DB_RUNRECOVERY || error == DB_PAGE_NOTFOUND || error == DB_VERIFY_BAD || error == DB_OLD_VERSION)
        leave_damage_note(index);
    if (index->depth > 0)
        index->failed = true;
}

bool index_is_damaged(const struct index *index)
{
    return index->damaged;
}

uint64_t index_damaged_entries(const struct index *index)
{
    return index->damaged_entries;
}

void index_set_watcher(struct index *index, void (*watcher)(void *context, uint64_t segment, uint64_t offset, bool present), void *context)
{
    index->watcher = watcher;
    index->watcher_context = context;
}

/* ---- reading and writing pairs ------------------------------------------------------------------------------------ */

DBT index_bdb_in(const void *bytes, size_t len)
{
    return (DBT){.data = (void *)(uintptr_t)bytes, .size = (u_int32_t)len, .ulen = (u_int32_t)len, .flags = DB_DBT_USERMEM};
}

int index_bdb_get(struct index *index, DB *db, const struct index_key *key, struct buffer *out)
{
    for (size_t room = 1024;;) {
        DBT k = index_bdb_in(key->bytes, key->len);
        buffer_clear(out);
        if (!buffer_reserve(out, room))
            return ENOMEM;
        room = out->capacity - 1;
        DBT v = {.data = out->data, .ulen = (u_int32_t)room, .flags = DB_DBT_USERMEM};
        int error = db->get(db, index->txn, &k, &v, 0);
        if (error == DB_BUFFER_SMALL && v.size > room) {
            room = v.size;
            continue;
        }
        if (error == 0)
            buffer_commit(out, v.size);
        return error;
    }
}

/* ---- the environment ---------------------------------------------------------------------------------------------- */

static int open_environment(struct index *index)
{
    int error = db_env_create(&index->env, 0);
    if (error)
        return error;
    DB_ENV *env = index->env;
    env->set_errcall(env, on_message);
    env->set_cachesize(env, 0, CACHE_BYTES, 1);
    env->set_lg_max(env, LOG_FILE_BYTES);
    env->set_lg_bsize(env, LOG_BUFFER_BYTES);
    env->set_flags(env, DB_TXN_WRITE_NOSYNC, 1);
    env->log_set_config(env, DB_LOG_AUTO_REMOVE, 1);
    return env->open(env, index->directory, DB_CREATE | DB_INIT_MPOOL | DB_INIT_LOG | DB_INIT_TXN | DB_PRIVATE | DB_THREAD | DB_RECOVER, 0600);
}

static int open_database(struct index *index, DB **db, const char *name)
{
    int error = db_create(db, index->env, 0);
    if (error)
        return error;
    (*db)->set_pagesize(*db, PAGE_BYTES);
    (*db)->set_flags(*db, DB_CHKSUM);
    return (*db)->open(*db, NULL, name, NULL, DB_BTREE, DB_CREATE | DB_AUTO_COMMIT | DB_THREAD, 0600);
}

static void close_environment(struct index *index, bool keep)
{
    u_int32_t flags = keep ? 0 : DB_NOSYNC;
    if (index->entries)
        index->entries->close(index->entries, flags);
    if (index->keys)
        index->keys->close(index->keys, flags);
    if (index->env)
        index->env->close(index->env, 0);
    index->entries = index->keys = NULL;
    index->env = NULL;
}

static void make_reserve(const struct index *index)
{
    char path[PATH_MAX];
    struct statvfs status;
    if (path_in(index, "reserve", path) < 0 || access(path, F_OK) == 0 || statvfs(index->directory, &status) < 0)
        return;
    uint64_t bytes = (uint64_t)status.f_bavail * status.f_frsize / RESERVE_SHARE;
    if (bytes < RESERVE_LEAST)
        return;
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return;
    if (fallocate(fd, 0, 0, bytes < RESERVE_MOST ? (off_t)bytes : RESERVE_MOST) < 0)
        unlink(path);
    close(fd);
}

/* check_layout - 0 when this is an index of ours; *fresh: it was empty and is one now. */
static int check_layout(struct index *index, bool *fresh)
{
    struct index_key key = {{'M'}, 1};
    int error = index_bdb_get(index, index->keys, &key, &index->old);
    *fresh = error == DB_NOTFOUND;
    if (error == DB_NOTFOUND) {
        DBT k = index_bdb_in(key.bytes, key.len), v = index_bdb_in(LAYOUT, sizeof(LAYOUT) - 1);
        return index->keys->put(index->keys, NULL, &k, &v, DB_AUTO_COMMIT);
    }
    if (error == 0 && !slice_equal(buffer_slice(&index->old), SLICE(LAYOUT)))
        return DB_OLD_VERSION;
    return error;
}

static int open_all(struct index *index, bool *fresh)
{
    int error = open_environment(index);
    if (!error)
        error = open_database(index, &index->entries, "entries.db");
    if (!error)
        error = open_database(index, &index->keys, "keys.db");
    if (!error)
        error = check_layout(index, fresh);
    if (!error && !index_bdb_load_segments(index))
        error = DB_VERIFY_BAD;
    if (error)
        close_environment(index, false);
    return error;
}

static void remove_files(const struct index *index)
{
    DIR *list = opendir(index->directory);
    if (!list)
        return;
    for (struct dirent *entry; (entry = readdir(list)) != NULL;) {
        if (entry->d_name[0] != '.' && strcmp(entry->d_name, "reserve") != 0)
            unlinkat(dirfd(list), entry->d_name, 0);
    }
    closedir(list);
}

/* open_or_renew - what cannot be opened is thrown away: it is only a cache. */
static int open_or_renew(struct index *index, bool *fresh)
{
    char path[PATH_MAX];
    int error = DB_VERIFY_BAD;
    bool noted = path_in(index, "damaged", path) == 0 && access(path, F_OK) == 0;
    if (!noted)
        error = open_all(index, fresh);
    if (error) {
        log_warning("queue index: %s: it is rebuilt from the segments", noted ? "was found damaged" : db_strerror(error));
        index_bdb_forget_segments(index);
        remove_files(index);
        error = open_all(index, fresh);
        *fresh = true;
    }
    return error;
}

struct index *index_open(const char *directory, bool *fresh, char **why)
{
    struct index *index = memory_zalloc(1, sizeof(*index));
    struct buffer path = BUFFER_INIT;
    buffer_printf(&path, "%s/index", directory);
    index->directory = buffer_steal(&path);
    condition_init(&index->maintained);
    list_init(&index->dirty);
    index->segments = map_new(free);
    *fresh = false;
    int error = mkdir(index->directory, 0700) < 0 && errno != EEXIST ? errno : open_or_renew(index, fresh);
    if (error) {
        buffer_printf(&path, "open queue index %s: %s", index->directory, db_strerror(error));
        *why = buffer_steal(&path);
        index_close(index);
        return NULL;
    }
    make_reserve(index);
    return index;
}

static void wait_maintained(struct index *index)
{
    while (index->maintaining)
        condition_wait(&index->maintained, CLOCK_NEVER);
}

void index_close(struct index *index)
{
    if (!index)
        return;
    wait_maintained(index);
    if (index->txn)
        log_panic("index_close within index_write_begin");
    if (index->env)
        index->env->txn_checkpoint(index->env, 0, 0, 0);
    close_environment(index, true);
    map_free(index->segments);
    buffer_release(&index->value);
    buffer_release(&index->old);
    free(index->changes);
    free(index->directory);
    free(index);
}

void index_drop_all(struct index *index)
{
    bool fresh;
    wait_maintained(index);
    if (index->txn)
        log_panic("index_drop_all within index_write_begin");
    close_environment(index, false);
    index_bdb_forget_segments(index);
    remove_files(index);
    index->damaged = false;
    int error = open_all(index, &fresh);
    if (error)
        log_fatal("queue index: cannot make a new one: %s", db_strerror(error));
}

/* ---- transactions ------------------------------------------------------------------------------------------------- */

void index_write_begin(struct index *index)
{
    if (index->depth++ > 0)
        return;
    index->failed = index->test_fails;
    int error = index->env->txn_begin(index->env, NULL, &index->txn, 0);
    if (error) {
        index->txn = NULL;
        index_bdb_failed(index, "begin", error);
    }
}

void index_test_fail(struct index *index, bool fail)
{
    index->test_fails = fail;
}

static void tell_watcher(struct index *index)
{
    size_t count = index->change_count;
    index->change_count = 0;
    for (size_t i = 0; i < count && index->watcher; i++)
        index->watcher(index->watcher_context, index->changes[i].segment, index->changes[i].offset, index->changes[i].present);
}

/* finish - commit, or undo all when something failed; false: undone. */
static bool finish(struct index *index)
{
    int error = index->failed || !index->txn ? 0 : index_bdb_write_segments(index);
    DB_TXN *txn = index->txn;
    bool commit = txn && !index->failed && !error;
    index->txn = NULL;
    if (commit)
        error = txn->commit(txn, 0);
    else if (txn)
        txn->abort(txn);
    if (error)
        index_bdb_failed(index, "commit", error);
    index->depth = 0;
    commit = commit && !error;
    index_bdb_settle_segments(index, commit);
    if (commit)
        tell_watcher(index);
    index->change_count = 0;
    return commit;
}

void index_write_end(struct index *index)
{
    if (index->depth > 1) {
        index->depth--;
    } else if (!finish(index)) {
        /* The caller has been told that its changes were made: begin again from the segments. */
        log_fatal("queue index: a group of changes was lost");
    }
}

/* index_write_end_one - of a single change: the caller hears whether it was made. */
bool index_write_end_one(struct index *index)
{
    if (index->depth == 1)
        return finish(index);
    index->depth--;
    return !index->failed;
}

/* ---- maintenance -------------------------------------------------------------------------------------------------- */

struct maintenance {
    struct index *index;
    int error;
};

static void maintain_in_pool(void *arg)
{
    struct maintenance *work = arg;
    DB_ENV *env = work->index->env;
    in_pool = true;
    work->error = env->log_flush(env, NULL);
    if (!work->error)
        work->error = env->memp_trickle(env, CLEAN_PERCENT, NULL);
    if (!work->error)
        work->error = env->txn_checkpoint(env, CHECKPOINT_KILOBYTES, 0, 0);
    make_reserve(work->index);
    in_pool = false;
}

void index_maintain(struct index *index)
{
    if (index->maintaining)
        return;
    struct maintenance work = {index, 0};
    index->maintaining = true;
    segment_file_work(maintain_in_pool, &work);
    index->maintaining = false;
    condition_broadcast(&index->maintained);
    if (work.error)
        index_bdb_failed(index, "checkpoint", work.error);
}
