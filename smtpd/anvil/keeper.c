/* keeper.c - see keeper.h: files are tables (lib/table) whose values begin with when they end */
#include <fcntl.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/statvfs.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "base/log.h"
#include "cache.h"
#include "child.h"
#include "keeper.h"
#include "offenders.h"
#include "table/table.h"

/* How long the keeper of a process before us may take to end, and how often it is looked for. */
enum { LOCK_PATIENCE = 20, LOCK_PAUSE_MILLISECONDS = 20, LOAD_SECONDS = 15, TEXT_MAX = 128 * 1024 };

/* A file that could not be written for lack of room is looked at again after a while. */
#define ROOM_LOOK (5 * MICROSECONDS)
enum { ROOM_MIN = 256 * 1024 };

#define RECORD_START "p1:" /* then microseconds since 1970, ":", the value */

struct kept {
    const struct keeper_file *file;
    struct table *table; /* NULL: there is none yet, or it failed */
    bool changed, failed;
    bool is_known;   /* anvil was told what the file holds */
    int64_t look_at; /* clock_monotonic: whether there is room again; 0: that is not what it waits for */
};

/* What the names of tables' files end in. */
static const char *const suffixes[] = {".db", ".lmdb"};

static int service_fd;
static struct config *config_of_service;

bool keeper_parse(struct slice text, int64_t *expires, struct slice *value)
{
    struct slice number;

    return slice_starts(text, SLICE(RECORD_START)) && slice_cut(slice_from(text, sizeof(RECORD_START) - 1), ':', &number, value)
           && slice_to_i64(number, expires);
}

void keeper_format(struct buffer *out, int64_t expires, struct slice value)
{
    buffer_printf(out, RECORD_START "%lld:", (long long)expires);
    buffer_append_slice(out, value);
}

/* ---- talking to anvil ---------------------------------------------------------------------------------------------- */

/* tell - when anvil is gone there is still what it said before: the reader sees the end. */
static void tell(enum keeper_kind kind, size_t cache, struct slice data)
{
    uint8_t head[2] = {(uint8_t)kind, (uint8_t)cache};

    (void)child_send(service_fd, slice_make(head, sizeof(head)), data);
}

void keeper_line(enum log_severity severity, const char *text, void *context UNUSED)
{
    tell(KEEPER_LOG, severity, slice_of(text));
}

/* ---- reading -------------------------------------------------------------------------------------------------------- */

/* take_record - one record of the file: for anvil, or to be removed. */
static bool take_record(struct slice key, struct slice text, int64_t now, struct buffer *entries)
{
    struct cache_change entry = {.key = key};

    if (!keeper_parse(text, &entry.expires, &entry.value) || entry.expires <= now || key.len == 0)
        return false;
    cache_change_put(entries, &entry);
    return true;
}

/* load - false: the file cannot be read (the table has said why). */
static bool load(struct table *table, size_t number)
{
    struct buffer key = BUFFER_INIT_MAX(TEXT_MAX), text = BUFFER_INIT_MAX(TEXT_MAX), entries = BUFFER_INIT;
    int64_t now = clock_wall();
    enum table_result result = table_next(table, true, &key, &text);

    for (; result == TABLE_FOUND; result = table_next(table, false, &key, &text)) {
        if (key.overflow || text.overflow || !take_record(buffer_slice(&key), buffer_slice(&text), now, &entries))
            (void)table_delete(table, buffer_slice(&key));
        key.overflow = text.overflow = false;
        if (entries.len >= KEEPER_BATCH) {
            tell(KEEPER_ENTRIES, number, buffer_slice(&entries));
            buffer_clear(&entries);
        }
    }
    if (entries.len > 0)
        tell(KEEPER_ENTRIES, number, buffer_slice(&entries));
    if (result == TABLE_TRY_AGAIN)
        log_warning("%s", table_why(table));
    buffer_release(&key);
    buffer_release(&text);
    buffer_release(&entries);
    return result == TABLE_NOT_FOUND;
}

static struct table *open_table(const struct keeper_file *file)
{
    return table_open(slice_of(file->where), TABLE_WRITE | TABLE_NO_SYNC | TABLE_NO_FOLD, config_of_service);
}

/* load_apart - in a process of its own: what the libraries do with a damaged file may be the end of it, or have none. */
static bool load_apart(const struct keeper_file *file, size_t number)
{
    int status = -1;
    pid_t pid = fork();

    if (pid == 0) {
        alarm(LOAD_SECONDS);
        struct table *table = open_table(file);
        bool ok = load(table, number) && table_sync(table) == TABLE_FOUND;
        table_free(table);
        _exit(ok ? 0 : 1);
    }
    while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    if (pid > 0 && WIFSIGNALED(status))
        log_warning("cache %s: reading %s: %s", file->cache, file->where,
                    WTERMSIG(status) == SIGALRM ? "it takes too long" : "the process crashed");
    return pid > 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static bool open_and_load(struct kept *kept, size_t number)
{
    if (!load_apart(kept->file, number))
        return false;
    kept->table = open_table(kept->file);
    kept->is_known = true;
    return true;
}

static const char *path_of(const struct keeper_file *file)
{
    return strchr(file->where, ':') + 1;
}

static bool has_room(const struct keeper_file *file)
{
    const char *path = path_of(file);
    const char *end = strrchr(path, '/');
    struct buffer directory = BUFFER_INIT;
    struct statvfs space;

    buffer_append_slice(&directory, end ? slice_make(path, (size_t)(end - path) + 1) : SLICE("."));
    bool has = statvfs(buffer_string(&directory), &space) < 0 || (uint64_t)space.f_bavail * space.f_frsize >= ROOM_MIN;
    buffer_release(&directory);
    return has;
}

/* wait_for_room - true: that is what is missing. */
static bool wait_for_room(struct kept *kept)
{
    if (has_room(kept->file))
        return false;
    log_warning("cache %s: %s: no room on the disk: going on in memory until there is", kept->file->cache, kept->file->where);
    kept->failed = true;
    kept->look_at = clock_after(ROOM_LOOK);
    return true;
}

/* set_aside - a file that cannot be read makes room for a new one: nothing in it is the only copy of anything. */
static bool set_aside(const struct keeper_file *file)
{
    const char *name = path_of(file);
    bool moved = false;

    for (size_t i = 0; i < COUNT_OF(suffixes); i++) {
        struct buffer from = BUFFER_INIT, to = BUFFER_INIT;
        buffer_printf(&from, "%s%s", name, suffixes[i]);
        buffer_printf(&to, "%s.damaged", buffer_string(&from));
        if (access(buffer_string(&from), R_OK | W_OK) == 0 && rename(buffer_string(&from), buffer_string(&to)) == 0) {
            log_warning("cache %s: %s cannot be used: it is now %s", file->cache, buffer_string(&from), buffer_string(&to));
            moved = true;
        }
        buffer_release(&from);
        buffer_release(&to);
    }
    return moved;
}

static bool exists(const struct keeper_file *file)
{
    const char *name = path_of(file);
    bool found = false;

    for (size_t i = 0; i < COUNT_OF(suffixes); i++) {
        struct buffer path = BUFFER_INIT;
        buffer_printf(&path, "%s%s", name, suffixes[i]);
        found |= access(buffer_string(&path), F_OK) == 0;
        buffer_release(&path);
    }
    return found;
}

static void open_file(struct kept *kept, size_t number)
{
    if (open_and_load(kept, number) || wait_for_room(kept) || (set_aside(kept->file) && open_and_load(kept, number)))
        return;
    log_warning("cache %s: %s cannot be used: going on in memory only", kept->file->cache, kept->file->where);
    kept->failed = true;
}

/* load_file - one that is not there is made when there is something to write: most caches are never used. */
static void load_file(struct kept *kept, size_t number)
{
    if (!*kept->file->where)
        return;
    if (exists(kept->file))
        open_file(kept, number);
    tell(KEEPER_LOADED, number, slice_of(NULL));
}

/* take_turn - the keeper of an anvil that is being replaced writes what it still has before we read.  False: it does not end. */
static bool take_turn(void)
{
    struct buffer path = BUFFER_INIT;
    int64_t deadline = clock_after(LOCK_PATIENCE * MICROSECONDS);
    bool ok;

    buffer_printf(&path, "%s/anvil_store.lock", config_string(config_of_service, "data_directory"));
    int fd = open(buffer_string(&path), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY, 0600);
    if (fd < 0)
        log_warning("open %s: %s", buffer_string(&path), strerror(errno));
    while (!(ok = fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0) && fd >= 0 && clock_monotonic() < deadline)
        usleep(LOCK_PAUSE_MILLISECONDS * 1000);
    if (fd >= 0 && !ok)
        log_warning("lock %s: %s", buffer_string(&path), strerror(errno));
    buffer_release(&path);
    return ok; /* locked as long as this process lives */
}

/* ---- writing -------------------------------------------------------------------------------------------------------- */

static void give_up(struct kept *kept)
{
    if (!wait_for_room(kept))
        log_warning("cache %s: %s: going on in memory only", kept->file->cache, table_why(kept->table));
    table_free(kept->table);
    kept->table = NULL;
    kept->failed = true;
}

/* remove_file - what was written halfway when the disk was full: anvil has all of it. */
static void remove_file(const struct keeper_file *file)
{
    for (size_t i = 0; i < COUNT_OF(suffixes); i++) {
        struct buffer path = BUFFER_INIT;
        buffer_printf(&path, "%s%s", path_of(file), suffixes[i]);
        (void)unlink(buffer_string(&path));
        buffer_release(&path);
    }
}

/* try_again - when there is room again: the file, and then everything, for what was not written meanwhile is not told again otherwise. */
static void try_again(struct kept *kept, size_t number)
{
    if (!kept->look_at || clock_monotonic() < kept->look_at)
        return;
    kept->look_at = clock_after(ROOM_LOOK);
    if (!has_room(kept->file))
        return;
    kept->failed = false;
    kept->look_at = 0;
    if (kept->is_known)
        remove_file(kept->file);
    open_file(kept, number);
    if (!kept->table)
        return;
    log_info("cache %s: there is room again for %s", kept->file->cache, kept->file->where);
    tell(KEEPER_WANTS_ALL, number, slice_of(NULL));
}

static void write_changes(struct kept *kept, size_t number, struct slice changes)
{
    struct buffer text = BUFFER_INIT;
    struct cache_change change;
    enum table_result result = TABLE_FOUND;

    if (!kept->table && !kept->failed && *kept->file->where)
        open_file(kept, number);
    try_again(kept, number);
    while (kept->table && result != TABLE_TRY_AGAIN && cache_change_next(&changes, &change)) {
        buffer_clear(&text);
        keeper_format(&text, change.expires, change.value);
        result = change.is_delete ? table_delete(kept->table, change.key) : table_update(kept->table, change.key, buffer_slice(&text));
        kept->changed |= result == TABLE_FOUND;
    }
    buffer_release(&text);
    if (result == TABLE_TRY_AGAIN)
        give_up(kept);
}

static void sync_all(struct kept *kept, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (kept[i].table && kept[i].changed && table_sync(kept[i].table) == TABLE_TRY_AGAIN)
            give_up(&kept[i]);
        kept[i].changed = false;
    }
}

/* serve - until anvil is gone. */
static void serve(struct kept *kept, size_t count)
{
    static char message[KEEPER_MESSAGE_MAX];
    struct buffer text = BUFFER_INIT_MAX(OFFENDERS_MAX);

    for (;;) {
        ssize_t got = recv(service_fd, message, sizeof(message), 0);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 1)
            break;
        size_t number = (uint8_t)message[1];
        struct slice rest = slice_make(message + 2, (size_t)got - 2);
        if (message[0] == KEEPER_CHANGES && number < count) {
            write_changes(&kept[number], number, rest);
        } else if (message[0] == KEEPER_TEXT) {
            buffer_append_slice(&text, rest);
        } else if (message[0] == KEEPER_TEXT_END) {
            offenders_write(config_string(config_of_service, "smtpd_auth_failure_offender_file"), buffer_slice(&text));
            buffer_release(&text);
        } else if (message[0] == KEEPER_SYNC) {
            sync_all(kept, count);
            tell(KEEPER_SYNCED, number, slice_of(NULL));
        }
    }
    buffer_release(&text);
}

void keeper_main(int socket, struct config *config, const struct keeper_file *files, size_t count)
{
    struct kept *kept = memory_zalloc(count, sizeof(*kept));

    service_fd = socket;
    config_of_service = config;
    bool mine = take_turn();
    for (size_t i = 0; i < count; i++) {
        kept[i].file = &files[i];
        kept[i].failed = !mine;
        if (mine)
            load_file(&kept[i], i);
        else
            tell(KEEPER_LOADED, i, slice_of(NULL));
    }
    if (!mine)
        log_warning("the store goes on in memory only");
    serve(kept, count);
    for (size_t i = 0; i < count; i++)
        table_free(kept[i].table);
    _exit(0);
}
