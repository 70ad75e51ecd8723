/* table_file.c - reading the text behind a table; locks of database files; values that name files */
#include <fcntl.h>
#include <sys/file.h>

#include <openssl/evp.h>

#include "run/run.h"
#include "table/driver.h"

/* Text tables above this are refused: they belong into an indexed type. */
#define TEXT_MAX ((size_t)1 << 30)
/* A lock that is held longer than this by somebody else makes a lookup fail for now. */
#define LOCK_PATIENCE (30 * MICROSECONDS)
#define LOCK_PAUSE (MICROSECONDS / 100)

/* read_all - append the rest of the descriptor; false with errno. */
static bool read_all(int fd, size_t max, struct buffer *text)
{
    struct stat info;
    size_t step = fstat(fd, &info) == 0 && info.st_size > 0 && (size_t)info.st_size < max ? (size_t)info.st_size + 1 : 65536;
    for (;;) {
        char *room = text->len < max ? buffer_reserve(text, step) : NULL;
        if (!room) {
            errno = EFBIG;
            return false;
        }
        ssize_t n = read(fd, room, step);
        if (n < 0 && errno != EINTR)
            return false;
        if (n == 0)
            return true;
        if (n > 0)
            buffer_commit(text, (size_t)n);
        step = 65536;
    }
}

bool table_read_descriptor(int fd, struct buffer *text)
{
    return read_all(fd, TEXT_MAX, text);
}

bool table_read_file(struct table *table, const char *path, struct buffer *text)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (fd < 0) {
        table_fail(table, "open %s: %s", path, strerror(errno));
        return false;
    }
    table_watch(table, path, fd);
    if (!read_all(fd, TEXT_MAX, text)) {
        table_fail(table, "read %s: %s", path, strerror(errno));
        return false;
    }
    return true;
}

/* ---- locks -------------------------------------------------------------------------------------------------------- */

/* Open file description locks: unlike fcntl's classic ones they survive the closing of another descriptor of the file, and
   they conflict with those. */
static bool try_lock(int fd, bool exclusive, bool by_flock, bool block)
{
    if (by_flock)
        return flock(fd, (exclusive ? LOCK_EX : LOCK_SH) | (block ? 0 : LOCK_NB)) == 0;
    struct flock lock = {.l_type = exclusive ? F_WRLCK : F_RDLCK, .l_whence = SEEK_SET};
    return fcntl(fd, block ? F_OFD_SETLKW : F_OFD_SETLK, &lock) == 0;
}

bool lock_file(int fd, bool exclusive, bool by_flock)
{
    if (try_lock(fd, exclusive, by_flock, false))
        return true;
    if (!fiber_current()) {
        while (!try_lock(fd, exclusive, by_flock, true)) {
            if (errno != EINTR)
                return false;
        }
        return true;
    }
    for (int64_t deadline = clock_after(LOCK_PATIENCE); clock_monotonic() < deadline;) {
        if (errno != EWOULDBLOCK && errno != EAGAIN && errno != EACCES && errno != EINTR)
            return false;
        fiber_sleep(LOCK_PAUSE);
        if (try_lock(fd, exclusive, by_flock, false))
            return true;
    }
    errno = EWOULDBLOCK;
    return false;
}

void unlock_file(int fd, bool by_flock)
{
    struct flock lock = {.l_type = F_UNLCK, .l_whence = SEEK_SET};
    if (by_flock)
        (void)flock(fd, LOCK_UN);
    else
        (void)fcntl(fd, F_OFD_SETLK, &lock);
}

/* ---- values that name files ---------------------------------------------------------------------------------------- */

static void encode(struct slice data, struct buffer *out)
{
    size_t room = (data.len + 2) / 3 * 4;
    char *to = data.len <= INT_MAX ? buffer_reserve(out, room + 1) : NULL;
    if (to)
        buffer_commit(out, (size_t)EVP_EncodeBlock((unsigned char *)to, (const unsigned char *)data.data, (int)data.len));
}

bool value_decode(struct slice base64, struct buffer *out)
{
    char *to = base64.len && base64.len % 4 == 0 && base64.len <= INT_MAX ? buffer_reserve(out, base64.len) : NULL;
    if (!to)
        return base64.len == 0;
    int length = EVP_DecodeBlock((unsigned char *)to, (const unsigned char *)base64.data, (int)base64.len);
    if (length < 0)
        return false;
    /* EVP_DecodeBlock counts the padding as data. */
    for (size_t i = base64.len; i > base64.len - 2 && base64.data[i - 1] == '='; i--)
        length--;
    buffer_commit(out, (size_t)length);
    return true;
}

bool value_from_files(struct slice names, struct buffer *out, struct buffer *why)
{
    struct buffer content = BUFFER_INIT_MAX(TEXT_MAX);
    struct slice name;
    bool ok = true;
    while (ok && config_list_next(&names, &name)) {
        char *path = slice_string(name);
        int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
        if (content.len)
            buffer_append_byte(&content, '\n');
        if (fd < 0 || !read_all(fd, TEXT_MAX, &content)) {
            buffer_printf(why, "open %s: %s", path, strerror(errno));
            ok = false;
        }
        if (fd >= 0)
            close(fd);
        free(path);
    }
    if (ok && content.len == 0) {
        buffer_append_string(why, "empty pathname list");
        ok = false;
    }
    if (ok)
        encode(buffer_slice(&content), out);
    buffer_release(&content);
    return ok;
}
