/* auto_update.c - the text behind an index: is it newer, and with database_auto_update = yes the index is made from it

   The index is made where the table is opened: a service does that while it still has its rights.  Later it can only see that the text
   changed, through the descriptor that it kept; it then asks for its replacement, which opens the tables anew. */
#include <fcntl.h>
#include <sys/file.h>

#include "run/run.h"
#include "table/compile.h"
#include "table/driver.h"
#include "table/maker.h"

/* A text that is newer than its index is worth a warning when it was not written just now. */
enum { SOURCE_GRACE = 100 /* seconds */ };
/* A text that still changes is left alone for that long. */
enum { SETTLED = 1 /* second */ };
enum { TRIES = 3 };

static bool is_newer(const struct stat *source, struct timespec index)
{
    return source->st_mtim.tv_sec > index.tv_sec || (source->st_mtim.tv_sec == index.tv_sec && source->st_mtim.tv_nsec > index.tv_nsec);
}

static bool wants_update(const struct table *table)
{
    return table->config && !(table->flags & (TABLE_WRITE | TABLE_FATAL)) && config_bool(table->config, "database_auto_update");
}

/* ---- making the index --------------------------------------------------------------------------------------------- */

/* is_alias_table - the syntax of a text is not written in it: what alias_maps and alias_database name has that of aliases(5). */
static bool is_alias_table(const struct table *table)
{
    static const char *const parameters[] = {"alias_maps", "alias_database"};
    struct slice element;
    for (size_t i = 0; i < COUNT_OF(parameters); i++) {
        struct slice rest = slice_of(config_string(table->config, parameters[i]));
        while (config_list_next(&rest, &element))
            if (slice_equal(element, slice_of(table->name)))
                return true;
    }
    return false;
}

/* compile - the text into a new index; the old one stays unless every line of the text is understood.  False with *why. */
static bool compile(struct table *table, struct slice text, mode_t mode, struct buffer *why)
{
    struct table_maker_options options = {.mode = mode};
    struct table_text how = {.file = table->argument, .alias = is_alias_table(table), .utf8 = (table->flags & TABLE_UTF8) != 0,
                             .fold_off = (table->flags & TABLE_NO_FOLD) != 0, .file_values = (table->flags & TABLE_FILE_VALUES) != 0};
    char *reason = NULL;
    struct table_maker *maker = table_maker_open(slice_of(table->name), &options, table->config, &reason);
    bool ok = maker != NULL;
    if (ok && how.alias)
        how.nis_master = config_string(table->config, "myhostname");
    size_t bad = ok ? table_compile(maker, &how, text) : 0;
    if (bad > 0) {
        table_maker_abort(maker);
        buffer_printf(why, "%zu line%s of %s cannot be used", bad, bad == 1 ? "" : "s", table->argument);
        return false;
    }
    ok = ok && table_maker_commit(maker, &reason);
    if (!ok)
        buffer_append_string(why, reason);
    free(reason);
    return ok;
}

/* as_owner - as postmap does: root makes files only as the owner of the text, so that nobody can lead it astray with links. */
static bool as_owner(const struct stat *source)
{
    if (geteuid() != 0 || source->st_uid == 0)
        return true;
    return setegid(source->st_gid) == 0 && seteuid(source->st_uid) == 0;
}

static void as_before(uid_t uid, gid_t gid)
{
    if (geteuid() != uid && (seteuid(uid) < 0 || setegid(gid) < 0))
        log_fatal("cannot take back the rights of user %u: %s", (unsigned)uid, strerror(errno));
}

/* make_index - from a text that does not change meanwhile.  False with *why. */
static bool make_index(struct table *table, int fd, const struct stat *source, struct buffer *why)
{
    uid_t uid = geteuid();
    gid_t gid = getegid();
    struct buffer text = BUFFER_INIT;
    bool ok = false;
    for (int i = 0; i < TRIES && !ok; i++) {
        struct stat before, after;
        buffer_clear(&text);
        if (fstat(fd, &before) < 0 || lseek(fd, 0, SEEK_SET) < 0 || !table_read_descriptor(fd, &text) || fstat(fd, &after) < 0) {
            buffer_printf(why, "read %s: %s", table->argument, strerror(errno));
            break;
        }
        struct file_stamp a = file_stamp_of(&before), b = file_stamp_of(&after);
        ok = file_stamp_equal(&a, &b);
    }
    if (ok) {
        ok = as_owner(source) && compile(table, buffer_slice(&text), 0600 | (source->st_mode & 0044), why);
        as_before(uid, gid);
    } else if (why->len == 0) {
        buffer_printf(why, "%s changes all the time", table->argument);
    }
    buffer_release(&text);
    return ok;
}

/* update - one process makes the index, the others wait for it and find it done. */
static void update(struct table *table, const char *index, int fd)
{
    struct stat source, made;
    struct buffer why = BUFFER_INIT;
    (void)flock(fd, LOCK_EX);
    if (fstat(fd, &source) == 0 && S_ISREG(source.st_mode) && (stat(index, &made) < 0 || is_newer(&source, made.st_mtim))) {
        if (make_index(table, fd, &source, &why))
            log_info("%s: made from %s, which is newer", index, table->argument);
        else
            log_warning("%s: database_auto_update: still using the old content: %s", index, buffer_string(&why));
    }
    (void)flock(fd, LOCK_UN);
    buffer_release(&why);
}

/* ---- watching the text -------------------------------------------------------------------------------------------- */

void source_open(struct table *table)
{
    const char *suffix = table_maker_suffix(table->driver->type);
    struct buffer index = BUFFER_INIT;
    struct stat info;
    if (!suffix || (table->flags & TABLE_WRITE))
        return;
    int fd = open(table->argument, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (fd < 0)
        return;
    buffer_printf(&index, "%s%s", table->argument, suffix);
    if (wants_update(table) && !fiber_current())
        update(table, buffer_string(&index), fd);
    if (fstat(fd, &info) == 0 && S_ISREG(info.st_mode)) {
        table->source_fd = fd;
        table->source_stamp = file_stamp_of(&info);
    } else {
        close(fd);
    }
    buffer_release(&index);
}

void source_close(struct table *table)
{
    if (table->source_fd >= 0)
        close(table->source_fd);
    table->source_fd = -1;
}

static void warn_of_old_index(struct table *table)
{
    if (!table->source_warned)
        log_warning("database %s is older than source file %s", table->path, table->argument);
    table->source_warned = true;
}

/* current_source - what the text is now: by name, or where that cannot be seen by what was opened.  False: it is gone. */
static bool current_source(const struct table *table, struct stat *info)
{
    return stat(table->argument, info) == 0 || (fstat(table->source_fd, info) == 0 && info->st_nlink > 0);
}

bool source_wants_reopening(struct table *table)
{
    struct stat info;
    time_t now = time(NULL);
    if (table->source_fd < 0 || !table->path)
        return false;
    if (!current_source(table, &info))
        return wants_update(table); /* an editor put a new file in its place, out of our sight */
    if (!is_newer(&info, table->stamp.modified)) {
        table->source_warned = false;
        return false;
    }
    if (info.st_mtime < now - SOURCE_GRACE && !wants_update(table))
        warn_of_old_index(table);
    struct file_stamp stamp = file_stamp_of(&info);
    /* What could not be used when the table was opened is not tried again before it changes. */
    return wants_update(table) && !file_stamp_equal(&stamp, &table->source_stamp) && info.st_mtime < now - SETTLED;
}
