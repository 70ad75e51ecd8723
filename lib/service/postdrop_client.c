/* postdrop_client.c - the caller's side of postdrop -r */
#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>

#include "service/postdrop_client.h"

enum { WRITE_AT = 64 * 1024, REPLY_MAX = 4096 };

struct postdrop {
    pid_t pid;
    int to, from;
    bool failed;
    struct buffer pending, reply;
    char queue_id[64];
};

/* ---- replies: pairs of NUL ended strings, ended by an empty string ------------------------------------------------ */

/* read_group - until a group is complete; false at the end of input. */
static bool read_group(struct postdrop *postdrop)
{
    char byte, last = '\0';
    buffer_clear(&postdrop->reply);
    for (;;) {
        ssize_t n = read(postdrop->from, &byte, 1);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0 || postdrop->reply.len > REPLY_MAX)
            return false;
        if (byte == '\0' && last == '\0')
            return true;
        buffer_append_byte(&postdrop->reply, byte);
        last = byte;
    }
}

static struct slice value_of(const struct postdrop *postdrop, const char *name)
{
    struct slice rest = buffer_slice(&postdrop->reply), key, value;
    while (slice_cut(rest, '\0', &key, &rest) && slice_cut(rest, '\0', &value, &rest)) {
        if (slice_equal(key, slice_of(name)))
            return value;
    }
    return slice_of("");
}

/* ---- the program -------------------------------------------------------------------------------------------------- */

static void run_child(struct config *config, int in, int out)
{
    struct buffer path = BUFFER_INIT;
    const char *words[] = {"postdrop", "-r", "-c", config_directory(config), NULL};
    signal(SIGPIPE, SIG_DFL);
    if (dup2(in, STDIN_FILENO) < 0 || dup2(out, STDOUT_FILENO) < 0)
        _exit(75);
    buffer_printf(&path, "%s/postdrop", config_string(config, "command_directory"));
    execv(buffer_string(&path), (char *const *)words);
    fprintf(stderr, "%s: %s\n", buffer_string(&path), strerror(errno));
    _exit(75);
}

static void reap(struct postdrop *postdrop)
{
    while (postdrop->pid > 0 && waitpid(postdrop->pid, NULL, 0) < 0 && errno == EINTR)
        continue;
}

static void release(struct postdrop *postdrop)
{
    close(postdrop->from);
    reap(postdrop);
    buffer_release(&postdrop->pending);
    buffer_release(&postdrop->reply);
    free(postdrop);
}

struct postdrop *postdrop_start(struct config *config)
{
    int in[2], out[2];
    if (pipe2(in, O_CLOEXEC) < 0)
        return NULL;
    if (pipe2(out, O_CLOEXEC) < 0) {
        close(in[0]);
        close(in[1]);
        return NULL;
    }
    struct postdrop *postdrop = memory_zalloc(1, sizeof(*postdrop));
    postdrop->to = in[1];
    postdrop->from = out[0];
    postdrop->pid = fork();
    if (postdrop->pid == 0)
        run_child(config, in[0], out[1]);
    close(in[0]);
    close(out[1]);
    if (postdrop->pid > 0 && read_group(postdrop)) {
        snprintf(postdrop->queue_id, sizeof(postdrop->queue_id), SLICE_FORMAT, SLICE_ARGS(value_of(postdrop, "queue_id")));
        return postdrop;
    }
    if (postdrop->pid > 0)
        errno = EPERM;
    postdrop_cancel(postdrop);
    return NULL;
}

const char *postdrop_queue_id(const struct postdrop *postdrop)
{
    return postdrop->queue_id;
}

/* ---- records ------------------------------------------------------------------------------------------------------ */

static void write_pending(struct postdrop *postdrop)
{
    size_t done = 0;
    while (!postdrop->failed && done < postdrop->pending.len) {
        ssize_t n = write(postdrop->to, postdrop->pending.data + done, postdrop->pending.len - done);
        if (n > 0)
            done += (size_t)n;
        else if (n == 0 || errno != EINTR)
            postdrop->failed = true; /* postdrop gave up: its reply says why */
    }
    buffer_clear(&postdrop->pending);
}

void postdrop_put(struct postdrop *postdrop, char type, struct slice data)
{
    maildrop_put(&postdrop->pending, type, data);
    if (postdrop->pending.len >= WRITE_AT)
        write_pending(postdrop);
}

void postdrop_put_text(struct postdrop *postdrop, char type, const char *format, ...)
{
    struct buffer text = BUFFER_INIT;
    va_list args;
    va_start(args, format);
    buffer_vprintf(&text, format, args);
    va_end(args);
    postdrop_put(postdrop, type, buffer_slice(&text));
    buffer_release(&text);
}

bool postdrop_finish(struct postdrop *postdrop, struct buffer *reason)
{
    write_pending(postdrop);
    close(postdrop->to);
    bool answered = read_group(postdrop);
    bool ok = answered && slice_equal(value_of(postdrop, "status"), SLICE("0"));
    buffer_clear(reason);
    if (!ok) {
        struct slice text = value_of(postdrop, "reason");
        buffer_append_slice(reason, text.len ? text : SLICE("queue file write error"));
    }
    release(postdrop);
    return ok;
}

void postdrop_cancel(struct postdrop *postdrop)
{
    if (!postdrop)
        return;
    close(postdrop->to);
    release(postdrop);
}
