/* test_submit.c - the client stub of cleanup against a scripted cleanup */
#include "testing.h"

#include <sys/socket.h>

#include "base/log.h"
#include "ipc/submit.h"
#include "lane_service.h"

static char directory[] = "/tmp/postern-test-XXXXXX";
static char path[64];
static struct arena *arena;

/* What the scripted cleanup saw. */
static unsigned lanes, opened, aborted, accepted;
static int64_t next_id = 100;
static bool die_at_end;
static struct buffer content;
static size_t recipients_seen;

static int64_t soon(void)
{
    return clock_after(5 * MICROSECONDS);
}

static struct slice new_id(struct arena *mine)
{
    return arena_format(mine, "ID%d", (int)next_id++);
}

/* answer - one message of a lane; false ends the lane. */
static bool answer(struct lane *lane, struct arena *mine, int type, void *value)
{
    switch (type) {
    case MESSAGE_submit_open: {
        struct submit_opened reply = {new_id(mine)};
        opened++;
        lane_send(lane, MESSAGE_submit_opened, &reply, -1);
        return lane_flush(lane, soon());
    }
    case MESSAGE_submit_envelope:
        buffer_clear(&content);
        recipients_seen = ((struct submit_envelope *)value)->envelope.recipients_count;
        return true;
    case MESSAGE_submit_content:
        buffer_append_slice(&content, ((struct submit_content *)value)->data);
        return true;
    case MESSAGE_submit_abort:
        aborted++;
        return true;
    case MESSAGE_submit_end: {
        struct submit_reply reply = {.status = SUBMIT_STATUS_REFUSED, .reply_code = 550, .reply = SLICE("5.7.1 no")};
        if (die_at_end)
            return false;
        if (((struct submit_end *)value)->message_size == (int64_t)content.len) {
            reply = (struct submit_reply){.next_queue_id = new_id(mine)};
            accepted++;
        }
        lane_send(lane, MESSAGE_submit_reply, &reply, -1);
        return lane_flush(lane, soon());
    }
    default:
        return false;
    }
}

static void serve_lane(void *arg)
{
    struct arena *mine = arena_new(0);
    struct lane *lane = lane_accept(arg, soon());
    void *value;
    int type;
    lanes++;
    while (lane && (type = lane_receive(lane, mine, &value, soon())) > 0 && answer(lane, mine, type, value))
        arena_reset(mine);
    lane_free(lane);
    arena_free(mine);
}

static void test_main(void *arg)
{
    ck_assert_ptr_nonnull(mkdtemp(directory));
    snprintf(path, sizeof(path), "%s/cleanup", directory);
    arena = arena_new(0);
    service_start(path);
    struct submit_pool *pool = submit_pool_new(path);
    ((void (*)(struct submit_pool *))(*(void **)arg))(pool);
    submit_pool_free(pool);
    service_end(path);
    arena_free(arena);
    buffer_release(&content);
    rmdir(directory);
}

static void run_with(void (*ask)(struct submit_pool *pool))
{
    void *pointer = (void *)ask;
    run_main(test_main, &pointer);
}

/* submit - one transaction of size bytes of content in pieces. */
static struct submit_outcome submit(struct submit_pool *pool, size_t size, size_t piece, int64_t claimed)
{
    static char data[200000];
    struct recipient to[2] = {{.address = SLICE("a@example.com")}, {.address = SLICE("b@example.com")}};
    struct envelope envelope = {.sender = SLICE("s@example.com"), .recipients = to, .recipients_count = 2};
    struct submit_outcome outcome;
    struct submission *s = submit_open(pool, soon());
    ck_assert_ptr_nonnull(s);
    envelope.queue_id = submit_queue_id(s);
    ck_assert(slice_starts(envelope.queue_id, SLICE("ID")));
    submit_envelope(s, &envelope, 0);
    for (size_t i = 0; i < size; i++)
        data[i] = (char)(i % 251);
    for (size_t at = 0; at < size; at += piece)
        submit_content(s, slice_make(data + at, size - at < piece ? size - at : piece));
    submit_finish(s, claimed, arena, &outcome, soon());
    return outcome;
}

static void expect_content(size_t size)
{
    size_t wrong = 0;
    ck_assert_uint_eq(content.len, size);
    for (size_t i = 0; i < size; i++)
        wrong += content.data[i] != (char)(i % 251);
    ck_assert_uint_eq(wrong, 0);
}

static void ask_in_turn(struct submit_pool *pool)
{
    static const size_t sizes[][2] = {{0, 1}, {10, 10}, {100000, 70}, {200000, 200000}, {200000, 33000}, {199999, 32768}, {90000, 20000}};
    for (size_t i = 0; i < COUNT_OF(sizes); i++) {
        struct submit_outcome outcome = submit(pool, sizes[i][0], sizes[i][1], (int64_t)sizes[i][0]);
        ck_assert_int_eq(outcome.status, SUBMIT_STATUS_ACCEPTED);
        ck_assert_uint_eq(recipients_seen, 2);
        expect_content(sizes[i][0]);
    }
    ck_assert_uint_eq(lanes, 1);
    ck_assert_uint_eq(opened, 1); /* later queue ids came with the replies */
}

START_TEST(one_lane_serves_many)
{
    run_with(ask_in_turn);
}
END_TEST

static void ask_refused(struct submit_pool *pool)
{
    struct submit_outcome outcome = submit(pool, 10, 10, 11);
    ck_assert_int_eq(outcome.status, SUBMIT_STATUS_REFUSED);
    ck_assert_int_eq(outcome.reply_code, 550);
    ASSERT_SLICE(outcome.reply, "5.7.1 no");
    /* The refusal reserved no queue id: the next transaction asks for one. */
    ck_assert_int_eq(submit(pool, 10, 10, 10).status, SUBMIT_STATUS_ACCEPTED);
    ck_assert_uint_eq(opened, 2);
    ck_assert_uint_eq(lanes, 1);
}

START_TEST(refusals_are_told)
{
    run_with(ask_refused);
}
END_TEST

static void ask_cancelled(struct submit_pool *pool)
{
    struct submission *s = submit_open(pool, soon());
    char id[64];
    snprintf(id, sizeof(id), SLICE_FORMAT, SLICE_ARGS(submit_queue_id(s)));
    submit_content(s, SLICE("half of it"));
    submit_cancel(s);
    submit_cancel(NULL);
    s = submit_open(pool, soon());
    ck_assert(!slice_equal(submit_queue_id(s), slice_of(id)));
    ck_assert_uint_eq(aborted, 1);
    submit_cancel(s);
    ck_assert_uint_eq(lanes, 1);
}

START_TEST(cancelled_ids_are_not_reused)
{
    run_with(ask_cancelled);
}
END_TEST

static void keep_log(enum log_severity severity UNUSED, const char *text UNUSED, void *context)
{
    ++*(int *)context;
}

static void ask_the_dying(struct submit_pool *pool)
{
    int warnings = 0;
    log_set_watcher(keep_log, &warnings);
    die_at_end = true;
    struct submit_outcome outcome = submit(pool, 10, 10, 10);
    ck_assert_int_eq(outcome.status, SUBMIT_STATUS_TEMPORARY);
    ck_assert_int_eq(outcome.reply_code, 451);
    ck_assert_int_eq(warnings, 1);
    die_at_end = false;
    ck_assert_int_eq(submit(pool, 10, 10, 10).status, SUBMIT_STATUS_ACCEPTED);
    ck_assert_uint_eq(lanes, 2);
    log_set_watcher(NULL, NULL);
}

START_TEST(a_dead_cleanup_is_temporary)
{
    run_with(ask_the_dying);
}
END_TEST

static void ask_nobody(void *arg UNUSED)
{
    struct submit_pool *pool = submit_pool_new("/nonexistent/socket");
    ck_assert_ptr_null(submit_open(pool, soon()));
    ck_assert_int_eq(errno, ENOENT);
    submit_pool_free(pool);
}

START_TEST(no_cleanup_at_all)
{
    run_main(ask_nobody, NULL);
}
END_TEST

TEST_MAIN("ipc/submit", one_lane_serves_many, refusals_are_told, cancelled_ids_are_not_reused, a_dead_cleanup_is_temporary,
          no_cleanup_at_all)
