/* instance.c - the lock of the running master */
#include <fcntl.h>
#include <sys/file.h>

#include "base/slice.h"
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
