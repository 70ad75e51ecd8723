/* replace_file.c - a configuration file is replaced as a whole: whoever reads it sees the old text or the new one */
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "base/log.h"
#include "postconf.h"

struct replacement {
    char *path;      /* symbolic links resolved: the link stays, its target is replaced */
    char *temporary;
    int old_fd, new_fd;
    mode_t mode;
};

/* lock_temporary - open and lock the file beside; two editors take turns.  What a crashed one left behind is overwritten. */
static int lock_temporary(const char *path)
{
    for (;;) {
        struct stat opened, named;
        int fd = open(path, O_CREAT | O_RDWR | O_NOFOLLOW | O_CLOEXEC, 0600);
        if (fd < 0 || flock(fd, LOCK_EX) < 0)
            log_fatal("create %s: %s", path, strerror(errno));
        /* the editor before us renamed the file that we waited for */
        if (fstat(fd, &opened) == 0 && stat(path, &named) == 0 && opened.st_ino == named.st_ino && opened.st_dev == named.st_dev)
            return fd;
        close(fd);
    }
}

static void read_all(int fd, const char *path, struct buffer *text)
{
    for (;;) {
        char *room = buffer_reserve(text, 65536);
        ssize_t n = room != NULL ? read(fd, room, 65536) : -1;
        if (n < 0)
            log_fatal("read %s: %s", path, room != NULL ? strerror(errno) : "too large");
        if (n == 0)
            return;
        buffer_commit(text, (size_t)n);
    }
}

struct replacement *replacement_open(const char *path, struct buffer *old_text)
{
    struct replacement *r = memory_zalloc(1, sizeof(*r));
    struct buffer temporary = BUFFER_INIT;
    struct stat status;
    r->path = realpath(path, NULL);
    if (r->path == NULL)
        log_fatal("open %s for reading: %s", path, strerror(errno));
    buffer_printf(&temporary, "%s.tmp", r->path);
    r->temporary = buffer_steal(&temporary);
    r->new_fd = lock_temporary(r->temporary);
    r->old_fd = open(r->path, O_RDONLY | O_CLOEXEC);
    if (r->old_fd < 0 || fstat(r->old_fd, &status) < 0) {
        int reason = errno;
        unlink(r->temporary);
        log_fatal("open %s for reading: %s", path, strerror(reason));
    }
    r->mode = status.st_mode & 07777;
    if (fchown(r->new_fd, status.st_uid, status.st_gid) < 0 && geteuid() == 0)
        log_warning("set owner of %s: %s", r->temporary, strerror(errno));
    read_all(r->old_fd, path, old_text);
    return r;
}

static void sync_directory(const char *path)
{
    char *directory = memory_string(path);
    *strrchr(directory, '/') = '\0';
    int fd = open(directory[0] != '\0' ? directory : "/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || fsync(fd) < 0)
        log_warning("fsync %s: %s", directory, strerror(errno));
    if (fd >= 0)
        close(fd);
    free(directory);
}

void replacement_commit(struct replacement *r, struct slice new_text)
{
    bool ok = ftruncate(r->new_fd, 0) == 0 && lseek(r->new_fd, 0, SEEK_SET) == 0;
    for (size_t done = 0; ok && done < new_text.len;) {
        ssize_t n = write(r->new_fd, new_text.data + done, new_text.len - done);
        ok = n > 0 || (n < 0 && errno == EINTR);
        done += n > 0 ? (size_t)n : 0;
    }
    ok = ok && fchmod(r->new_fd, r->mode) == 0 && fsync(r->new_fd) == 0 && rename(r->temporary, r->path) == 0;
    if (!ok) {
        int reason = errno;
        unlink(r->temporary);
        log_fatal("error writing %s: %s", r->temporary, strerror(reason));
    }
    sync_directory(r->path);
    close(r->new_fd);
    close(r->old_fd);
    free(r->temporary);
    free(r->path);
    free(r);
}
