/* command.c - a child process that gets the message, its time limit, its exit status */
#include "command.h"

#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/log.h"

#define OUTPUT_MAX 4096  /* of what a command prints */
#define WORDS_MAX 200
#define LOCAL_FAILS "local: fatal: "
#define PIPE_FAILS "pipe: fatal: pipe_command: "
#define PLAIN_CHARACTERS "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789!@%_=+:,./- \t"

static const struct { int code; const char *status, *text; } exits[] = {
    {64, "5.3.0", "command line usage error"}, {65, "5.6.0", "data format error"}, {66, "5.3.0", "cannot open input"},
    {67, "5.1.1", "user unknown"}, {68, "5.1.2", "host name unknown"}, {69, "5.3.0", "service unavailable"},
    {70, "5.3.0", "internal software error"}, {71, "4.3.0", "system resource problem"}, {72, "5.3.0", "critical OS file missing"},
    {73, "5.2.0", "can't create user output file"}, {74, "5.3.0", "input/output error"}, {75, "4.3.0", "temporary failure"},
    {76, "5.5.0", "remote error in protocol"}, {77, "5.7.0", "permission denied"}, {78, "5.3.5", "local configuration error"}};

/* ---- the child ---- */

static void child_identity(const struct command *command)
{
    if (!command->running_as_root)
        return;
    if (setgroups(1, &command->gid) < 0 || setresgid(command->gid, command->gid, command->gid) < 0 ||
        setresuid(command->uid, command->uid, command->uid) < 0)
        _exit(75);
}

/* child_fails - the command cannot be run.  What is printed here is command output: the parent logs it, too. */
static NO_RETURN void child_fails(const struct command *command, const char *what, int error)
{
    dprintf(STDERR_FILENO, "%sexecvp %s: %s\n", command->argv != NULL ? PIPE_FAILS : LOCAL_FAILS, what, strerror(error));
    _exit(75);
}

/* child_shell - "sh -c text", or the words of local_command_shell and then the text. */
static void child_shell(const struct command *command)
{
    const char *words[WORDS_MAX];
    size_t count = 0;

    if (command->shell != NULL && command->shell[0] != '\0') {
        char *copy = memory_string(command->shell), *save = NULL;
        for (char *word = strtok_r(copy, " \t", &save); word != NULL && count < WORDS_MAX - 2; word = strtok_r(NULL, " \t", &save))
            words[count++] = word;
    } else {
        words[count++] = "/bin/sh";
        words[count++] = "-c";
    }
    words[count++] = command->text;
    words[count] = NULL;
    const char *program = words[0];
    if (strcmp(program, "/bin/sh") == 0) /* its messages begin with the short name */
        words[0] = "sh";
    execvpe(program, (char *const *)words, (char *const *)command->environment);
}

/* child_direct - a command without characters that mean something to a shell needs none. */
static void child_direct(const struct command *command)
{
    const char *words[WORDS_MAX];
    size_t count = 0;
    char *copy = memory_string(command->text), *save = NULL;

    for (char *word = strtok_r(copy, " \t", &save); word != NULL && count < WORDS_MAX - 1; word = strtok_r(NULL, " \t", &save))
        words[count++] = word;
    words[count] = NULL;
    if (count > 0)
        execvpe(words[0], (char *const *)words, (char *const *)command->environment);
    if (errno != ENOENT || (count > 0 && strchr(words[0], '/') != NULL))
        child_fails(command, count > 0 ? words[0] : command->text, errno);
}

static NO_RETURN void child(const struct command *command, int input, int output)
{
    sigset_t none;

    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    signal(SIGPIPE, SIG_DFL);
    setsid();
    if (dup2(input, STDIN_FILENO) < 0 || dup2(output, STDOUT_FILENO) < 0 || dup2(output, STDERR_FILENO) < 0)
        _exit(75);
    close_range(3, ~0u, 0);
    if (command->root != NULL && chroot(command->root) < 0) {
        dprintf(STDERR_FILENO, "cannot change root directory to %s: %s\n", command->root, strerror(errno));
        _exit(75);
    }
    child_identity(command);
    umask(077);
    if (command->directory != NULL && chdir(command->directory) < 0) {
        dprintf(STDERR_FILENO, "cannot change directory to %s: %s\n", command->directory, strerror(errno));
        _exit(75);
    }
    if (command->argv != NULL) {
        execvpe(command->argv[0], (char *const *)command->argv, (char *const *)command->environment);
    } else {
        bool plain = strspn(command->text, PLAIN_CHARACTERS) == strlen(command->text);
        if (plain && (command->shell == NULL || command->shell[0] == '\0'))
            child_direct(command);
        child_shell(command);
    }
    child_fails(command, command->argv != NULL ? command->argv[0] : command->text, errno);
}

/* ---- the parent ---- */

struct running {
    int input, output; /* our ends of the pipes */
    int64_t deadline;
    struct buffer printed;
    bool timed_out, input_closed;
};

static void take_output(struct running *r)
{
    char piece[1024];
    ssize_t n = read(r->output, piece, sizeof(piece));

    if (n > 0) {
        size_t room = OUTPUT_MAX - r->printed.len;
        buffer_append(&r->printed, piece, (size_t)n < room ? (size_t)n : room);
    } else if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
        close(r->output);
        r->output = -1;
    }
}

/* wait_ready - until the input pipe takes more, output came, or time is up.  want_input: whether we have something to write. */
static bool wait_ready(struct running *r, bool want_input)
{
    struct pollfd fds[2] = {{want_input ? r->input : -1, POLLOUT, 0}, {r->output, POLLIN, 0}};
    int64_t left = r->deadline - clock_monotonic();

    if (left <= 0) {
        r->timed_out = true;
        return false;
    }
    if (poll(fds, 2, (int)(left / 1000 + 1)) > 0 && (fds[1].revents & (POLLIN | POLLHUP | POLLERR)))
        take_output(r);
    return true;
}

static int feed(void *context, struct slice data)
{
    struct running *r = context;

    while (data.len > 0) {
        ssize_t n = r->input_closed ? (ssize_t)data.len : write(r->input, data.data, data.len);
        if (n >= 0) {
            data = slice_from(data, (size_t)n);
        } else if (errno == EPIPE) {
            r->input_closed = true; /* it has read enough; its exit status decides */
        } else if (errno == EAGAIN) {
            if (!wait_ready(r, true))
                return ETIMEDOUT;
        } else if (errno != EINTR) {
            return errno;
        }
    }
    return 0;
}

/* finish - read the rest of the output, wait for the end of the child or of its time. */
static int finish(struct running *r, pid_t pid)
{
    int status = 0;

    close(r->input);
    while (r->output >= 0 && !r->timed_out) {
        wait_ready(r, false);
        /* a grandchild may hold the pipe open: the child's end counts */
        if (waitpid(pid, &status, WNOHANG) == pid) {
            while (r->output >= 0 && poll(&(struct pollfd){r->output, POLLIN, 0}, 1, 0) > 0)
                take_output(r);
            goto ended;
        }
    }
    while (!r->timed_out && waitpid(pid, &status, WNOHANG) == 0) {
        poll(NULL, 0, 10);
        r->timed_out = clock_monotonic() > r->deadline;
    }
    if (r->timed_out) {
        kill(-pid, SIGKILL);
        kill(pid, SIGKILL);
        waitpid(pid, &status, 0);
    }
ended:
    if (r->output >= 0)
        close(r->output);
    return status;
}

/* printable_output - newlines and tabs become blanks, what is not printable "_". */
static struct slice printable_output(struct running *r)
{
    for (size_t i = 0; i < r->printed.len; i++) {
        unsigned char byte = (unsigned char)r->printed.data[i];
        if (byte == '\n' || byte == '\t')
            r->printed.data[i] = ' ';
        else if (byte < 32 || byte == 127)
            r->printed.data[i] = '_';
    }
    return buffer_slice(&r->printed);
}

static void set(struct delivery_status *status, struct arena *arena, const char *code, struct slice text, struct slice output)
{
    status->status = code;
    status->outcome = code[0] == '4' ? OUTCOME_DEFERRED : OUTCOME_BOUNCED;
    status->reason = output.len > 0 ? arena_format(arena, SLICE_FORMAT ". Command output: " SLICE_FORMAT, SLICE_ARGS(text), SLICE_ARGS(output)) : text;
    status->diagnostic_type = "x-unix";
    status->diagnostic = output.len > 0 ? slice_trim(output) : text;
}

/* set_from_output - output that begins with an enhanced status code says itself what happened. */
static bool set_from_output(struct delivery_status *status, struct arena *arena, struct slice output)
{
    struct status_code code;
    struct slice text;
    char buffer[STATUS_CODE_TEXT];

    if (!status_code_parse(output, &code, &text))
        return false;
    const char *shown = arena_strdup(arena, status_code_format(code, buffer));
    if (code.class == 2) { /* success it is not */
        log_warning("bounce_append: ignoring dsn code \"%s\"", shown);
        shown = "5.0.0";
    }
    set(status, arena, shown, slice_trim_left(arena_slice(arena, text)), (struct slice){0});
    status->diagnostic = slice_trim_right(status->reason);
    return true;
}

static void judge(const struct command *command, struct arena *arena, int wait_status, struct running *r, struct slice success, struct delivery_status *status)
{
    struct slice output = arena_slice(arena, printable_output(r));
    int code = WIFEXITED(wait_status) ? WEXITSTATUS(wait_status) : -1;

    if (r->timed_out) {
        log_warning("pipe_command_read: read time limit exceeded");
        set(status, arena, "5.3.0", arena_format(arena, "Command time limit exceeded: \"%s\"", command->text), output);
        return;
    }
    if (code < 0) {
        set(status, arena, "4.3.0", arena_format(arena, "Command died with signal %d: \"%s\"", WTERMSIG(wait_status), command->text), output);
        return;
    }
    if (code == 0) {
        status->outcome = OUTCOME_SENT;
        status->status = "2.0.0";
        status->reason = success;
        return;
    }
    if (code == 75 && (slice_starts(output, SLICE(LOCAL_FAILS)) || slice_starts(output, SLICE(PIPE_FAILS))))
        log_info(SLICE_FORMAT, SLICE_ARGS(slice_trim(slice_from(output, slice_find(output, ' ') + 1))));
    if (set_from_output(status, arena, output))
        return;
    for (size_t i = 0; i < COUNT_OF(exits); i++) {
        if (exits[i].code == code) {
            set(status, arena, exits[i].status, slice_of(exits[i].text), output);
            return;
        }
    }
    set(status, arena, "5.3.0", arena_format(arena, "Command died with status %d: \"%s\"", code, command->text), output);
    if (output.len == 0)
        status->diagnostic = arena_format(arena, "unknown mail system error %d", code);
}

void command_run(const struct copy *copy, const struct command *command, struct slice success, struct buffer *output, struct delivery_status *status)
{
    struct arena *arena = copy->delivery->arena;
    int input[2] = {-1, -1}, printed[2] = {-1, -1};
    pid_t pid = -1;

    if (pipe2(input, O_CLOEXEC) == 0 && pipe2(printed, O_CLOEXEC) == 0)
        pid = fork();
    if (pid == 0)
        child(command, input[0], printed[1]);
    if (pid < 0) {
        set(status, arena, "4.3.0", arena_format(arena, "unable to run a command: %s", strerror(errno)), (struct slice){0});
        for (int i = 0; i < 2; i++) {
            if (input[i] >= 0)
                close(input[i]);
            if (printed[i] >= 0)
                close(printed[i]);
        }
        return;
    }
    close(input[0]);
    close(printed[1]);
    fcntl(input[1], F_SETFL, O_NONBLOCK);
    fcntl(printed[0], F_SETFL, O_NONBLOCK);
    struct running r = {.input = input[1], .output = printed[0], .deadline = clock_after(command->time_limit)};
    buffer_init(&r.printed, OUTPUT_MAX);
    int error = copy_message(copy, feed, &r);
    int wait_status = finish(&r, pid);
    if (error != 0 && !r.timed_out)
        set(status, arena, "4.3.0", arena_format(arena, "cannot give the message to \"%s\": %s", command->text, strerror(error)), (struct slice){0});
    else
        judge(command, arena, wait_status, &r, success, status);
    if (output != NULL)
        buffer_append_slice(output, buffer_slice(&r.printed));
    buffer_release(&r.printed);
}
