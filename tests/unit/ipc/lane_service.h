/* lane_service.h - a service for tests of its clients: accepts lanes at a path; what a lane does is the test's (serve_lane) */
#ifndef POSTERN_TESTS_IPC_LANE_SERVICE_H
#define POSTERN_TESTS_IPC_LANE_SERVICE_H

#include "net/address.h"
#include "run/run.h"

static int listener = -1;
static bool stopping;

static void serve_lane(void *stream);

static void serve(void *arg UNUSED)
{
    while (!stopping) {
        if (fiber_wait_fd(listener, WAIT_READ, clock_after(5000)) != WAIT_READY)
            continue;
        int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0)
            fiber_start("lane", serve_lane, stream_new_fd(fd));
    }
}

static void service_start(const char *path)
{
    struct net_address address;

    ck_assert(net_address_unix(&address, slice_of(path)));
    listener = net_listen(&address, 10);
    ck_assert_int_ge(listener, 0);
    fiber_start("serve", serve, NULL);
}

/* service_end - when all its fibers are over. */
static void service_end(const char *path)
{
    stopping = true;
    while (fiber_count() > 1)
        fiber_sleep(1000);
    if (listener >= 0) {
        fiber_forget_fd(listener);
        close(listener);
    }
    unlink(path);
}

#endif
