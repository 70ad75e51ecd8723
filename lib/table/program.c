/* program.c - values that a program finds: program:/path/to/program

   The program runs anew for each lookup, without a shell, with the key as its only argument, as the helper runs: outside of the jail, with the
   rights of mail_owner.  What it prints is the value; nothing: not found; an exit status other than 0: try again later.  (A script that fails
   by mistake exits with 1, too: that must not count as "not found".)  Keys come from outside: one that could be taken for an option is in no
   such table. */
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/auxv.h>
#include <sys/wait.h>
#include <unistd.h>

#include "table/driver.h"
#include "table/helper.h"

#define TIME_LIMIT (30 * MICROSECONDS)
enum { COMPLAINT_MAX = 200 };

struct output {
    struct buffer value, complaint; /* what it printed, and what it said to stderr */
    int fd[2];                      /* where they come from; -1: at its end */
};

static void free_state(void *state)
{
    free(state);
}

static bool open_table(struct table *table)
{
    struct stat info;

    if (getauxval(AT_SECURE)) {
        table_fail(table, "%s: a program with set-gid rights runs no others", table->name);
        return false;
    }
    if (table->argument[0] != '/') {
        table_fail(table, "%s: the program must be an absolute path", table->name);
        return false;
    }
    if (stat(table->argument, &info) < 0) {
        table_fail(table, "open %s: %s", table->argument, strerror(errno));
        return false;
    }
    if (!S_ISREG(info.st_mode) || !(info.st_mode & 0111) || (info.st_mode & S_IWOTH)) {
        table_fail(table, "%s: not a program, or everybody may write it", table->argument);
        return false;
    }
    table->state = memory_string(table->argument);
    return true;
}

/* become - in the child; no return. */
static NO_RETURN void become(const char *program, const char *key, int out, int complaints)
{
    const char *words[] = {program, key, NULL};
    const char *const environment[] = {"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", NULL};
    static const int usual[] = {SIGTERM, SIGINT, SIGHUP, SIGPIPE, SIGCHLD};
    sigset_t none;

    setpgid(0, 0);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    for (size_t i = 0; i < COUNT_OF(usual); i++)
        signal(usual[i], SIG_DFL);
    int nothing = open("/dev/null", O_RDONLY);
    if (nothing < 0 || dup2(nothing, STDIN_FILENO) < 0 || dup2(out, STDOUT_FILENO) < 0 || dup2(complaints, STDERR_FILENO) < 0 || chdir("/") < 0)
        _exit(127);
    close_range(STDERR_FILENO + 1, ~0U, 0);
    execve(program, (char *const *)words, (char *const *)environment);
    dprintf(STDERR_FILENO, "%s\n", strerror(errno));
    _exit(127);
}

/* start - the child's number, -1 with errno. */
static pid_t start(const char *program, const char *key, struct output *output)
{
    int out[2], complaints[2];

    if (pipe2(out, O_CLOEXEC) < 0)
        return -1;
    if (pipe2(complaints, O_CLOEXEC) < 0) {
        close(out[0]);
        close(out[1]);
        return -1;
    }
    pid_t pid = fork();
    if (pid == 0)
        become(program, key, out[1], complaints[1]);
    if (pid > 0)
        setpgid(pid, pid); /* whoever comes first */
    int saved = errno;
    close(out[1]);
    close(complaints[1]);
    if (pid < 0) {
        close(out[0]);
        close(complaints[0]);
    }
    output->fd[0] = out[0];
    output->fd[1] = complaints[0];
    errno = saved;
    return pid;
}

/* take - what one of the pipes has; more than a value may have is kept as a sign that it is too much. */
static void take(struct output *output, int which)
{
    char bytes[4096];
    struct buffer *into = which == 0 ? &output->value : &output->complaint;
    size_t most = which == 0 ? HELPER_TEXT_MAX + 1 : COMPLAINT_MAX;
    ssize_t got = read(output->fd[which], bytes, sizeof(bytes));

    if (got < 0 && errno == EINTR)
        return;
    if (got <= 0) {
        close(output->fd[which]);
        output->fd[which] = -1;
        return;
    }
    size_t room = most > into->len ? most - into->len : 0;
    buffer_append(into, bytes, (size_t)got < room ? (size_t)got : room);
}

/* listen_to - until both pipes are closed, or the value is too long: false when the time is over. */
static bool listen_to(struct output *output, int64_t deadline)
{
    while ((output->fd[0] >= 0 || output->fd[1] >= 0) && output->value.len <= HELPER_TEXT_MAX) {
        struct pollfd ready[] = {{.fd = output->fd[0], .events = POLLIN}, {.fd = output->fd[1], .events = POLLIN}};
        int64_t left = deadline - clock_monotonic();
        if (left <= 0)
            return false;
        if (poll(ready, COUNT_OF(ready), (int)(left / 1000) + 1) < 0 && errno != EINTR)
            return false;
        for (int i = 0; i < 2; i++)
            if (ready[i].revents && output->fd[i] >= 0)
                take(output, i);
    }
    return true;
}

/* await_end - a program that is done with talking need not be at its end: false when the time is over. */
static bool await_end(pid_t pid, int *status, int64_t deadline)
{
    for (;;) {
        pid_t ended = waitpid(pid, status, WNOHANG);
        if (ended != 0 && !(ended < 0 && errno == EINTR))
            return ended == pid;
        if (clock_monotonic() > deadline)
            return false;
        usleep(1000);
    }
}

/* judge - from what the program did to the result of the lookup. */
static enum table_result judge(struct table *table, const struct output *output, bool in_time, int status, struct buffer *value)
{
    struct slice text = buffer_slice(&output->value), complaint = buffer_slice(&output->complaint), line;

    if (!slice_next_line(&complaint, &line))
        line = complaint;
    const char *mark = line.len ? ": " : "";
    if (!in_time)
        return table_fail(table, "%s: no answer in %d seconds", table->name, (int)(TIME_LIMIT / MICROSECONDS));
    if (WIFSIGNALED(status))
        return table_fail(table, "%s: killed by signal %d%s" SLICE_FORMAT, table->name, WTERMSIG(status), mark, SLICE_ARGS(line));
    if (WEXITSTATUS(status) != 0)
        return table_fail(table, "%s: exit status %d%s" SLICE_FORMAT, table->name, WEXITSTATUS(status), mark, SLICE_ARGS(line));
    while (text.len > 0 && (text.data[text.len - 1] == '\n' || text.data[text.len - 1] == '\r'))
        text.len--;
    if (text.len > HELPER_TEXT_MAX || slice_find(text, '\n') < text.len || slice_find(text, '\0') < text.len)
        return table_fail(table, "%s: a value is one line of at most %d bytes", table->name, HELPER_TEXT_MAX);
    buffer_append_slice(value, text);
    return text.len ? TABLE_FOUND : TABLE_NOT_FOUND;
}

static enum table_result lookup(struct table *table, struct slice key, struct buffer *value)
{
    struct output output = {.value = BUFFER_INIT, .complaint = BUFFER_INIT};
    int status = 0;

    if (key.len == 0 || key.data[0] == '-')
        return TABLE_NOT_FOUND;
    pid_t pid = start(table->state, key.data, &output);
    if (pid < 0)
        return table_fail(table, "%s: cannot start it: %s", table->name, strerror(errno));
    int64_t deadline = clock_after(TIME_LIMIT);
    bool in_time = listen_to(&output, deadline), is_too_long = output.value.len > HELPER_TEXT_MAX;
    if (!in_time || is_too_long || !await_end(pid, &status, deadline)) {
        in_time = is_too_long;
        kill(-pid, SIGKILL);
        while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
            ;
        status = 0;
    }
    enum table_result result = judge(table, &output, in_time, status, value);
    for (int i = 0; i < 2; i++)
        if (output.fd[i] >= 0)
            close(output.fd[i]);
    buffer_release(&output.value);
    buffer_release(&output.complaint);
    if (result == TABLE_TRY_AGAIN)
        log_warning("%s", buffer_string(&table->why));
    return result;
}

const struct table_driver table_driver_program = {"program", DRIVER_BLOCKS | DRIVER_NETWORK | DRIVER_HIDDEN, open_table, free_state, lookup, NULL, NULL, NULL};
