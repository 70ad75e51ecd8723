/* stand_alone.c - one dialogue on standard input and output

   Either may be a file, a pipe or a terminal, so the transport blocks in poll; nobody else is served meanwhile. */
#include <poll.h>

#include "base/log.h"
#include "service/stand_alone.h"

/* wait_standard - until the descriptor is ready; false at the deadline. */
static bool wait_standard(int fd, short events, int64_t deadline)
{
    struct pollfd ready = {.fd = fd, .events = events};
    for (;;) {
        int64_t left = deadline == CLOCK_NEVER ? -1 : (deadline - clock_monotonic()) / 1000;
        if (deadline != CLOCK_NEVER && left < 0)
            return false;
        int n = poll(&ready, 1, left > INT_MAX ? INT_MAX : (int)left);
        if (n != 0 && !(n < 0 && errno == EINTR))
            return true;
    }
}

static ssize_t read_standard(void *context UNUSED, void *data, size_t len, int64_t deadline, enum stream_error *error)
{
    ssize_t n = -1;
    do {
        if (!wait_standard(STDIN_FILENO, POLLIN, deadline)) {
            *error = STREAM_TIMEOUT;
            return -1;
        }
        n = read(STDIN_FILENO, data, len);
    } while (n < 0 && (errno == EINTR || errno == EAGAIN));
    if (n < 0)
        *error = STREAM_LOST;
    return n;
}

static ssize_t write_standard(void *context UNUSED, const void *data, size_t len, int64_t deadline, enum stream_error *error)
{
    ssize_t n = -1;
    do {
        if (!wait_standard(STDOUT_FILENO, POLLOUT, deadline)) {
            *error = STREAM_TIMEOUT;
            return -1;
        }
        n = write(STDOUT_FILENO, data, len);
    } while (n < 0 && (errno == EINTR || errno == EAGAIN));
    if (n < 0)
        *error = STREAM_LOST;
    return n;
}

static void close_standard(void *context UNUSED) {}

static bool pending_standard(void *context UNUSED)
{
    struct pollfd ready = {.fd = STDIN_FILENO, .events = POLLIN};
    return poll(&ready, 1, 0) > 0;
}

static const struct stream_transport standard_transport = {
    .read = read_standard, .write = write_standard, .close = close_standard, .pending = pending_standard};

struct dialogue {
    const struct service *service;
    struct service_context *context;
    int status;
};

static void hold_dialogue(void *arg)
{
    struct dialogue *dialogue = arg;
    struct stream *stream = stream_new(&standard_transport, NULL);
    if (dialogue->service->open)
        dialogue->service->open(dialogue->context);
    dialogue->status = dialogue->service->stand_alone(dialogue->context, stream);
    stream_flush(stream);
    stream_free(stream);
}

int stand_alone_dialogue(const struct service *service, struct service_context *context)
{
    struct dialogue dialogue = {.service = service, .context = context};
    run_main(hold_dialogue, &dialogue);
    log_flush();
    return dialogue.status;
}
