/* test_agent.c - a delivery agent as qmgr sees it: requests and replies on a lane */
#include "testing.h"

#include "base/log.h"
#include "run/run.h"
#include "service/agent.h"
#include "worker_harness.h"

/* ---- the agent: the recipient's local part says what becomes of it -------------------------------------------------- */

static void deliver(struct delivery *delivery)
{
    struct buffer content = BUFFER_INIT;
    if (!content_read(delivery, 0, 1000, &content))
        buffer_printf(&content, "cannot read: %s", strerror(errno));
    for (size_t i = 0; i < delivery->recipient_count; i++) {
        struct slice address = delivery->recipients[i].address;
        if (slice_starts(address, SLICE("sent")))
            delivery_result_format(delivery, i, OUTCOME_SENT, "2.0.0", "testd", SLICE_FORMAT, SLICE_ARGS(buffer_slice(&content)));
        else if (slice_starts(address, SLICE("bounced")))
            delivery_result_format(delivery, i, OUTCOME_BOUNCED, "5.1.1", "testd", "no such user");
        else if (slice_starts(address, SLICE("deferred")))
            delivery_result_format(delivery, i, OUTCOME_DEFERRED, "4.2.0", "testd", "later");
    }
    delivery->lane_state = delivery; /* anything but NULL */
    buffer_release(&content);
}

static void lane_closed(void *lane_state UNUSED)
{
    log_info("lane closed");
}

static int64_t lane_patience(void *lane_state UNUSED)
{
    return 50 * 1000;
}

static void lane_idle(void *lane_state UNUSED)
{
    log_info("lane idle");
}

static int daemon_main(int argc, char **argv)
{
    static const struct agent agent = {.service = {.name = "testd", .flags = SERVICE_MANY_CLIENTS},
                                       .deliver = deliver,
                                       .lane_closed = lane_closed,
                                       .lane_patience = lane_patience,
                                       .lane_idle = lane_idle};
    return agent_main(argc, argv, &agent);
}

/* ---- qmgr's side ---------------------------------------------------------------------------------------------------- */

struct talk {
    struct worker worker;
    struct arena *arena;
    struct lane *lane;
    int content;
};

static const struct delivery_reply *request(struct talk *talk, const char *const *recipients, int flags, bool attach, int64_t key)
{
    struct recipient list[8] = {0};
    size_t count = 0;
    for (; recipients[count]; count++)
        list[count] = (struct recipient){.address = slice_of(recipients[count]), .index = (int64_t)count * 10};
    struct delivery_request r = {.transport = SLICE("testd"),
                                 .envelope = {.queue_id = SLICE("AB12"), .recipients = list, .recipients_count = count, .arrival_time = clock_wall()},
                                 .content_key = key,
                                 .content_attached = attach,
                                 .content_offset = 4,
                                 .content_length = 7,
                                 .flags = flags};
    const struct delivery_reply *reply = lane_call(talk->lane, MESSAGE_delivery_request, &r, attach ? talk->content : -1,
                                                   MESSAGE_delivery_reply, talk->arena, clock_after(5 * MICROSECONDS));
    ck_assert_ptr_nonnull(reply);
    ck_assert_uint_eq(reply->results_count, count);
    return reply;
}

static void start(struct talk *talk, const char *main_cf)
{
    char path[100];
    harness_start(&talk->worker, main_cf, "100", (const char *const[]){"-n", "testd", NULL});
    ck_assert_int_eq(harness_note(&talk->worker), CHANNEL_READY);
    snprintf(path, sizeof(path), "%s/content", talk->worker.directory);
    harness_write(path, "xxxxcontentxxx");
    talk->content = open(path, O_RDONLY);
    talk->arena = arena_new(0);
    snprintf(path, sizeof(path), "%s/sock", talk->worker.directory);
    talk->lane = lane_connect(path, clock_after(5 * MICROSECONDS));
    ck_assert_ptr_nonnull(talk->lane);
}

static bool log_has(struct talk *talk, const char *text)
{
    char path[100], log[20000];
    snprintf(path, sizeof(path), "%s/log", talk->worker.directory);
    int fd = open(path, O_RDONLY);
    ssize_t n = read(fd, log, sizeof(log) - 1);
    close(fd);
    log[n > 0 ? n : 0] = '\0';
    return strstr(log, text) != NULL;
}

static void end(struct talk *talk)
{
    lane_free(talk->lane);
    close(talk->content);
    arena_free(talk->arena);
    channel_send(talk->worker.channel, CHANNEL_STOP, 0, -1);
    ck_assert_int_eq(harness_end(&talk->worker), 0);
}

static void talk_results(void *arg)
{
    struct talk *talk = arg;
    start(talk, "");
    const struct delivery_reply *reply =
        request(talk, (const char *const[]){"sent@x", "bounced@x", "deferred@x", "forgotten@x", NULL}, 0, true, 5);
    static const int outcomes[] = {OUTCOME_SENT, OUTCOME_BOUNCED, OUTCOME_DEFERRED, OUTCOME_DEFERRED};
    static const char *const actions[] = {"relayed", "failed", "delayed", "delayed"};
    for (size_t i = 0; i < 4; i++) {
        ck_assert_int_eq(reply->results[i].index, (int64_t)i * 10);
        ck_assert_int_eq(reply->results[i].outcome, outcomes[i]);
        ASSERT_SLICE(reply->results[i].action, actions[i]);
    }
    ASSERT_SLICE(reply->results[0].reason, "content");
    ASSERT_SLICE(reply->results[3].reason, "unknown mail transport error");
    /* The same key: the file is there already.  Another key without a file: nothing can be delivered. */
    reply = request(talk, (const char *const[]){"sent@x", NULL}, 0, false, 5);
    ASSERT_SLICE(reply->results[0].reason, "content");
    reply = request(talk, (const char *const[]){"sent@x", NULL}, 0, false, 6);
    ck_assert_int_eq(reply->results[0].outcome, OUTCOME_DEFERRED);
    reply = request(talk, (const char *const[]){"sent@x", "bounced@x", "deferred@x", NULL}, DELIVERY_PROBE, true, 6);
    ck_assert_int_eq(reply->results[0].outcome, OUTCOME_DELIVERABLE);
    ck_assert_int_eq(reply->results[1].outcome, OUTCOME_UNDELIVERABLE);
    ck_assert_int_eq(reply->results[2].outcome, OUTCOME_DEFERRED);
    ck_assert(log_has(talk, "AB12: to=<bounced@x>, relay=testd, delay="));
    ck_assert(log_has(talk, ", dsn=4.2.0, status=undeliverable (later)"));
    fiber_sleep(200 * 1000);
    ck_assert(log_has(talk, "lane idle"));
    ck_assert(!log_has(talk, "lane closed"));
    end(talk);
}

START_TEST(gives_results)
{
    struct talk talk = {0};
    run_main(talk_results, &talk);
}
END_TEST

static void talk_soft_bounce(void *arg)
{
    struct talk *talk = arg;
    start(talk, "soft_bounce = yes\n");
    const struct delivery_reply *reply = request(talk, (const char *const[]){"bounced@x", NULL}, 0, true, 5);
    ck_assert_int_eq(reply->results[0].outcome, OUTCOME_DEFERRED);
    ASSERT_SLICE(reply->results[0].status, "4.1.1");
    ASSERT_SLICE(reply->results[0].action, "delayed");
    /* Drain: an idle lane is closed at once. */
    channel_send(talk->worker.channel, CHANNEL_DRAIN, 0, -1);
    void *value;
    ck_assert_int_eq(lane_receive(talk->lane, talk->arena, &value, clock_after(5 * MICROSECONDS)), -1);
    end(talk);
}

START_TEST(softens_bounces_and_drains)
{
    struct talk talk = {0};
    run_main(talk_soft_bounce, &talk);
}
END_TEST

TEST_MAIN("service/agent", gives_results, softens_bounces_and_drains)
