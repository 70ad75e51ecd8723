/* child.c - see child.h */
#include "child.h"

#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "service/sandbox.h"

void child_pair(int pair[2], int room)
{
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
        log_fatal("socketpair: %s", strerror(errno));
    for (int i = 0; i < 2; i++)
        setsockopt(pair[i], SOL_SOCKET, SO_SNDBUF, &room, sizeof(room));
}

static void close_others(int socket)
{
    for (int fd = 3; fd < socket; fd++)
        close(fd);
    close_range((unsigned)socket + 1, ~0U, 0);
}

bool child_fork(struct config *config, const int pair[2], const char *name, child_watcher *watcher)
{
    struct sandbox_owner owner;

    log_flush();
    pid_t pid = fork();
    if (pid < 0)
        log_fatal("fork: %s", strerror(errno));
    if (pid > 0)
        return false;
    if (geteuid() == 0 && sandbox_owner_find(config, &owner))
        sandbox_drop(&owner);
    close_others(pair[1]);
    (void)prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    (void)prctl(PR_SET_NAME, name);
    signal(SIGTERM, SIG_IGN);
    signal(SIGINT, SIG_IGN);
    signal(SIGHUP, SIG_IGN);
    signal(SIGPIPE, SIG_IGN);
    umask(077);
    log_set_watcher(watcher, NULL);
    return true;
}

bool child_send(int fd, struct slice head, struct slice data)
{
    struct iovec parts[] = {{(void *)(uintptr_t)head.data, head.len}, {(void *)(uintptr_t)data.data, data.len}};
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = COUNT_OF(parts)};
    ssize_t sent;

    do
        sent = sendmsg(fd, &message, MSG_NOSIGNAL);
    while (sent < 0 && errno == EINTR);
    return sent >= 0;
}
