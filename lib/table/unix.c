/* unix.c - the system's own tables: unix:passwd.byname, unix:group.byname */
#include <grp.h>
#include <pwd.h>

#include "table/driver.h"

#define ENTRY_MAX 65536

static bool open_table(struct table *table)
{
    if (strcmp(table->argument, "passwd.byname") == 0 || strcmp(table->argument, "group.byname") == 0) {
        table->state = memory_alloc(ENTRY_MAX);
        return true;
    }
    return table_fail(table, "unknown table: %s", table->name), false;
}

static enum table_result user(struct table *table, const char *name, struct buffer *value)
{
    struct passwd entry, *found = NULL;
    int error = getpwnam_r(name, &entry, table->state, ENTRY_MAX, &found);

    if (found == NULL)
        return error == 0 || error == ENOENT || error == ESRCH ? TABLE_NOT_FOUND : table_fail(table, "%s: %s", table->name, strerror(error));
    buffer_printf(value, "%s:%s:%ld:%ld:%s:%s:%s", found->pw_name, found->pw_passwd, (long)found->pw_uid, (long)found->pw_gid, found->pw_gecos,
                  found->pw_dir, found->pw_shell);
    return TABLE_FOUND;
}

static enum table_result group(struct table *table, const char *name, struct buffer *value)
{
    struct group entry, *found = NULL;
    int error = getgrnam_r(name, &entry, table->state, ENTRY_MAX, &found);

    if (found == NULL)
        return error == 0 || error == ENOENT || error == ESRCH ? TABLE_NOT_FOUND : table_fail(table, "%s: %s", table->name, strerror(error));
    buffer_printf(value, "%s:%s:%ld:", found->gr_name, found->gr_passwd, (long)found->gr_gid);
    for (char **member = found->gr_mem; *member != NULL; member++)
        buffer_printf(value, "%s%s", member == found->gr_mem ? "" : ",", *member);
    return TABLE_FOUND;
}

static enum table_result lookup(struct table *table, struct slice key, struct buffer *value)
{
    return table->argument[0] == 'p' ? user(table, key.data, value) : group(table, key.data, value);
}

const struct table_driver table_driver_unix = {"unix", 0, open_table, free, lookup, NULL, NULL, NULL};
