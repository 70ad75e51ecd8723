/* world.h - a qmgr on a real queue directory in /tmp, with fake delivery agents and bounce services; included by the suites that need it */
#ifndef POSTERN_TEST_QMGR_WORLD_H
#define POSTERN_TEST_QMGR_WORLD_H

#include "testing.h"

#include <fcntl.h>
#include <ftw.h>
#include <sys/stat.h>

#include "../../../qmgr/qmgr/arrive.h"
#include "../../../qmgr/qmgr/core.h"
#include "base/log.h"
#include "net/address.h"

static struct qmgr qmgr;
static struct buffer events; /* what happened: log lines, deliveries, notices */
static struct segment_writer *writer;
static int refuse_notices;
static int delay_ms;

static void note(const char *format, ...) PRINTF_LIKE(1, 2);
static void note(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    buffer_vprintf(&events, format, args);
    va_end(args);
    buffer_append_byte(&events, '\n');
}

static void watch_log(enum log_severity severity UNUSED, const char *text, void *context UNUSED)
{
    note("log %s", text);
}

/* ---- fake services ---- */

struct service_end {
    int fd;
    const char *name;
};

static void answer_delivery(struct lane *lane, const struct delivery_request *r, struct arena *arena)
{
    struct delivery_reply reply = {.results_count = r->envelope.recipients_count};
    reply.results = arena_alloc(arena, (reply.results_count + 1) * sizeof(*reply.results));
    for (size_t i = 0; i < reply.results_count; i++) {
        const struct recipient *to = &r->envelope.recipients[i];
        struct delivery_result *out = &reply.results[i];
        bool later = slice_starts(to->address, SLICE("later")), no = slice_starts(to->address, SLICE("no"));
        bool error = slice_equal(r->transport, SLICE("error"));
        bool dead = slice_ends(to->address, SLICE("dead.test"));
        *out = (struct delivery_result){.index = to->index, .outcome = OUTCOME_SENT, .status = SLICE("2.0.0"), .reason = SLICE("ok"),
                                        .action = SLICE("relayed"), .relay = SLICE("fake")};
        if (later || dead) {
            out->outcome = OUTCOME_DEFERRED;
            out->status = SLICE("4.2.1");
            out->action = SLICE("delayed");
            out->reason = SLICE("come back later");
        } else if (no || error) {
            out->outcome = OUTCOME_BOUNCED;
            out->status = SLICE("5.1.1");
            out->action = SLICE("failed");
            out->reason = SLICE("no such user");
        }
        if (dead) {
            reply.site_failure = true;
            reply.site_status = SLICE("4.4.1");
            reply.site_reason = SLICE("connect to dead.test: refused");
        }
        note("deliver " SLICE_FORMAT ":" SLICE_FORMAT " " SLICE_FORMAT, SLICE_ARGS(r->transport), SLICE_ARGS(r->next_hop), SLICE_ARGS(to->address));
    }
    if (delay_ms)
        fiber_sleep(delay_ms * 1000);
    lane_send(lane, MESSAGE_delivery_reply, &reply, -1);
}

static void answer_bounce(struct lane *lane, const struct bounce_request *r)
{
    struct bounce_reply reply = {.done = refuse_notices <= 0};
    refuse_notices--;
    note("notice %d %s" SLICE_FORMAT, (int)r->kind, reply.done ? "" : "refused ", SLICE_ARGS(r->verp_sender.len ? r->verp_sender : r->envelope.sender));
    for (size_t i = 0; i < r->recipients_count; i++)
        note("about " SLICE_FORMAT " " SLICE_FORMAT " " SLICE_FORMAT, SLICE_ARGS(r->recipients[i].recipient.address),
             SLICE_ARGS(r->recipients[i].result.action), SLICE_ARGS(r->recipients[i].result.status));
    lane_send(lane, MESSAGE_bounce_reply, &reply, -1);
}

static void serve_lane(void *arg)
{
    struct lane *lane = lane_accept(stream_new_fd((int)(intptr_t)arg), clock_after(5 * MICROSECONDS));
    struct arena *arena = arena_new(0);
    void *value;
    int type;
    while (lane && (type = lane_receive(lane, arena, &value, CLOCK_NEVER)) > 0) {
        int fd = lane_take_fd(lane);
        if (fd >= 0)
            close(fd);
        if (type == MESSAGE_delivery_request)
            answer_delivery(lane, value, arena);
        else
            answer_bounce(lane, value);
        lane_flush(lane, clock_after(5 * MICROSECONDS));
        arena_reset(arena);
    }
    lane_free(lane);
    arena_free(arena);
}

static void listen_fiber(void *arg)
{
    struct service_end *end = arg;
    while (fiber_wait_fd(end->fd, WAIT_READ, CLOCK_NEVER) == WAIT_READY) {
        int fd = accept4(end->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0)
            fiber_start("lane", serve_lane, (void *)(intptr_t)fd);
    }
    close(end->fd);
    free(end);
}

static void start_service(const char *name)
{
    struct service_end *end = memory_zalloc(1, sizeof(*end));
    struct net_address address;
    char path[100];
    snprintf(path, sizeof(path), "private/%s", name);
    ck_assert(net_address_unix(&address, slice_of(path)));
    end->name = name;
    end->fd = net_listen(&address, 100);
    ck_assert_int_ge(end->fd, 0);
    fiber_start("listen", listen_fiber, end);
}

/* ---- the world ---- */

static char directory[] = "/tmp/qmgr-test-XXXXXX";

static int remove_one(const char *path, const struct stat *status UNUSED, int flag UNUSED, struct FTW *ftw UNUSED)
{
    return remove(path);
}

static void remove_world(void)
{
    nftw(directory, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static UNUSED void make_world(const char *more)
{
    ck_assert_ptr_nonnull(mkdtemp(directory));
    atexit(remove_world);
    ck_assert_int_eq(chdir(directory), 0);
    mkdir("private", 0700);
    mkdir("public", 0700);
    struct config *config = config_empty();
    ck_assert(config_parse(config, SLICE("myhostname = h.test\nmydestination = h.test\nmynetworks = 127.0.0.1\nmail_owner = nobody\nrelay_domains =\nalias_maps =\n"
                                         "local_recipient_maps =\n"), "main.cf"));
    if (!strstr(more, "minimal_backoff_time"))
        ck_assert(config_parse(config, SLICE("minimal_backoff_time = 1s\nmaximal_backoff_time = 1s\n"), "main.cf"));
    ck_assert(config_parse(config, slice_of(more), "main.cf"));
    qmgr = (struct qmgr){.stopping = false};
    core_configure(&qmgr, config);
}

static UNUSED void start(void)
{
    static const char *const services[] = {"smtp", "local", "error", "bounce", "defer", "trace"};
    for (size_t i = 0; i < COUNT_OF(services); i++)
        start_service(services[i]);
    log_set_watcher(watch_log, NULL);
    writer = segment_writer_open(&(struct segment_writer_options){.queue_directory = ".", .segment_size = 64 << 20, .large_content = 256 << 10});
    ck_assert_ptr_nonnull(writer);
    core_start(&qmgr);
    fiber_sleep(MICROSECONDS / 20);
}

static struct queue_id_maker ids;

/* send - one message into the queue; recipients blank-separated. announce: tell qmgr. */
static UNUSED void send_mail(const char *sender, const char *recipients, bool announce, struct envelope with)
{
    char id[QUEUE_ID_MAX];
    struct recipient list[20] = {0};
    struct envelope e = with;
    struct slice rest = slice_of(recipients), one;
    struct queue_place place;
    e.queue_id = queue_id_make(&ids, id);
    e.arrival_time = e.arrival_time ? e.arrival_time : clock_wall();
    e.sender = slice_of(sender);
    e.recipients = list;
    e.message_size = 10;
    while (slice_next_token(&rest, " ", &one)) {
        list[e.recipients_count].notify = with.ret; /* a place to pass it in */
        list[e.recipients_count++].address = one;
    }
    e.ret = 0;
    struct content_sink *sink = content_sink_new(writer);
    content_sink_write(sink, SLICE("Subject: x\r\n\r\nhello\r\n"));
    ck_assert_int_eq(segment_append(writer, &e, sink, &place), 0);
    content_sink_free(sink);
    if (!announce)
        return;
    struct queue_arrival arrival = {.segment = (int64_t)place.segment, .offset = (int64_t)place.offset, .length = (int64_t)place.length,
                                    .content_file = (int64_t)place.content_file, .content_offset = (int64_t)place.content_offset,
                                    .content_length = (int64_t)place.content_length, .envelope = e};
    arrive_message(&qmgr, &arrival);
}

static UNUSED bool happened(const char *text)
{
    return strstr(buffer_string(&events), text) != NULL;
}

static UNUSED bool wait_for(const char *text, int milliseconds)
{
    for (; milliseconds > 0 && !happened(text); milliseconds -= 10)
        fiber_sleep(10000);
    ck_assert_msg(happened(text), "wanted \"%s\" in:\n%s", text, buffer_string(&events));
    return true;
}

static UNUSED unsigned times(const char *text)
{
    unsigned count = 0;
    for (const char *at = buffer_string(&events); (at = strstr(at, text)); at++)
        count++;
    return count;
}

/* Each test body is a fiber. */
#define QMGR_TEST(name, config)               \
    static void name##_body(void *arg UNUSED); \
    START_TEST(name)                           \
    {                                          \
        make_world(config);                    \
        run_main(name##_body, NULL);           \
    }                                          \
    END_TEST                                   \
    static void name##_body(void *arg UNUSED)

#endif
