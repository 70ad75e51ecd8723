/* test_worker.c - the skeleton as master sees it: notes, limits, draining, the sandbox */
#include "testing.h"

#include "service/service.h"
#include "worker_harness.h"

/* ---- the daemon: answers each line ---------------------------------------------------------------------------------- */

static void answer(struct service_context *context, struct service_client *client, struct slice line)
{
    struct stream *stream = client->stream;
    if (slice_equal(line, SLICE("who")))
        stream_printf(stream, "%s %s %u %s\n", context->service_name, context->transport, context->worker, client->socket_name);
    else if (slice_equal(line, SLICE("open")))
        stream_printf(stream, "%s\n", open("/etc/passwd", O_RDONLY) < 0 ? strerror(errno) : "opened");
    else if (slice_equal(line, SLICE("fork")))
        stream_printf(stream, "%s\n", fork() < 0 ? strerror(errno) : "forked");
    else if (slice_equal(line, SLICE("x")))
        stream_printf(stream, "x = %s\n", config_string(context->config, "x"));
    else if (slice_equal(line, SLICE("descriptors"))) {
        int open_ones = 0;
        for (int fd = 7; fd < 1000; fd++)
            open_ones += fcntl(fd, F_GETFL) >= 0 && !(fcntl(fd, F_GETFD) & FD_CLOEXEC);
        stream_printf(stream, "%d inherited\n", open_ones);
    } else if (slice_equal(line, SLICE("replace")))
        service_request_replacement("table x has changed");
    else if (slice_equal(line, SLICE("busy"))) {
        fiber_sleep(300 * 1000);
        stream_printf(stream, "done\n");
    } else
        stream_printf(stream, SLICE_FORMAT "!\n", SLICE_ARGS(line));
}

/* ---- "park": without a fiber for a moment ---- */

static struct run_timer *alarm_clock;
static void serve(struct service_context *context, struct service_client *client);

static void serve_again(struct service_context *context, struct service_client *client)
{
    stream_printf(client->stream, "awake\n");
    stream_flush(client->stream);
    serve(context, client);
}

static void on_alarm(void *arg)
{
    service_resume(arg, serve_again);
}

static void on_interrupted(struct service_client *client)
{
    run_timer_stop(alarm_clock);
    service_end(client);
}

static bool park(struct service_client *client)
{
    service_interruptible(client, INTERRUPTIBLE_AT_STOP);
    alarm_clock = run_timer_new(on_alarm, client);
    run_timer_set(alarm_clock, MICROSECONDS / 2, 0);
    return service_park(client, on_interrupted);
}

static void serve(struct service_context *context, struct service_client *client)
{
    struct slice line;
    stream_set_deadline(client->stream, clock_after(20 * MICROSECONDS));
    service_interruptible(client, INTERRUPTIBLE_AT_DRAIN);
    while (stream_read_line(client->stream, 100, &line) == LINE_LF) {
        service_interruptible(client, INTERRUPTIBLE_NEVER);
        if (slice_equal(line, SLICE("park")) && park(client))
            return;
        answer(context, client, line);
        stream_flush(client->stream);
        service_interruptible(client, INTERRUPTIBLE_AT_DRAIN);
    }
}

static void reload(struct service_context *context UNUSED) {}

static int daemon_main(int argc, char **argv)
{
    static struct service service = {.name = "testd", .serve = serve};
    const char *mode = argc > 1 ? argv[argc - 1] : "";
    service.flags = strcmp(mode, "one") == 0 ? 0 : SERVICE_MANY_CLIENTS;
    if (strcmp(mode, "sandbox") == 0)
        service.flags |= SERVICE_NO_FILES;
    if (strcmp(mode, "reloads") == 0) {
        service.flags |= SERVICE_RELOADS;
        service.reload = reload;
    }
    if (strcmp(mode, "single") == 0)
        service.flags |= SERVICE_SINGLE;
    return service_main(argc, argv, &service);
}

#define START(limit, ...)                 \
    struct worker worker;                 \
    harness_start(&worker, "x = from main.cf\nmax_use = 3\n", limit, (const char *const[]){__VA_ARGS__, NULL})

/* ---- the tests ------------------------------------------------------------------------------------------------------ */

START_TEST(serves_and_reports)
{
    START("2", "-n", "10.0.0.1:99", "-o", "x=over$myhostname", "many");
    ck_assert_int_eq(harness_note(&worker), CHANNEL_READY);
    int a = harness_connect(&worker);
    ck_assert_str_eq(harness_say(a, "who\n"), "10.0.0.1:99 99 7 sock\n");
    ck_assert_int_eq(harness_note(&worker), CHANNEL_SERVED);
    ck_assert_str_eq(harness_say(a, "x\n"), "x = overtest.example\n");
    ck_assert_str_eq(harness_say(a, "descriptors\n"), "0 inherited\n");
    int b = harness_connect(&worker);
    ck_assert_str_eq(harness_say(b, "hi\n"), "hi!\n");
    ck_assert_int_eq(harness_note(&worker), CHANNEL_FULL);
    close(a);
    ck_assert_int_eq(harness_note(&worker), CHANNEL_FREE);
    close(b);
    ck_assert(channel_send(worker.channel, CHANNEL_STOP, 0, -1));
    ck_assert_int_eq(harness_end(&worker), 0);
}
END_TEST

START_TEST(drains_idle_clients_and_finishes_busy_ones)
{
    START("100", "many");
    ck_assert_int_eq(harness_note(&worker), CHANNEL_READY);
    int idle = harness_connect(&worker), busy = harness_connect(&worker);
    ck_assert_str_eq(harness_say(idle, "a\n"), "a!\n");
    ck_assert_int_eq(write(busy, "busy\n", 5), 5);
    usleep(50000);
    ck_assert(channel_send(worker.channel, CHANNEL_RELOAD, 0, -1));
    ck_assert_str_eq(harness_say(idle, NULL), "");
    ck_assert_str_eq(harness_say(busy, NULL), "done\n");
    ck_assert_str_eq(harness_say(busy, NULL), "");
    ck_assert_int_eq(harness_end(&worker), 0);
}
END_TEST

START_TEST(clients_wait_without_a_fiber)
{
    START("100", "many");
    ck_assert_int_eq(harness_note(&worker), CHANNEL_READY);
    int parked = harness_connect(&worker), other = harness_connect(&worker);
    ck_assert_int_eq(write(parked, "park\n", 5), 5);
    ck_assert_str_eq(harness_say(other, "a\n"), "a!\n");
    ck_assert_str_eq(harness_say(parked, NULL), "awake\n");
    ck_assert_str_eq(harness_say(parked, "b\n"), "b!\n");
    ck_assert_int_eq(write(parked, "park\n", 5), 5);
    usleep(50000);
    ck_assert(channel_send(worker.channel, CHANNEL_RELOAD, 0, -1)); /* it may finish what it waits for */
    ck_assert_str_eq(harness_say(parked, NULL), "awake\n");
    ck_assert_int_eq(harness_end(&worker), 0);
}
END_TEST

START_TEST(a_stop_ends_clients_that_wait)
{
    START("100", "many");
    ck_assert_int_eq(harness_note(&worker), CHANNEL_READY);
    int parked = harness_connect(&worker);
    ck_assert_int_eq(write(parked, "park\n", 5), 5);
    usleep(50000);
    ck_assert(channel_send(worker.channel, CHANNEL_STOP, 0, -1));
    ck_assert_str_eq(harness_say(parked, NULL), "");
    ck_assert_int_eq(harness_end(&worker), 0);
}
END_TEST

START_TEST(ends_when_master_is_gone)
{
    START("100", "many");
    ck_assert_int_eq(harness_note(&worker), CHANNEL_READY);
    int busy = harness_connect(&worker);
    ck_assert_int_eq(write(busy, "busy\n", 5), 5);
    usleep(50000);
    shutdown(worker.channel, SHUT_RDWR);
    ck_assert_str_eq(harness_say(busy, NULL), "done\n");
    ck_assert_int_eq(harness_end(&worker), 0);
}
END_TEST

START_TEST(one_client_at_a_time_and_max_use)
{
    START("0", "one");
    ck_assert_int_eq(harness_note(&worker), CHANNEL_READY);
    for (int i = 0; i < 3; i++) {
        int fd = harness_connect(&worker);
        ck_assert_str_eq(harness_say(fd, "a\n"), "a!\n");
        if (i == 0)
            ck_assert_int_eq(harness_note(&worker), CHANNEL_SERVED);
        ck_assert_int_eq(harness_note(&worker), CHANNEL_FULL);
        close(fd);
        if (i < 2)
            ck_assert_int_eq(harness_note(&worker), CHANNEL_FREE);
    }
    ck_assert_int_eq(harness_end(&worker), 0);
}
END_TEST

START_TEST(reloads_in_place)
{
    START("100", "reloads");
    char path[100];
    ck_assert_int_eq(harness_note(&worker), CHANNEL_READY);
    int fd = harness_connect(&worker);
    ck_assert_str_eq(harness_say(fd, "x\n"), "x = from main.cf\n");
    snprintf(path, sizeof(path), "%s/main.cf", worker.directory);
    char text[300];
    snprintf(text, sizeof(text), "mail_owner = nobody\nqueue_directory = %s\nmyhostname = test.example\nx = changed\n", worker.directory);
    harness_write(path, text);
    ck_assert(channel_send(worker.channel, CHANNEL_RELOAD, 0, -1));
    usleep(200000);
    ck_assert_str_eq(harness_say(fd, "x\n"), "x = changed\n");
    ck_assert(channel_send(worker.channel, CHANNEL_STOP, 0, -1));
    ck_assert_int_eq(harness_end(&worker), 0);
}
END_TEST

START_TEST(asks_for_a_replacement_once)
{
    START("100", "many");
    ck_assert_int_eq(harness_note(&worker), CHANNEL_READY);
    int fd = harness_connect(&worker);
    ck_assert_int_eq(write(fd, "replace\nreplace\n", 16), 16);
    ck_assert_int_eq(harness_note(&worker), CHANNEL_SERVED);
    ck_assert_int_eq(harness_note(&worker), CHANNEL_REPLACE);
    ck_assert(channel_send(worker.channel, CHANNEL_DRAIN, 0, -1));
    ck_assert_int_eq(harness_note(&worker), 0);
    ck_assert_int_eq(harness_end(&worker), 0);
}
END_TEST

/* pass_descriptor - as postscreen hands a connection over: one byte and the socket. */
static void pass_descriptor(int over, int fd)
{
    union {
        char space[CMSG_SPACE(sizeof(int))];
        struct cmsghdr align;
    } control = {0};
    struct iovec iov = {.iov_base = "x", .iov_len = 1};
    struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.space, .msg_controllen = sizeof(control.space)};
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(header), &fd, sizeof(int));
    ck_assert_int_eq(sendmsg(over, &message, 0), 1);
}

START_TEST(takes_passed_connections)
{
    START("100", "-t", "pass", "many");
    int pair[2];
    ck_assert_int_eq(harness_note(&worker), CHANNEL_READY);
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    int over = harness_connect(&worker);
    pass_descriptor(over, pair[1]);
    close(pair[1]);
    ck_assert_str_eq(harness_say(pair[0], "a\n"), "a!\n");
    /* One that brings nothing is dropped. */
    int empty = harness_connect(&worker);
    ck_assert_int_eq(write(empty, "xx", 2), 2);
    shutdown(empty, SHUT_WR);
    ck_assert_str_eq(harness_say(empty, NULL), "");
    ck_assert(channel_send(worker.channel, CHANNEL_STOP, 0, -1));
    ck_assert_int_eq(harness_end(&worker), 0);
}
END_TEST

START_TEST(refuses_a_wrong_process_limit)
{
    START("100", "single");
    ck_assert_int_eq(harness_note(&worker), 0);
    ck_assert_int_eq(WEXITSTATUS(harness_end(&worker)), 1);
}
END_TEST

#if !defined(__SANITIZE_ADDRESS__)
START_TEST(the_sandbox_holds)
{
    START("100", "sandbox");
    ck_assert_int_eq(harness_note(&worker), CHANNEL_READY);
    int fd = harness_connect(&worker);
    ck_assert_str_eq(harness_say(fd, "open\n"), "Operation not permitted\n");
    ck_assert_str_eq(harness_say(fd, "fork\n"), "Operation not permitted\n");
    ck_assert_str_eq(harness_say(fd, "who\n"), "testd testd 7 sock\n");
    ck_assert(channel_send(worker.channel, CHANNEL_STOP, 0, -1));
    ck_assert_int_eq(harness_end(&worker), 0);
}
END_TEST
#define SANDBOX_TESTS , the_sandbox_holds
#else
#define SANDBOX_TESTS
#endif

TEST_MAIN("service/worker", serves_and_reports, drains_idle_clients_and_finishes_busy_ones,
          clients_wait_without_a_fiber, a_stop_ends_clients_that_wait, ends_when_master_is_gone,
          one_client_at_a_time_and_max_use, reloads_in_place, asks_for_a_replacement_once, takes_passed_connections, refuses_a_wrong_process_limit SANDBOX_TESTS)
