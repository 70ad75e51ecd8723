/* test_milter.c - a message under the eyes of a mail filter: the other end of its connection is a script in this process */
#include "cleanup_testing.h"

#include <sys/socket.h>

#include "net/stream.h"

/* One packet: letter, data. */
struct step {
    const char *data;
    size_t len;
};
#define STEP(literal) ((struct step){literal, sizeof(literal) - 1})

/* What the filter does at the end of the message; it says "continue" to everything before. */
struct script {
    const struct step *steps;
    size_t count;
    struct buffer seen; /* letters and data of what came, "|" after each; NUL as "," */
};

static struct script script;
static int server_fd;

static bool receive_packet(struct stream *stream, struct buffer *packet)
{
    unsigned char head[4];
    if (!stream_read(stream, head, sizeof(head)))
        return false;
    size_t len = (size_t)head[0] << 24 | (size_t)head[1] << 16 | (size_t)head[2] << 8 | head[3];
    buffer_clear(packet);
    char *room = buffer_reserve(packet, len);
    if (!stream_read(stream, room, len))
        return false;
    buffer_commit(packet, len);
    return true;
}

static void send_packet(struct stream *stream, struct step step)
{
    unsigned char head[4] = {0, (unsigned char)(step.len >> 16), (unsigned char)(step.len >> 8), (unsigned char)step.len};
    stream_write(stream, head, sizeof(head));
    stream_write(stream, step.data, step.len);
}

static void note(const struct buffer *packet)
{
    for (size_t i = 0; i < packet->len && script.seen.len < 4000; i++)
        buffer_append_byte(&script.seen, packet->data[i] ? packet->data[i] : ',');
    buffer_append_byte(&script.seen, '|');
}

static void filter_fiber(void *arg UNUSED)
{
    struct stream *stream = stream_new_fd(server_fd);
    struct buffer packet = BUFFER_INIT;
    stream_set_deadline(stream, clock_after(10 * MICROSECONDS));
    while (receive_packet(stream, &packet)) {
        if (packet.data[0] == 'D')
            continue;
        note(&packet);
        if (packet.data[0] == 'E') {
            for (size_t i = 0; i < script.count; i++)
                send_packet(stream, script.steps[i]);
        } else {
            send_packet(stream, STEP("c"));
        }
        if (!stream_flush(stream))
            break;
    }
    buffer_release(&packet);
    stream_free(stream);
}

/* What smtpd hands over. */
static struct milters *connect_filter(void)
{
    int fds[2];
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
    server_fd = fds[1];
    fiber_start("filter", filter_fiber, NULL);
    struct submit_milter milter = {.endpoint = SLICE("test"), .command_timeout = 5 * MICROSECONDS,
                                   .content_timeout = 5 * MICROSECONDS, .default_action = SLICE("tempfail")};
    struct milters *milters = milters_new(NULL, NULL, NULL);
    milters_take(milters, &milter, fds[0]);
    return milters;
}

static struct outcome *run(const char *config, const char *content, const struct step *steps, size_t count)
{
    static struct job job;
    buffer_release(&script.seen);
    script = (struct script){.steps = steps, .count = count};
    job = (struct job){.config = config, .content = content, .connect_filter = connect_filter};
    return submit_job(&job, "alice@lab.test", "bob@lab.test");
}
#define RUN(config, content, ...) run(config, content, (const struct step[]){__VA_ARGS__}, COUNT_OF(((const struct step[]){__VA_ARGS__})))

static const char message[] = "Received: by us\n\tid 1\nReceived: older\nFrom: alice@lab.test\nTo: bob@lab.test\nDate: today\nMessage-Id: <1@x>\nX: 1\n\nbody\n";

START_TEST(nothing_changed)
{
    struct outcome *o = RUN("", message, STEP("c"));
    ASSERT_STORED(o);
    ASSERT_SLICE(o->content, message);
    ASSERT_SLICE(buffer_slice(&script.seen), "LReceived,older,|LFrom,alice@lab.test,|LTo,bob@lab.test,|LDate,today,|LMessage-Id,<1@x>,|LX,1,|N|Bbody\r\n|E|");
}
END_TEST

START_TEST(everything_changed)
{
    struct outcome *o = RUN("message_size_limit = 0\n", message, STEP("hNew\0a\nb\0"), STEP("i\0\0\0\0Top\0t\0"), STEP("i\0\0\0\2Third\0z\0"), STEP("m\0\0\0\1Received\0changed\0"),
                            STEP("m\0\0\0\1X\0\0"), STEP("m\0\0\0\1From\0\xe4\0"), STEP("b.new\r\nbo"), STEP("bdy\n\xff"), STEP("e<carol@lab.test>\0"),
                            STEP("+<dave@lab.test>\0"), STEP("-<bob@lab.test>\0"), STEP("c"));
    ASSERT_STORED(o);
    ASSERT_SLICE(o->content, "Top: t\nReceived: by us\n\tid 1\nThird: z\nReceived: changed\nFrom: \xe4\nTo: bob@lab.test\nDate: today\nMessage-Id: <1@x>\n"
                             "New: a\n\tb\n\n.new\nbody\n\xff\n");
    ASSERT_SLICE(o->envelope.sender, "carol@lab.test");
    ASSERT_RECIPIENTS(o, "dave@lab.test");
    ck_assert_int_eq(o->envelope.content_flags & (CONTENT_8BIT_HEADER | CONTENT_8BIT_BODY | CONTENT_DOT_LINES | CONTENT_LONG_LINES),
                     CONTENT_8BIT_HEADER | CONTENT_8BIT_BODY | CONTENT_DOT_LINES);
    ck_assert_int_eq(o->envelope.message_size, (int64_t)o->content.len + 15 /* CR */);
}
END_TEST

START_TEST(flags_go_away)
{
    struct outcome *o = RUN("", "Received: x\nX: \xe4\n\n.\xe4\n", STEP("m\0\0\0\1X\0ascii\0"), STEP("bplain\r\n"), STEP("c"));
    ASSERT_STORED(o);
    ck_assert_int_eq(o->envelope.content_flags & (CONTENT_8BIT_HEADER | CONTENT_8BIT_BODY | CONTENT_DOT_LINES), 0);
    o = RUN("", "X: no body at all\n", STEP("hA\0b\0"), STEP("c"));
    ASSERT_SLICE(slice_first(o->content, 17), "X: no body at all");
    ck_assert_ptr_nonnull(memmem(o->content.data, o->content.len, "\nA: b\n", 6));
    o = RUN("", "X: no body at all\n", STEP("bbody\r\n"), STEP("c"));
    ck_assert_ptr_nonnull(memmem(o->content.data, o->content.len, "\n\nbody\n", 7));
}
END_TEST

START_TEST(decisions)
{
    struct outcome *o = RUN("", message, STEP("hA\0b\0"), STEP("y550 5.7.9 no\0"));
    ck_assert(!o->stored);
    ck_assert_str_eq(o->reply, "550 5.7.9 no");
    ck_assert_int_eq(o->refusal.status, SUBMIT_STATUS_REFUSED);
    ASSERT_LOGGED(o, "ABCDE123456: milter-reject: END-OF-MESSAGE from localhost[127.0.0.1]: 5.7.9 no; from=<alice@lab.test> to=<bob@lab.test> proto=ESMTP helo=<client.example.test>");
    o = RUN("", message, STEP("t"));
    ck_assert_int_eq(o->refusal.status, SUBMIT_STATUS_TEMPORARY);
    o = RUN("", message, STEP("d"));
    ck_assert(!o->stored && o->refusal.status == SUBMIT_STATUS_ACCEPTED);
    o = RUN("", message, STEP("qwhy\0"), STEP("a"));
    ck_assert(o->stored && o->envelope.hold);
    o = RUN("message_size_limit = 200\n", message, STEP("b0123456789012345678901234567890123456789012345678901234567890123456789\r\n"),
            STEP("b0123456789012345678901234567890123456789012345678901234567890123456789\r\n"),
            STEP("b0123456789012345678901234567890123456789012345678901234567890123456789\r\n"), STEP("c"));
    ck_assert_str_eq(o->reply, "552 5.3.4 Message file too big");
    o = RUN("milter_header_checks = inline:{ {X: bad=REJECT} }\n", message, STEP("hX\0bad\0"), STEP("hY\0z\0"), STEP("c"));
    ck_assert_str_eq(o->reply, "550 5.7.1 message content rejected");
    o = RUN("virtual_alias_maps = fail:broken\n", message, STEP("c"));
    ck_assert_int_eq(o->refusal.status, SUBMIT_STATUS_TEMPORARY);
}
END_TEST

TEST_MAIN("cleanup/milter", nothing_changed, everything_changed, flags_go_away, decisions)
