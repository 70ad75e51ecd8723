/* gate_wait.c - clients in the early tests: they wait for the greeting, without a fiber, and must not say anything */
#include "gate_private.h"

#include <sys/socket.h>

#include "service/agent.h"
#include "text.h"

enum { PEEK_MAX = 1024, SHOWN_MAX = 100 };
static const int64_t teaser_time = 2 * MICROSECONDS; /* for the first line of the greeting; a fresh connection has room for it */

/* ---- the clock of all that wait ---- */

static void on_time(void *arg);

static struct gate_client *first_of(struct list *waiting)
{
    return list_is_empty(waiting) ? NULL : LIST_ENTRY(waiting->next, struct gate_client, link);
}

static void set_timer(struct gate *gate)
{
    int64_t deadline = CLOCK_NEVER;

    for (size_t i = 0; i < COUNT_OF(gate->waiting); i++) {
        const struct gate_client *c = first_of(&gate->waiting[i]);
        if (c && c->deadline < deadline)
            deadline = c->deadline;
    }
    if (deadline == CLOCK_NEVER) {
        run_timer_stop(gate->timer);
        return;
    }
    int64_t delay = deadline - clock_monotonic();
    run_timer_set(gate->timer, delay < 0 ? 0 : delay, 0);
}

void gate_wait_open(struct gate *gate)
{
    for (size_t i = 0; i < COUNT_OF(gate->waiting); i++)
        list_init(&gate->waiting[i]);
}

/* enqueue - in order of the deadlines, which is almost always the order of arrival. */
static void enqueue(struct gate_client *c, struct list *waiting)
{
    struct list *before = waiting->previous;

    while (before != waiting && LIST_ENTRY(before, struct gate_client, link)->deadline > c->deadline)
        before = before->previous;
    list_prepend(before, &c->link);
    if (waiting->next == &c->link)
        set_timer(c->gate);
}

/* ---- the end of the wait ---- */

/* leave - out of the lists; the lookups may go on until somebody has looked at them. */
static void leave(struct gate_client *c)
{
    list_remove(&c->link);
    if (c->watch)
        run_unwatch(c->watch);
    c->watch = NULL;
}

static void finish(struct gate_client *c)
{
    struct service_client *connection = c->connection;

    leave(c);
    service_resume(connection, gate_judge);
}

static void on_time(void *arg)
{
    struct gate *gate = arg;
    int64_t now = clock_monotonic();

    for (size_t i = 0; i < COUNT_OF(gate->waiting); i++) {
        struct gate_client *c;
        while ((c = first_of(&gate->waiting[i])) && c->deadline <= now)
            finish(c);
    }
    set_timer(gate);
}

static void hung_up(struct gate_client *c)
{
    struct service_client *connection = c->connection;
    struct buffer time = BUFFER_INIT;

    delivery_delay_text(&time, clock_monotonic() - c->began);
    gate_log("HANGUP after %s from %s in tests before SMTP handshake", buffer_string(&time), c->peer);
    gate_log("DISCONNECT %s", c->peer);
    buffer_release(&time);
    leave(c);
    gate_forget(c);
    service_end(connection);
}

static void on_interrupted(struct service_client *connection)
{
    struct gate_client *c = connection->state;

    leave(c);
    gate_forget(c);
    service_end(connection);
}

/* lists_are_asked - do the DNS lists still owe an answer that matters? */
static bool lists_are_asked(const struct gate_client *c)
{
    return c->asking && !gate_asking_is_complete(c->asking);
}

/* is_allowed_by_lists - do they say so much good of the client that nothing else matters? */
static bool is_allowed_by_lists(const struct gate_client *c)
{
    int64_t threshold = c->gate->params.postscreen_dnsbl_allowlist_threshold;

    return threshold < 0 && c->asking && gate_asking_score(c->asking)->rank <= threshold && !c->failed;
}

/* is_over - has it gone through all that was to be seen? */
static bool is_over(const struct gate_client *c)
{
    if (lists_are_asked(c))
        return false;
    return !(c->todo & 1U << GATE_GREET) || ((c->failed | c->ignored) & 1U << GATE_GREET) || is_allowed_by_lists(c);
}

static void on_lists(void *context)
{
    struct gate_client *c = context;

    if (c->connection->interrupted && is_over(c))
        finish(c);
}

/* ---- what the client sends ---- */

static enum gate_action note_early(struct gate_client *c, struct slice bytes)
{
    struct buffer time = BUFFER_INIT, text = BUFFER_INIT;

    delivery_delay_text(&time, clock_monotonic() - c->began);
    text_escape(&text, bytes, SHOWN_MAX);
    gate_log("PREGREET %zu after %s from %s: %s", bytes.len, buffer_string(&time), c->peer, buffer_string(&text));
    buffer_release(&time);
    buffer_release(&text);
    return gate_fail(c, GATE_GREET, "5.5.1 Protocol error");
}

static void talked_early(struct gate_client *c, struct slice bytes)
{
    if (note_early(c, bytes) == GATE_DROP || is_over(c))
        finish(c);
}

static void on_readable(void *arg, int events UNUSED)
{
    struct gate_client *c = arg;
    char bytes[PEEK_MAX];

    ssize_t len = recv(stream_fd(c->connection->stream), bytes, sizeof(bytes), MSG_PEEK | MSG_DONTWAIT);
    if (len < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (len <= 0) {
        hung_up(c);
        return;
    }
    run_unwatch(c->watch); /* what is there stays there, and is read by whoever comes next */
    c->watch = NULL;
    if ((c->todo & 1U << GATE_GREET) && !((c->failed | c->ignored) & 1U << GATE_GREET))
        talked_early(c, slice_make(bytes, (size_t)len));
}

/* ---- the beginning ---- */

static void tease(struct gate_client *c)
{
    struct stream *stream = c->connection->stream;

    stream_set_deadline(stream, clock_after(teaser_time));
    stream_printf(stream, "220-%s\r\n", c->gate->params.postscreen_greet_banner);
    stream_flush(stream);
    stream_trim(stream);
    stream_set_deadline(stream, CLOCK_NEVER);
}

void gate_wait(struct gate_client *c)
{
    struct gate *gate = c->gate;
    struct service_client *connection = c->connection;
    bool greet = (c->todo & 1U << GATE_GREET) != 0;

    c->began = clock_monotonic();
    if (greet)
        tease(c);
    if (c->todo & 1U << GATE_DNSBL)
        c->asking = gate_asking_start(gate->lists, &connection->peer, on_lists, c);
    connection->interruptible = INTERRUPTIBLE_AT_STOP;
    bool cut_off = greet && stream_buffered(connection->stream) /* it came with the header of the load balancer */
                   && note_early(c, stream_peek(connection->stream)) == GATE_DROP;
    if (cut_off || is_over(c)) {
        gate_judge(NULL, connection);
        return;
    }
    if (!service_park(connection, on_interrupted)) {
        gate_forget(c);
        return;
    }
    c->deadline = clock_after(!greet ? gate->params.postscreen_dnsbl_timeout
                              : gate->stress ? gate->stress_greet_wait : gate->params.postscreen_greet_wait);
    int fd = stream_fd(connection->stream);
    fiber_forget_fd(fd);
    if (!gate->timer)
        gate->timer = run_timer_new(on_time, gate);
    enqueue(c, &gate->waiting[!greet ? 2 : gate->stress ? 1 : 0]);
    c->watch = run_watch(fd, WAIT_READ, on_readable, c);
}
