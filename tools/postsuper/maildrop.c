/* maildrop.c - the queue maildrop: a directory of files written by postdrop */
#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/log.h"
#include "postsuper.h"
#include "queue/maildrop_export.h"
#include "queue/maildrop_summary.h"
#include "queue/queue_id.h"
#include "queue/segment_file.h"

enum { OLD = 7 * 86400, FLUSH_AT = 64 * 1024, TRIES = 100 };

static int open_maildrop(void)
{
    return open("maildrop", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

static bool is_complete(int directory, const char *name)
{
    struct stat status;
    return fstatat(directory, name, &status, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(status.st_mode) && (status.st_mode & S_IXUSR);
}

/* each_file - fn for every name. */
static void each_file(void (*fn)(int directory, const char *name, void *context), void *context)
{
    int fd = open_maildrop();
    DIR *list = fd < 0 ? NULL : fdopendir(fd);
    if (!list) {
        if (fd >= 0)
            close(fd);
        return;
    }
    for (struct dirent *entry; (entry = readdir(list)) != NULL;) {
        if (entry->d_name[0] != '.')
            fn(dirfd(list), entry->d_name, context);
    }
    closedir(list);
}

static void purge_one(int directory, const char *name, void *context UNUSED)
{
    struct stat status;
    if (fstatat(directory, name, &status, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISREG(status.st_mode) || (status.st_mode & S_IXUSR) ||
        time(NULL) - status.st_mtime < OLD)
        return;
    if (unlinkat(directory, name, 0) == 0)
        log_debug("removed stale file maildrop/%s", name);
}

void maildrop_purge(void)
{
    each_file(purge_one, NULL);
}

struct deletion {
    struct selection *selection; /* NULL: all */
    struct outcome *outcome;
};

static bool file_fits(struct selection *selection, int directory, const char *name)
{
    struct arena *arena = arena_new(0);
    struct maildrop_summary summary;
    struct queue_item item = {.queue = "maildrop", .has_sasl_user = true};
    bool fits = maildrop_summary_read(directory, name, arena, &summary);
    if (fits) {
        maildrop_summary_entry(&summary, arena, &item.entry);
        fits = selection_fits(selection, &item, NULL, NULL);
    }
    arena_free(arena);
    return fits;
}

static void delete_one(int directory, const char *name, void *context)
{
    struct deletion *deletion = context;
    if (queue_id_is_valid(slice_of(name)) && is_complete(directory, name) &&
        (!deletion->selection || file_fits(deletion->selection, directory, name)) && unlinkat(directory, name, 0) == 0)
        deletion->outcome->count++;
}

static void delete_all(const struct action *action, struct outcome *outcome)
{
    struct deletion deletion = {.outcome = outcome};
    char *why = NULL;
    if (action->selection && !(deletion.selection = selection_new(action->selection, &why)))
        log_fatal("%s", why);
    each_file(delete_one, &deletion);
    selection_free(deletion.selection);
}

void maildrop_do(const struct action *action, struct outcome *outcome)
{
    if (action->verb != QUEUE_CONTROL_DELETE)
        return;
    if (action->all)
        delete_all(action, outcome);
    int fd = open_maildrop();
    for (size_t i = 0; fd >= 0 && i < action->count; i++) {
        char name[QUEUE_ID_MAX];
        snprintf(name, sizeof(name), SLICE_FORMAT, SLICE_ARGS(action->ids[i]));
        if (!queue_id_is_valid(action->ids[i]) || !is_complete(fd, name) || unlinkat(fd, name, 0) < 0)
            continue;
        outcome->count++;
        outcome->changed(action, action->ids[i]);
    }
    if (fd >= 0)
        close(fd);
}

/* ---- putting a message back --------------------------------------------------------------------------------------- */

struct drop {
    int fd;
    struct buffer pending;
    uint64_t written;
    int error;
};

static void flush(struct drop *drop)
{
    if (!drop->error && !segment_file_write(drop->fd, drop->pending.data, drop->pending.len, drop->written))
        drop->error = errno;
    drop->written += drop->pending.len;
    buffer_clear(&drop->pending);
}

/* put - a record, but for those that are not taken from maildrop: sizes and recipients that are done. */
static void put(void *context, char type, struct slice data)
{
    struct drop *drop = context;
    if (type == MAILDROP_SIZE)
        return;
    maildrop_put(&drop->pending, type, data);
    if (drop->pending.len >= FLUSH_AT)
        flush(drop);
}

static int create(int directory, const char *name)
{
    return openat(directory, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
}

/* publish - under a name of its own, complete. */
static bool publish(int directory, int fd, const char *temporary)
{
    struct stat status;
    char name[40];
    if (fsync(fd) < 0 || fstat(fd, &status) < 0)
        return false;
    for (int tries = 0; tries < TRIES; tries++) {
        snprintf(name, sizeof(name), "%05X%lX", (unsigned)(clock_wall() % MICROSECONDS), (unsigned long)status.st_ino);
        if (renameat2(directory, temporary, directory, name, RENAME_NOREPLACE) == 0)
            return fchmod(fd, 0700) == 0 && fsync(fd) == 0 && fsync(directory) == 0;
        if (errno != EEXIST)
            return false;
    }
    return false;
}

bool maildrop_put_back(const struct queue_record *record, int content_fd)
{
    char temporary[64];
    struct drop drop = {.fd = -1};
    int directory = open_maildrop();
    snprintf(temporary, sizeof(temporary), "%d.%d", (int)(clock_wall() % MICROSECONDS), (int)getpid());
    if (directory >= 0)
        drop.fd = create(directory, temporary);
    bool ok = drop.fd >= 0 && maildrop_export(record, content_fd, put, &drop);
    if (ok) {
        flush(&drop);
        ok = !drop.error;
        errno = drop.error;
    }
    ok = ok && publish(directory, drop.fd, temporary);
    int error = errno;
    if (!ok && drop.fd >= 0)
        unlinkat(directory, temporary, 0);
    if (drop.fd >= 0)
        close(drop.fd);
    if (directory >= 0)
        close(directory);
    buffer_release(&drop.pending);
    errno = error;
    return ok;
}
