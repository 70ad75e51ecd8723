/* test_stream.c - streams: lines, limits, deadlines, sticky errors, layers, passed descriptors */
#include "testing.h"

#include <fcntl.h>
#include <sys/socket.h>

#include "net/stream.h"
#include "run/run.h"

static struct stream *near_end, *far_end;

static void open_pair(void)
{
    int pair[2];
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair), 0);
    near_end = stream_new_fd(pair[0]);
    far_end = stream_new_fd(pair[1]);
    stream_set_deadline(near_end, clock_after(5 * MICROSECONDS));
    stream_set_deadline(far_end, clock_after(5 * MICROSECONDS));
}

static void close_pair(void)
{
    stream_free(near_end);
    stream_free(far_end);
}

static void say(struct slice text)
{
    stream_write_slice(far_end, text);
    ck_assert(stream_flush(far_end));
}

/* ---- lines, from a table ------------------------------------------------------------------------------------------ */

static const struct {
    const char *input;
    size_t max;
    struct {
        enum line_end end;
        const char *text;
    } want[5];
} lines[] = {
    {"EHLO a\r\n", 10, {{LINE_CRLF, "EHLO a"}, {LINE_NONE, ""}}},
    {"a\nb\r\n\r\n\n", 10, {{LINE_LF, "a"}, {LINE_CRLF, "b"}, {LINE_CRLF, ""}, {LINE_LF, ""}, {LINE_NONE, ""}}},
    {"a\rb\r\n", 10, {{LINE_CRLF, "a\rb"}, {LINE_NONE, ""}}},
    {"a\r\r\n", 10, {{LINE_CRLF, "a\r"}, {LINE_NONE, ""}}},
    {"cut", 10, {{LINE_NONE, "cut"}, {LINE_NONE, ""}}},
    {"cut\r", 10, {{LINE_NONE, "cut\r"}, {LINE_NONE, ""}}},
    {"1234\r\n", 4, {{LINE_CRLF, "1234"}, {LINE_NONE, ""}}},
    {"1234\n", 4, {{LINE_LF, "1234"}, {LINE_NONE, ""}}},
    {"12345\r\n", 4, {{LINE_TOO_LONG, "1234"}, {LINE_CRLF, "5"}, {LINE_NONE, ""}}},
    {"12345\n", 4, {{LINE_TOO_LONG, "1234"}, {LINE_LF, "5"}, {LINE_NONE, ""}}},
    {"1234\rx\n", 4, {{LINE_TOO_LONG, "1234"}, {LINE_LF, "\rx"}, {LINE_NONE, ""}}},
    {"123456789", 4, {{LINE_TOO_LONG, "1234"}, {LINE_TOO_LONG, "5678"}, {LINE_NONE, "9"}}},
    {"12345678\r\n", 4, {{LINE_TOO_LONG, "1234"}, {LINE_CRLF, "5678"}, {LINE_NONE, ""}}},
    {"\r\n", 0, {{LINE_CRLF, ""}, {LINE_NONE, ""}}},
};

static void expect_lines(size_t row)
{
    for (size_t i = 0; i < COUNT_OF(lines[row].want); i++) {
        struct slice line;
        enum line_end end = stream_read_line(near_end, lines[row].max, &line);
        ck_assert_msg(end == lines[row].want[i].end, "row %zu line %zu: got end %d want %d", row, i, end, lines[row].want[i].end);
        ASSERT_SLICE(line, lines[row].want[i].text);
        if (end == LINE_NONE)
            break;
    }
    ck_assert_int_eq(stream_error(near_end), STREAM_END);
}

/* drip - one byte at a time, so that every boundary falls between two reads. */
static void drip(void *arg)
{
    for (const char *at = arg; *at; at++) {
        say(slice_make(at, 1));
        fiber_yield();
    }
    stream_free(far_end);
}

static void lines_main(void *arg UNUSED)
{
    for (size_t row = 0; row < COUNT_OF(lines); row++) {
        open_pair();
        say(slice_of(lines[row].input));
        stream_free(far_end);
        expect_lines(row);
        stream_free(near_end);
        open_pair();
        fiber_start("drip", drip, (void *)(uintptr_t)lines[row].input);
        expect_lines(row);
        stream_free(near_end);
    }
}

START_TEST(reads_lines)
{
    run_main(lines_main, NULL);
}
END_TEST

/* ---- blocks -------------------------------------------------------------------------------------------------------- */

static void blocks_main(void *arg UNUSED)
{
    char data[8];
    struct slice bytes;
    open_pair();
    say(SLICE("abcdefgh"));
    ck_assert(stream_pending(near_end));
    ck_assert(stream_read(near_end, data, 3));
    ASSERT_SLICE(slice_make(data, 3), "abc");
    ck_assert_uint_eq(stream_buffered(near_end), 5);
    ASSERT_SLICE(stream_peek(near_end), "defgh");
    ASSERT_SLICE(stream_read_some(near_end, 2), "de");
    ASSERT_SLICE(stream_read_some(near_end, 20), "fgh");
    ck_assert(!stream_pending(near_end));
    say(slice_make("one\0two\0", 8));
    ck_assert(stream_read_until(near_end, '\0', 3, &bytes));
    ASSERT_SLICE(bytes, "one");
    ck_assert(stream_read_until(near_end, '\0', 100, &bytes));
    ASSERT_SLICE(bytes, "two");
    say(SLICE("longer than that"));
    ck_assert(!stream_read_until(near_end, '\0', 5, &bytes));
    ck_assert_int_eq(stream_error(near_end), STREAM_OK);
    ck_assert_uint_eq(stream_read_some(near_end, 100).len, 16);
    stream_trim(near_end);
    say(SLICE("still there"));
    ASSERT_SLICE(stream_read_some(near_end, 100), "still there");
    close_pair();
}

START_TEST(reads_blocks)
{
    run_main(blocks_main, NULL);
}
END_TEST

enum { BULK = 3 * 1024 * 1024 };

static void send_bulk(void *arg UNUSED)
{
    char block[1000];
    for (size_t sent = 0; sent < BULK; sent += sizeof(block)) {
        for (size_t i = 0; i < sizeof(block); i++)
            block[i] = (char)((sent + i) % 251);
        stream_write(far_end, block, sizeof(block) < BULK - sent ? sizeof(block) : BULK - sent);
    }
    ck_assert(stream_flush(far_end));
    char *large = memory_zalloc(1, 200000);
    stream_write(far_end, large, 200000);
    free(large);
    ck_assert_uint_eq(stream_unsent(far_end), 0);
    stream_free(far_end);
}

static void bulk_main(void *arg UNUSED)
{
    size_t got = 0, wrong = 0;
    open_pair();
    fiber_start("bulk", send_bulk, NULL);
    while (got < BULK) {
        struct slice part = stream_read_some(near_end, BULK - got);
        ck_assert_uint_gt(part.len, 0);
        for (size_t i = 0; i < part.len; i++)
            wrong += part.data[i] != (char)((got + i) % 251);
        got += part.len;
    }
    ck_assert_uint_eq(wrong, 0);
    char *large = memory_alloc(200000);
    ck_assert(stream_read(near_end, large, 200000));
    ck_assert(!stream_read(near_end, large, 1));
    ck_assert_int_eq(stream_error(near_end), STREAM_END);
    free(large);
    stream_free(near_end);
}

START_TEST(moves_bulk)
{
    run_main(bulk_main, NULL);
}
END_TEST

/* ---- errors --------------------------------------------------------------------------------------------------------- */

static void errors_main(void *arg UNUSED)
{
    struct slice line;
    open_pair();
    stream_set_deadline(near_end, clock_after(2000));
    ck_assert_int_eq(stream_read_line(near_end, 100, &line), LINE_NONE);
    ck_assert_int_eq(stream_error(near_end), STREAM_TIMEOUT);
    stream_printf(near_end, "dropped\r\n");
    ck_assert(!stream_flush(near_end));
    stream_clear_timeout(near_end);
    stream_set_deadline(near_end, clock_after(MICROSECONDS));
    stream_printf(near_end, "%d %s\r\n", 421, "timeout");
    ck_assert(stream_flush(near_end));
    ck_assert_int_eq(stream_read_line(far_end, 100, &line), LINE_CRLF);
    ASSERT_SLICE(line, "421 timeout");
    stream_free(far_end);
    stream_printf(near_end, "nobody listens\r\n");
    ck_assert(!stream_flush(near_end));
    ck_assert_int_eq(stream_error(near_end), STREAM_LOST);
    ck_assert_int_eq(stream_errno(near_end), EPIPE);
    ck_assert_int_eq(stream_read_line(near_end, 100, &line), LINE_NONE);
    stream_free(near_end);
}

START_TEST(errors_stick)
{
    run_main(errors_main, NULL);
}
END_TEST

static void cancelled_reader(void *arg UNUSED)
{
    struct slice line;
    ck_assert_int_eq(stream_read_line(near_end, 100, &line), LINE_NONE);
    ck_assert_int_eq(stream_error(near_end), STREAM_CANCELLED);
}

static void cancel_main(void *arg UNUSED)
{
    open_pair();
    struct fiber *fiber = fiber_start("reader", cancelled_reader, NULL);
    fiber_yield();
    fiber_cancel(fiber);
    fiber_yield();
    ck_assert_uint_eq(fiber_count(), 1);
    close_pair();
}

START_TEST(cancel_is_an_error)
{
    run_main(cancel_main, NULL);
}
END_TEST

/* ---- layers --------------------------------------------------------------------------------------------------------- */

/* A layer that turns upper case into lower case on the way in. */
static const struct stream_transport *below;
static void *below_context;
static bool layer_closed;

static ssize_t lower_read(void *context UNUSED, void *data, size_t len, int64_t deadline, enum stream_error *error)
{
    char *at = data;
    ssize_t n = below->read(below_context, data, len, deadline, error);
    for (ssize_t i = 0; i < n; i++)
        at[i] = (char)tolower((unsigned char)at[i]);
    return n;
}

static ssize_t lower_write(void *context UNUSED, const void *data, size_t len, int64_t deadline, enum stream_error *error)
{
    return below->write(below_context, data, len, deadline, error);
}

static void lower_close(void *context UNUSED)
{
    layer_closed = true;
}

static const struct stream_transport lower_transport = {lower_read, lower_write, lower_close, NULL};

static void layers_main(void *arg UNUSED)
{
    struct slice line;
    open_pair();
    say(SLICE("STARTTLS\r\nINJECTED\r\n"));
    ck_assert_int_eq(stream_read_line(near_end, 100, &line), LINE_CRLF);
    stream_transport_below(near_end, &below, &below_context);
    ck_assert(!stream_push_transport(near_end, &lower_transport, NULL));
    ck_assert_uint_eq(stream_buffered(near_end), 0);
    say(SLICE("HELLO\r\n"));
    ck_assert(stream_pending(near_end));
    ck_assert_int_eq(stream_read_line(near_end, 100, &line), LINE_CRLF);
    ASSERT_SLICE(line, "hello");
    stream_printf(near_end, "Yes\n");
    ck_assert(stream_flush(near_end));
    ck_assert_int_eq(stream_read_line(far_end, 100, &line), LINE_LF);
    close_pair();
    ck_assert(layer_closed);
}

START_TEST(layers_stack)
{
    run_main(layers_main, NULL);
}
END_TEST

/* ---- descriptors ----------------------------------------------------------------------------------------------------- */

static void descriptors_main(void *arg UNUSED)
{
    struct slice line;
    int ends[2];
    char byte;
    open_pair();
    ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
    stream_send_fd(far_end, ends[1]);
    stream_send_fd(far_end, ends[1]);
    say(SLICE("here\n"));
    close(ends[1]);
    ck_assert_int_eq(stream_read_line(near_end, 100, &line), LINE_LF);
    int first = stream_take_fd(near_end), second = stream_take_fd(near_end);
    ck_assert_int_ge(first, 0);
    ck_assert_int_ge(second, 0);
    ck_assert_int_eq(stream_take_fd(near_end), -1);
    ck_assert_int_eq(write(first, "x", 1), 1);
    ck_assert_int_eq(read(ends[0], &byte, 1), 1);
    ck_assert_int_ne(fcntl(first, F_GETFD) & FD_CLOEXEC, 0);
    close(first);
    close(second);
    /* More than the queue holds: the rest is closed, and so is what nobody takes. */
    for (int i = 0; i < 40; i++) {
        stream_send_fd(far_end, ends[0]);
        say(SLICE("x"));
    }
    char block[40];
    ck_assert(stream_read(near_end, block, sizeof(block)));
    close(ends[0]);
    int fd = stream_release_fd(near_end);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(write(fd, "!", 1), 1);
    ck_assert(stream_read(far_end, block, 1));
    close(fd);
    stream_free(far_end);
    int lowest = open("/dev/null", O_RDONLY | O_CLOEXEC);
    ck_assert_int_lt(lowest, 24); /* nothing leaked */
    close(lowest);
}

START_TEST(passes_descriptors)
{
    run_main(descriptors_main, NULL);
}
END_TEST

static void pipe_main(void *arg UNUSED)
{
    int ends[2];
    struct slice line;
    ck_assert_int_eq(pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
    struct stream *in = stream_new_fd(ends[0]), *out = stream_new_fd(ends[1]);
    stream_printf(out, "through a pipe\n");
    ck_assert(stream_flush(out));
    ck_assert_int_eq(stream_read_line(in, 100, &line), LINE_LF);
    ASSERT_SLICE(line, "through a pipe");
    stream_free(in);
    stream_printf(out, "broken\n");
    ck_assert(!stream_flush(out));
    ck_assert_int_eq(stream_errno(out), EPIPE);
    stream_free(out);
}

START_TEST(works_on_pipes)
{
    run_main(pipe_main, NULL);
}
END_TEST

START_TEST(works_without_the_loop)
{
    struct slice line;
    open_pair();
    stream_set_deadline(near_end, clock_after(2000));
    ck_assert_int_eq(stream_read_line(near_end, 100, &line), LINE_NONE);
    ck_assert_int_eq(stream_error(near_end), STREAM_TIMEOUT);
    stream_clear_timeout(near_end);
    stream_set_deadline(near_end, clock_after(MICROSECONDS));
    say(SLICE("direct\n"));
    ck_assert_int_eq(stream_read_line(near_end, 100, &line), LINE_LF);
    close_pair();
}
END_TEST

TEST_MAIN("net/stream", reads_lines, reads_blocks, moves_bulk, errors_stick, cancel_is_an_error, layers_stack,
          passes_descriptors, works_on_pipes, works_without_the_loop)
