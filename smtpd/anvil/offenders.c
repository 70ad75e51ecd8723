/* offenders.c - see offenders.h */
#include "offenders.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "base/log.h"
#include "net/address.h"

int64_t offenders_text(const struct cache *cache, int64_t now, struct buffer *out)
{
    const struct list *at = NULL;
    struct net_address address;
    struct slice key;
    int64_t expires, first = INT64_MAX;

    while (cache_next(cache, &at, &key, &expires)) {
        if (expires <= now || !net_address_parse(&address, key, 0))
            continue;
        first = expires < first ? expires : first;
        net_address_text(&address, out);
        buffer_append_byte(out, '\n');
    }
    return first;
}

static bool write_all(int fd, struct slice text)
{
    while (text.len > 0) {
        ssize_t n = write(fd, text.data, text.len);
        if (n < 0 && errno != EINTR)
            return false;
        text = slice_from(text, n > 0 ? (size_t)n : 0);
    }
    return true;
}

void offenders_write(const char *path, struct slice text)
{
    struct buffer fresh = BUFFER_INIT;

    if (!*path || (text.len == 0 && access(path, F_OK) < 0))
        return;
    buffer_printf(&fresh, "%s.new", path);
    unlink(buffer_string(&fresh)); /* of a process that was killed */
    int fd = open(buffer_string(&fresh), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0644);
    bool ok = fd >= 0 && write_all(fd, text) && fchmod(fd, 0644) == 0 && fsync(fd) == 0; /* a power cut leaves the old list, or the new one */
    if (!ok || rename(buffer_string(&fresh), path) < 0) {
        log_warning("smtpd_auth_failure_offender_file: write %s: %s", path, strerror(errno));
        unlink(buffer_string(&fresh));
    }
    if (fd >= 0)
        close(fd);
    buffer_release(&fresh);
}
