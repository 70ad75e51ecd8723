/* channel.c - notes on the status channel between master and a worker */
#include <sys/socket.h>

#include "service/channel.h"

bool channel_send(int fd, enum channel_kind kind, uint32_t value, int pass_fd)
{
    struct channel_note note = {.kind = kind, .value = value};
    struct iovec iov = {.iov_base = &note, .iov_len = sizeof(note)};
    union {
        char space[CMSG_SPACE(sizeof(int))];
        struct cmsghdr align;
    } control = {0};
    struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1};
    if (pass_fd >= 0) {
        message.msg_control = control.space;
        message.msg_controllen = sizeof(control.space);
        struct cmsghdr *header = CMSG_FIRSTHDR(&message);
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(header), &pass_fd, sizeof(int));
    }
    ssize_t n;
    do
        n = sendmsg(fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
    while (n < 0 && errno == EINTR);
    return n == (ssize_t)sizeof(note);
}

bool channel_send_text(int fd, enum channel_kind kind, uint32_t value, const char *text)
{
    struct channel_note note = {.kind = kind, .value = value};
    struct iovec iov[] = {{.iov_base = &note, .iov_len = sizeof(note)}, {.iov_base = (void *)(uintptr_t)text, .iov_len = strlen(text)}};
    struct msghdr message = {.msg_iov = iov, .msg_iovlen = 2};
    ssize_t n;
    do
        n = sendmsg(fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
    while (n < 0 && errno == EINTR);
    return n == (ssize_t)(sizeof(note) + strlen(text));
}

/* take_passed - the descriptor that came along, -1 when there is none. */
static int take_passed(struct msghdr *message)
{
    int fd = -1;
    for (struct cmsghdr *header = CMSG_FIRSTHDR(message); header; header = CMSG_NXTHDR(message, header)) {
        if (header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_RIGHTS && header->cmsg_len == CMSG_LEN(sizeof(int)))
            memcpy(&fd, CMSG_DATA(header), sizeof(int));
    }
    return fd;
}

int channel_receive(int fd, struct channel_note *note, int *pass_fd)
{
    char text[CHANNEL_TEXT_MAX];
    int result = channel_receive_text(fd, note, pass_fd, text);
    if (result == 1 && text[0]) {
        if (*pass_fd >= 0)
            close(*pass_fd);
        *pass_fd = -1;
        return -1;
    }
    return result;
}

int channel_receive_text(int fd, struct channel_note *note, int *pass_fd, char *text)
{
    struct iovec iov[] = {{.iov_base = note, .iov_len = sizeof(*note)}, {.iov_base = text, .iov_len = CHANNEL_TEXT_MAX - 1}};
    union {
        char space[CMSG_SPACE(sizeof(int))];
        struct cmsghdr align;
    } control;
    struct msghdr message = {.msg_iov = iov, .msg_iovlen = 2, .msg_control = control.space, .msg_controllen = sizeof(control.space)};
    ssize_t n;
    do
        n = recvmsg(fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    while (n < 0 && errno == EINTR);
    *pass_fd = -1;
    if (n < 0)
        return errno == EAGAIN || errno == EWOULDBLOCK ? 0 : -1;
    if (n < (ssize_t)sizeof(*note))
        return -1;
    text[n - (ssize_t)sizeof(*note)] = '\0';
    *pass_fd = take_passed(&message);
    return 1;
}
