/* logrotate.c - rename maillog_file, have the mail system open a new one, compress the old */
#include <signal.h>
#include <sys/stat.h>

#include "base/log.h"
#include "control.h"
#include "service/instance.h"

static void rotated_name(struct control *control, const char *file, char *out, size_t room)
{
    char suffix[128];
    struct tm parts;
    time_t now = time(NULL);
    localtime_r(&now, &parts);
    if (strftime(suffix, sizeof(suffix), config_string(control->config, "maillog_file_rotate_suffix"), &parts) == 0)
        say_fatal("bad maillog_file_rotate_suffix value: %s", config_string(control->config, "maillog_file_rotate_suffix"));
    if (snprintf(out, room, "%s.%s", file, suffix) >= (int)room)
        say_fatal("maillog_file name is too long");
}

int rotate_log(struct control *control)
{
    const char *file = config_string(control->config, "maillog_file");
    char target[PATH_MAX];
    struct stat st;
    pid_t pid;
    if (!*file)
        say_fatal("maillog_file is not set: nothing to rotate");
    if (strncmp(file, "/dev/", 5) == 0)
        say_fatal("'postfix logrotate' is not supported for %s", file);
    rotated_name(control, file, target, sizeof(target));
    if (lstat(target, &st) == 0)
        say_fatal("file %s already exists", target);
    if (rename(file, target) < 0)
        say_fatal("rename %s to %s: %s", file, target, strerror(errno));
    if (instance_running(&pid)) {
        kill(pid, SIGHUP);
        sleep(1); /* workers let go of the old file */
    }
    const char *compressor = config_string(control->config, "maillog_file_compressor");
    const char *words[] = {compressor, target, NULL};
    return run_program(compressor, words);
}
