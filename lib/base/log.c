/* log.c - log lines: put together, sanitised, kept until the end of the turn, written.  Lines
   are made in static memory. */
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/clock.h"
#include "base/log.h"

enum { LINE_MAX_BYTES = 2000, TAG_MAX = 100, PREFIX_MAX = 400, PENDING_MAX = 64 * 1024 };

int log_verbose;

static char tag[TAG_MAX] = "unknown", own_tag[TAG_MAX] = "unknown";
static const char *program = "unknown"; /* last path element of tag */
static char host[256];
static enum log_sink sink = LOG_TO_STDERR;
static int sink_fd = -1;
static bool copy_to_stderr, buffered;
static int facility = 2 << 3;
static int fatal_exit = 1;
static void (*watcher)(enum log_severity severity, const char *text, void *context);
static void *watcher_context;

static pid_t process;          /* 0: not known; asked once, not for every line */

static char pending[PENDING_MAX]; /* whole lines, each ended by LF */
static size_t pending_len;

/* The text in front, and the syslog level, of each severity. */
static const struct {
    const char *label;
    int level;
} severities[] = {
    [LOG_SEVERITY_INFO] = {"", 6},         [LOG_SEVERITY_WARNING] = {"warning: ", 4}, [LOG_SEVERITY_ERROR] = {"error: ", 3},
    [LOG_SEVERITY_FATAL] = {"fatal: ", 2}, [LOG_SEVERITY_PANIC] = {"panic: ", 2},
};

static void forget_process(void)
{
    process = 0;
}

static int process_id(void)
{
    static bool watching_forks;
    if (!watching_forks)
        watching_forks = pthread_atfork(NULL, NULL, forget_process) == 0;
    if (!process || !watching_forks)
        process = getpid();
    return (int)process;
}

void log_rename(const char *name)
{
    snprintf(tag, sizeof(tag), "%s", name);
    const char *slash = strrchr(tag, '/');
    program = slash ? slash + 1 : tag;
    snprintf(own_tag, sizeof(own_tag), "%s", tag);
}

void log_open(const char *name, enum log_sink where, int fd)
{
    log_flush();
    log_rename(name);
    if (where != sink)
        pending_len = 0; /* lines for a log daemon have another shape */
    sink = where;
    sink_fd = fd;
    if (gethostname(host, sizeof(host) - 1) < 0 || !host[0])
        snprintf(host, sizeof(host), "localhost");
    host[strcspn(host, ".")] = '\0';
}

void log_add_stderr(bool on)
{
    copy_to_stderr = on;
}

void log_set_buffered(bool on)
{
    if (!on)
        log_flush();
    buffered = on;
}

void log_set_fatal_exit(int status)
{
    fatal_exit = status;
}

void log_set_watcher(void (*fn)(enum log_severity severity, const char *text, void *context), void *context)
{
    watcher = fn;
    watcher_context = context;
}

void log_set_facility(const char *name)
{
    static const char *const names[] = {"kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news",
                                        "uucp", "cron", "authpriv", "ftp"};
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        if (strcasecmp(name, names[i]) == 0)
            facility = (int)i << 3;
    }
    if (strncasecmp(name, "local", 5) == 0 && name[5] >= '0' && name[5] <= '7' && !name[6])
        facility = (16 + name[5] - '0') << 3;
}

/* ---- writing ------------------------------------------------------------------------------------------------------ */

/* write_all - a log that cannot be written must not stop mail: what does not go out is lost. */
static void write_all(int fd, const char *data, size_t len)
{
    while (len) {
        ssize_t n = write(fd, data, len);
        if (n > 0) {
            data += n;
            len -= (size_t)n;
        } else if (n < 0 && errno == EAGAIN) {
            struct pollfd p = {.fd = fd, .events = POLLOUT};
            if (poll(&p, 1, 100) <= 0)
                return;
        } else if (n == 0 || errno != EINTR) {
            return;
        }
    }
}

void log_speak_for(const char *other)
{
    const char *slash = strrchr(own_tag, '/');
    int kept = slash ? (int)(slash + 1 - own_tag) : 0;
    if (other)
        snprintf(tag, sizeof(tag), "%.*s%s", kept, own_tag, other);
    else
        memcpy(tag, own_tag, sizeof(tag));
}

/* syslog_is_back - a log daemon that was started anew listens at a new socket.  Where this program cannot see it (a root directory without
   it), master hands on another descriptor. */
static bool syslog_is_back(int fd)
{
    static const struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = "/dev/log"};
    return connect(fd, (const struct sockaddr *)&address, sizeof(address)) == 0;
}

/* send_line - one datagram; waits a moment for a full syslog socket.  False when nobody listens. */
static bool send_line(int fd, const char *data, size_t len)
{
    for (int tries = 0; tries < 3; tries++) {
        if (send(fd, data, len, MSG_NOSIGNAL) >= 0)
            return true;
        if (errno == EAGAIN || errno == ENOBUFS) {
            struct pollfd p = {.fd = fd, .events = POLLOUT};
            poll(&p, 1, 50);
        } else if (errno != EINTR && !syslog_is_back(fd)) {
            return false;
        }
    }
    return true;
}

/* send_lines - what nobody takes waits in pending, as long as there is room, for the log daemon to come back. */
static void send_lines(void)
{
    struct slice rest = slice_make(pending, pending_len), line;
    size_t sent = 0;
    while (slice_next_line(&rest, &line)) {
        if (!send_line(sink_fd, line.data, line.len))
            break;
        sent = pending_len - rest.len;
    }
    pending_len -= sent;
    memmove(pending, pending + sent, pending_len);
}

void log_flush(void)
{
    if (pending_len == 0)
        return;
    int saved = errno;
    size_t len = pending_len;
    if (sink == LOG_TO_SYSLOG) {
        send_lines();
    } else {
        pending_len = 0;
        write_all(sink == LOG_TO_FILE ? sink_fd : STDERR_FILENO, pending, len);
    }
    errno = saved;
}

/* keep - add the pieces of one line to what is pending. */
static void keep(const char *prefix, const char *text)
{
    size_t prefix_len = strlen(prefix), text_len = strlen(text);
    if (pending_len + prefix_len + text_len + 1 > sizeof(pending))
        log_flush();
    if (pending_len + prefix_len + text_len + 1 > sizeof(pending))
        pending_len = 0; /* nobody listens for too long: the older lines are lost */
    memcpy(pending + pending_len, prefix, prefix_len);
    memcpy(pending + pending_len + prefix_len, text, text_len);
    pending_len += prefix_len + text_len;
    pending[pending_len++] = '\n';
    if (!buffered)
        log_flush();
}

/* ---- making a line ------------------------------------------------------------------------------------------------ */

/* sanitise - control characters, and everything but ASCII when the text is not UTF-8, become '?'. */
static void sanitise(char *text)
{
    size_t len = strlen(text);
    /* A cut may have split the last character. */
    if (len >= LINE_MAX_BYTES - 1) {
        while (len && ((unsigned char)text[len - 1] & 0xC0) == 0x80)
            len--;
        if (len && (unsigned char)text[len - 1] >= 0xC0)
            len--;
        text[len] = '\0';
    }
    bool utf8 = slice_is_utf8(slice_make(text, len));
    for (char *at = text; *at; at++) {
        unsigned char c = (unsigned char)*at;
        if (c < 32 || c == 127 || (c > 127 && !utf8))
            *at = '?';
    }
}

/* date_now - "Nov  3 18:18:51", made once a second. */
static const char *date_now(void)
{
    static char text[32];
    static int64_t made_for = -1;
    int64_t wall = clock_wall();
    if (wall / MICROSECONDS != made_for) {
        made_for = wall / MICROSECONDS;
        static struct buffer date;
        buffer_clear(&date);
        clock_syslog(&date, wall);
        snprintf(text, sizeof(text), "%s", buffer_string(&date));
    }
    return text;
}

static void emit(enum log_severity severity, const char *text)
{
    char prefix[PREFIX_MAX];
    if (sink == LOG_TO_FILE)
        snprintf(prefix, sizeof(prefix), "%s %.64s %s[%d]: ", date_now(), host, tag, process_id());
    else if (sink == LOG_TO_SYSLOG)
        snprintf(prefix, sizeof(prefix), "<%d>%s %s[%d]: ", facility | severities[severity].level, date_now(), tag, process_id());
    else
        snprintf(prefix, sizeof(prefix), "%s: ", program);
    keep(prefix, text);
    if (copy_to_stderr && sink != LOG_TO_STDERR) {
        char line[LINE_MAX_BYTES + TAG_MAX + 4];
        snprintf(line, sizeof(line), "%s: %s\n", program, text);
        write_all(STDERR_FILENO, line, strlen(line));
    }
}

static void log_line(enum log_severity severity, const char *format, va_list args) PRINTF_LIKE(2, 0);
static void log_line(enum log_severity severity, const char *format, va_list args)
{
    int saved = errno; /* for %m of the next call, and for callers that log before they look at it */
    char text[LINE_MAX_BYTES];
    size_t label = strlen(severities[severity].label);
    memcpy(text, severities[severity].label, label);
    if (vsnprintf(text + label, sizeof(text) - label, format, args) < 0)
        snprintf(text + label, sizeof(text) - label, "(unprintable log line)");
    sanitise(text);
    if (watcher)
        watcher(severity, text, watcher_context);
    else
        emit(severity, text);
    errno = saved;
}

#define LOG_LINE(severity)                  \
    do {                                    \
        va_list args;                       \
        va_start(args, format);             \
        log_line((severity), format, args); \
        va_end(args);                       \
    } while (0)

void log_info(const char *format, ...)
{
    LOG_LINE(LOG_SEVERITY_INFO);
}

void log_warning(const char *format, ...)
{
    LOG_LINE(LOG_SEVERITY_WARNING);
}

void log_error(const char *format, ...)
{
    LOG_LINE(LOG_SEVERITY_ERROR);
}

void log_fatal(const char *format, ...)
{
    LOG_LINE(LOG_SEVERITY_FATAL);
    log_flush();
    exit(fatal_exit);
}

void log_panic(const char *format, ...)
{
    LOG_LINE(LOG_SEVERITY_PANIC);
    log_flush();
    abort();
}

void log_pass_on(unsigned severity, struct slice text)
{
    struct slice label = slice_of(severity < COUNT_OF(severities) ? severities[severity].label : "");
    if (slice_starts(text, label))
        text = slice_from(text, label.len);
    if (severity == LOG_SEVERITY_INFO)
        log_info(SLICE_FORMAT, SLICE_ARGS(text));
    else if (severity == LOG_SEVERITY_WARNING)
        log_warning(SLICE_FORMAT, SLICE_ARGS(text));
    else
        log_error(SLICE_FORMAT, SLICE_ARGS(text));
}
