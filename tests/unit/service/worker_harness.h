/* worker_harness.h - start this test program itself as a daemon, with the descriptors that master would give

   The test file defines daemon_main(argc, argv); the program becomes that daemon when its name ends in "d". */
#ifndef POSTERN_TESTS_WORKER_HARNESS_H
#define POSTERN_TESTS_WORKER_HARNESS_H

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "base/buffer.h"
#include "net/address.h"
#include "service/channel.h"

static int daemon_main(int argc, char **argv);

__attribute__((constructor)) static void become_daemon(int argc, char **argv, char **environment UNUSED)
{
    if (argc > 0 && getenv("WORKER_HARNESS"))
        exit(daemon_main(argc, argv));
}

struct worker {
    char directory[64]; /* queue_directory; "sock" is the service's socket, "log" its log */
    pid_t pid;
    int channel, listener;
};

static void harness_write(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(write(fd, text, strlen(text)), (int)strlen(text));
    close(fd);
}

static void harness_prepare(struct worker *worker, const char *main_cf)
{
    struct buffer path = BUFFER_INIT, text = BUFFER_INIT;
    struct net_address address;
    snprintf(worker->directory, sizeof(worker->directory), "/tmp/workerXXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(worker->directory));
    ck_assert_int_eq(chmod(worker->directory, 0755), 0); /* as root the worker becomes mail_owner */
    buffer_printf(&path, "%s/main.cf", worker->directory);
    buffer_printf(&text, "compatibility_level = 3.6\nmail_owner = nobody\nqueue_directory = %s\nmyhostname = test.example\n%s", worker->directory, main_cf);
    harness_write(buffer_string(&path), buffer_string(&text));
    buffer_clear(&path);
    buffer_printf(&path, "%s/sock", worker->directory);
    ck_assert(net_address_unix(&address, buffer_slice(&path)));
    worker->listener = net_listen(&address, 10);
    ck_assert_int_ge(worker->listener, 0);
    buffer_release(&path);
    buffer_release(&text);
}

/* harness_start - arguments end with NULL; argv[0] is "testd". */
static void harness_start(struct worker *worker, const char *main_cf, const char *client_limit, const char *const *arguments)
{
    int pair[2];
    harness_prepare(worker, main_cf);
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair), 0);
    worker->pid = fork();
    if (worker->pid == 0) {
        const char *argv[16] = {"testd"};
        char log[100];
        snprintf(log, sizeof(log), "%s/log", worker->directory);
        int log_fd = open(log, O_WRONLY | O_CREAT | O_APPEND, 0644);
        int fds[4] = {log_fd, log_fd, pair[1], worker->listener};
        for (int i = 0; i < 4; i++)
            fds[i] = fcntl(fds[i], F_DUPFD, 20);
        for (int i = 0; i < 4; i++)
            dup2(fds[i], 3 + i);
        for (int i = 0; arguments[i]; i++)
            argv[i + 1] = arguments[i];
        setenv("MAIL_CONFIG", worker->directory, 1);
        setenv("WORKER_HARNESS", "1", 1);
        setenv(WORKER_ENV_LOG, "file", 1);
        setenv(WORKER_ENV_CLIENT_LIMIT, client_limit, 1);
        setenv(WORKER_ENV_NUMBER, "7", 1);
        execv("/proc/self/exe", (char *const *)argv);
        _exit(99);
    }
    close(pair[1]);
    worker->channel = pair[0];
}

/* harness_note - the next note within five seconds: its kind, 0 for end of file. */
static int harness_note(struct worker *worker)
{
    struct pollfd ready = {.fd = worker->channel, .events = POLLIN};
    struct channel_note note;
    int fd;
    ck_assert_msg(poll(&ready, 1, 5000) == 1, "no note came");
    return channel_receive(worker->channel, &note, &fd) > 0 ? (int)note.kind : 0;
}

UNUSED static int harness_connect(struct worker *worker)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof(address.sun_path), "%s/sock", worker->directory);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    ck_assert_int_eq(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    return fd;
}

/* harness_say - send a line, read what comes back within five seconds. */
UNUSED static const char *harness_say(int fd, const char *line)
{
    static char answer[500];
    struct pollfd ready = {.fd = fd, .events = POLLIN};
    if (line)
        ck_assert_int_eq(write(fd, line, strlen(line)), (int)strlen(line));
    ck_assert_msg(poll(&ready, 1, 5000) == 1, "no answer came");
    ssize_t n = read(fd, answer, sizeof(answer) - 1);
    answer[n > 0 ? n : 0] = '\0';
    return answer;
}

/* harness_end - wait for the exit (five seconds) and remove the directory; gives the wait status. */
static int harness_end(struct worker *worker)
{
    int status = -1;
    for (int i = 0; i < 500 && waitpid(worker->pid, &status, WNOHANG) == 0; i++)
        usleep(10000);
    kill(worker->pid, SIGKILL);
    char path[100];
    for (const char *const *name = (const char *const[]){"log", "sock", "main.cf", "content", NULL}; *name; name++) {
        snprintf(path, sizeof(path), "%s/%s", worker->directory, *name);
        unlink(path);
    }
    rmdir(worker->directory);
    close(worker->channel);
    close(worker->listener);
    return status;
}

#endif
