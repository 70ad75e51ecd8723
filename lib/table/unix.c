/* unix.c - the system's own tables: unix:passwd.byname, unix:group.byname

   A process that may open no files (smtpd) cannot ask the system any more when it looks up: it uses what it read when the table was opened, and
   is replaced when that changes (table_watch).  Sources that cannot be listed (LDAP and the like) are not in there; with one of them a name that
   was not found is "try again", never "not found": a user must not be refused because we could not see him. */
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <sys/stat.h>

#include "base/map.h"
#include "table/driver.h"

enum { ENTRY_MAX = 65536, LISTED_MAX = 1000000 };

struct unix_table {
    bool users;         /* else groups */
    const char *path;   /* of the file that nearly all entries come from */
    struct map *listed; /* name -> the entry's line */
    bool complete;      /* all sources can be listed */
    char buffer[ENTRY_MAX];
};

static void put_user(struct buffer *value, const struct passwd *entry)
{
    buffer_printf(value, "%s:%s:%ld:%ld:%s:%s:%s", entry->pw_name, entry->pw_passwd, (long)entry->pw_uid, (long)entry->pw_gid, entry->pw_gecos,
                  entry->pw_dir, entry->pw_shell);
}

static void put_group(struct buffer *value, const struct group *entry)
{
    buffer_printf(value, "%s:%s:%ld:", entry->gr_name, entry->gr_passwd, (long)entry->gr_gid);
    for (char **member = entry->gr_mem; *member != NULL; member++)
        buffer_printf(value, "%s%s", member == entry->gr_mem ? "" : ",", *member);
}

/* ---- what can be listed ---- */

static void list_users(struct unix_table *u)
{
    struct buffer line = BUFFER_INIT;
    const struct passwd *entry;

    setpwent();
    while (map_count(u->listed) < LISTED_MAX && (entry = getpwent()) != NULL) {
        buffer_clear(&line);
        put_user(&line, entry);
        if (!map_get(u->listed, slice_of(entry->pw_name)))
            map_set(u->listed, slice_of(entry->pw_name), memory_string(buffer_string(&line)));
    }
    endpwent();
    buffer_release(&line);
}

static void list_groups(struct unix_table *u)
{
    struct buffer line = BUFFER_INIT;
    const struct group *entry;

    setgrent();
    while (map_count(u->listed) < LISTED_MAX && (entry = getgrent()) != NULL) {
        buffer_clear(&line);
        put_group(&line, entry);
        if (!map_get(u->listed, slice_of(entry->gr_name)))
            map_set(u->listed, slice_of(entry->gr_name), memory_string(buffer_string(&line)));
    }
    endgrent();
    buffer_release(&line);
}

static bool is_listable(struct slice source)
{
    static const char *const listable[] = {"files", "compat", "db", "systemd", "altfiles", "extrausers"};

    if (source.data[0] == '[') /* an action, "[NOTFOUND=return]" */
        return true;
    for (size_t i = 0; i < COUNT_OF(listable); i++)
        if (slice_equal(source, slice_of(listable[i])))
            return true;
    return false;
}

/* sources_are_listable - by nsswitch.conf(5); without it: files. */
static bool sources_are_listable(const char *database)
{
    FILE *file = fopen("/etc/nsswitch.conf", "re");
    char text[1024];
    bool listable = true;

    while (file && fgets(text, sizeof(text), file)) {
        struct slice line = slice_of(text), word, rest;
        line = slice_first(line, slice_find(line, '#'));
        if (!slice_cut(line, ':', &word, &rest) || !slice_equal(slice_trim(word), slice_of(database)))
            continue;
        while (slice_next_token(&rest, " \t\r\n", &word))
            listable &= is_listable(word);
    }
    if (file)
        fclose(file);
    return listable;
}

/* ---- the driver ---- */

static void close_table(void *state)
{
    struct unix_table *u = state;

    map_free(u->listed);
    free(u);
}

static bool open_table(struct table *table)
{
    bool users = strcmp(table->argument, "passwd.byname") == 0;

    if (!users && strcmp(table->argument, "group.byname") != 0)
        return table_fail(table, "unknown table: %s", table->name), false;
    struct unix_table *u = memory_zalloc(1, sizeof(*u));
    u->users = users;
    u->path = users ? "/etc/passwd" : "/etc/group";
    u->complete = sources_are_listable(users ? "passwd" : "group");
    u->listed = map_new(free);
    int fd = open(u->path, O_RDONLY | O_CLOEXEC);
    if (fd >= 0)
        table_watch(table, u->path, fd);
    if (users)
        list_users(u);
    else
        list_groups(u);
    table->state = u;
    return true;
}

static enum table_result fail(struct table *table, int error)
{
    return error == 0 || error == ENOENT || error == ESRCH ? TABLE_NOT_FOUND : table_fail(table, "%s: %s", table->name, strerror(error));
}

static enum table_result user(struct table *table, struct unix_table *u, const char *name, struct buffer *value)
{
    struct passwd entry, *found = NULL;
    int error = getpwnam_r(name, &entry, u->buffer, ENTRY_MAX, &found);

    if (found == NULL)
        return fail(table, error);
    put_user(value, found);
    return TABLE_FOUND;
}

static enum table_result group(struct table *table, struct unix_table *u, const char *name, struct buffer *value)
{
    struct group entry, *found = NULL;
    int error = getgrnam_r(name, &entry, u->buffer, ENTRY_MAX, &found);

    if (found == NULL)
        return fail(table, error);
    put_group(value, found);
    return TABLE_FOUND;
}

/* can_ask - false in a sandbox and in a chroot. */
static bool can_ask(const struct unix_table *u)
{
    int fd = open(u->path, O_RDONLY | O_CLOEXEC);

    if (fd >= 0)
        close(fd);
    return fd >= 0;
}

/* is_stale - the file is not the one that was read: soon we are replaced, until then "not found" means nothing. */
static bool is_stale(const struct table *table, const struct unix_table *u)
{
    struct stat info;
    if (stat(u->path, &info) < 0)
        return false;
    struct file_stamp now = file_stamp_of(&info);
    return !file_stamp_equal(&now, &table->stamp);
}

static enum table_result lookup(struct table *table, struct slice key, struct buffer *value)
{
    struct unix_table *u = table->state;

    if (can_ask(u))
        return u->users ? user(table, u, key.data, value) : group(table, u, key.data, value);
    const char *line = map_get(u->listed, key);
    if (line == NULL && is_stale(table, u))
        return table_fail(table, "%s: %s has changed and was not read yet", table->name, u->path);
    if (line == NULL)
        return u->complete ? TABLE_NOT_FOUND
                           : table_fail(table, "%s: nsswitch.conf names sources that cannot be asked without opening files", table->name);
    buffer_append_string(value, line);
    return TABLE_FOUND;
}

const struct table_driver table_driver_unix = {"unix", 0, open_table, close_table, lookup, NULL, NULL, NULL};
