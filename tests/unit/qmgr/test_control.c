/* test_control.c - delete, hold, release, requeue, expire, flush and the listing, through public/qmgr and public/showq */
#include "world.h"

static const char *client_socket;

static void serve_client(void *arg)
{
    struct service_client client = {.stream = stream_new_fd((int)(intptr_t)arg), .socket_name = client_socket};
    clients_serve(&qmgr, &client);
    stream_free(client.stream);
}

static void serve_fiber(void *arg)
{
    int fd = (int)(intptr_t)arg;
    while (fiber_wait_fd(fd, WAIT_READ, CLOCK_NEVER) == WAIT_READY) {
        int one = accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (one >= 0)
            fiber_start("client", serve_client, (void *)(intptr_t)one);
    }
}

static void start_clients(void)
{
    struct net_address address;
    ck_assert(net_address_unix(&address, SLICE("public/qmgr")));
    fiber_start("clients", serve_fiber, (void *)(intptr_t)net_listen(&address, 10));
    start();
}

/* ask - the count of the reply, -1 for an error. id NULL: all. */
static int ask(int verb, const char *id, const char *queues)
{
    struct arena *arena = arena_new(0);
    struct queue_id_item item = {.queue_id = slice_of(id)};
    struct queue_control request = {.verb = verb, .all = !id, .queues = slice_of(queues), .ids = &item, .ids_count = id ? 1 : 0,
                                    .argument = slice_of(id)};
    struct lane *lane = lane_connect("public/qmgr", clock_after(MICROSECONDS));
    ck_assert_ptr_nonnull(lane);
    const struct queue_control_reply *reply = lane_call(lane, MESSAGE_queue_control, &request, -1, MESSAGE_queue_control_reply, arena,
                                                        clock_after(5 * MICROSECONDS));
    ck_assert_ptr_nonnull(reply);
    int count = reply->error.len ? -1 : (int)reply->count;
    lane_free(lane);
    arena_free(arena);
    return count;
}

/* ---- a cleanup that takes everything ---- */

static void serve_submission(void *arg)
{
    struct lane *lane = lane_accept(stream_new_fd((int)(intptr_t)arg), clock_after(5 * MICROSECONDS));
    struct arena *arena = arena_new(0);
    void *value;
    int type;
    while (lane && (type = lane_receive(lane, arena, &value, CLOCK_NEVER)) > 0) {
        if (type == MESSAGE_submit_open)
            lane_send(lane, MESSAGE_submit_opened, &(struct submit_opened){.queue_id = SLICE("FEDCBA9876")}, -1);
        if (type == MESSAGE_submit_envelope) {
            const struct submit_envelope *e = value;
            note("submitted %zu " SLICE_FORMAT, e->envelope.recipients_count, SLICE_ARGS(e->envelope.recipients[0].address));
        }
        if (type == MESSAGE_submit_content)
            note("content " SLICE_FORMAT, SLICE_ARGS(((struct submit_content *)value)->data));
        if (type == MESSAGE_submit_end)
            lane_send(lane, MESSAGE_submit_reply, &(struct submit_reply){.status = SUBMIT_STATUS_ACCEPTED, .next_queue_id = SLICE("FEDCBA9876")}, -1);
        lane_flush(lane, clock_after(5 * MICROSECONDS));
    }
    lane_free(lane);
    arena_free(arena);
}

static void cleanup_fiber(void *arg)
{
    int fd = (int)(intptr_t)arg;
    while (fiber_wait_fd(fd, WAIT_READ, CLOCK_NEVER) == WAIT_READY) {
        int one = accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (one >= 0)
            fiber_start("submission", serve_submission, (void *)(intptr_t)one);
    }
}

static void start_cleanup(void)
{
    struct net_address address;
    ck_assert(net_address_unix(&address, SLICE("public/cleanup")));
    fiber_start("cleanup", cleanup_fiber, (void *)(intptr_t)net_listen(&address, 10));
}

/* An id of some message in that queue of the index. */
static const char *id_in(enum index_queue queue)
{
    static char id[QUEUE_ID_MAX];
    struct arena *arena = arena_new(0);
    struct index_entry entry;
    struct index_scan *scan = index_scan_start(qmgr.index, INDEX_BY_ID, queue, (struct slice){NULL, 0});
    ck_assert_int_eq(index_scan_next(scan, arena, &entry), 1);
    snprintf(id, sizeof(id), SLICE_FORMAT, SLICE_ARGS(entry.queue_id));
    index_scan_free(scan);
    arena_free(arena);
    return id;
}

static void defer_some(int count)
{
    start_clients();
    for (int i = 0; i < count; i++)
        send_mail("a@h.test", "later@x.test", true, (struct envelope){0});
    for (int i = 0; i < 200 && index_count(qmgr.index, INDEX_DEFERRED) < (uint64_t)count; i++)
        fiber_sleep(10000);
    ck_assert_uint_eq(index_count(qmgr.index, INDEX_DEFERRED), (unsigned)count);
}

#define SLOW "minimal_backoff_time = 1000s\nmaximal_backoff_time = 1000s\n"

QMGR_TEST(hold_and_release, SLOW)
{
    defer_some(3);
    const char *id = id_in(INDEX_DEFERRED);
    ck_assert_int_eq(ask(QUEUE_CONTROL_HOLD, id, ""), 1);
    ck_assert_uint_eq(index_count(qmgr.index, INDEX_HOLD), 1);
    ck_assert_int_eq(ask(QUEUE_CONTROL_HOLD, id, ""), 0);
    ck_assert_int_eq(ask(QUEUE_CONTROL_HOLD, NULL, ""), 2);
    ck_assert_uint_eq(index_count(qmgr.index, INDEX_HOLD), 3);
    ck_assert_int_eq(ask(QUEUE_CONTROL_RELEASE, NULL, ""), 3);
    fiber_sleep(900000); /* they are due at once */
    ck_assert_uint_eq(index_count(qmgr.index, INDEX_DEFERRED), 3);
    ck_assert_uint_eq(times("deliver smtp:x.test later@x.test"), 6);
    core_end(&qmgr);
}

QMGR_TEST(delete, SLOW)
{
    defer_some(3);
    ck_assert_int_eq(ask(QUEUE_CONTROL_DELETE, "0123456789", ""), 0);
    ck_assert_int_eq(ask(QUEUE_CONTROL_DELETE, id_in(INDEX_DEFERRED), "hold"), 0);
    ck_assert_int_eq(ask(QUEUE_CONTROL_DELETE, id_in(INDEX_DEFERRED), ""), 1);
    ck_assert_int_eq(ask(QUEUE_CONTROL_DELETE, NULL, ""), 2);
    ck_assert_uint_eq(index_count(qmgr.index, INDEX_DEFERRED), 0);
    ck_assert(!happened(": removed"));
    core_end(&qmgr);
}

QMGR_TEST(delete_while_in_flight, SLOW)
{
    start_clients();
    delay_ms = 300;
    send_mail("a@h.test", "later@x.test", true, (struct envelope){0});
    wait_for("deliver smtp:x.test later@x.test", 1000);
    ck_assert_int_eq(ask(QUEUE_CONTROL_DELETE, NULL, ""), 1);
    fiber_sleep(500000);
    ck_assert_uint_eq(qmgr.active_count, 0);
    ck_assert_uint_eq(index_count(qmgr.index, INDEX_DEFERRED), 0);
    core_end(&qmgr);
}

QMGR_TEST(hold_while_in_flight, SLOW)
{
    start_clients();
    delay_ms = 300;
    send_mail("a@h.test", "later@x.test", true, (struct envelope){0});
    wait_for("deliver smtp:x.test later@x.test", 1000);
    ck_assert_int_eq(ask(QUEUE_CONTROL_HOLD, NULL, ""), 1);
    fiber_sleep(500000);
    ck_assert_uint_eq(qmgr.active_count, 0);
    ck_assert_uint_eq(index_count(qmgr.index, INDEX_HOLD), 1);
    core_end(&qmgr);
}

/* Hundreds of messages on their way between index and memory: none escapes. */
QMGR_TEST(hold_all_while_they_are_tried_again, SLOW)
{
    defer_some(300);
    delay_ms = 5;
    ck_assert_int_eq(ask(QUEUE_CONTROL_FLUSH, NULL, ""), 0);
    fiber_sleep(30000);
    ck_assert_uint_gt(qmgr.active_count, 0);
    ck_assert_int_eq(ask(QUEUE_CONTROL_HOLD, NULL, ""), 300);
    for (int i = 0; i < 200 && qmgr.active_count > 0; i++)
        fiber_sleep(10000);
    ck_assert_uint_eq(index_count(qmgr.index, INDEX_HOLD), 300);
    ck_assert_uint_eq(index_count(qmgr.index, INDEX_DEFERRED), 0);
    core_end(&qmgr);
}

/* A kill between the mark in the segment and the change of the index: the record counts. */
QMGR_TEST(a_held_record_with_a_deferred_entry, SLOW)
{
    struct arena *arena = arena_new(0);
    struct index_entry entry;
    defer_some(1);
    ck_assert_int_eq(index_get(qmgr.index, slice_of(id_in(INDEX_DEFERRED)), arena, &entry), 1);
    ck_assert(store_mark_state(qmgr.store, &entry.place, MESSAGE_STATE_HELD));
    ck_assert_int_eq(ask(QUEUE_CONTROL_FLUSH, NULL, ""), 0);
    for (int i = 0; i < 200 && index_count(qmgr.index, INDEX_HOLD) == 0; i++)
        fiber_sleep(10000);
    ck_assert_uint_eq(index_count(qmgr.index, INDEX_HOLD), 1);
    ck_assert_uint_eq(times("deliver smtp:x.test later@x.test"), 1);
    arena_free(arena);
    core_end(&qmgr);
}

/* Without cleanup the wish stays, and the mail; with it the mail is cleanup's, and gone here. */
QMGR_TEST(requeue, SLOW)
{
    struct arena *arena = arena_new(0);
    struct index_entry entry;
    defer_some(3);
    ck_assert_int_eq(ask(QUEUE_CONTROL_HOLD, id_in(INDEX_DEFERRED), ""), 1);
    ck_assert_int_eq(ask(QUEUE_CONTROL_REQUEUE, NULL, ""), 3);
    wait_for("connect to the cleanup service", 2000);
    for (int i = 0; i < 200 && qmgr.active_count > 0; i++)
        fiber_sleep(10000);
    ck_assert_uint_eq(index_count(qmgr.index, INDEX_DEFERRED), 3);
    ck_assert_int_eq(index_get(qmgr.index, slice_of(id_in(INDEX_DEFERRED)), arena, &entry), 1);
    ck_assert(entry.requeue && entry.next_attempt > clock_wall() + 900 * MICROSECONDS);
    start_cleanup();
    ck_assert_int_eq(ask(QUEUE_CONTROL_REQUEUE, NULL, ""), 3);
    for (int i = 0; i < 200 && index_count(qmgr.index, INDEX_DEFERRED) + qmgr.active_count > 0; i++)
        fiber_sleep(10000);
    ck_assert_uint_eq(times("submitted 1 later@x.test"), 3);
    ck_assert_uint_eq(times("content Subject: x\r\n\r\nhello\r\n"), 3);
    ck_assert_uint_eq(times(": requeued as FED"), 3);
    ck_assert_uint_eq(index_count(qmgr.index, INDEX_DEFERRED) + index_count(qmgr.index, INDEX_HOLD), 0);
    arena_free(arena);
    core_end(&qmgr);
}

QMGR_TEST(requeue_while_in_flight, SLOW)
{
    start_clients();
    start_cleanup();
    delay_ms = 200;
    send_mail("a@h.test", "later@x.test now@x.test", true, (struct envelope){0});
    wait_for("deliver smtp:x.test later@x.test", 1000);
    ck_assert_int_eq(ask(QUEUE_CONTROL_REQUEUE, NULL, ""), 1);
    wait_for("submitted 1 later@x.test", 2000);
    fiber_sleep(100000);
    ck_assert_uint_eq(qmgr.active_count, 0);
    ck_assert_uint_eq(index_count(qmgr.index, INDEX_DEFERRED), 0);
    core_end(&qmgr);
}

QMGR_TEST(expire, SLOW)
{
    defer_some(1);
    ck_assert_int_eq(ask(QUEUE_CONTROL_EXPIRE, NULL, ""), 1);
    wait_for("status=force-expired, returned to sender", 2000);
    wait_for(": removed", 2000);
    ck_assert(happened("dsn=4.7.0, status=deferred (message is administratively expired)"));
    ck_assert(happened("notice 1 a@h.test"));
    core_end(&qmgr);
}

QMGR_TEST(flush_one, SLOW)
{
    defer_some(2);
    ck_assert_int_eq(ask(QUEUE_CONTROL_FLUSH_ID, id_in(INDEX_DEFERRED), ""), 1);
    fiber_sleep(200000);
    ck_assert_uint_eq(times("deliver smtp:x.test later@x.test"), 3);
    core_end(&qmgr);
}

QMGR_TEST(flush_site, SLOW "fast_flush_domains = x.test\n")
{
    defer_some(2);
    ck_assert_int_eq(ask(QUEUE_CONTROL_FLUSH_SITE, "y.test", ""), -1);
    ck_assert_int_eq(ask(QUEUE_CONTROL_FLUSH_SITE, "x.test", ""), 0);
    fiber_sleep(200000);
    ck_assert_uint_eq(times("deliver smtp:x.test later@x.test"), 4);
    core_end(&qmgr);
}

QMGR_TEST(triggers, SLOW)
{
    struct net_address address;
    defer_some(1);
    ck_assert(net_address_unix(&address, SLICE("public/qmgr")));
    int fd = net_connect(&address, NULL, clock_after(MICROSECONDS));
    ck_assert_int_eq(write(fd, "DFA", 3), 3);
    fiber_forget_fd(fd);
    close(fd);
    fiber_sleep(300000);
    ck_assert_uint_eq(times("deliver smtp:x.test later@x.test"), 2);
    core_end(&qmgr);
}

static char listed[4096];

static size_t list(void)
{
    struct net_address address;
    client_socket = "showq";
    ck_assert(net_address_unix(&address, SLICE("public/qmgr")));
    struct stream *s = stream_new_fd(net_connect(&address, NULL, clock_after(MICROSECONDS)));
    stream_set_deadline(s, clock_after(MICROSECONDS));
    size_t len = 0;
    for (struct slice piece; (piece = stream_read_some(s, sizeof(listed) - len)).len; len += piece.len)
        memcpy(listed + len, piece.data, piece.len);
    stream_free(s);
    client_socket = NULL;
    return len;
}

QMGR_TEST(listing, SLOW)
{
    static const char want[] = "protocol\0mail_queue_list_protocol\0\0queue_name\0deferred\0queue_id\0";
    static const char end[] = "sender\0a@h.test\0recipient\0later@x.test\0reason\0come back later\0\0";
    defer_some(1);
    size_t len = list();
    ck_assert_uint_gt(len, sizeof(want) + sizeof(end));
    ck_assert_mem_eq(listed, want, sizeof(want) - 1);
    ck_assert_mem_eq(listed + len - sizeof(end), end, sizeof(end));
    core_end(&qmgr);
}

/* Postfix moves it there, for pickup. */
QMGR_TEST(listing_of_what_is_to_be_requeued, SLOW)
{
    static const char want[] = "protocol\0mail_queue_list_protocol\0\0queue_name\0maildrop\0queue_id\0";
    defer_some(1);
    ck_assert_int_eq(ask(QUEUE_CONTROL_REQUEUE, NULL, ""), 1);
    wait_for("connect to the cleanup service", 2000);
    for (int i = 0; i < 200 && qmgr.active_count > 0; i++)
        fiber_sleep(10000);
    ck_assert_uint_gt(list(), sizeof(want));
    ck_assert_mem_eq(listed, want, sizeof(want) - 1);
    core_end(&qmgr);
}

TEST_MAIN("qmgr/control", hold_and_release, delete, delete_while_in_flight, hold_while_in_flight,
          hold_all_while_they_are_tried_again, a_held_record_with_a_deferred_entry, requeue, requeue_while_in_flight, expire, flush_one, flush_site, triggers,
          listing, listing_of_what_is_to_be_requeued)
