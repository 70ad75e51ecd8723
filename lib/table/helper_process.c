/* helper_process.c - the helper: a supervisor and its workers (see helper.h) */
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>

#include "table/helper.h"

enum { WORKERS_MAX = 8, IDLE_SECONDS = 60, TURN_MILLISECONDS = 1000 };

/* Who is there and what he does; shared by all. */
struct board {
    struct { _Atomic pid_t pid; _Atomic uint32_t serial; /* 0: idle */ } slots[WORKERS_MAX];
};

static struct board *board;
static int service_fd, wish_fd[2]; /* a byte through the pipe: one more worker, please */

/* ---- a worker ----------------------------------------------------------------------------------------------------- */

static struct buffer lines;

static void keep_line(enum log_severity severity, const char *text, void *context UNUSED)
{
    size_t len = strlen(text);
    if (lines.len + len + 2 > HELPER_LOG_MAX)
        return;
    buffer_append_byte(&lines, (char)('0' + severity));
    buffer_append(&lines, text, len + 1);
}

static void send_reply(uint32_t serial, enum table_result result, bool config_error, struct slice text)
{
    struct helper_reply reply = {.serial = serial, .log_length = (uint32_t)lines.len, .result = (uint8_t)result, .config_error = config_error};
    struct iovec parts[] = {{&reply, sizeof(reply)}, {lines.data, lines.len}, {(void *)(uintptr_t)text.data, text.len}};
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = COUNT_OF(parts)};
    ssize_t sent;
    do {
        sent = sendmsg(service_fd, &message, MSG_NOSIGNAL);
    } while (sent < 0 && errno == EINTR);
    if (sent < 0 && errno != EMSGSIZE)
        _exit(0); /* the service is gone */
    buffer_clear(&lines);
}

static void answer(const struct helper_request *request, struct slice key)
{
    struct table *table = helper_table(request->table);
    struct buffer value = BUFFER_INIT;
    enum table_result result = TABLE_TRY_AGAIN;
    bool config_error = false;
    if (table) {
        buffer_clear(&table->why);
        table->config_error = false;
        result = table->driver->lookup(table, key, &value);
        config_error = table->config_error;
        if (result == TABLE_TRY_AGAIN) {
            buffer_clear(&value);
            buffer_append_slice(&value, slice_first(buffer_slice(&table->why), HELPER_LOG_MAX));
        } else if (value.len > HELPER_TEXT_MAX) {
            result = TABLE_TRY_AGAIN;
            buffer_clear(&value);
            buffer_append_string(&value, "the result is too long");
        }
    }
    send_reply(request->serial, result, config_error, buffer_slice(&value));
    buffer_release(&value);
}

static bool somebody_is_idle(void)
{
    for (size_t i = 0; i < WORKERS_MAX; i++)
        if (board->slots[i].pid != 0 && board->slots[i].serial == 0)
            return true;
    return false;
}

/* say_goodbye - servers hear of the end of each connection. */
static NO_RETURN void say_goodbye(void)
{
    struct table *table;
    for (uint32_t i = 0; helper_number_is_used(i); i++)
        if ((table = helper_table(i)) != NULL)
            table->driver->close(table->state);
    _exit(0);
}

/* worker_main - a worker that has had nothing to do for a while ends, and its connections with it. */
static NO_RETURN void worker_main(size_t slot)
{
    static char message[sizeof(struct helper_request) + HELPER_KEY_MAX + 1];
    struct helper_request request;
    bool has_served = false;
    (void)prctl(PR_SET_NAME, "table-lookups");
    log_set_watcher(keep_line, NULL);
    for (;;) {
        ssize_t got = recv(service_fd, message, sizeof(message) - 1, 0);
        if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK) && (has_served || slot > 0))
            say_goodbye();
        if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR))
            continue;
        if (got < (ssize_t)sizeof(request))
            say_goodbye();
        memcpy(&request, message, sizeof(request));
        message[got] = '\0';
        board->slots[slot].serial = request.serial;
        if (!somebody_is_idle() && write(wish_fd[1], "+", 1) < 0)
            log_debug("no more helpers: %s", strerror(errno));
        answer(&request, slice_make(message + sizeof(request), (size_t)got - sizeof(request)));
        board->slots[slot].serial = 0;
        has_served = true;
    }
}

/* ---- the supervisor ----------------------------------------------------------------------------------------------- */

static void on_child(int number UNUSED) {}

static void start_worker(void)
{
    sigset_t none;
    for (size_t i = 0; i < WORKERS_MAX; i++) {
        if (board->slots[i].pid != 0)
            continue;
        board->slots[i].serial = 0;
        pid_t pid = fork();
        if (pid == 0) {
            sigemptyset(&none);
            sigprocmask(SIG_SETMASK, &none, NULL);
            signal(SIGCHLD, SIG_DFL);
            board->slots[i].pid = getpid();
            worker_main(i);
        }
        if (pid > 0)
            board->slots[i].pid = pid;
        return;
    }
}

static size_t workers_alive(void)
{
    size_t count = 0;
    for (size_t i = 0; i < WORKERS_MAX; i++)
        count += board->slots[i].pid != 0;
    return count;
}

/* bury - a worker that died in the middle of a lookup is answered for. */
static bool bury(pid_t pid, int status)
{
    for (size_t i = 0; i < WORKERS_MAX; i++) {
        if (board->slots[i].pid != pid)
            continue;
        uint32_t serial = board->slots[i].serial;
        if (serial != 0) {
            struct buffer text = BUFFER_INIT;
            buffer_printf(&text, "%cthe process that looks up died (%s %d)%c", '0' + LOG_SEVERITY_WARNING,
                          WIFSIGNALED(status) ? "signal" : "exit status", WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status), '\0');
            buffer_append_slice(&lines, buffer_slice(&text));
            buffer_release(&text);
            send_reply(serial, TABLE_TRY_AGAIN, false, SLICE("the process that looks up died"));
        }
        board->slots[i].serial = 0;
        board->slots[i].pid = 0;
        return serial != 0 || WIFSIGNALED(status);
    }
    return false;
}

/* drop_rights - the groups of the user are kept: sockets and keys of database servers may be theirs. */
static void drop_rights(uid_t uid, gid_t gid)
{
    if (geteuid() != 0)
        return;
    const struct passwd *user = getpwuid(uid);
    if ((user ? initgroups(user->pw_name, gid) : setgroups(1, &gid)) < 0 || setresgid(gid, gid, gid) < 0 || setresuid(uid, uid, uid) < 0)
        _exit(1);
}

static void close_others(void)
{
    int last = wish_fd[1] > service_fd ? wish_fd[1] : service_fd;
    for (int fd = 3; fd < last; fd++)
        if (fd != service_fd && fd != wish_fd[0] && fd != wish_fd[1])
            close(fd);
    close_range((unsigned)last + 1, ~0U, 0);
}

static bool prepare(int socket, uid_t uid, gid_t gid)
{
    struct timeval idle = {.tv_sec = IDLE_SECONDS};
    service_fd = socket;
    board = mmap(NULL, sizeof(*board), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (board == MAP_FAILED || pipe2(wish_fd, O_CLOEXEC | O_NONBLOCK) < 0)
        return false;
    close_others();
    drop_rights(uid, gid);
    (void)prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    (void)prctl(PR_SET_NAME, "table-helper");
    setsockopt(service_fd, SOL_SOCKET, SO_RCVTIMEO, &idle, sizeof(idle));
    /* It ends with its service, not before: lookups go on while the system stops. */
    signal(SIGTERM, SIG_IGN);
    signal(SIGINT, SIG_IGN);
    signal(SIGHUP, SIG_IGN);
    signal(SIGPIPE, SIG_IGN);
    struct sigaction action = {.sa_handler = on_child};
    return sigaction(SIGCHLD, &action, NULL) == 0;
}

void helper_supervise(int socket, uid_t uid, gid_t gid)
{
    sigset_t children, others;
    int status;
    pid_t pid;
    if (!prepare(socket, uid, gid))
        _exit(1);
    log_set_watcher(keep_line, NULL);
    sigemptyset(&children);
    sigaddset(&children, SIGCHLD);
    sigprocmask(SIG_BLOCK, &children, &others);
    sigdelset(&others, SIGCHLD);
    for (;;) {
        struct pollfd ready[] = {{.fd = wish_fd[0], .events = POLLIN}, {.fd = service_fd}};
        char wishes[64];
        bool has_died = false;
        if (workers_alive() == 0)
            start_worker();
        if (ppoll(ready, COUNT_OF(ready), NULL, &others) < 0 && errno != EINTR)
            _exit(1);
        while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
            has_died |= bury(pid, status);
        if (ready[1].revents & (POLLHUP | POLLERR))
            _exit(0);
        if (has_died)
            usleep(TURN_MILLISECONDS * 100); /* something that crashes at once must not keep the machine busy */
        if ((ready[0].revents & POLLIN) && read(wish_fd[0], wishes, sizeof(wishes)) > 0 && !somebody_is_idle())
            start_worker();
    }
}
