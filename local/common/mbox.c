/* mbox.c - appending to a mailbox file, with the locks that other programs respect */
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "mailbox.h"

#include "base/log.h"

#define WRITE_ERROR "error writing message"

struct appending {
    const struct copy *copy;
    const struct mbox *mbox;
    const struct mailbox_settings *settings;
    struct delivery_status *status;
    int fd;
    char dot_lock[PATH_MAX]; /* empty: not held */
};

/* fail - local says "cannot update mailbox F for user U. what: why", virtual "delivery failed to mailbox F: what: why", "/file" "cannot append...". */
static void fail(struct appending *a, int outcome, const char *code, const char *what, int error)
{
    struct arena *arena = a->copy->delivery->arena;
    const char *why = error ? arena_printf(arena, "%s: %s", what, strerror(error)) : what;

    a->status->outcome = outcome;
    a->status->status = code;
    if (a->mbox->virtual_style)
        a->status->reason = arena_format(arena, "delivery failed to mailbox %s: %s", a->mbox->path, why);
    else if (a->mbox->to_file)
        a->status->reason = arena_format(arena, "cannot append message to file %s: %s", a->mbox->path, why);
    else
        a->status->reason = arena_format(arena, "cannot update mailbox %s for user %s. %s", a->mbox->path, a->mbox->user, why);
}

static void fail_errno(struct appending *a, const char *what, int error, const char *other)
{
    if (strcmp(what, WRITE_ERROR) == 0) { /* the file system has spoken; what was never opened has no diagnostic of its own */
        a->status->diagnostic_type = "x-unix";
        a->status->diagnostic = SLICE("input/output error");
    }
    if (error == EDQUOT || error == EFBIG)
        fail(a, OUTCOME_BOUNCED, "5.2.2", what, error);
    else if (error == ENOSPC)
        fail(a, OUTCOME_DEFERRED, "4.3.0", what, error);
    else if (error == EAGAIN || error == ESTALE || other[0] == '4')
        fail(a, OUTCOME_DEFERRED, "4.2.0", what, error);
    else
        fail(a, OUTCOME_BOUNCED, other, what, error);
}

static bool uses_lock(const struct appending *a, struct slice name)
{
    struct slice rest = slice_of(a->settings->lock_list), word;

    while (config_list_next(&rest, &word))
        if (slice_equal(word, name))
            return true;
    return false;
}

static void doze(int64_t delay)
{
    /* randomised, so that two that wait for each other do not stay in step */
    int64_t wait = delay / 2 + random() % (delay > 0 ? delay : 1);
    struct timespec time = {wait / MICROSECONDS, (wait % MICROSECONDS) * 1000};

    nanosleep(&time, NULL);
}

static bool is_stale(const char *path, int64_t limit)
{
    struct stat info;

    return stat(path, &info) == 0 && clock_wall() / MICROSECONDS - info.st_ctime > limit / MICROSECONDS;
}

/* take_dot_lock - FILE.lock created exclusively; where the directory does not allow it (and it is no contest), go on without, as is the custom. */
static bool take_dot_lock(struct appending *a)
{
    int n = snprintf(a->dot_lock, sizeof(a->dot_lock), "%s.lock", a->mbox->path);
    int error = EEXIST;

    if (n < 0 || (size_t)n >= sizeof(a->dot_lock))
        return false;
    for (int64_t i = 0; i < a->settings->lock_attempts; i++) {
        int fd = open(a->dot_lock, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0);
        if (fd >= 0) {
            close(fd);
            return true;
        }
        error = errno;
        if (error != EEXIST)
            break;
        if (is_stale(a->dot_lock, a->settings->stale_lock_time))
            unlink(a->dot_lock);
        else
            doze(a->settings->lock_delay);
    }
    char what[PATH_MAX + 64];
    snprintf(what, sizeof(what), "unable to create lock file %s", a->dot_lock);
    a->dot_lock[0] = '\0';
    if (a->mbox->to_file && error != EEXIST) { /* a file that an alias names may be in a directory of somebody else's */
        log_warning("%s: %s", what, strerror(error));
        return true;
    }
    fail(a, OUTCOME_DEFERRED, "4.2.0", what, error);
    return false;
}

static bool take_file_locks(struct appending *a)
{
    struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    bool by_fcntl = uses_lock(a, SLICE("fcntl")), by_flock = uses_lock(a, SLICE("flock"));
    int64_t tries = a->settings->lock_attempts > 0 ? a->settings->lock_attempts : 1;

    for (int64_t i = 0; i < tries; i++) {
        bool held = !by_fcntl || fcntl(a->fd, F_SETLK, &whole) == 0;
        if (held && (!by_flock || flock(a->fd, LOCK_EX | LOCK_NB) == 0))
            return true;
        doze(a->settings->lock_delay);
    }
    fail(a, OUTCOME_DEFERRED, "4.2.0", "unable to lock for exclusive access", EAGAIN);
    return false;
}

/* is_roots_link - a symbolic link that root made, in a directory where only root makes any. */
static bool is_roots_link(const char *path)
{
    char directory[PATH_MAX];
    struct stat link, parent;
    const char *slash = strrchr(path, '/');

    if (lstat(path, &link) < 0 || !S_ISLNK(link.st_mode) || link.st_uid != 0 || slash == NULL)
        return false;
    snprintf(directory, sizeof(directory), "%.*s", slash == path ? 1 : (int)(slash - path), path);
    return stat(directory, &parent) == 0 && parent.st_uid == 0 && !(parent.st_mode & (S_IWGRP | S_IWOTH));
}

/* open_existing - a symbolic link is followed only when root made it: nobody else may say where we write. */
static int open_existing(const char *path)
{
    const int flags = O_WRONLY | O_APPEND | O_NONBLOCK | O_CLOEXEC;
    int fd = open(path, flags | O_NOFOLLOW);

    if (fd < 0 && errno == ELOOP && is_roots_link(path))
        fd = open(path, flags);
    return fd;
}

static bool open_mailbox(struct appending *a)
{
    const struct mbox *mbox = a->mbox;
    bool created = false;
    const char *what = "cannot open file";

    a->fd = open_existing(mbox->path);
    if (a->fd < 0 && errno == ENOENT) {
        a->fd = open(mbox->path, O_WRONLY | O_APPEND | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
        created = a->fd >= 0;
        what = "cannot create file exclusively";
        if (a->fd < 0 && errno == EEXIST) /* somebody else was quicker */
            a->fd = open_existing(mbox->path);
    }
    if (a->fd < 0 && errno == ELOOP) {
        if (mbox->virtual_style)
            fail(a, OUTCOME_DEFERRED, "4.2.0", "file is a symbolic link", 0);
        else
            fail(a, OUTCOME_BOUNCED, "5.2.0", "file is a symbolic link", 0);
        return false;
    }
    if (a->fd < 0) {
        fail_errno(a, what, errno, mbox->virtual_style ? "4.2.0" : "5.2.0");
        return false;
    }
    if (created && mbox->chown_to != (uid_t)-1 && fchown(a->fd, mbox->chown_to, mbox->chown_group) < 0) {
        fail(a, OUTCOME_DEFERRED, "4.2.0", "unable to change the owner", errno);
        return false;
    }
    return true;
}

static bool check_mailbox(struct appending *a, const struct stat *info)
{
    if (S_ISCHR(info->st_mode) && a->mbox->to_file)
        return true; /* /dev/null */
    if (!S_ISREG(info->st_mode)) {
        char what[PATH_MAX + 64];
        snprintf(what, sizeof(what), "destination %s is not a regular file", a->mbox->path);
        fail(a, OUTCOME_BOUNCED, a->mbox->virtual_style ? "5.3.5" : "5.2.0", what, 0);
        return false;
    }
    if (info->st_nlink != 1) {
        char what[64];
        snprintf(what, sizeof(what), "file has %ld hard links", (long)info->st_nlink);
        fail_errno(a, what, 0, a->mbox->virtual_style ? "4.2.0" : "5.2.0");
        return false;
    }
    if (a->mbox->to_file && (info->st_mode & 0111)) {
        fail(a, OUTCOME_BOUNCED, "5.7.1", "file is executable", 0);
        return false;
    }
    if (a->settings->strict_ownership && !a->mbox->to_file && info->st_uid != a->mbox->owner) {
        char what[PATH_MAX + 64];
        snprintf(what, sizeof(what), "destination %s is not owned by recipient", a->mbox->path);
        fail(a, OUTCOME_DEFERRED, "4.2.0", what, 0);
        log_warning("specify \"strict_mailbox_ownership = no\" to ignore mailbox ownership mismatch");
        return false;
    }
    return true;
}

/* limited writer: the size limit is checked before each write, so that a mailbox never grows past it */
struct limited {
    int fd;
    int64_t size, limit;
};

static int write_limited(void *context, struct slice data)
{
    struct limited *limited = context;

    if (limited->limit > 0 && limited->size + (int64_t)data.len > limited->limit)
        return EFBIG;
    while (data.len > 0) {
        ssize_t n = write(limited->fd, data.data, data.len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return errno;
        limited->size += n;
        data = slice_from(data, (size_t)n);
    }
    return 0;
}

static void append(struct appending *a)
{
    struct stat info;

    if (fstat(a->fd, &info) < 0) {
        fail(a, OUTCOME_DEFERRED, "4.2.0", "unable to look at the mailbox", errno);
        return;
    }
    if (!check_mailbox(a, &info))
        return;
    bool regular = S_ISREG(info.st_mode);
    struct limited limited = {a->fd, info.st_size, regular ? a->settings->size_limit : 0};
    int error = copy_message(a->copy, write_limited, &limited);
    if (error == 0 && regular && fsync(a->fd) < 0)
        error = errno;
    if (error != 0) {
        /* undo: half a message is worse than none */
        if (regular && ftruncate(a->fd, info.st_size) < 0)
            log_warning("cannot truncate %s after a failed delivery: %s", a->mbox->path, strerror(errno));
        fail_errno(a, WRITE_ERROR, error, a->mbox->virtual_style ? "4.2.0" : "5.3.0");
        return;
    }
    if (a->mbox->appended_at)
        *a->mbox->appended_at = info.st_size;
    a->status->outcome = OUTCOME_SENT;
    a->status->status = "2.0.0";
    a->status->reason = a->mbox->to_file ? arena_format(a->copy->delivery->arena, "delivered to file: %s", a->mbox->path) : SLICE("delivered to mailbox");
}

void mbox_deliver(const struct copy *copy, const struct mbox *mbox, const struct mailbox_settings *settings, struct delivery_status *status)
{
    struct appending a = {.copy = copy, .mbox = mbox, .settings = settings, .status = status, .fd = -1};

    if ((!uses_lock(&a, SLICE("dotlock")) || strncmp(mbox->path, "/dev/", 5) == 0 || take_dot_lock(&a)) && open_mailbox(&a) &&
        (strncmp(mbox->path, "/dev/", 5) == 0 || take_file_locks(&a)))
        append(&a);
    if (a.fd >= 0 && close(a.fd) < 0 && status->outcome == OUTCOME_SENT)
        fail_errno(&a, WRITE_ERROR, errno, "4.2.0");
    if (a.dot_lock[0] != '\0')
        unlink(a.dot_lock);
}
