/* main.c - postlock: run a command while a mailbox file is locked as local(8) locks it (compat.md j.8) */
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "base/log.h"
#include "service/command.h"

enum { CANNOT_LOCK = 75 };

struct lock {
    const char *path, *styles;
    int64_t attempts, delay, stale_time;
    char dot_path[PATH_MAX]; /* empty: not held */
    int fd;
};

static void check_styles(const struct lock *lock)
{
    static const char *const known[] = {"fcntl", "flock", "dotlock"};
    struct slice rest = slice_of(lock->styles), word;
    while (config_list_next(&rest, &word)) {
        bool good = false;
        for (size_t i = 0; i < COUNT_OF(known); i++)
            good |= slice_equal_case(word, slice_of(known[i]));
        if (!good)
            log_fatal("unknown mailbox_delivery_lock value \"" SLICE_FORMAT "\" in \"%s\"", SLICE_ARGS(word), lock->styles);
    }
}

static void doze(const struct lock *lock)
{
    struct timespec pause = {.tv_sec = lock->delay / MICROSECONDS, .tv_nsec = lock->delay % MICROSECONDS * 1000};
    nanosleep(&pause, NULL);
}

static void cannot_lock(const struct lock *lock, const char *what)
{
    log_fatal("open file %s: %s: %s", lock->path, what, strerror(errno));
}

static bool is_stale(const struct lock *lock)
{
    struct stat st;
    return stat(lock->dot_path, &st) == 0 && clock_wall() - st.st_ctime * MICROSECONDS > lock->stale_time;
}

static void take_dot_lock(struct lock *lock)
{
    if (snprintf(lock->dot_path, sizeof(lock->dot_path), "%s.lock", lock->path) >= (int)sizeof(lock->dot_path))
        log_fatal("file name too long: %s", lock->path);
    for (int64_t i = 0; i < lock->attempts; i++) {
        int fd = open(lock->dot_path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0);
        if (fd >= 0) {
            close(fd);
            return;
        }
        if (errno != EEXIST)
            break;
        if (is_stale(lock))
            unlink(lock->dot_path);
        else
            doze(lock);
        errno = EEXIST;
    }
    char what[PATH_MAX + 40];
    snprintf(what, sizeof(what), "unable to create lock file %s", lock->dot_path);
    lock->dot_path[0] = '\0';
    cannot_lock(lock, what);
}

static bool try_file_locks(const struct lock *lock)
{
    struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    if (config_list_has(lock->styles, "fcntl") && fcntl(lock->fd, F_SETLK, &whole) < 0)
        return false;
    return !config_list_has(lock->styles, "flock") || flock(lock->fd, LOCK_EX | LOCK_NB) == 0;
}

static void release(const struct lock *lock)
{
    if (lock->dot_path[0])
        unlink(lock->dot_path);
    close(lock->fd);
}

static void take_file_locks(struct lock *lock)
{
    lock->fd = open(lock->path, O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    bool held = lock->fd >= 0 && try_file_locks(lock);
    for (int64_t i = 1; lock->fd >= 0 && !held && i < lock->attempts; i++) {
        doze(lock);
        held = try_file_locks(lock);
    }
    if (held)
        return;
    int saved = errno;
    release(lock);
    errno = saved;
    cannot_lock(lock, lock->fd < 0 ? "cannot open file" : "unable to set exclusive lock");
}

static int run_command(char **words)
{
    int status;
    pid_t pid = fork();
    if (pid < 0)
        log_fatal("fork: %s", strerror(errno));
    if (pid == 0) {
        signal(SIGINT, SIG_DFL);
        signal(SIGQUIT, SIG_DFL);
        execvp(words[0], words);
        fprintf(stderr, "postlock: fatal: execvp %s: %s\n", words[0], strerror(errno));
        _exit(1);
    }
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        continue;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static const char help[] =
    "Usage: postlock [option ...] mailbox command [argument ...]\n"
    "Runs a command while the mailbox is locked.\n"
    "  -c config_dir  the directory of main.cf\n"
    "  -l style  a list of fcntl flock dotlock\n"
    "  -v  more messages\n"
    "See postlock(1).\n";

int main(int argc, char **argv)
{
    const char *directory = NULL, *styles = NULL;
    int letter;
    command_start("postlock");
    command_help(argc, argv, help);
    log_set_fatal_exit(CANNOT_LOCK);
    while ((letter = getopt(argc, argv, "+c:l:v")) > 0) {
        switch (letter) {
        case 'c': directory = optarg; break;
        case 'l': styles = optarg; break;
        case 'v': log_verbose++; break;
        default: log_fatal("usage: postlock [-c config_dir] [-l lock_style] [-v] folder command...");
        }
    }
    if (argc - optind < 2)
        log_fatal("usage: postlock [-c config_dir] [-l lock_style] [-v] folder command...");
    struct config *config = command_config(directory, false);
    struct lock lock = {.path = argv[optind],
                        .styles = styles ? styles : config_string(config, "mailbox_delivery_lock"),
                        .attempts = config_int(config, "deliver_lock_attempts"),
                        .delay = config_time(config, "deliver_lock_delay"),
                        .stale_time = config_time(config, "stale_lock_time"),
                        .fd = -1};
    check_styles(&lock);
    /* The command ends by its own signals; we stay to take the lock away. */
    signal(SIGINT, SIG_IGN);
    signal(SIGQUIT, SIG_IGN);
    if (config_list_has(lock.styles, "dotlock"))
        take_dot_lock(&lock);
    take_file_locks(&lock);
    int status = run_command(argv + optind + 1);
    release(&lock);
    config_free(config);
    return status;
}
