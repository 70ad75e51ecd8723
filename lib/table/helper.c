/* helper.c - the service's side of its helper (see helper.h) */
#include <fcntl.h>
#include <sys/socket.h>

#include "base/list.h"
#include "run/run.h"
#include "table/helper.h"

#define PATIENCE (100 * MICROSECONDS)
#define SEND_PAUSE (MICROSECONDS / 200)
/* Requests under way: with keys of full length they fill the socket; more of them wait. */
enum { UNDER_WAY_MAX = 64 };

static struct table **registered; /* a number is never given twice */
static uint32_t registered_count;
static uint32_t known_count; /* numbers below are known to the helper */
static bool in_service;      /* lookups in the service's own thread are over */

struct waiter {
    struct list link;
    uint32_t serial;
    struct condition done;
    bool answered;
    enum table_result result;
    bool config_error;
    struct buffer *text;
};

static int helper_fd = -1;
static struct run_watch *helper_watch;
static uint32_t last_serial;
static struct list waiters = {&waiters, &waiters};
static struct semaphore places;

/* ---- tables ------------------------------------------------------------------------------------------------------- */

void helper_register(struct table *table)
{
    registered = memory_resize(registered, (registered_count + 1) * sizeof(*registered));
    table->number = registered_count;
    registered[registered_count++] = table;
}

void helper_forget(struct table *table)
{
    if (table->number < registered_count && registered[table->number] == table)
        registered[table->number] = NULL;
}

struct table *helper_table(uint32_t number)
{
    return number < registered_count ? registered[number] : NULL;
}

bool helper_number_is_used(uint32_t number)
{
    return number < registered_count;
}

bool helper_serves(const struct table *table)
{
    return helper_fd >= 0 && (table->driver->kind & DRIVER_BLOCKS) && table->number < known_count;
}

/* ---- replies ------------------------------------------------------------------------------------------------------ */

static void log_lines(struct slice lines)
{
    while (lines.len > 1) {
        size_t end = slice_find(lines, '\0');
        if (end == lines.len)
            return;
        log_pass_on((unsigned)(lines.data[0] - '0'), slice_make(lines.data + 1, end - 1));
        lines = slice_from(lines, end + 1);
    }
}

static void wake(struct waiter *waiter, enum table_result result, bool config_error, struct slice text)
{
    list_remove(&waiter->link);
    waiter->answered = true;
    waiter->result = result;
    waiter->config_error = config_error;
    buffer_clear(waiter->text);
    buffer_append_slice(waiter->text, text);
    condition_signal(&waiter->done);
}

static void take_reply(struct slice message)
{
    struct helper_reply reply;
    if (message.len < sizeof(reply))
        return;
    memcpy(&reply, message.data, sizeof(reply));
    message = slice_from(message, sizeof(reply));
    if (reply.log_length > message.len)
        return;
    log_lines(slice_first(message, reply.log_length));
    LIST_EACH(&waiters, link) {
        struct waiter *waiter = LIST_ENTRY(link, struct waiter, link);
        if (waiter->serial == reply.serial)
            wake(waiter, reply.result <= TABLE_TRY_AGAIN ? (enum table_result)reply.result : TABLE_TRY_AGAIN, reply.config_error,
                 slice_from(message, reply.log_length));
    }
}

/* end_helper - what waits for it fails for now. */
static void end_helper(void)
{
    if (helper_fd < 0)
        return;
    run_unwatch(helper_watch);
    close(helper_fd);
    helper_fd = -1;
    LIST_EACH(&waiters, link)
        wake(LIST_ENTRY(link, struct waiter, link), TABLE_TRY_AGAIN, false, SLICE("the process that looks up has ended"));
}

static void on_reply(void *arg UNUSED, int events UNUSED)
{
    static char message[sizeof(struct helper_reply) + HELPER_LOG_MAX + HELPER_TEXT_MAX];
    for (;;) {
        ssize_t got = recv(helper_fd, message, sizeof(message), MSG_DONTWAIT);
        if (got > 0) {
            take_reply(slice_make(message, (size_t)got));
            continue;
        }
        if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR))
            return;
        log_warning("the process that looks up in tables of servers has ended");
        end_helper();
        tables_set_outdated();
        return;
    }
}

/* ---- starting ----------------------------------------------------------------------------------------------------- */

void tables_start_helper(uid_t uid, gid_t gid)
{
    int pair[2], room = 4 * (HELPER_TEXT_MAX + HELPER_LOG_MAX);
    bool needed = false;
    in_service = true;
    end_helper();
    for (uint32_t i = 0; i < registered_count; i++)
        needed |= registered[i] != NULL;
    if (!needed)
        return;
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
        log_fatal("socketpair: %s", strerror(errno));
    for (int i = 0; i < 2; i++)
        setsockopt(pair[i], SOL_SOCKET, SO_SNDBUF, &room, sizeof(room));
    log_flush();
    pid_t pid = fork();
    if (pid < 0)
        log_fatal("fork: %s", strerror(errno));
    if (pid == 0)
        helper_supervise(pair[1], uid, gid);
    close(pair[1]);
    helper_fd = pair[0];
    known_count = registered_count;
    semaphore_init(&places, UNDER_WAY_MAX);
    helper_watch = run_watch(helper_fd, WAIT_READ, on_reply, NULL);
}

/* ---- asking ------------------------------------------------------------------------------------------------------- */

/* send_request - false: it did not go out.  Waits. */
static bool send_request(const struct helper_request *request, struct slice key, int64_t deadline)
{
    struct iovec parts[] = {{(void *)(uintptr_t)request, sizeof(*request)}, {(void *)(uintptr_t)key.data, key.len}};
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = COUNT_OF(parts)};
    while (helper_fd >= 0 && sendmsg(helper_fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL) < 0) {
        if ((errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR) || clock_monotonic() > deadline)
            return false;
        fiber_sleep(SEND_PAUSE);
    }
    return helper_fd >= 0;
}

static enum table_result ask(struct table *table, struct slice key, struct buffer *value)
{
    struct waiter waiter = {.serial = ++last_serial ? last_serial : ++last_serial, .text = value};
    struct helper_request request = {.serial = waiter.serial, .table = table->number};
    int64_t deadline = clock_after(PATIENCE);
    if (semaphore_take(&places, deadline) != WAIT_READY)
        return table_fail(table, "%s: too many lookups wait for a server", table->name);
    condition_init(&waiter.done);
    list_append(&waiters, &waiter.link);
    if (!send_request(&request, key, deadline) && !waiter.answered)
        wake(&waiter, TABLE_TRY_AGAIN, false, SLICE("cannot reach the process that looks up"));
    while (!waiter.answered && condition_wait(&waiter.done, deadline) == WAIT_READY)
        ;
    if (!waiter.answered)
        wake(&waiter, TABLE_TRY_AGAIN, false, SLICE("no answer in time"));
    semaphore_give(&places);
    table->config_error = waiter.config_error;
    if (waiter.result != TABLE_TRY_AGAIN)
        return waiter.result;
    buffer_clear(&table->why);
    buffer_append_slice(&table->why, buffer_slice(value));
    buffer_clear(value);
    return TABLE_TRY_AGAIN;
}

struct lookup_work { struct table *table; struct slice key; struct buffer *value; enum table_result result; };

static void lookup_in_pool(void *arg)
{
    struct lookup_work *work = arg;
    work->result = work->table->driver->lookup(work->table, work->key, work->value);
}

enum table_result helper_lookup(struct table *table, struct slice key, struct buffer *value)
{
    if (key.len > HELPER_KEY_MAX)
        return TABLE_NOT_FOUND;
    if (fiber_current() == NULL)
        return table->driver->lookup(table, key, value);
    if (helper_serves(table))
        return ask(table, key, value);
    if (in_service)
        return table_fail(table, "%s: this table was opened too late for the process that looks up in it", table->name);
    /* A command: the thread pool has stacks that are large enough for any library, and nobody else runs meanwhile. */
    struct lookup_work work = {.table = table, .key = key, .value = value};
    run_offload(lookup_in_pool, &work);
    return work.result;
}
