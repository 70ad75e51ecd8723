/* upgrade.c - master.cf lines that this version needs and an older file lacks */
#include <fcntl.h>
#include <sys/stat.h>

#include "base/log.h"
#include "conf/master_cf.h"
#include "control.h"

static const struct {
    const char *name;
    enum service_type type;
    const char *line;
} needed[] = {
    {"pickup", SERVICE_UNIX, "pickup    unix  n       -       n       60      1       pickup"},
    {"cleanup", SERVICE_UNIX, "cleanup   unix  n       -       n       -       0       cleanup"},
    {"qmgr", SERVICE_UNIX, "qmgr      unix  n       -       n       300     1       qmgr"},
    {"bounce", SERVICE_UNIX, "bounce    unix  -       -       n       -       0       bounce"},
    {"trace", SERVICE_UNIX, "trace     unix  -       -       n       -       0       bounce"},
    {"relay", SERVICE_UNIX, "relay     unix  -       -       n       -       -       smtp"},
    {"tlsmgr", SERVICE_UNIX, "tlsmgr    unix  -       -       n       1000?   1       tlsmgr"},
    {"flush", SERVICE_UNIX, "flush     unix  n       -       n       1000?   0       flush"},
    {"showq", SERVICE_UNIX, "showq     unix  n       -       n       -       -       showq"},
    {"retry", SERVICE_UNIX, "retry     unix  -       -       n       -       -       error"},
    {"discard", SERVICE_UNIX, "discard   unix  -       -       n       -       -       discard"},
    {"anvil", SERVICE_UNIX, "anvil     unix  -       -       n       -       1       anvil"},
    {"postlog", SERVICE_UNIX_DGRAM, "postlog   unix-dgram n  -       n       -       1       postlogd"},
};

static bool has_service(const struct master_cf *lines, const char *name, enum service_type type)
{
    for (size_t i = 0; i < lines->count; i++) {
        bool same_type = lines->services[i].type == type || (type == SERVICE_UNIX && lines->services[i].type == SERVICE_FIFO);
        if (same_type && strcmp(lines->services[i].name, name) == 0)
            return true;
    }
    return false;
}

/* append - all missing lines in one write, so that a reader never sees half a line; the last line there may lack its end. */
static void append(const char *path, struct slice lines)
{
    struct buffer text = BUFFER_INIT;
    char last = '\n';
    int fd = open(path, O_RDWR | O_APPEND | O_CLOEXEC);
    off_t size = fd < 0 ? -1 : lseek(fd, 0, SEEK_END);
    if (size > 0 && pread(fd, &last, 1, size - 1) == 1 && last != '\n')
        buffer_append_slice(&text, SLICE("\n"));
    buffer_append_slice(&text, lines);
    if (fd < 0 || write(fd, text.data, text.len) != (ssize_t)text.len || fsync(fd) < 0)
        say_fatal("%s: %s", path, strerror(errno));
    close(fd);
    buffer_release(&text);
}

void upgrade_configuration(struct control *control)
{
    struct arena *arena = arena_new(0);
    struct master_cf lines;
    struct buffer text = BUFFER_INIT;
    const char *path = arena_printf(arena, "%s/master.cf", config_directory(control->config));
    if (!master_cf_load(config_directory(control->config), NULL, arena, NULL, NULL, &lines))
        say_fatal("cannot read %s", path);
    for (size_t i = 0; i < COUNT_OF(needed); i++) {
        if (has_service(&lines, needed[i].name, needed[i].type))
            continue;
        printf("Editing %s, adding missing entry for %s %s service\n", path, needed[i].name, service_type_name(needed[i].type));
        buffer_printf(&text, "%s\n", needed[i].line);
    }
    if (text.len)
        append(path, buffer_slice(&text));
    buffer_release(&text);
    arena_free(arena);
}
