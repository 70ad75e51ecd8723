/* test_notify.c - telling qmgr: nobody waits for it, and the latest arrival always gets there */
#include "testing.h"

#include <sys/stat.h>

#include "../../../qmgr/cleanup/notify.h"
#include "ipc/lane.h"
#include "net/address.h"
#include "run/run.h"

static char directory[64], path[96];
static struct notifier *notifier;

static char sender[1000]; /* fills the socket sooner */

static void tell(int64_t segment)
{
    struct arena *arena = arena_new(0);
    struct queue_arrival *arrival = arena_alloc(arena, sizeof(*arrival));
    arrival->segment = segment;
    arrival->envelope.queue_id = arena_slice(arena, SLICE("ABC"));
    arrival->envelope.sender = slice_of(sender);
    notifier_tell(notifier, arena, arrival);
}

static int start_listening(void)
{
    struct net_address address;
    ck_assert(net_address_unix(&address, slice_of(path)));
    int fd = net_listen(&address, 5);
    ck_assert_int_ge(fd, 0);
    return fd;
}

static struct lane *accept_lane(int listener)
{
    ck_assert_int_eq(fiber_wait_fd(listener, WAIT_READ, clock_after(5 * MICROSECONDS)), WAIT_READY);
    int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    ck_assert_int_ge(fd, 0);
    struct lane *lane = lane_accept(stream_new_fd(fd), clock_after(5 * MICROSECONDS));
    ck_assert_ptr_nonnull(lane);
    return lane;
}

static int64_t next_arrival(struct lane *lane)
{
    static struct arena *arena;
    void *value;
    arena_free(arena);
    arena = arena_new(0);
    int type = lane_receive(lane, arena, &value, clock_after(3 * MICROSECONDS));
    return type == MESSAGE_queue_arrival ? ((struct queue_arrival *)value)->segment : -1;
}

static void story(void *arg)
{
    notifier = notifier_start(path);
    for (int64_t i = 1; i <= 3; i++)
        tell(i);
    fiber_sleep(MICROSECONDS / 10);
    tell(4); /* while it waits to try again */
    int listener = start_listening();
    struct lane *lane = accept_lane(listener);
    ck_assert_int_eq(next_arrival(lane), 3); /* 1 and 2 will be found by qmgr itself */
    ck_assert_int_eq(next_arrival(lane), 4);
    tell(5);
    tell(6);
    ck_assert_int_eq(next_arrival(lane), 5);
    ck_assert_int_eq(next_arrival(lane), 6);
    lane_free(lane); /* qmgr dies and comes back */
    tell(7);
    lane = accept_lane(listener);
    ck_assert_int_eq(next_arrival(lane), 7);
    notifier_finish(notifier, clock_after(MICROSECONDS));
    lane_free(lane);
    fiber_forget_fd(listener);
    close(listener);
}

START_TEST(the_latest_gets_there)
{
    snprintf(directory, sizeof(directory), "/tmp/postern-notify-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(directory));
    snprintf(path, sizeof(path), "%s/qmgr", directory);
    run_main(story, NULL);
    unlink(path);
    rmdir(directory);
}
END_TEST

static const int64_t long_patience = 30 * MICROSECONDS; /* a wait would take all of it */

/* Mail is let in slower when qmgr does not keep up, not when it is away. */
static void slow_story(void *arg)
{
    memset(sender, 'x', sizeof(sender) - 1);
    notifier = notifier_start(path);
    for (int64_t i = 0; i < 600; i++)
        tell(i);
    fiber_sleep(MICROSECONDS / 20);
    int64_t begin = clock_monotonic();
    notifier_wait(notifier, long_patience);
    ck_assert_int_lt(clock_monotonic() - begin, long_patience); /* it is away */
    int listener = start_listening();
    struct lane *lane = accept_lane(listener);
    ck_assert_int_eq(next_arrival(lane), 599);
    int64_t count = 0;
    for (; count < 5000; count++) {
        tell(count);
        if (count % 100 == 0)
            fiber_yield();
    }
    begin = clock_monotonic();
    notifier_wait(notifier, 0);
    ck_assert_int_lt(clock_monotonic() - begin, long_patience);
    begin = clock_monotonic();
    notifier_wait(notifier, 200000);
    ck_assert_int_ge(clock_monotonic() - begin, 200000);
    ck_assert_int_eq(next_arrival(lane), 0); /* it reads again */
    while (next_arrival(lane) < 4999)
        ;
    begin = clock_monotonic();
    notifier_wait(notifier, long_patience);
    ck_assert_int_lt(clock_monotonic() - begin, long_patience);
    notifier_finish(notifier, clock_after(MICROSECONDS));
    lane_free(lane);
    fiber_forget_fd(listener);
    close(listener);
}

START_TEST(a_slow_qmgr_is_waited_for)
{
    snprintf(directory, sizeof(directory), "/tmp/postern-notify-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(directory));
    snprintf(path, sizeof(path), "%s/qmgr", directory);
    run_main(slow_story, NULL);
    unlink(path);
    rmdir(directory);
}
END_TEST

TEST_MAIN("cleanup/notify", the_latest_gets_there, a_slow_qmgr_is_waited_for)
