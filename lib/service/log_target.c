/* log_target.c - open the log that the configuration asks for */
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "net/address.h"
#include "service/address_log.h"
#include "service/log_target.h"

static const char syslog_path[] = "/dev/log";

static int connect_datagram(const char *path)
{
    struct net_address address;
    if (!net_address_unix(&address, slice_of(path))) {
        errno = ENAMETOOLONG;
        return -1;
    }
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    if (connect(fd, &address.u.any, address.len) < 0) {
        int saved = errno;
        close(fd);
        errno = saved;
        return -1;
    }
    return fd;
}

/* path_allowed - maillog_file_prefixes keeps a slip of the pen from writing over other files. */
static bool path_allowed(struct config *config, const char *path)
{
    struct slice rest = slice_of(config_string(config, "maillog_file_prefixes")), prefix;
    while (config_list_next(&rest, &prefix)) {
        if (slice_starts(slice_of(path), prefix))
            return true;
    }
    return false;
}

/* file_mode - Postfix before 3.9 made the file readable for everybody; maillog_file_permissions, when set, decides. */
static mode_t file_mode(struct config *config)
{
    if (!config_raw(config, SLICE("maillog_file_permissions"), NULL))
        return 0644;
    const char *text = config_string(config, "maillog_file_permissions");
    return (mode_t)strtol(text, NULL, 8) & 0644;
}

static int open_file(struct config *config, const char *path)
{
    if (strcmp(path, "/dev/stdout") == 0)
        return fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
    mode_t old = umask(0);
    int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_NOCTTY | O_CLOEXEC, file_mode(config));
    int saved = errno;
    umask(old);
    errno = saved;
    return fd;
}

static int connect_postlogd(struct config *config)
{
    struct buffer path = BUFFER_INIT;
    buffer_printf(&path, "%s/public/%s", config_string(config, "queue_directory"), config_string(config, "postlog_service_name"));
    int fd = connect_datagram(buffer_string(&path));
    buffer_release(&path);
    return fd;
}

bool log_target_open(struct config *config, struct log_target *target)
{
    const char *file = config_string(config, "maillog_file");
    *target = (struct log_target){.sink = LOG_TO_STDERR, .fd = -1};
    if (!*file) {
        target->fd = connect_datagram(syslog_path);
        target->sink = target->fd < 0 ? LOG_TO_STDERR : LOG_TO_SYSLOG;
        target->path = syslog_path;
        return target->fd >= 0;
    }
    if (!path_allowed(config, file)) {
        log_warning("maillog_file value '%s' does not match any prefix in maillog_file_prefixes", file);
        errno = EPERM;
        return false;
    }
    target->fd = open_file(config, file);
    target->sink = LOG_TO_FILE;
    target->path = file;
    if (target->fd < 0 && (errno == EACCES || errno == EROFS)) {
        target->fd = connect_postlogd(config);
        target->sink = LOG_TO_SYSLOG;
    }
    if (target->fd < 0)
        target->sink = LOG_TO_STDERR;
    return target->fd >= 0;
}

void log_target_use(struct config *config, const struct log_target *target, const char *program, bool use_environment)
{
    const char *prefix = use_environment ? getenv("MAIL_LOGTAG") : NULL;
    struct buffer tag = BUFFER_INIT;
    buffer_printf(&tag, "%s/%s", prefix && *prefix ? prefix : config_string(config, "syslog_name"), program);
    log_set_facility(config_string(config, "syslog_facility"));
    address_log_format(config_string(config, "info_log_address_format"));
    log_open(buffer_string(&tag), target->sink, target->fd);
    buffer_release(&tag);
}
