/* files.c (service) - see files.h */
#include "service/files.h"

#include <fcntl.h>

#include "run/run.h"
#include "service/service_private.h"

static const int64_t patience = 2 * MICROSECONDS; /* with master */

static char *paths[CHANNEL_FILES_MAX];
static unsigned path_count;

/* Questions to master, by number. */
static struct {
    bool asked, answered;
    int fd;
    struct condition change;
} questions[CHANNEL_FILES_MAX];

static bool by_master;

int service_announce_file(const char *path)
{
    if (path_count == CHANNEL_FILES_MAX || strlen(path) >= CHANNEL_TEXT_MAX)
        return -1;
    by_master = files_have_master();
    if (by_master && !channel_send_text(WORKER_CHANNEL_FD, CHANNEL_ANNOUNCE, path_count, path))
        return -1;
    condition_init(&questions[path_count].change);
    paths[path_count] = memory_string(path);
    return (int)path_count++;
}

int service_open_file(int number)
{
    if (number < 0 || (unsigned)number >= path_count) {
        errno = EBADF;
        return -1;
    }
    if (!by_master)
        return open(paths[number], O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    questions[number].asked = true;
    questions[number].answered = false;
    questions[number].fd = -1;
    if (!channel_send(WORKER_CHANNEL_FD, CHANNEL_OPEN, (uint32_t)number, -1)) {
        errno = EAGAIN;
        return -1;
    }
    if (!questions[number].answered)
        condition_wait(&questions[number].change, clock_after(patience));
    questions[number].asked = false;
    if (questions[number].fd < 0)
        errno = questions[number].answered ? ENOENT : ETIMEDOUT;
    return questions[number].fd;
}

void files_take_answer(uint32_t number, int *fd)
{
    if (number >= path_count || !questions[number].asked || questions[number].answered)
        return;
    questions[number].answered = true;
    questions[number].fd = *fd;
    *fd = -1;
    condition_broadcast(&questions[number].change);
}
