/* dotforward.c - ~/.forward: the user's own wishes, read with the user's rights (compat.md g.2) */
#include "local.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "base/log.h"

#define FORWARD_MAX (1 << 20)
#define PIECE 4096

/* open_forward - open as the user; -1 when there is none.  What is not safe is warned of and not used. */
static int open_forward(const struct account *account, const char *path, struct stat *info)
{
    if (service_become(account->uid, account->gid) < 0)
        return -1;
    int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOFOLLOW), error = errno;
    bool visible = fd < 0 && lstat(path, info) == 0; /* not in a home that is closed to its owner */
    service_become_root();
    if (fd < 0) {
        if (visible && error == ELOOP)
            log_warning("file %s is not a regular file", path);
        else if (visible)
            log_warning("cannot open file %s: %s", path, strerror(error));
        return -1;
    }
    const char *fault = NULL;
    if (fstat(fd, info) < 0 || !S_ISREG(info->st_mode))
        log_warning("file %s is not a regular file", fault = path);
    else if (info->st_uid != 0 && info->st_uid != account->uid)
        log_warning("file %s has bad owner uid %ld", fault = path, (long)info->st_uid);
    else if (info->st_mode & S_IWOTH)
        log_warning("file %s is world writable", fault = path);
    if (fault == NULL)
        return fd;
    close(fd);
    return -1;
}

static bool read_all(int fd, struct buffer *text)
{
    ssize_t n;

    do {
        char *room = buffer_reserve(text, PIECE);
        if (room == NULL)
            return false;
        n = read(fd, room, PIECE);
        if (n > 0)
            buffer_commit(text, (size_t)n);
    } while (n > 0);
    return n == 0;
}

/* find_forward - the first file of forward_path that exists.  *with_extension: the path named the extension, so it is used up. */
static int find_forward(struct job *job, const struct target *target, const struct account *account, char **path, bool *with_extension)
{
    struct slice rest = slice_of(job->params->forward_path), word;
    struct stat info;

    while (config_list_next(&rest, &word)) {
        bool undefined = false;
        const char *pattern = arena_string(job->arena, word);
        if (strstr(pattern, "xtension") != NULL && target->extension.len == 0 && strchr(pattern, '?') == NULL)
            continue; /* a path with a macro that has no value here */
        *path = macro_expand(job, target, account, pattern, job->params->forward_expansion_filter, &undefined);
        if (*path == NULL || (*path)[0] != '/')
            continue;
        int fd = open_forward(account, *path, &info);
        if (fd >= 0) {
            *with_extension = strstr(pattern, "xtension") != NULL && target->extension.len > 0;
            return fd;
        }
    }
    return -1;
}

bool dotforward_deliver(struct job *job, struct target *target, const struct account *account)
{
    struct buffer text = BUFFER_INIT_MAX(FORWARD_MAX);
    bool with_extension = false, done = false;
    char *path = NULL;

    if (seen(job, "forward", target->user, account->uid))
        return false; /* the second time it is the mailbox that is meant */
    int fd = find_forward(job, target, account, &path, &with_extension);
    if (fd < 0)
        return false;
    if (job->address_probe) {
        close(fd);
        report_format(job, target->address, OUTCOME_SENT, "2.0.0", "forward via file: %s", path);
        return true;
    }
    bool readable = read_all(fd, &text);
    close(fd);
    if (!readable) {
        log_warning("cannot read %s: %s", path, strerror(errno));
    } else {
        struct target member = {.origin = ORIGIN_FORWARD, .level = target->level + 1, .owner = account, .rights = *account, .address = target->address};
        if (!with_extension && target->extension.len > 0 && config_list_has(job->params->propagate_unmatched_extensions, "forward"))
            member.extension = target->extension;
        bool tells = report_expansion_begin(job);
        struct slice kept = job->delivered;
        if (!job->params->frozen_delivered_to)
            job->delivered = target->address;
        done = members_deliver(job, &member, buffer_slice(&text), true) > 0; /* an empty file: the mailbox */
        if (tells || forward_is_due(job, target))
            forward_flush(job);
        job->delivered = kept;
        if (tells && done)
            report_expansion_end(job, target->address, "expanded");
        job->expanded = job->expanded && (done || !tells);
    }
    buffer_release(&text);
    return done;
}
