/* drop_file.c - one file in maildrop/ */
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>

#include "base/buffer.h"
#include "base/clock.h"
#include "base/log.h"
#include "drop_file.h"

enum { TRIES = 100, WRITE_AT = 64 * 1024, COMPLETE_MODE = 0744 /* pickup is another user; the directory keeps everybody else out */ };

struct drop_file {
    int fd, error;
    char id[40];
    struct buffer pending;
};

static char path[80]; /* what the signal handler removes */

static void on_signal(int number)
{
    if (*path)
        unlink(path);
    signal(number, SIG_DFL);
    raise(number);
}

static void watch_signals(void)
{
    static const int numbers[] = {SIGHUP, SIGINT, SIGQUIT, SIGTERM};
    for (size_t i = 0; i < COUNT_OF(numbers); i++) {
        if (signal(numbers[i], SIG_IGN) != SIG_IGN)
            signal(numbers[i], on_signal);
    }
}

static int create_temporary(char *name, size_t room)
{
    for (int tries = 0; tries < TRIES; tries++) {
        snprintf(name, room, "maildrop/%d.%d", (int)(clock_wall() % MICROSECONDS), (int)getpid());
        int fd = open(name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (fd >= 0 || errno != EEXIST)
            return fd;
    }
    return -1;
}

/* give_name - microseconds and inode: no other file has it while this one exists. */
static bool give_name(struct drop_file *file, const char *temporary)
{
    struct stat st;
    if (fstat(file->fd, &st) < 0)
        return false;
    for (int tries = 0; tries < TRIES; tries++) {
        snprintf(file->id, sizeof(file->id), "%05X%lX", (unsigned)(clock_wall() % MICROSECONDS), (unsigned long)st.st_ino);
        snprintf(path, sizeof(path), "maildrop/%s", file->id);
        if (renameat2(AT_FDCWD, temporary, AT_FDCWD, path, RENAME_NOREPLACE) == 0)
            return true;
        if (errno != EEXIST)
            return false;
    }
    return false;
}

struct drop_file *drop_file_create(void)
{
    struct drop_file *file = memory_zalloc(1, sizeof(*file));
    char temporary[80];
    watch_signals();
    file->fd = create_temporary(temporary, sizeof(temporary));
    if (file->fd < 0)
        log_fatal("create file %s: %s", temporary, strerror(errno));
    if (!give_name(file, temporary)) {
        int saved = errno;
        unlink(temporary);
        log_fatal("rename file %s: %s", temporary, strerror(saved));
    }
    return file;
}

const char *drop_file_id(const struct drop_file *file)
{
    return file->id;
}

static void write_pending(struct drop_file *file)
{
    size_t done = 0;
    while (!file->error && done < file->pending.len) {
        ssize_t n = write(file->fd, file->pending.data + done, file->pending.len - done);
        if (n > 0)
            done += (size_t)n;
        else if (n == 0 || errno != EINTR)
            file->error = n == 0 ? EIO : errno;
    }
    buffer_clear(&file->pending);
}

void drop_file_write(struct drop_file *file, struct slice data)
{
    if (!buffer_append_slice(&file->pending, data))
        file->error = EFBIG;
    if (file->pending.len >= WRITE_AT)
        write_pending(file);
}

/* sync_directory - the name must be on disk too before the sender may forget the message. */
static bool sync_directory(void)
{
    int fd = open("maildrop", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return errno == EACCES; /* mode 0730: the group cannot read it; the file system's own order has to do */
    bool ok = fsync(fd) == 0;
    close(fd);
    return ok;
}

bool drop_file_complete(struct drop_file *file)
{
    write_pending(file);
    if (file->error) {
        errno = file->error;
        return false;
    }
    if (fsync(file->fd) < 0 || fchmod(file->fd, COMPLETE_MODE) < 0 || fsync(file->fd) < 0 || !sync_directory())
        return false;
    *path = '\0';
    bool ok = close(file->fd) == 0;
    buffer_release(&file->pending);
    free(file);
    return ok;
}

void drop_file_cancel(struct drop_file *file)
{
    if (*path && unlink(path) < 0)
        log_warning("remove %s: %s", path, strerror(errno));
    *path = '\0';
    close(file->fd);
    buffer_release(&file->pending);
    free(file);
}
