/* wait_fd.c - waiting for descriptors

   Each descriptor that was ever waited for keeps one uv_poll_t, armed, until fiber_forget_fd.  An event that nobody waits
   for disarms it; the next wait arms it again.  In a dialogue this happens rarely, so most waits make no epoll_ctl call. */
#include "run/internal.h"

struct fd_record {
    uv_poll_t poll;
    struct fiber *reader, *writer;
    int armed; /* WAIT_READ | WAIT_WRITE that the poll reports */
};

static struct fd_record **records; /* by descriptor */
static size_t record_count;

_Static_assert((int)WAIT_READ == (int)UV_READABLE && (int)WAIT_WRITE == (int)UV_WRITABLE, "events are passed through");

static void on_event(uv_poll_t *poll, int status, int events);

static void arm(struct fd_record *record, int events)
{
    if (events)
        uv_poll_start(&record->poll, events, on_event);
    else
        uv_poll_stop(&record->poll);
    record->armed = events;
}

static int wanted(const struct fd_record *record)
{
    return (record->reader ? WAIT_READ : 0) | (record->writer ? WAIT_WRITE : 0);
}

/* Both pointers may be one fiber: waking it twice does nothing. */
static void wake_waiters(struct fd_record *record, int events, enum wait_result result)
{
    struct fiber *reader = events & WAIT_READ ? record->reader : NULL;
    struct fiber *writer = events & WAIT_WRITE ? record->writer : NULL;
    if (reader) {
        record->reader = NULL;
        fiber_wake(reader, result);
    }
    if (writer) {
        record->writer = NULL;
        fiber_wake(writer, result);
    }
}

static void on_event(uv_poll_t *poll, int status, int events)
{
    struct fd_record *record = CONTAINER_OF(poll, struct fd_record, poll);
    if (status < 0) {
        /* libuv has stopped the watch; the system call of whoever waits will tell what is wrong. */
        record->armed = 0;
        wake_waiters(record, WAIT_READ | WAIT_WRITE, WAIT_READY);
        return;
    }
    if (events & ~wanted(record))
        arm(record, wanted(record));
    wake_waiters(record, events, WAIT_READY);
}

static struct fd_record *find(int fd)
{
    return fd >= 0 && (size_t)fd < record_count ? records[fd] : NULL;
}

/* make - NULL when the descriptor cannot be watched: a file, which is always ready, or a closed one. */
static struct fd_record *make(int fd)
{
    struct fd_record *record = memory_zalloc(1, sizeof(*record));
    int error = fd < 0 ? UV_EBADF : uv_poll_init(run_loop(), &record->poll, fd);
    if (error < 0) {
        free(record);
        if (error == UV_EEXIST)
            log_panic("descriptor %d is watched already", fd);
        return NULL;
    }
    uv_unref((uv_handle_t *)&record->poll);
    if ((size_t)fd >= record_count) {
        size_t larger = record_count ? record_count : 64;
        while (larger <= (size_t)fd)
            larger *= 2;
        records = memory_resize(records, larger * sizeof(struct fd_record *));
        memset(records + record_count, 0, (larger - record_count) * sizeof(struct fd_record *));
        record_count = larger;
    }
    return records[fd] = record;
}

enum wait_result fiber_wait_fd(int fd, int events, int64_t deadline)
{
    struct fiber *self = fiber_must_be_inside("fiber_wait_fd");
    struct fd_record *record = find(fd);
    if (!record && !(record = make(fd)))
        return WAIT_READY;
    if (((events & WAIT_READ) && record->reader) || ((events & WAIT_WRITE) && record->writer))
        log_panic("fiber %s: another fiber waits for descriptor %d", self->name, fd);
    if (events & WAIT_READ)
        record->reader = self;
    if (events & WAIT_WRITE)
        record->writer = self;
    if (events & ~record->armed)
        arm(record, wanted(record));
    uv_ref((uv_handle_t *)&record->poll);
    enum wait_result result = fiber_suspend(deadline);
    /* Meanwhile the descriptor may have been forgotten, and even be another one: look again. */
    record = find(fd);
    if (record) {
        if (record->reader == self)
            record->reader = NULL;
        if (record->writer == self)
            record->writer = NULL;
        if (!wanted(record))
            uv_unref((uv_handle_t *)&record->poll);
    }
    return result;
}

static void on_closed(uv_handle_t *handle)
{
    free(CONTAINER_OF((uv_poll_t *)handle, struct fd_record, poll));
}

void fiber_forget_fd(int fd)
{
    struct fd_record *record = find(fd);
    if (!record)
        return;
    records[fd] = NULL;
    wake_waiters(record, WAIT_READ | WAIT_WRITE, WAIT_CANCELLED);
    uv_close((uv_handle_t *)&record->poll, on_closed);
}

void wait_fd_discard(void)
{
    for (size_t fd = 0; fd < record_count; fd++)
        fiber_forget_fd((int)fd);
    free(records);
    records = NULL;
    record_count = 0;
}
