/* check_old_queue.c - mail that Postfix left in its own queue: nothing here reads it, and nobody should find that out weeks later */
#include <dirent.h>
#include <sys/stat.h>

#include "control.h"

enum { DEPTH_MAX = 6, COUNT_MAX = 10000 }; /* hash_queue_depth; more need not be counted */

/* count - complete messages: regular files with the execute bit. */
static size_t count(struct control *control, const char *directory, int depth)
{
    size_t messages = 0;
    DIR *entries = depth < DEPTH_MAX ? opendir(directory) : NULL;
    for (const struct dirent *entry; entries && messages < COUNT_MAX && (entry = readdir(entries));) {
        struct stat st;
        if (entry->d_name[0] == '.')
            continue;
        const char *path = arena_printf(control->memory, "%s/%s", directory, entry->d_name);
        if (lstat(path, &st) < 0)
            continue;
        if (S_ISDIR(st.st_mode))
            messages += count(control, path, depth + 1);
        else if (S_ISREG(st.st_mode) && (st.st_mode & S_IXUSR))
            messages++;
    }
    if (entries)
        closedir(entries);
    return messages;
}

void check_old_queue(struct control *control)
{
    static const char *const queues[] = {"incoming", "active", "deferred", "hold"};
    const char *spool = config_string(control->config, "queue_directory");
    for (size_t i = 0; i < COUNT_OF(queues); i++) {
        const char *directory = arena_printf(control->memory, "%s/%s", spool, queues[i]);
        size_t messages = count(control, directory, 0);
        if (messages)
            found(control, FINDING_OLD_QUEUE, FINDING_WARNING, directory, 0, spool, "%s: %zu%s message%s in the queue of Postfix", directory, messages,
                  messages >= COUNT_MAX ? " or more" : "", messages == 1 ? "" : "s");
    }
}
