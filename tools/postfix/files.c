/* files.c - directories, owners and modes of an installation (compat.md l.4): one table for check and set-permissions */
#include <dirent.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <sys/stat.h>

#include "base/log.h"
#include "control.h"

enum owner { OWNER_ROOT, OWNER_MAIL };

/* What has to be where.  base names a directory parameter; path is below it. */
struct file_rule {
    const char *base, *path;
    enum owner owner;
    bool set_gid_group;
    mode_t mode;
    bool directory; /* created when missing */
};

static const struct file_rule rules[] = {
    {"queue_directory", ".", OWNER_ROOT, false, 0755, true},
#define QUEUE_DIRECTORY(path, owner, set_gid_group, mode) {"queue_directory", path, OWNER_##owner, set_gid_group, mode, true},
#include "service/queue_directories.def"
#undef QUEUE_DIRECTORY
    {"data_directory", ".", OWNER_MAIL, false, 0700, true},
    {"config_directory", ".", OWNER_ROOT, false, 0755, false},
    {"config_directory", "main.cf", OWNER_ROOT, false, 0644, false},
    {"config_directory", "master.cf", OWNER_ROOT, false, 0644, false},
    {"daemon_directory", ".", OWNER_ROOT, false, 0755, false},
    {"command_directory", "postdrop", OWNER_ROOT, true, 02755, false},
    {"command_directory", "postqueue", OWNER_ROOT, true, 02755, false},
    {"command_directory", "postlog", OWNER_ROOT, true, 02755, false},
};

struct identities {
    uid_t mail_owner;
    gid_t mail_group, set_gid_group;
};

/* ---- who is who --------------------------------------------------------------------------------------------------- */

static bool unknown_name(struct control *control, const char *parameter, const char *what)
{
    found(control, FINDING_IDENTITY, FINDING_ERROR, NULL, 0, parameter, "file %s/main.cf: parameter %s: unknown %s: %s",
          config_directory(control->config), parameter, what, config_string(control->config, parameter));
    return false;
}

static bool same_id(struct control *control, const char *a, const char *b, const char *kind, unsigned id)
{
    found(control, FINDING_IDENTITY, FINDING_ERROR, NULL, 0, a, "file %s/main.cf: parameters %s and %s: %ss %s and %s have the same %s ID: %u",
          config_directory(control->config), a, b, kind, config_string(control->config, a), config_string(control->config, b), kind, id);
    return false;
}

/* find_identities - mail_owner and setgid_group must exist and be used for nothing else. */
static bool find_identities(struct control *control, struct identities *who)
{
    *who = (struct identities){.mail_owner = geteuid(), .mail_group = getegid(), .set_gid_group = getegid()};
    if (!control->root)
        return true;
    const struct passwd *user = getpwnam(config_string(control->config, "mail_owner"));
    if (!user)
        return unknown_name(control, "mail_owner", "user name value");
    who->mail_owner = user->pw_uid;
    who->mail_group = user->pw_gid;
    const struct group *group = getgrnam(config_string(control->config, "setgid_group"));
    if (!group)
        return unknown_name(control, "setgid_group", "group name");
    who->set_gid_group = group->gr_gid;
    user = getpwnam(config_string(control->config, "default_privs"));
    if (!user)
        return unknown_name(control, "default_privs", "user name value");
    if (user->pw_uid == who->mail_owner)
        return same_id(control, "default_privs", "mail_owner", "user", user->pw_uid);
    if (user->pw_gid == who->set_gid_group)
        return same_id(control, "default_privs", "setgid_group", "group", user->pw_gid);
    if (who->mail_group == who->set_gid_group)
        return same_id(control, "mail_owner", "setgid_group", "group", who->mail_group);
    return true;
}

static const char *base_directory(struct control *control, const struct file_rule *rule)
{
    return strcmp(rule->base, "config_directory") == 0 ? config_directory(control->config) : config_string(control->config, rule->base);
}

static void rule_path(struct control *control, const struct file_rule *rule, struct buffer *path)
{
    buffer_clear(path);
    buffer_append_string(path, base_directory(control, rule));
    if (strcmp(rule->path, ".") != 0)
        buffer_printf(path, "/%s", rule->path);
}

static uid_t rule_uid(const struct file_rule *rule, const struct identities *who)
{
    return rule->owner == OWNER_MAIL ? who->mail_owner : 0;
}

static gid_t rule_gid(const struct file_rule *rule, const struct identities *who)
{
    if (rule->set_gid_group)
        return who->set_gid_group;
    return rule->owner == OWNER_MAIL ? who->mail_group : 0;
}

/* ---- creating ----------------------------------------------------------------------------------------------------- */

/* apply - owner and mode, through a descriptor: the path may not be a link. */
static bool apply(struct control *control, const struct file_rule *rule, const struct identities *who, const char *path)
{
    int fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | (rule->directory ? O_DIRECTORY : 0));
    if (fd < 0)
        return false;
    bool ok = !control->root || fchown(fd, rule_uid(rule, who), rule_gid(rule, who)) == 0;
    ok = ok && fchmod(fd, rule->mode) == 0; /* after chown, which takes the set-gid bit away */
    int saved = errno;
    close(fd);
    errno = saved;
    return ok;
}

static bool create_missing(struct control *control, const struct identities *who)
{
    struct buffer path = BUFFER_INIT;
    bool ok = true;
    for (size_t i = 0; i < COUNT_OF(rules); i++) {
        const struct file_rule *rule = &rules[i];
        struct stat st;
        rule_path(control, rule, &path);
        if (!rule->directory || lstat(buffer_string(&path), &st) == 0)
            continue;
        if (mkdir(buffer_string(&path), 0700) < 0 || !apply(control, rule, who, buffer_string(&path))) {
            found(control, FINDING_MISSING_FILE, FINDING_ERROR, buffer_string(&path), 0, NULL, "cannot create directory %s: %s", buffer_string(&path),
                  strerror(errno));
            ok = false;
        }
    }
    buffer_release(&path);
    return ok;
}

/* adopt_empty - a data_directory that was installed and not used yet belongs to root: the mail system could not write there. */
static void adopt_empty(struct control *control, const struct identities *who)
{
    struct buffer path = BUFFER_INIT;
    for (size_t i = 0; control->root && i < COUNT_OF(rules); i++) {
        const struct file_rule *rule = &rules[i];
        struct stat st;
        rule_path(control, rule, &path);
        if (strcmp(rule->base, "data_directory") != 0 || lstat(buffer_string(&path), &st) < 0 || !S_ISDIR(st.st_mode))
            continue;
        if (st.st_uid == 0 && st.st_nlink == 2 && !apply(control, rule, who, buffer_string(&path)))
            say_warning("cannot change owner of %s: %s", buffer_string(&path), strerror(errno));
    }
    buffer_release(&path);
}

/* ---- looking ------------------------------------------------------------------------------------------------------ */

static void check_rule(struct control *control, const struct file_rule *rule, const struct identities *who, const char *path)
{
    struct stat st;
    if (lstat(path, &st) < 0)
        return;
    if (rule->owner == OWNER_ROOT && st.st_uid != 0)
        found(control, FINDING_OWNER, FINDING_WARNING, path, 0, NULL, "not owned by root: %s", path);
    if (rule->owner == OWNER_MAIL && st.st_uid != who->mail_owner)
        found(control, FINDING_OWNER, FINDING_WARNING, path, 0, NULL, "not owned by %s: %s", config_string(control->config, "mail_owner"), path);
    if (rule->set_gid_group && st.st_gid != who->set_gid_group && (rule->directory || (st.st_mode & 02000)))
        found(control, FINDING_OWNER, FINDING_WARNING, path, 0, NULL, "not owned by group %s: %s", config_string(control->config, "setgid_group"), path);
    if (rule->set_gid_group && !rule->directory && strcmp(rule->path, "postlog") != 0 && (st.st_mode & 02111) != 02111)
        found(control, FINDING_MODE, FINDING_WARNING, path, 0, NULL, "not set-gid or not owner+group+world executable: %s", path);
    if (st.st_mode & 022 & ~rule->mode)
        found(control, FINDING_MODE, FINDING_WARNING, path, 0, NULL, "group or other writable: %s", path);
}

/* check_tree - files of a directory that only root may change. */
static void check_tree(struct control *control, const char *directory)
{
    DIR *entries = opendir(directory);
    struct buffer path = BUFFER_INIT;
    struct stat st;
    for (const struct dirent *entry; entries && (entry = readdir(entries));) {
        if (entry->d_name[0] == '.')
            continue;
        buffer_clear(&path);
        buffer_printf(&path, "%s/%s", directory, entry->d_name);
        if (lstat(buffer_string(&path), &st) < 0 || S_ISLNK(st.st_mode))
            continue;
        if (st.st_uid != 0)
            found(control, FINDING_TREE_OWNER, FINDING_WARNING, buffer_string(&path), 0, NULL, "not owned by root: %s", buffer_string(&path));
        if (st.st_mode & 022)
            found(control, FINDING_TREE_MODE, FINDING_WARNING, buffer_string(&path), 0, NULL, "group or other writable: %s", buffer_string(&path));
    }
    if (entries)
        closedir(entries);
    buffer_release(&path);
}

static void check_damaged(struct control *control)
{
    struct buffer path = BUFFER_INIT;
    buffer_printf(&path, "%s/corrupt", config_string(control->config, "queue_directory"));
    DIR *entries = opendir(buffer_string(&path));
    for (const struct dirent *entry; entries && (entry = readdir(entries));) {
        if (entry->d_name[0] != '.')
            found(control, FINDING_DAMAGED, FINDING_WARNING, NULL, 0, entry->d_name, "damaged message: corrupt/%s", entry->d_name);
    }
    if (entries)
        closedir(entries);
    buffer_release(&path);
}

static bool check_configuration(struct control *control)
{
    struct stat st;
    struct buffer path = BUFFER_INIT;
    buffer_printf(&path, "%s/master.cf", config_directory(control->config));
    bool found_it = stat(buffer_string(&path), &st) == 0;
    buffer_release(&path);
    if (!found_it)
        found(control, FINDING_MISSING_FILE, FINDING_ERROR, NULL, 0, NULL, "no %s/master.cf file found", config_directory(control->config));
    return found_it;
}

bool files_create_missing(struct control *control)
{
    struct identities who;
    return find_identities(control, &who) && create_missing(control, &who);
}

bool files_check(struct control *control)
{
    struct identities who;
    struct buffer path = BUFFER_INIT;
    if (!find_identities(control, &who) || !create_missing(control, &who))
        return false;
    adopt_empty(control, &who);
    for (size_t i = 0; control->root && i < COUNT_OF(rules); i++) {
        rule_path(control, &rules[i], &path);
        check_rule(control, &rules[i], &who, buffer_string(&path));
    }
    buffer_release(&path);
    if (control->root) {
        check_tree(control, config_directory(control->config));
        check_tree(control, config_string(control->config, "daemon_directory"));
    }
    check_damaged(control);
    check_old_queue(control);
    return check_configuration(control);
}

void files_set_permissions(struct control *control)
{
    struct identities who;
    struct buffer path = BUFFER_INIT;
    if (!find_identities(control, &who))
        exit(1);
    if (!create_missing(control, &who))
        say_fatal("unable to create missing queue directories");
    for (size_t i = 0; i < COUNT_OF(rules); i++) {
        struct stat st;
        rule_path(control, &rules[i], &path);
        if (lstat(buffer_string(&path), &st) == 0 && !apply(control, &rules[i], &who, buffer_string(&path)))
            say_warning("%s: %s", buffer_string(&path), strerror(errno));
    }
    buffer_release(&path);
}
