/* cyrus_helper.c - the processes in which Cyrus SASL's library works (see cyrus_helper.h) */
#include "sasl/cyrus_helper.h"

#include <grp.h>
#include <openssl/crypto.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>

#include "base/log.h"
#include "table/library.h"

#if __has_include(<sasl/sasl.h>)
#include <sasl/sasl.h>

#define FUNCTIONS(X) X(sasl_set_path) X(sasl_server_init) X(sasl_server_new) X(sasl_dispose) X(sasl_setprop) X(sasl_getprop) X(sasl_listmech) \
    X(sasl_server_start) X(sasl_server_step) X(sasl_errstring)
static struct { FUNCTIONS(LIBRARY_MEMBER) } cyrus;
#define SYMBOL(name) {#name, &cyrus.name},
static const struct library_symbol symbols[] = {FUNCTIONS(SYMBOL) {0}};
static const struct library library = {"libsasl2.so.2", "libsasl2-2", symbols};

enum { IDLE_SECONDS = 60, LOG_FD = 3, REST_MICROSECONDS = 100000 };

/* One exchange. */
struct conversation {
    uint32_t id; /* 0: free */
    uint64_t begun;
    sasl_conn_t *connection;
};

static struct cyrus_settings settings;
static struct conversation conversations[CYRUS_EXCHANGES_MAX];
static size_t conversation_count;
static uint64_t begun_count;
static bool had_error; /* the library reported an error of its own in this step */

/* ---- the library ---- */

/* on_log - what an administrator should read; LOG_PASS and its like may hold passwords. */
static int on_log(void *context UNUSED, int level, const char *text)
{
    if (level == SASL_LOG_ERR)
        had_error = true;
    if (level == SASL_LOG_ERR || level == SASL_LOG_FAIL || level == SASL_LOG_WARN)
        log_warning("SASL authentication %s: %s", level == SASL_LOG_FAIL ? "failure" : "problem", text);
    return SASL_OK;
}

static const sasl_callback_t callbacks[] = {{SASL_CB_LOG, (int (*)(void))(uintptr_t)on_log, NULL}, {SASL_CB_LIST_END, NULL, NULL}};

static bool load_library(void)
{
    struct buffer why = BUFFER_INIT;
    bool good = library_find("cyrus", &library, &why);

    if (!good) {
        log_warning("smtpd_sasl_type = cyrus: %s", buffer_string(&why));
    } else {
        (void)cyrus.sasl_set_path(SASL_PATH_TYPE_CONFIG, memory_string(settings.directories));
        int result = cyrus.sasl_server_init(callbacks, settings.application);
        good = result == SASL_OK;
        if (!good)
            log_warning("SASL per-process initialization failed: %s", cyrus.sasl_errstring(result, NULL, NULL));
    }
    buffer_release(&why);
    return good;
}

/* new_connection - no security layers: TLS is ours; which mechanisms are allowed is decided by who asks. */
static sasl_conn_t *new_connection(void)
{
    sasl_conn_t *connection = NULL;
    sasl_security_properties_t security = {.maxbufsize = 0};
    const char *realm = settings.realm[0] ? settings.realm : NULL;

    if (cyrus.sasl_server_new(settings.service, settings.host, realm, NULL, NULL, NULL, 0, &connection) != SASL_OK)
        return NULL;
    if (cyrus.sasl_setprop(connection, SASL_SEC_PROPS, &security) == SASL_OK)
        return connection;
    cyrus.sasl_dispose(&connection);
    return NULL;
}

/* knows_users - can the database be read?  For the library one that is not there, or not readable (is the mail owner in the group sasl?), has no users. */
static bool knows_users(void)
{
    if (!settings.database || access(settings.database, R_OK) == 0)
        return true;
    log_warning("SASL: cannot read %s: %s", settings.database, strerror(errno));
    return false;
}

/* result_of - an error that the library wrote to the log makes "there is no such user" one of the back end. */
static enum cyrus_result result_of(int result)
{
    static const struct { int from; enum cyrus_result to; } rows[] = {
        {SASL_CONTINUE, CYRUS_MORE}, {SASL_OK, CYRUS_GOOD}, {SASL_NOUSER, CYRUS_UNKNOWN_USER}, {SASL_BADAUTH, CYRUS_WRONG}, {SASL_WRONGMECH, CYRUS_VERIFIER},
        {SASL_NOVERIFY, CYRUS_VERIFIER}, {SASL_TRANS, CYRUS_VERIFIER}, {SASL_DISABLED, CYRUS_DISABLED}, {SASL_PWLOCK, CYRUS_DISABLED},
        {SASL_EXPIRED, CYRUS_EXPIRED}, {SASL_NOAUTHZ, CYRUS_AUTHORIZATION}, {SASL_NOMECH, CYRUS_MECHANISM}, {SASL_BADPROT, CYRUS_ENCODING},
        {SASL_BUFOVER, CYRUS_ENCODING}, {SASL_BADPARAM, CYRUS_ENCODING}, {SASL_TOOWEAK, CYRUS_CLEARTEXT}, {SASL_ENCRYPT, CYRUS_CLEARTEXT},
        {SASL_UNAVAIL, CYRUS_DOWN}, {SASL_FAIL, CYRUS_DOWN},
    };

    if ((had_error && (result == SASL_NOUSER || result == SASL_BADAUTH)) || (result == SASL_NOUSER && !knows_users()))
        return CYRUS_DOWN;
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        if (rows[i].from == result)
            return rows[i].to;
    return CYRUS_TROUBLE;
}

/* ---- a worker ---- */

static struct conversation *find(uint32_t id)
{
    for (size_t i = 0; i < CYRUS_EXCHANGES_MAX; i++)
        if (conversations[i].id == id)
            return &conversations[i];
    return NULL;
}

static void end_conversation(struct conversation *c)
{
    if (!c)
        return;
    cyrus.sasl_dispose(&c->connection);
    *c = (struct conversation){0};
    conversation_count--;
}

static struct conversation *begin_conversation(uint32_t id)
{
    end_conversation(find(id));
    if (conversation_count == CYRUS_EXCHANGES_MAX) {
        struct conversation *oldest = &conversations[0];
        for (size_t i = 1; i < CYRUS_EXCHANGES_MAX; i++)
            if (conversations[i].begun < oldest->begun)
                oldest = &conversations[i];
        end_conversation(oldest);
    }
    struct conversation *c = find(0);
    c->connection = new_connection();
    if (!c->connection)
        return NULL;
    c->id = id;
    c->begun = ++begun_count;
    conversation_count++;
    return c;
}

static struct slice user_of(sasl_conn_t *connection)
{
    static const int properties[] = {SASL_USERNAME, SASL_AUTHUSER};
    const void *value;

    for (size_t i = 0; i < COUNT_OF(properties); i++)
        if (cyrus.sasl_getprop(connection, properties[i], &value) == SASL_OK && value)
            return slice_first(slice_of(value), 1024);
    return (struct slice){0};
}

static void send_reply(int fd, struct cyrus_reply *reply, struct slice user, struct slice text)
{
    struct iovec parts[] = {{reply, sizeof(*reply)}, {(void *)(uintptr_t)user.data, user.len}, {(void *)(uintptr_t)text.data, text.len}};
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = COUNT_OF(parts)};
    ssize_t sent;

    reply->user_length = (uint32_t)user.len;
    do {
        sent = sendmsg(fd, &message, MSG_NOSIGNAL);
    } while (sent < 0 && errno == EINTR);
    if (sent < 0)
        _exit(0); /* smtpd is gone */
}

/* advance - one step of the library. */
static int advance(struct conversation *c, const struct cyrus_request *request, struct slice rest, struct slice *challenge)
{
    const char *out = NULL;
    unsigned length = 0;
    char mechanism[SASL_MECHNAMEMAX + 1] = "";
    int result;

    if (request->command == CYRUS_START) {
        memcpy(mechanism, rest.data, request->mechanism_length);
        rest = slice_from(rest, request->mechanism_length);
    }
    const char *in = request->has_response ? rest.data : NULL;
    if (request->command == CYRUS_START)
        result = cyrus.sasl_server_start(c->connection, mechanism, in, in ? (unsigned)rest.len : 0, &out, &length);
    else
        result = cyrus.sasl_server_step(c->connection, in, in ? (unsigned)rest.len : 0, &out, &length);
    *challenge = slice_make(out ? out : "", out ? length : 0);
    return result;
}

static void serve_step(int fd, const struct cyrus_request *request, struct slice rest)
{
    struct conversation *c = request->command == CYRUS_START ? begin_conversation(request->exchange) : find(request->exchange);
    struct cyrus_reply reply = {.serial = request->serial, .result = CYRUS_TROUBLE};
    struct slice challenge = {0}, user = {0};

    had_error = false;
    if (c && request->mechanism_length <= rest.len && request->mechanism_length <= SASL_MECHNAMEMAX) {
        reply.result = (uint8_t)result_of(advance(c, request, rest, &challenge));
        user = user_of(c->connection);
    }
    send_reply(fd, &reply, user, slice_first(challenge, CYRUS_MESSAGE_MAX / 2));
}

static void serve_mechanisms(int fd, const struct cyrus_request *request)
{
    struct cyrus_reply reply = {.serial = request->serial, .result = CYRUS_GOOD};
    sasl_conn_t *connection = new_connection();
    const char *names = "";
    unsigned length = 0;
    int count;

    if (!connection || cyrus.sasl_listmech(connection, NULL, "", " ", "", &names, &length, &count) != SASL_OK)
        length = 0;
    send_reply(fd, &reply, (struct slice){0}, slice_make(names, length));
    if (connection)
        cyrus.sasl_dispose(&connection);
}

/* worker_main - ends when it has had nothing to do for a while. */
static NO_RETURN void worker_main(int fd)
{
    static char message[CYRUS_MESSAGE_MAX + 1];
    struct cyrus_request request;

    (void)prctl(PR_SET_NAME, "sasl-worker");
    for (;;) {
        ssize_t got = recv(fd, message, CYRUS_MESSAGE_MAX, 0);
        if (got < 0 && (errno == EINTR || ((errno == EAGAIN || errno == EWOULDBLOCK) && conversation_count > 0)))
            continue;
        if (got < (ssize_t)sizeof(request))
            _exit(0);
        memcpy(&request, message, sizeof(request));
        message[got] = '\0'; /* LOGIN's step of the library wants one */
        struct slice rest = slice_make(message + sizeof(request), (size_t)got - sizeof(request));
        if (request.command == CYRUS_MECHANISMS)
            serve_mechanisms(fd, &request);
        else if (request.command == CYRUS_END)
            end_conversation(request.exchange ? find(request.exchange) : NULL);
        else if (request.exchange)
            serve_step(fd, &request, rest);
        OPENSSL_cleanse(message, (size_t)got);
    }
}

/* ---- the supervisor ---- */

static struct worker { int fd; pid_t pid; } workers[CYRUS_WORKERS];

static void on_child(int number UNUSED) {}

static void start_worker(struct worker *w)
{
    sigset_t none;

    w->pid = fork();
    if (w->pid != 0)
        return;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    signal(SIGCHLD, SIG_DFL);
    for (size_t i = 0; i < CYRUS_WORKERS; i++)
        if (&workers[i] != w)
            close(workers[i].fd);
    worker_main(w->fd);
}

/* bury - whoever waits for a worker that died is told. */
static void bury(pid_t pid, int status)
{
    struct cyrus_reply reply = {.serial = 0, .result = CYRUS_TROUBLE};

    for (size_t i = 0; i < CYRUS_WORKERS; i++) {
        if (workers[i].pid != pid)
            continue;
        workers[i].pid = 0;
        if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
            continue;
        log_warning("the process in which Cyrus SASL works died (%s %d)", WIFSIGNALED(status) ? "signal" : "exit status",
                    WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
        send_reply(workers[i].fd, &reply, (struct slice){0}, (struct slice){0});
        usleep(REST_MICROSECONDS); /* something that crashes at once must not keep the machine busy */
    }
}

static void supervise(int life, const sigset_t *waiting)
{
    struct pollfd ready[CYRUS_WORKERS + 1];
    int status;
    pid_t pid;

    for (size_t i = 0; i < CYRUS_WORKERS; i++)
        ready[i] = (struct pollfd){.fd = workers[i].pid > 0 ? -1 : workers[i].fd, .events = POLLIN};
    ready[CYRUS_WORKERS] = (struct pollfd){.fd = life, .events = POLLIN};
    if (ppoll(ready, COUNT_OF(ready), NULL, waiting) < 0) {
        if (errno != EINTR)
            _exit(1);
        memset(ready, 0, sizeof(ready));
    }
    while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
        bury(pid, status);
    if (ready[CYRUS_WORKERS].revents)
        _exit(0);
    for (size_t i = 0; i < CYRUS_WORKERS; i++)
        if (ready[i].revents & POLLIN)
            start_worker(&workers[i]);
}

/* become_owner - with his groups: /etc/sasldb2 is readable by the group sasl. */
static bool become_owner(void)
{
    if (geteuid() != 0)
        return true;
    const struct passwd *owner = getpwnam(settings.mail_owner);
    return owner && initgroups(owner->pw_name, owner->pw_gid) == 0 && setresgid(owner->pw_gid, owner->pw_gid, owner->pw_gid) == 0 &&
           setresuid(owner->pw_uid, owner->pw_uid, owner->pw_uid) == 0;
}

static void close_others(int life)
{
    for (int fd = LOG_FD + 1; fd < 1024; fd++) {
        bool keep = fd == life;
        for (size_t i = 0; i < CYRUS_WORKERS; i++)
            keep |= fd == workers[i].fd;
        if (!keep)
            close(fd);
    }
    close_range(1024, ~0U, 0);
}

/* ignore_signals - it ends with its service, not before: logins go on while the system stops. */
static bool ignore_signals(void)
{
    static const int ignored[] = {SIGTERM, SIGINT, SIGHUP, SIGPIPE};
    struct sigaction action = {.sa_handler = on_child};

    for (size_t i = 0; i < COUNT_OF(ignored); i++)
        signal(ignored[i], SIG_IGN);
    return sigaction(SIGCHLD, &action, NULL) == 0;
}

static NO_RETURN void supervisor_main(int life)
{
    struct timeval idle = {.tv_sec = IDLE_SECONDS};
    sigset_t children, others;

    close_others(life);
    (void)prctl(PR_SET_NAME, "sasl-helper");
    log_set_buffered(false);
    if (!become_owner() || !ignore_signals())
        _exit(1);
    (void)prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    for (size_t i = 0; i < CYRUS_WORKERS; i++)
        setsockopt(workers[i].fd, SOL_SOCKET, SO_RCVTIMEO, &idle, sizeof(idle));
    if (!load_library())
        _exit(1);
    sigemptyset(&children);
    sigaddset(&children, SIGCHLD);
    sigprocmask(SIG_BLOCK, &children, &others);
    sigdelset(&others, SIGCHLD);
    for (;;)
        supervise(life, &others);
}

bool cyrus_helper_start(const struct cyrus_settings *given, int sockets[CYRUS_WORKERS], int *life)
{
    int pair[2], ends[2];

    settings = *given;
    for (size_t i = 0; i < CYRUS_WORKERS; i++) {
        if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
            log_fatal("socketpair: %s", strerror(errno));
        sockets[i] = pair[0];
        workers[i] = (struct worker){.fd = pair[1]};
    }
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
        log_fatal("socketpair: %s", strerror(errno));
    log_flush();
    pid_t pid = fork();
    if (pid == 0)
        supervisor_main(ends[1]);
    for (size_t i = 0; i < CYRUS_WORKERS; i++)
        close(workers[i].fd);
    close(ends[1]);
    *life = ends[0];
    return pid > 0;
}

#else

bool cyrus_helper_start(const struct cyrus_settings *settings UNUSED, int sockets[CYRUS_WORKERS] UNUSED, int *life UNUSED)
{
    errno = ENOSYS; /* Cyrus SASL's header was not there when this was built */
    return false;
}

#endif
