/* test_serve.c - a submitter's lane: accepted, refused, aborted, out of order */
#include "cleanup_testing.h"

#include "ipc/submit.h"
#include "net/address.h"

static struct config *config;
static struct cleanup *cleanup;
static char path[96];
static int listener;

static void serve_one(void *arg)
{
    struct service_context context = {.state = cleanup};
    struct service_client client = {.stream = arg};
    cleanup_serve(&context, &client);
}

static void accept_fiber(void *arg)
{
    for (;;) {
        if (fiber_wait_fd(listener, WAIT_READ, CLOCK_NEVER) != WAIT_READY)
            return;
        int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0)
            fiber_start("serve", serve_one, stream_new_fd(fd));
    }
}

static void start(void)
{
    static struct outcome ignored;
    config = config_empty();
    watched = &ignored;
    ck_assert(config_parse(config, slice_of(base_config), "base"));
    ck_assert(config_parse(config, SLICE("header_checks = inline:{ {Subject: no=REJECT} }\n"), "test"));
    cleanup = cleanup_new(config, 1);
    snprintf(spool, sizeof(spool), "/tmp/postern-cleanup-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(spool));
    struct segment_writer_options options = {.queue_directory = spool, .segment_size = 64 << 20, .large_content = 256 << 10};
    cleanup->writer = segment_writer_open(&options);
    snprintf(path, sizeof(path), "%s/cleanup", spool);
    struct net_address address;
    ck_assert(net_address_unix(&address, slice_of(path)));
    listener = net_listen(&address, 5);
    ck_assert_int_ge(listener, 0);
    fiber_start("accept", accept_fiber, NULL);
}

/* send - one message; returns the status and appends the reply to out. */
static int send_message(struct submit_pool *pool, const char *content, int repeat, struct buffer *out, char *queue_id)
{
    struct submission *s = submit_open(pool, clock_after(5 * MICROSECONDS));
    ck_assert_ptr_nonnull(s);
    snprintf(queue_id, QUEUE_ID_MAX, SLICE_FORMAT, SLICE_ARGS(submit_queue_id(s)));
    struct recipient recipient = {.address = SLICE("bob@lab.test")};
    struct envelope envelope = {.sender = SLICE("a@b.test"), .recipients = &recipient, .recipients_count = 1};
    struct submit_outcome outcome;
    struct arena *arena = arena_new(0);
    submit_envelope(s, &envelope, 0);
    for (int i = 0; i < repeat; i++)
        submit_content(s, slice_of(content));
    submit_finish(s, 0, arena, &outcome, clock_after(20 * MICROSECONDS));
    buffer_clear(out);
    buffer_printf(out, "%d " SLICE_FORMAT, outcome.reply_code, SLICE_ARGS(outcome.reply));
    int status = outcome.status;
    arena_free(arena);
    return status;
}

static void story(void *arg)
{
    start();
    struct submit_pool *pool = submit_pool_new(path);
    struct buffer reply = BUFFER_INIT;
    char first[QUEUE_ID_MAX], second[QUEUE_ID_MAX];
    ck_assert_int_eq(send_message(pool, "Subject: a\r\n\r\nbody\r\n", 1, &reply, first), SUBMIT_STATUS_ACCEPTED);
    ck_assert_int_eq(send_message(pool, "Subject: no\r\n\r\nbody\r\n", 1, &reply, second), SUBMIT_STATUS_REFUSED);
    ck_assert_str_ne(first, second);
    ck_assert_str_eq(buffer_string(&reply), "550 5.7.1 message content rejected");
    struct submission *s = submit_open(pool, clock_after(MICROSECONDS));
    snprintf(first, sizeof(first), SLICE_FORMAT, SLICE_ARGS(submit_queue_id(s)));
    submit_cancel(s);
    ck_assert_int_eq(send_message(pool, "Subject: big\r\n\r\n0123456789012345678901234567890123456789\r\n", 20000, &reply, second), SUBMIT_STATUS_ACCEPTED);
    ck_assert_str_ne(first, second);
    ck_assert_int_eq(send_message(pool, "0123456789012345678901234567890123456789\r\n", 300000, &reply, second), SUBMIT_STATUS_REFUSED);
    ck_assert_str_eq(buffer_string(&reply), "552 5.3.4 Error: message file too big");

    struct lane *lane = lane_connect(path, clock_after(MICROSECONDS)); /* an envelope without a queue id ends the lane */
    struct arena *arena = arena_new(0);
    struct submit_envelope envelope = {0};
    ck_assert_ptr_null(lane_call(lane, MESSAGE_submit_envelope, &envelope, -1, MESSAGE_submit_reply, arena, clock_after(MICROSECONDS)));
    lane_free(lane);
    arena_free(arena);
    submit_pool_free(pool);
    buffer_release(&reply);
    fiber_sleep(MICROSECONDS / 20);
    segment_writer_close(cleanup->writer);
    cleanup_free(cleanup);
    config_free(config);
    run_stop();
}

START_TEST(lanes)
{
    log_set_watcher(on_log, NULL);
    run_main(story, NULL);
    nftw(spool, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}
END_TEST

TEST_MAIN("cleanup/serve", lanes)
