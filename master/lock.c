/* lock.c - one master per queue directory and per data directory (compat.md b.5)

   pid/master.pid holds the process id right-adjusted in 32 columns; data_directory/master.lock holds where worker numbers started. */
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "master.h"
#include "service/instance.h"
#include "service/sandbox.h"
#include "service/service.h"

enum { NUMBER_STEP = 16, NUMBERS = 64 };

static unsigned first_number;

static int open_lock(const char *path, mode_t mode)
{
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, mode);
    struct stat st;
    if (fd >= 0 && (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_nlink != 1)) {
        close(fd);
        errno = EPERM;
        return -1;
    }
    return fd;
}

static int take(const char *path, mode_t mode)
{
    int fd = open_lock(path, mode);
    if (fd < 0)
        log_fatal("open lock file %s: %s", path, strerror(errno));
    if (flock(fd, LOCK_EX | LOCK_NB) < 0)
        log_fatal("open lock file %s: unable to set exclusive lock: %s", path, strerror(errno));
    return fd;
}

static void write_pid(int fd)
{
    char text[40];
    int len = snprintf(text, sizeof(text), "%*ld\n", 32, (long)getpid());
    if (ftruncate(fd, 0) < 0 || pwrite(fd, text, (size_t)len, 0) != len)
        log_fatal("cannot update lock file %s: %s", INSTANCE_PID_FILE, strerror(errno));
}

/* take_number - the start of the life before this one, moved on: workers of a master that was killed may still be at work. */
static void take_number(int fd)
{
    char text[16] = "";
    uint64_t before = 0;
    ssize_t n = pread(fd, text, sizeof(text) - 1, 0);
    if (n > 0 && slice_to_u64(slice_trim(slice_make(text, (size_t)n)), &before))
        before += NUMBER_STEP;
    first_number = (unsigned)(before % NUMBERS);
    n = snprintf(text, sizeof(text), "%u\n", first_number);
    if (ftruncate(fd, 0) < 0 || pwrite(fd, text, (size_t)n, 0) != n)
        log_warning("cannot update the lock file in data_directory: %s", strerror(errno));
}

unsigned lock_next_number(void)
{
    return first_number;
}

void lock_take(struct config *config)
{
    struct sandbox_owner owner;
    write_pid(take(INSTANCE_PID_FILE, 0644)); /* held as long as we live */
    bool switched = getuid() == 0 && sandbox_owner_find(config, &owner) && service_become(owner.uid, owner.gid) == 0;
    struct buffer path = BUFFER_INIT;
    buffer_printf(&path, "%s/master.lock", config_string(config, "data_directory"));
    take_number(take(buffer_string(&path), 0600));
    buffer_release(&path);
    if (switched)
        service_become_root();
}
