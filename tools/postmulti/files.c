/* files.c - the files of an instance: made for a new one, taken away from one that goes */
#include <dirent.h>
#include <fcntl.h>
#include <pwd.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "conf/config_file.h"
#include "multi.h"

/* What all instances share: where programs and documents are, and as whom they run. */
static const char *const shared[] = {"command_directory", "daemon_directory", "meta_directory", "shlib_directory", "sendmail_path",
                                     "mailq_path", "newaliases_path", "manpage_directory", "sample_directory", "readme_directory",
                                     "html_directory", "mail_owner", "setgid_group", "default_privs"};

void postconf_edit(struct multi *multi, const char *directory, const char *const *settings)
{
    size_t count = 0, n = 0;
    while (settings[count])
        count++;
    const char **words = arena_alloc(multi->memory, (count + 5) * sizeof(*words));
    words[n++] = command_path(multi, "postconf");
    words[n++] = "-c";
    words[n++] = directory;
    words[n++] = "-e";
    for (size_t i = 0; i < count; i++)
        words[n++] = settings[i];
    words[n] = NULL;
    if (run_in_instance(multi, &multi->instances[0], words) != 0)
        log_fatal("cannot edit %s/main.cf", directory);
}

/* ---- creating ----------------------------------------------------------------------------------------------------- */

static void write_file(const char *path, struct slice text)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    if (fd < 0 || write(fd, text.data, text.len) != (ssize_t)text.len || fsync(fd) < 0)
        log_fatal("%s: %s", path, strerror(errno));
    close(fd);
}

/* stock_text - NAME.proto as it was installed, else the primary's own file, else nothing. */
static void stock_text(struct multi *multi, const char *name, bool or_own, struct buffer *text)
{
    const char *proto = arena_printf(multi->memory, "%s/%s.proto", config_string(multi->config, "meta_directory"), name);
    const char *own = arena_printf(multi->memory, "%s/%s", config_directory(multi->config), name);
    if (!config_read_file(proto, text) && or_own && !config_read_file(own, text))
        log_fatal("%s: %s", own, strerror(errno));
}

static void make_directory(const char *path, mode_t mode)
{
    if (mkdir(path, mode) < 0 && errno != EEXIST)
        log_fatal("mkdir %s: %s", path, strerror(errno));
}

static void settle(struct multi *multi, const char *directory, const char *queue_directory, const char *data_directory)
{
    const char *settings[COUNT_OF(shared) + 8];
    size_t n = 0;
    for (size_t i = 0; i < COUNT_OF(shared); i++) {
        const char *value = config_raw(multi->config, slice_of(shared[i]), NULL);
        if (value)
            settings[n++] = arena_printf(multi->memory, "%s=%s", shared[i], value);
    }
    settings[n++] = arena_printf(multi->memory, "queue_directory=%s", queue_directory);
    settings[n++] = arena_printf(multi->memory, "data_directory=%s", data_directory);
    /* Nobody's mail comes in before the administrator wants it to. */
    settings[n++] = "master_service_disable=inet";
    settings[n++] = "authorized_submit_users=";
    settings[n] = NULL;
    postconf_edit(multi, directory, settings);
}

/* give_away - the data directory belongs to the mail system. */
static void give_away(struct multi *multi, const char *path)
{
    const struct passwd *owner = getpwnam(config_string(multi->config, "mail_owner"));
    if (geteuid() == 0 && (!owner || lchown(path, owner->pw_uid, owner->pw_gid) < 0))
        log_fatal("chown %s: %s", path, owner ? strerror(errno) : "mail_owner is no user");
}

void files_create(struct multi *multi, const char *directory, const char *queue_directory, const char *data_directory)
{
    struct buffer main_cf = BUFFER_INIT, master_cf = BUFFER_INIT;
    stock_text(multi, "main.cf", false, &main_cf);
    if (main_cf.len == 0)
        buffer_printf(&main_cf, "compatibility_level = %s\n", config_string(multi->config, "compatibility_level"));
    stock_text(multi, "master.cf", true, &master_cf);
    make_directory(directory, 0755);
    make_directory(queue_directory, 0755);
    make_directory(data_directory, 0700);
    give_away(multi, data_directory);
    write_file(arena_printf(multi->memory, "%s/main.cf", directory), buffer_slice(&main_cf));
    write_file(arena_printf(multi->memory, "%s/master.cf", directory), buffer_slice(&master_cf));
    buffer_release(&main_cf);
    buffer_release(&master_cf);
    settle(multi, directory, queue_directory, data_directory);
}

/* ---- destroying --------------------------------------------------------------------------------------------------- */

static const char *const queue_directories[] = {
#define QUEUE_DIRECTORY(path, owner, set_gid_group, mode) path,
#include "service/queue_directories.def"
#undef QUEUE_DIRECTORY
};

/* queue_is_empty - as postqueue sees it. */
static bool queue_is_empty(struct multi *multi, const struct instance *instance)
{
    const char *const words[] = {command_path(multi, "postqueue"), "-c", instance->directory, "-j", NULL};
    int ends[2], status;
    char byte;
    if (pipe2(ends, O_CLOEXEC) < 0)
        log_fatal("pipe: %s", strerror(errno));
    pid_t pid = fork();
    if (pid == 0) {
        dup2(ends[1], STDOUT_FILENO);
        execv(words[0], (char *const *)words);
        _exit(127);
    }
    close(ends[1]);
    bool empty = pid > 0 && read(ends[0], &byte, 1) == 0;
    close(ends[0]); /* a long listing ends here */
    return pid > 0 && waitpid(pid, &status, 0) == pid && empty && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

enum { DEPTH_MAX = 20 };

/* remove_content - through descriptors: who owns the directory cannot lead us elsewhere with a link. */
static void remove_content(int directory, int depth)
{
    DIR *entries = fdopendir(directory);
    for (const struct dirent *entry; entries && (entry = readdir(entries));) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0 || unlinkat(dirfd(entries), entry->d_name, 0) == 0)
            continue;
        int below = openat(dirfd(entries), entry->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (below >= 0 && depth < DEPTH_MAX)
            remove_content(below, depth + 1);
        else if (below >= 0)
            close(below);
        if (unlinkat(dirfd(entries), entry->d_name, AT_REMOVEDIR) < 0)
            log_warning("remove %s: %s", entry->d_name, strerror(errno));
    }
    if (entries)
        closedir(entries);
    else
        close(directory);
}

/* remove_directory - with everything in it when the mail system alone writes there. */
static void remove_directory(const char *path, bool with_content)
{
    int directory = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (directory < 0)
        return;
    if (with_content)
        remove_content(directory, 0);
    else
        close(directory);
    if (rmdir(path) < 0)
        log_warning("rmdir %s: %s", path, strerror(errno));
}

void files_destroy(struct multi *multi, const struct instance *instance)
{
    const char *queue_directory = config_string(instance->config, "queue_directory");
    if (!queue_is_empty(multi, instance))
        log_fatal("the queue of instance %s is not empty, or cannot be looked at", instance->directory);
    for (size_t i = 0; i < COUNT_OF(queue_directories); i++)
        remove_directory(arena_printf(multi->memory, "%s/%s", queue_directory, queue_directories[i]), true);
    remove_directory(queue_directory, false);
    remove_directory(config_string(instance->config, "data_directory"), true);
    unlink(arena_printf(multi->memory, "%s/main.cf", instance->directory));
    unlink(arena_printf(multi->memory, "%s/master.cf", instance->directory));
    remove_directory(instance->directory, false);
}
