/* wakeup.c - the wakeup column: a trigger byte to the service every so many seconds */
#include <fcntl.h>
#include <sys/socket.h>

#include "master.h"

static const char trigger[] = {'W'};

static void wake_local(const struct service_entry *service)
{
    const struct net_address *address = &service->sockets[0].address;
    int type = service->line->type == SERVICE_UNIX_DGRAM ? SOCK_DGRAM : SOCK_STREAM;
    int fd = socket(AF_UNIX, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return;
    /* A full backlog means that the service has work enough. */
    if (connect(fd, &address->u.any, address->len) == 0 && send(fd, trigger, sizeof(trigger), MSG_NOSIGNAL) < 0)
        log_warning("wakeup of service %s: %s", service->line->name, strerror(errno));
    close(fd);
}

static void on_wakeup(void *arg)
{
    struct service_entry *service = arg;
    if (service->throttled || service->socket_count == 0)
        return;
    if (service->line->type == SERVICE_FIFO && service->program->kind == PROGRAM_ONE_CLIENT) {
        if (write(service->sockets[0].fd, trigger, sizeof(trigger)) < 0 && errno != EAGAIN)
            log_warning("wakeup of service %s: %s", service->line->name, strerror(errno));
    } else if (service->path) {
        wake_local(service);
    }
}

void wakeup_start(struct service_entry *service, bool at_once)
{
    int64_t interval = service->line->wakeup * MICROSECONDS;
    bool starts_something = service->program->kind <= PROGRAM_SINGLE;
    if (interval <= 0 || !starts_something || service->wakeup || (service->line->wakeup_after_use && !service->used))
        return;
    service->wakeup = run_timer_new(on_wakeup, service);
    run_timer_set(service->wakeup, at_once ? 0 : interval, interval);
}

void wakeup_stop(struct service_entry *service)
{
    if (!service->wakeup)
        return;
    run_timer_free(service->wakeup);
    service->wakeup = NULL;
}
