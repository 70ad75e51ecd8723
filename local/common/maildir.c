/* maildir.c - adding a message to a Maildir: written and made durable in tmp/, then moved to new/ */
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/time.h>

#include "mailbox.h"

#include "base/log.h"

#define TRIES 3

/* fail_code - what may pass is tried again.  default_code: of what is not known to pass. */
static const char *fail_code(int error, const char *default_code)
{
    if (error == EDQUOT || error == EFBIG)
        return "5.2.2";
    if (error == ENOSPC)
        return "4.3.0";
    return error == EAGAIN || error == ESTALE ? "4.2.0" : default_code;
}

static void fail(const struct copy *copy, const char *default_code, struct delivery_status *status, int error, const char *what, const char *path)
{
    struct arena *arena = copy->delivery->arena;

    status->status = fail_code(error, path == NULL && default_code[0] == '5' ? "5.3.0" : default_code);
    status->outcome = status->status[0] == '5' ? OUTCOME_BOUNCED : OUTCOME_DEFERRED;
    status->reason = path != NULL ? arena_format(arena, "maildir delivery failed: %s %s: %s", what, path, strerror(error))
                                  : arena_format(arena, "maildir delivery failed: %s: %s", what, strerror(error));
    if (path == NULL) {
        status->diagnostic_type = "x-unix";
        status->diagnostic = SLICE("input/output error");
    } else if (error == EACCES) {
        log_warning("maildir access problem for UID/GID=%lu/%lu: %s %s: %s", (unsigned long)geteuid(), (unsigned long)getegid(), what, path, strerror(error));
        log_warning("perhaps you need to create the maildirs in advance");
    }
}

/* make_directories - DIRECTORY, DIRECTORY/tmp, new, cur, parents included; 0 or errno. */
static int make_directories(const char *directory)
{
    static const char *const names[] = {"tmp", "new", "cur"};
    char path[PATH_MAX + 8];
    size_t length = strlen(directory);

    if (length + 5 > sizeof(path))
        return ENAMETOOLONG;
    memcpy(path, directory, length + 1);
    for (char *at = path + 1; (at = strchr(at, '/')) != NULL; at++) {
        *at = '\0';
        if (mkdir(path, 0700) < 0 && errno != EEXIST)
            return errno;
        *at = '/';
    }
    if (mkdir(path, 0700) < 0 && errno != EEXIST)
        return errno;
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        snprintf(path, sizeof(path), "%s/%s", directory, names[i]);
        if (mkdir(path, 0700) < 0 && errno != EEXIST)
            return errno;
    }
    return 0;
}

static int create(const char *directory, const char *path, int *error)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);

    if (fd < 0 && errno == ENOENT && (*error = make_directories(directory)) == 0)
        fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0 && *error == 0)
        *error = errno;
    return fd;
}

/* move_to_new - the name says device, inode and microsecond: unique on this host. */
static int move_to_new(const char *directory, const char *tmp, int fd, const char *host)
{
    char path[PATH_MAX + 512];
    struct stat info;
    struct timeval now;

    for (int i = 0; i < TRIES; i++) {
        if (fstat(fd, &info) < 0)
            return errno;
        gettimeofday(&now, NULL);
        snprintf(path, sizeof(path), "%s/new/%lld.V%llxI%llxM%lld.%s", directory, (long long)now.tv_sec, (unsigned long long)info.st_dev,
                 (unsigned long long)info.st_ino, (long long)now.tv_usec, host);
        /* An existing message is never overwritten, whatever its name.  Where the file system has no such rename: link and unlink. */
        if (renameat2(AT_FDCWD, tmp, AT_FDCWD, path, RENAME_NOREPLACE) == 0)
            return 0;
        if ((errno == EINVAL || errno == ENOSYS) && link(tmp, path) == 0) {
            unlink(tmp);
            return 0;
        }
        if (errno == ENOENT && make_directories(directory) == 0)
            continue;
        if (errno == EPERM || errno == EOPNOTSUPP || errno == ENOSYS) /* a file system without hard links */
            return access(path, F_OK) != 0 && rename(tmp, path) == 0 ? 0 : errno;
        if (errno != EEXIST)
            return errno;
    }
    return EEXIST;
}

void maildir_deliver(const struct copy *copy, const char *directory, const char *default_code, struct delivery_status *status)
{
    char base[PATH_MAX], tmp[PATH_MAX + 512], host[256] = "localhost";
    size_t length = strlen(directory);
    struct timeval now;
    int error = 0;

    while (length > 1 && directory[length - 1] == '/')
        length--;
    if (length >= sizeof(base)) {
        fail(copy, default_code, status, ENAMETOOLONG, "create maildir file", directory);
        return;
    }
    memcpy(base, directory, length);
    base[length] = '\0';
    gethostname(host, sizeof(host) - 1);
    gettimeofday(&now, NULL);
    snprintf(tmp, sizeof(tmp), "%s/tmp/%lld.P%d.%s", base, (long long)now.tv_sec, (int)getpid(), host);
    int fd = create(base, tmp, &error);
    if (fd < 0) {
        fail(copy, default_code, status, error, "create maildir file", tmp);
        return;
    }
    error = copy_to_fd(copy, fd);
    if (error == 0 && copy->last)
        delivery_written(copy->delivery);
    if (error == 0 && fsync(fd) < 0)
        error = errno;
    if (error != 0) {
        fail(copy, default_code, status, error, "error writing message", NULL);
    } else if ((error = move_to_new(base, tmp, fd, host)) != 0) {
        fail(copy, default_code, status, error, "create maildir file", tmp);
    } else {
        status->outcome = OUTCOME_SENT;
        status->status = "2.0.0";
        status->reason = SLICE("delivered to maildir");
    }
    if (close(fd) < 0 && error == 0)
        fail(copy, default_code, status, errno, "error writing message", NULL);
    if (status->outcome != OUTCOME_SENT)
        unlink(tmp);
}
