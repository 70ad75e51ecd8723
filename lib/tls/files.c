/* files.c (tls) - see files.h */
#include "tls/files.h"

#include <fcntl.h>

#define FILE_MAX (4 * 1024 * 1024) /* the authorities of a whole system have 250 KB */

static bool read_all(int fd, struct buffer *content)
{
    ssize_t n;

    buffer_init(content, FILE_MAX);
    do {
        char *room = buffer_reserve(content, 16 * 1024);
        if (!room) {
            errno = EFBIG;
            return false;
        }
        n = read(fd, room, 16 * 1024);
        if (n > 0)
            buffer_commit(content, (size_t)n);
    } while (n > 0 || (n < 0 && errno == EINTR));
    return n == 0;
}

/* take - read what is behind the descriptor, which is closed. */
static bool take(struct tls_file *file, int fd)
{
    bool good = fstat(fd, &file->identity) == 0 && read_all(fd, &file->content);
    int error = errno;

    close(fd);
    if (!good)
        tls_file_forget(file);
    errno = error;
    return good;
}

bool tls_file_open(struct tls_file *file, const char *path, const struct tls_file_access *access)
{
    *file = (struct tls_file){.path = path, .number = access ? access->announce(path) : -1};
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    return fd >= 0 && take(file, fd);
}

static bool is_same(const struct stat *a, const struct stat *b)
{
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino && a->st_size == b->st_size && a->st_mtim.tv_sec == b->st_mtim.tv_sec
           && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec && a->st_ctim.tv_sec == b->st_ctim.tv_sec
           && a->st_ctim.tv_nsec == b->st_ctim.tv_nsec;
}

int tls_file_refresh(struct tls_file *file, const struct tls_file_access *access)
{
    static const struct stat nothing;
    struct stat now;
    int fd = file->number >= 0 && access ? access->open(file->number) : -1;

    if (file->number < 0 || !access)
        return 0;
    if (fd < 0) {
        bool told = is_same(&file->identity, &nothing);
        file->identity = nothing;
        return told ? 0 : -1;
    }
    if (fstat(fd, &now) == 0 && is_same(&now, &file->identity)) {
        close(fd);
        return 0;
    }
    return take(file, fd) ? 1 : -1;
}

void tls_file_forget(struct tls_file *file)
{
    if (file->content.data)
        explicit_bzero(file->content.data, file->content.capacity);
    buffer_release(&file->content);
}
