/* instance.c - the lock of the running master */
#include <fcntl.h>
#include <sys/file.h>

#include "base/log.h"
#include "service/instance.h"

bool instance_running(pid_t *pid)
{
    char text[64];
    uint64_t number = 0;
    int fd = open(INSTANCE_PID_FILE, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return false;
    bool locked = flock(fd, LOCK_SH | LOCK_NB) < 0 && errno == EWOULDBLOCK;
    ssize_t n = read(fd, text, sizeof(text));
    close(fd);
    if (!locked || n <= 0 || !slice_to_u64(slice_trim(slice_make(text, (size_t)n)), &number) || number == 0 || number > INT_MAX)
        return false;
    if (pid)
        *pid = (pid_t)number;
    return true;
}

/* ---- reload -------------------------------------------------------------------------------------------------------- */

static const char verdict_draft[] = INSTANCE_VERDICT_FILE ".new";
enum { VERDICT_MAX = 4096 };

void instance_verdict_clear(void)
{
    unlink(INSTANCE_VERDICT_FILE);
}

void instance_verdict_write(struct slice reason)
{
    struct slice text = slice_first(reason, VERDICT_MAX);
    int fd = open(verdict_draft, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    bool written = fd >= 0 && write(fd, text.data ? text.data : "", text.len) == (ssize_t)text.len;
    if (fd >= 0)
        close(fd);
    if (!written || rename(verdict_draft, INSTANCE_VERDICT_FILE) < 0)
        log_warning("cannot write %s: %s", INSTANCE_VERDICT_FILE, strerror(errno));
}

bool instance_verdict_read(struct buffer *reason)
{
    char text[VERDICT_MAX];
    int fd = open(INSTANCE_VERDICT_FILE, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return false;
    ssize_t n = read(fd, text, sizeof(text));
    close(fd);
    if (n > 0)
        buffer_append(reason, text, (size_t)n);
    return n >= 0;
}
