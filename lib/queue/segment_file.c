/* segment_file.c - the files under spool/segment and spool/content */
#include "queue/segment_file.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/uio.h>

#include "base/clock.h"
#include "base/log.h"
#include "run/run.h"

int (*segment_file_datasync)(int fd) = fdatasync;

/* ---- directories and names ---------------------------------------------------------------------------------------- */

/* open_directory - name below parent, made when missing. */
static int open_directory(int parent, const char *name)
{
    if (mkdirat(parent, name, 0700) < 0 && errno != EEXIST)
        return -1;
    return openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

bool segment_directory_open(struct segment_directory *directory, const char *queue_directory)
{
    *directory = (struct segment_directory){-1, -1};
    int queue = open(queue_directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (queue < 0)
        return false;
    directory->segment_fd = open_directory(queue, "segment");
    directory->content_fd = directory->segment_fd < 0 ? -1 : open_directory(queue, "content");
    int error = errno;
    close(queue);
    if (directory->content_fd < 0) {
        segment_directory_close(directory);
        errno = error;
        return false;
    }
    return true;
}

void segment_directory_close(struct segment_directory *directory)
{
    if (directory->segment_fd >= 0)
        close(directory->segment_fd);
    if (directory->content_fd >= 0)
        close(directory->content_fd);
    *directory = (struct segment_directory){-1, -1};
}

const char *segment_file_name(uint64_t number, char name[SEGMENT_NAME_SIZE])
{
    snprintf(name, SEGMENT_NAME_SIZE, "%016llX", (unsigned long long)number);
    return name;
}

bool segment_file_number(const char *name, uint64_t *number)
{
    char same[SEGMENT_NAME_SIZE];
    return strlen(name) == SEGMENT_NAME_SIZE - 1 && slice_to_u64_hex(slice_of(name), number) && *number != 0 &&
           strcmp(segment_file_name(*number, same), name) == 0;
}

/* ---- segments ----------------------------------------------------------------------------------------------------- */

/* fresh_number - from the clock: a number is not used again even when its file is long gone. */
static uint64_t fresh_number(void)
{
    return (uint64_t)clock_wall();
}

static bool fill_new(int fd, struct segment_header *header)
{
    uint8_t bytes[SEGMENT_HEADER_SIZE];
    header->created = clock_wall();
    if (flock(fd, LOCK_EX | LOCK_NB) < 0 || getrandom(&header->mark, sizeof(header->mark), 0) != sizeof(header->mark))
        return false;
    segment_header_build(header, bytes);
    return segment_file_write(fd, bytes, sizeof(bytes), 0);
}

/* create_named - a locked, headed file under a private name gets its own name, so that nobody ever sees it unlocked. */
static bool create_named(int directory, int fd, const char *temporary, struct segment_header *header)
{
    char name[SEGMENT_NAME_SIZE];
    for (int attempt = 0; attempt < 1000; attempt++) {
        header->number = fresh_number();
        if (!fill_new(fd, header))
            return false;
        if (linkat(directory, temporary, directory, segment_file_name(header->number, name), 0) == 0)
            return fsync(directory) == 0;
        if (errno != EEXIST)
            return false;
    }
    return false;
}

int segment_file_create(const struct segment_directory *directory, uint32_t kind, struct segment_header *header)
{
    char temporary[64];
    *header = (struct segment_header){.kind = kind};
    snprintf(temporary, sizeof(temporary), ".new-%ld-%llX", (long)getpid(), (unsigned long long)fresh_number());
    int fd = openat(directory->segment_fd, temporary, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return -1;
    bool ok = create_named(directory->segment_fd, fd, temporary, header);
    int error = errno;
    unlinkat(directory->segment_fd, temporary, 0);
    if (!ok) {
        close(fd);
        errno = error;
        return -1;
    }
    return fd;
}

int segment_file_open(const struct segment_directory *directory, uint64_t number, int flags)
{
    char name[SEGMENT_NAME_SIZE];
    return openat(directory->segment_fd, segment_file_name(number, name), flags | O_NOFOLLOW | O_CLOEXEC);
}

bool segment_file_is_closed(int fd)
{
    if (flock(fd, LOCK_SH | LOCK_NB) < 0)
        return false;
    flock(fd, LOCK_UN);
    return true;
}

bool segment_file_remove(const struct segment_directory *directory, uint64_t number)
{
    char name[SEGMENT_NAME_SIZE];
    if (unlinkat(directory->segment_fd, segment_file_name(number, name), 0) < 0 && errno != ENOENT)
        return false;
    content_folder_remove(directory, number);
    return true;
}

/* ---- large contents ----------------------------------------------------------------------------------------------- */

static int open_folder(const struct segment_directory *directory, uint64_t segment, bool create)
{
    char name[SEGMENT_NAME_SIZE];
    segment_file_name(segment, name);
    if (create)
        return open_directory(directory->content_fd, name);
    return openat(directory->content_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

static void close_keeping_errno(int fd)
{
    int error = errno;
    if (fd >= 0)
        close(fd);
    errno = error;
}

int content_file_create(const struct segment_directory *directory, uint64_t segment, uint64_t *number)
{
    int folder = open_folder(directory, segment, true);
    int fd = -1;
    errno = folder < 0 ? errno : EEXIST;
    while (folder >= 0 && fd < 0 && errno == EEXIST) {
        char name[SEGMENT_NAME_SIZE];
        *number = fresh_number();
        fd = openat(folder, segment_file_name(*number, name), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    }
    close_keeping_errno(folder);
    return fd;
}

int content_file_open(const struct segment_directory *directory, uint64_t segment, uint64_t number)
{
    char name[SEGMENT_NAME_SIZE];
    int folder = open_folder(directory, segment, false);
    if (folder < 0)
        return -1;
    int fd = openat(folder, segment_file_name(number, name), O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    close_keeping_errno(folder);
    return fd;
}

bool content_file_move(const struct segment_directory *directory, uint64_t from, uint64_t to, uint64_t number, bool keep)
{
    char name[SEGMENT_NAME_SIZE];
    segment_file_name(number, name);
    int old = open_folder(directory, from, false);
    int new = old < 0 ? -1 : open_folder(directory, to, true);
    bool ok = new >= 0 && (keep ? linkat(old, name, new, name, 0) : renameat(old, name, new, name)) == 0;
    close_keeping_errno(old);
    close_keeping_errno(new);
    return ok;
}

bool content_file_sync(const struct segment_directory *directory, uint64_t segment, int fd)
{
    int folder = open_folder(directory, segment, false);
    bool ok = folder >= 0 && (fd < 0 || segment_file_datasync(fd) == 0) && fsync(folder) == 0 && fsync(directory->content_fd) == 0;
    close_keeping_errno(folder);
    return ok;
}

bool content_file_remove(const struct segment_directory *directory, uint64_t segment, uint64_t number)
{
    char name[SEGMENT_NAME_SIZE];
    int folder = open_folder(directory, segment, false);
    bool ok = folder >= 0 && unlinkat(folder, segment_file_name(number, name), 0) == 0;
    close_keeping_errno(folder);
    return ok;
}

void content_folder_remove(const struct segment_directory *directory, uint64_t segment)
{
    char name[SEGMENT_NAME_SIZE];
    int folder = open_folder(directory, segment, false);
    if (folder < 0)
        return;
    DIR *list = fdopendir(folder);
    if (!list) {
        close(folder);
        return;
    }
    for (struct dirent *entry; (entry = readdir(list)) != NULL;) {
        uint64_t number;
        if (segment_file_number(entry->d_name, &number))
            unlinkat(folder, entry->d_name, 0);
    }
    closedir(list);
    unlinkat(directory->content_fd, segment_file_name(segment, name), AT_REMOVEDIR);
}

/* ---- reading and writing ------------------------------------------------------------------------------------------ */

void segment_file_work(void (*fn)(void *arg), void *arg)
{
    if (fiber_current())
        run_offload(fn, arg);
    else
        fn(arg);
}

ssize_t segment_file_read_now(int fd, void *bytes, size_t len, uint64_t offset)
{
    size_t done = 0;
    while (done < len) {
        ssize_t n = pread(fd, (char *)bytes + done, len - done, (off_t)(offset + done));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -1;
        if (n == 0)
            break;
        done += (size_t)n;
    }
    return (ssize_t)done;
}

struct read_work {
    int fd;
    void *bytes;
    size_t len;
    uint64_t offset;
    ssize_t result;
    int error;
};

static void read_in_pool(void *arg)
{
    struct read_work *work = arg;
    work->result = segment_file_read_now(work->fd, work->bytes, work->len, work->offset);
    work->error = errno;
}

ssize_t segment_file_read(int fd, void *bytes, size_t len, uint64_t offset)
{
    if (!fiber_current())
        return segment_file_read_now(fd, bytes, len, offset);
    size_t done = 0;
    while (done < len) {
        struct iovec rest = {(char *)bytes + done, len - done};
        ssize_t n = preadv2(fd, &rest, 1, (off_t)(offset + done), RWF_NOWAIT);
        if (n == 0)
            return (ssize_t)done;
        if (n < 0)
            break; /* not in memory (EAGAIN), or the file system knows no such flag */
        done += (size_t)n;
    }
    if (done == len)
        return (ssize_t)done;
    struct read_work work = {fd, (char *)bytes + done, len - done, offset + done, 0, 0};
    run_offload(read_in_pool, &work);
    errno = work.error;
    return work.result < 0 ? -1 : (ssize_t)done + work.result;
}

bool segment_file_write(int fd, const void *bytes, size_t len, uint64_t offset)
{
    size_t done = 0;
    while (done < len) {
        ssize_t n = pwrite(fd, (const char *)bytes + done, len - done, (off_t)(offset + done));
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            errno = n < 0 ? errno : ENOSPC;
            return false;
        }
        done += (size_t)n;
    }
    return true;
}
