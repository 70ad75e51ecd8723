/* test_lane.c - lanes: hello, requests and replies, open files, broken lanes */
#include "testing.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include "base/cursor.h"
#include "base/log.h"
#include "ipc/lane.h"
#include "net/address.h"
#include "run/run.h"

static char directory[] = "/tmp/postern-test-XXXXXX";
static char path[64];
static int listener;
static struct arena *arena;

static int64_t soon(void)
{
    return clock_after(5 * MICROSECONDS);
}

static struct stream *accept_stream(void)
{
    int fd;
    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) < 0)
        ck_assert_int_eq(fiber_wait_fd(listener, WAIT_READ, soon()), WAIT_READY);
    return stream_new_fd(fd);
}

/* A test: one function serves, one asks. */
struct pair {
    void (*serve)(void);
    void (*ask)(void);
};

static void serve_fiber(void *arg)
{
    ((struct pair *)arg)->serve();
}

static void pair_main(void *arg)
{
    struct pair *pair = arg;
    struct net_address address;
    ck_assert_ptr_nonnull(mkdtemp(directory));
    snprintf(path, sizeof(path), "%s/lane", directory);
    ck_assert(net_address_unix(&address, slice_of(path)));
    listener = net_listen(&address, 10);
    ck_assert_int_ge(listener, 0);
    arena = arena_new(0);
    fiber_start("serve", serve_fiber, pair);
    pair->ask();
    while (fiber_count() > 1)
        fiber_sleep(1000);
    arena_free(arena);
    fiber_forget_fd(listener);
    close(listener);
    unlink(path);
    rmdir(directory);
}

static void run_pair(void (*serve)(void), void (*ask)(void))
{
    struct pair pair = {serve, ask};
    run_main(pair_main, &pair);
}

/* ---- the ordinary course -------------------------------------------------------------------------------------------- */

static void serve_anvil(void)
{
    struct arena *mine = arena_new(0);
    struct lane *lane = lane_accept(accept_stream(), soon());
    ck_assert_ptr_nonnull(lane);
    ck_assert_uint_eq(lane_peer_uid(lane), getuid());
    void *value;
    int type;
    while ((type = lane_receive(lane, mine, &value, soon())) > 0) {
        ck_assert_int_eq(type, MESSAGE_anvil_request);
        struct anvil_request *request = value;
        struct anvil_reply reply = {.connections = request->verb, .rate = (int64_t)request->ident.len};
        lane_send(lane, MESSAGE_anvil_reply, &reply, -1);
        ck_assert(lane_flush(lane, soon()));
        arena_reset(mine);
    }
    ck_assert_int_eq(type, -1);
    ck_assert(lane_is_broken(lane));
    lane_free(lane);
    arena_free(mine);
}

static void ask_anvil(void)
{
    void *nothing;
    struct lane *lane = lane_connect(path, soon());
    ck_assert_ptr_nonnull(lane);
    for (int i = 1; i < 100; i++) {
        struct anvil_request request = {.verb = i, .ident = SLICE("smtp:192.0.2.1")};
        struct anvil_reply *reply =
            lane_call(lane, MESSAGE_anvil_request, &request, -1, MESSAGE_anvil_reply, arena, soon());
        ck_assert_ptr_nonnull(reply);
        ck_assert_int_eq(reply->connections, i);
        ck_assert_int_eq(reply->rate, 14);
    }
    ck_assert_int_eq(lane_receive(lane, arena, &nothing, clock_after(2000)), 0); /* nothing came; not broken */
    ck_assert(!lane_is_idle_broken(lane));
    lane_free(lane);
}

START_TEST(requests_and_replies)
{
    run_pair(serve_anvil, ask_anvil);
}
END_TEST

/* ---- open files and much data --------------------------------------------------------------------------------------- */

enum { REQUESTS = 40 };

static void serve_files(void)
{
    struct lane *lane = lane_accept(accept_stream(), soon());
    for (int i = 0; i < REQUESTS; i++) {
        struct arena *mine = arena_new(0);
        void *value;
        ck_assert_int_eq(lane_receive(lane, mine, &value, soon()), MESSAGE_delivery_request);
        struct delivery_request *request = value;
        ck_assert_int_eq(request->content_key, i);
        ck_assert_uint_eq(request->next_hop.len, 30000);
        int fd = lane_take_fd(lane);
        if (request->content_attached) {
            char text[8] = "";
            ck_assert_int_eq(pread(fd, text, sizeof(text), 0), 4);
            ck_assert_int_eq(strtol(text, NULL, 10), 1000 + i); /* its own file, not another's */
            if (i % 3)
                close(fd);
        } else {
            ck_assert_int_eq(fd, -1);
        }
        if (request->content_attached && i % 3 == 0)
            close(fd);
        arena_free(mine);
    }
    lane_free(lane);
}

static int file_with(int number)
{
    int fd = memfd_create("test", MFD_CLOEXEC);
    dprintf(fd, "%d", number);
    return fd;
}

static void ask_files(void)
{
    static char text[30000];
    int fds[REQUESTS];
    memset(text, 'x', sizeof(text));
    struct lane *lane = lane_connect(path, soon());
    for (int i = 0; i < REQUESTS; i++) {
        struct delivery_request request = {.content_key = i, .content_attached = i % 4 != 0};
        request.next_hop = slice_make(text, sizeof(text));
        fds[i] = request.content_attached ? file_with(1000 + i) : -1;
        lane_send(lane, MESSAGE_delivery_request, &request, fds[i]);
    }
    ck_assert(lane_flush(lane, soon()));
    for (int i = 0; i < REQUESTS; i++)
        close(fds[i]);
    fiber_sleep(5000);
    while (!lane_is_idle_broken(lane))
        fiber_sleep(1000);
    lane_free(lane);
}

START_TEST(files_travel_with_their_message)
{
    run_pair(serve_files, ask_files);
}
END_TEST

static void serve_small_files(void)
{
    struct lane *lane = lane_accept(accept_stream(), soon());
    fiber_sleep(5000); /* all of it lies in the socket by now */
    for (int i = 0; i < REQUESTS; i++) {
        char text[8] = "";
        void *value;
        ck_assert_int_eq(lane_receive(lane, arena, &value, soon()), MESSAGE_delivery_request);
        int fd = lane_take_fd(lane);
        ck_assert_int_eq(pread(fd, text, sizeof(text), 0), 4);
        ck_assert_int_eq(strtol(text, NULL, 10), 1000 + i);
        close(fd);
    }
    lane_free(lane);
}

static void ask_small_files(void)
{
    int fds[REQUESTS];
    struct lane *lane = lane_connect(path, soon());
    for (int i = 0; i < REQUESTS; i++) {
        struct delivery_request request = {.content_key = i, .content_attached = true};
        fds[i] = file_with(1000 + i);
        lane_send(lane, MESSAGE_delivery_request, &request, fds[i]);
    }
    ck_assert(lane_flush(lane, soon()));
    for (int i = 0; i < REQUESTS; i++)
        close(fds[i]);
    fiber_sleep(20000);
    lane_free(lane);
}

START_TEST(many_files_at_once)
{
    run_pair(serve_small_files, ask_small_files);
}
END_TEST

/* ---- trouble -------------------------------------------------------------------------------------------------------- */

static char logged[300];

static void keep_log(enum log_severity severity UNUSED, const char *text, void *context UNUSED)
{
    snprintf(logged, sizeof(logged), "%s", text);
}

static void expect_no_lane(void)
{
    ck_assert_ptr_null(lane_accept(accept_stream(), soon()));
}

static void send_raw(struct slice bytes)
{
    struct net_address address;
    ck_assert(net_address_unix(&address, slice_of(path)));
    struct stream *s = stream_new_fd(net_connect(&address, NULL, soon()));
    stream_set_deadline(s, soon());
    stream_write_slice(s, bytes);
    stream_flush(s);
    stream_read_some(s, 100);
    stream_free(s);
}

static void ask_nonsense(void)
{
    send_raw(SLICE("GET / HTTP/1.0\r\n\r\n"));
}

START_TEST(refuses_what_is_no_lane)
{
    run_pair(expect_no_lane, ask_nonsense);
}
END_TEST

static void ask_other_version(void)
{
    send_raw(slice_make("\xf0PL\x09\x01\x00\x00\x00\x03old", 12));
}

START_TEST(refuses_another_version)
{
    log_set_watcher(keep_log, NULL);
    run_pair(expect_no_lane, ask_other_version);
    ck_assert_ptr_nonnull(strstr(logged, "protocol version 9"));
}
END_TEST

static void expect_malformed(void)
{
    void *value;
    struct lane *lane = lane_accept(accept_stream(), soon());
    ck_assert_ptr_nonnull(lane);
    ck_assert_int_eq(lane_receive(lane, arena, &value, soon()), -1);
    ck_assert(lane_is_broken(lane));
    ck_assert_int_eq(lane_receive(lane, arena, &value, soon()), -1);
    ck_assert(!lane_flush(lane, soon()));
    lane_free(lane);
}

#define HELLO "\xf0PL\x02\x01\x00\x00\x00\x03tst"

static const struct slice bad_frames[] = {
    {HELLO "\x02\x00\x00\x00\xff\x7f", 18},             /* unknown message */
    {HELLO "\x02\x00\x00\x00\x00\x00", 18},             /* number 0 */
    {HELLO "\x01\x00\x00\x00\x01\x00", 18},             /* too short */
    {HELLO "\xff\xff\xff\xff\x01\x00", 18},             /* too long */
    {HELLO "\x04\x00\x00\x00\x0f\x00\x01\x50", 20},     /* malformed fields */
    {HELLO "\x02\x00\x00\x00\x09\x80", 18},             /* the file is missing */
};
static size_t frame;

static void ask_bad_frame(void)
{
    send_raw(bad_frames[frame]);
}

START_TEST(malformed_frames_break_the_lane)
{
    log_set_watcher(keep_log, NULL);
    for (frame = 0; frame < COUNT_OF(bad_frames); frame++) {
        snprintf(directory, sizeof(directory), "/tmp/postern-test-XXXXXX");
        logged[0] = '\0';
        run_pair(expect_malformed, ask_bad_frame);
        ck_assert_msg(strstr(logged, "lane to tst[1]: "), "frame %zu: logged \"%s\"", frame, logged);
    }
}
END_TEST

static void serve_and_die(void)
{
    void *value;
    struct lane *lane = lane_accept(accept_stream(), soon());
    ck_assert_int_eq(lane_receive(lane, arena, &value, soon()), MESSAGE_anvil_request);
    lane_free(lane);
}

static void ask_the_dead(void)
{
    struct anvil_request request = {.verb = 1};
    struct lane *lane = lane_connect(path, soon());
    ck_assert_ptr_null(lane_call(lane, MESSAGE_anvil_request, &request, -1, MESSAGE_anvil_reply, arena, soon()));
    ck_assert(lane_is_broken(lane));
    lane_free(lane);
}

START_TEST(a_dead_peer_breaks_the_lane)
{
    run_pair(serve_and_die, ask_the_dead);
}
END_TEST

static void serve_nothing(void)
{
    struct lane *lane = lane_accept(accept_stream(), soon());
    fiber_sleep(MICROSECONDS / 20);
    lane_free(lane);
}

static void ask_impatiently(void)
{
    struct anvil_request request = {.verb = 1};
    struct lane *lane = lane_connect(path, soon());
    ck_assert_ptr_null(lane_call(lane, MESSAGE_anvil_request, &request, -1, MESSAGE_anvil_reply, arena, clock_after(2000)));
    ck_assert(lane_is_broken(lane));
    lane_free(lane);
    unlink(path);
    ck_assert_ptr_null(lane_connect(path, soon()));
    ck_assert_int_eq(errno, ENOENT);
}

START_TEST(a_late_reply_breaks_the_lane)
{
    run_pair(serve_nothing, ask_impatiently);
}
END_TEST

TEST_MAIN("ipc/lane", requests_and_replies, files_travel_with_their_message, many_files_at_once, refuses_what_is_no_lane,
          refuses_another_version, malformed_frames_break_the_lane, a_dead_peer_breaks_the_lane, a_late_reply_breaks_the_lane)
