/* scan.c - look through maildrop/ */
#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "base/log.h"
#include "pickup.h"
#include "queue/queue_id.h"

enum { AT_ONCE = 32 }; /* more of them share a group commit, fewer keep memory small */

/* One file on its way; a fiber each. */
struct job {
    const struct pickup *pickup;
    struct semaphore *places;
    unsigned *running;
    struct condition *finished;
    bool *give_up; /* cleanup is away: the rest waits for the next scan */
    char path[300];
};

/* is_complete - by mode; what is being written has no execute bit.  The time says nothing: clocks are put back, and "postsuper -r" of Postfix
   leaves the time of the next attempt. */
static bool is_complete(const struct stat *st)
{
    return S_ISREG(st->st_mode) && st->st_nlink == 1 && (st->st_mode & S_IXUSR);
}

static void set_aside(const struct job *job, uid_t uid)
{
    char target[300];
    snprintf(target, sizeof(target), "corrupt/%s", strrchr(job->path, '/') + 1);
    log_warning("uid=%ld: malformed file %s: moved to corrupt", (long)uid, job->path);
    if (rename(job->path, target) < 0)
        log_warning("rename %s to %s: %s", job->path, target, strerror(errno));
}

static void pick_up(struct job *job)
{
    struct stat st;
    if (lstat(job->path, &st) < 0 || !is_complete(&st))
        return; /* gone, or not there yet: not ours to open */
    int fd = open(job->path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) < 0) {
        if (errno != ENOENT)
            log_warning("open %s: %s", job->path, strerror(errno));
        if (fd >= 0)
            close(fd);
        return;
    }
    if (is_complete(&st)) {
        switch (pickup_submit(job->pickup, fd, &st)) {
        case PICKUP_DONE:
            if (unlink(job->path) < 0)
                log_warning("remove %s: %s", job->path, strerror(errno));
            break;
        case PICKUP_LATER:
            *job->give_up = true;
            break;
        case PICKUP_CORRUPT:
            set_aside(job, st.st_uid);
            break;
        }
    }
    close(fd);
}

static void run_job(void *arg)
{
    struct job *job = arg;
    pick_up(job);
    semaphore_give(job->places);
    --*job->running;
    condition_signal(job->finished);
    free(job);
}

void pickup_scan(const struct pickup *pickup)
{
    DIR *directory = opendir("maildrop");
    struct semaphore places;
    struct condition finished;
    unsigned running = 0;
    bool give_up = false;
    if (!directory) {
        log_warning("open directory maildrop: %s", strerror(errno));
        return;
    }
    semaphore_init(&places, AT_ONCE);
    condition_init(&finished);
    const struct dirent *entry;
    while (!give_up && !service_is_draining() && (entry = readdir(directory))) {
        if (!queue_id_is_valid(slice_of(entry->d_name)))
            continue;
        struct job *job = memory_zalloc(1, sizeof(*job));
        *job = (struct job){.pickup = pickup, .places = &places, .running = &running, .finished = &finished, .give_up = &give_up};
        snprintf(job->path, sizeof(job->path), "maildrop/%s", entry->d_name);
        semaphore_take(&places, CLOCK_NEVER);
        running++;
        fiber_start("pickup", run_job, job);
    }
    closedir(directory);
    while (running > 0)
        condition_wait(&finished, CLOCK_NEVER);
}
