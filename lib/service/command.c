/* command.c - what every command's main() stands on (compat.md j.1, l.1) */
#include <fcntl.h>
#include <pwd.h>
#include <sys/stat.h>

#include "service/command.h"
#include "service/log_target.h"
#include "service/network.h"

static const char *command_name = "unknown";

static void open_standard(void)
{
    for (int fd = 0; fd < 3; fd++) {
        if (fcntl(fd, F_GETFL) < 0 && open("/dev/null", fd ? O_WRONLY : O_RDONLY) != fd)
            _exit(1);
    }
}

/* set_gid - the program got its group from its file, not from its caller. */
static bool set_gid(void)
{
    return getegid() != getgid();
}

/* clean_environment - a set-gid program takes only what cannot lead it astray: nothing that the loader or a library looks at. */
static void clean_environment(void)
{
    static const char *const kept[] = {"MAIL_CONFIG", "MAIL_DEBUG", "MAIL_LOGTAG", "TZ", "LANG", "POSTLOG_SERVICE", "POSTLOG_HOSTNAME"};
    char *values[COUNT_OF(kept)];
    for (size_t i = 0; i < COUNT_OF(kept); i++) {
        const char *value = getenv(kept[i]);
        values[i] = value ? memory_string(value) : NULL;
    }
    clearenv();
    for (size_t i = 0; i < COUNT_OF(kept); i++) {
        if (values[i])
            setenv(kept[i], values[i], 1);
        free(values[i]);
    }
    setenv("PATH", "/usr/bin:/bin:/usr/sbin:/sbin", 1);
}

void command_start(const char *name)
{
    command_name = name;
    umask(022);
    open_standard();
    log_open(name, LOG_TO_STDERR, -1);
    if (geteuid() != getuid())
        log_fatal("this postfix command must not run as a set-uid process");
    if (set_gid())
        clean_environment();
    if (getenv("MAIL_VERBOSE") && (!set_gid() || getuid() == 0))
        log_verbose++;
}

void command_help(int argc, char **argv, const char *text)
{
    if (argc < 2 || strcmp(argv[1], "--help") != 0)
        return;
    fputs(text, stdout);
    exit(fflush(stdout) == 0 ? 0 : 1);
}

/* directory_listed - another configuration directory must be named by the default main.cf before a set-gid program trusts it. */
static bool directory_listed(const char *directory)
{
    static const char *const lists[] = {"alternate_config_directories", "multi_instance_directories"};
    struct config *config = config_load(DEFAULT_CONFIG_DIRECTORY, NULL, NULL);
    bool found = false;
    for (size_t i = 0; config && i < COUNT_OF(lists); i++) {
        struct slice rest = slice_of(config_string(config, lists[i])), element;
        while (config_list_next(&rest, &element))
            found |= slice_equal(element, slice_of(directory));
    }
    config_free(config);
    return found;
}

static const char *check_directory(const char *directory)
{
    const char *chosen = directory ? directory : getenv("MAIL_CONFIG");
    if (!chosen || !*chosen)
        return NULL;
    if (set_gid() && getuid() != 0 && strcmp(chosen, DEFAULT_CONFIG_DIRECTORY) != 0 && !directory_listed(chosen)) {
        log_error("unauthorized configuration directory name: %s", chosen);
        log_fatal("specify \"alternate_config_directories = %s\" or \"multi_instance_directories = %s\" in " DEFAULT_CONFIG_DIRECTORY "/main.cf", chosen,
                  chosen);
    }
    return chosen;
}

struct config *command_config(const char *directory, bool to_log)
{
    directory = check_directory(directory);
    struct config *config = config_load(directory, NULL, NULL);
    if (!config)
        log_fatal("cannot read the configuration");
    if (directory)
        setenv("MAIL_CONFIG", directory, 1);
    config_set(config, SLICE("process_name"), slice_of(command_name));
    network_settings(config);
    struct log_target target;
    /* /dev/stdout is that of "postfix start-fg", not that of a command */
    if (to_log && strcmp(config_string(config, "maillog_file"), "/dev/stdout") != 0 && log_target_open(config, &target)) {
        log_target_use(config, &target, command_name, true);
        log_add_stderr(true);
    }
    return config;
}

void command_queue_directory(struct config *config)
{
    const char *directory = config_string(config, "queue_directory");
    if (chdir(directory) < 0)
        log_fatal("chdir %s: %s", directory, strerror(errno));
}

const char *command_user_name(uid_t uid)
{
    static char name[64];
    const struct passwd *entry = getpwuid(uid);
    snprintf(name, sizeof(name), "%s", entry ? entry->pw_name : "unknown");
    return name;
}
