/* table.c - opening, looking up and renewing tables; the drivers do the work */
#include <fcntl.h>

#include "table/driver.h"
#include "conf/config.h"
#include "table/helper.h"

/* How often a table looks whether the file behind it changed. */
#define CHECK_INTERVAL (1 * MICROSECONDS)
/* Keys up to this length are folded on the stack. */
enum { SHORT_KEY = 256 };

#define DRIVER(type) extern const struct table_driver table_driver_##type;
#define MISSING(type)
#include "table/drivers.def"
#undef DRIVER
#undef MISSING

struct registered {
    const char *type;
    const struct table_driver *driver; /* NULL: a type of Postfix that this version lacks */
};

static const struct registered registry[] = {
#define DRIVER(type) {#type, &table_driver_##type},
#define MISSING(type) {#type, NULL},
#include "table/drivers.def"
#undef DRIVER
#undef MISSING
};

static bool outdated;
static struct list open_tables = {&open_tables, &open_tables};

bool tables_outdated(void)
{
    return outdated;
}

void tables_set_outdated(void)
{
    outdated = true;
}

const char *table_type_at(size_t index)
{
    for (size_t i = 0; i < COUNT_OF(registry); i++) {
        const struct table_driver *driver = registry[i].driver;
        if (driver && !(driver->kind & DRIVER_HIDDEN) && index-- == 0)
            return driver->type;
    }
    return NULL;
}

static const struct registered *find_type(struct slice type)
{
    for (size_t i = 0; i < COUNT_OF(registry); i++) {
        if (slice_equal(type, slice_of(registry[i].type)))
            return &registry[i];
    }
    return NULL;
}

bool table_type_known(struct slice type)
{
    const struct registered *found = find_type(type);
    return found && found->driver;
}

enum table_result table_fail(struct table *table, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    buffer_clear(&table->why);
    buffer_vprintf(&table->why, format, args);
    va_end(args);
    return TABLE_TRY_AGAIN;
}

/* ---- opening ------------------------------------------------------------------------------------------------------ */

/* choose_driver - false after table_fail. */
static bool choose_driver(struct table *table, struct slice type_and_name)
{
    struct slice type, argument;
    if (!slice_cut(type_and_name, ':', &type, &argument) || type.len == 0 || argument.len == 0) {
        table_fail(table, "open dictionary: expecting \"type:name\" form instead of \"%s\"", table->name);
        return false;
    }
    table->argument = table->name + type.len + 1;
    const struct registered *known = find_type(type);
    if (!known) {
        table_fail(table, "unsupported dictionary type: " SLICE_FORMAT, SLICE_ARGS(type));
        return false;
    }
    if (!known->driver) {
        table_fail(table, "unsupported dictionary type: " SLICE_FORMAT " (not yet supported in this version)", SLICE_ARGS(type));
        return false;
    }
    if ((known->driver->kind & DRIVER_NETWORK) && (table->flags & TABLE_PARANOID)) {
        table_fail(table, "%s map is not allowed for security sensitive data", table->name);
        return false;
    }
    table->driver = known->driver;
    table->is_pattern = known->driver->kind & DRIVER_PATTERN;
    return true;
}

/* become_failing - a table that cannot be opened stays usable: it fails politely. */
static void become_failing(struct table *table)
{
    if (table->flags & TABLE_FATAL)
        log_fatal("%s", buffer_string(&table->why));
    log_error("%s", buffer_string(&table->why));
    table->driver = &table_failing;
    table->state = NULL;
}

struct table *table_open(struct slice type_and_name, int flags, struct config *config)
{
    struct table *table = memory_zalloc(1, sizeof(*table));
    table->name = slice_string(type_and_name);
    table->argument = "";
    table->flags = flags;
    table->config = config;
    table->fd = table->source_fd = -1;
    table->next_check = clock_after(CHECK_INTERVAL);
    list_append(&open_tables, &table->link);
    bool known = choose_driver(table, type_and_name);
    if (known)
        source_open(table);
    if (!known || !table->driver->open(table))
        become_failing(table);
    else if (table->driver->kind & DRIVER_BLOCKS)
        helper_register(table);
    else
        (void)source_wants_reopening(table); /* says so in the log when the index is old */
    return table;
}

void table_free(struct table *table)
{
    if (!table)
        return;
    list_remove(&table->link);
    if (table->driver->kind & DRIVER_BLOCKS)
        helper_forget(table);
    if (table->state)
        table->driver->close(table->state);
    if (table->fd >= 0)
        close(table->fd);
    source_close(table);
    free(table->path);
    free(table->name);
    buffer_release(&table->why);
    free(table);
}

const char *table_name(const struct table *table)
{
    return table->name;
}

bool table_is_pattern(const struct table *table)
{
    return table->is_pattern;
}

const char *table_why(const struct table *table)
{
    return buffer_string(&table->why);
}

bool table_is_misconfigured(const struct table *table)
{
    return table->config_error;
}

/* ---- files behind tables ------------------------------------------------------------------------------------------ */

struct file_stamp file_stamp_of(const struct stat *info)
{
    return (struct file_stamp){info->st_dev, info->st_ino, info->st_size, info->st_mtim};
}

bool file_stamp_equal(const struct file_stamp *a, const struct file_stamp *b)
{
    return a->device == b->device && a->inode == b->inode && a->size == b->size &&
           a->modified.tv_sec == b->modified.tv_sec && a->modified.tv_nsec == b->modified.tv_nsec;
}

void table_watch(struct table *table, const char *path, int fd)
{
    struct stat info;
    if (table->fd >= 0)
        close(table->fd);
    free(table->path);
    table->path = memory_string(path);
    table->fd = fd;
    if (fstat(fd, &info) == 0)
        table->stamp = file_stamp_of(&info);
}

/* looks_changed - by path; where the path cannot be seen (chroot), by the open file: changed, or no longer linked. */
static bool looks_changed(const struct table *table, bool *visible)
{
    struct stat info;
    *visible = stat(table->path, &info) == 0;
    if (!*visible && (fstat(table->fd, &info) < 0 || info.st_nlink == 0))
        return true;
    struct file_stamp now = file_stamp_of(&info);
    return !file_stamp_equal(&now, &table->stamp);
}

/* reopen - read the file again; on failure the old content stays in use. */
static bool reopen(struct table *table)
{
    struct table fresh = {.driver = table->driver, .name = table->name, .argument = table->argument, .flags = table->flags & ~TABLE_FATAL,
                          .config = table->config, .is_pattern = table->is_pattern, .fd = -1, .source_fd = -1};
    bool ok = table->driver->open(&fresh);
    if (ok) {
        void *old_state = table->state;
        table->state = fresh.state;
        fresh.state = old_state;
        free(table->path);
        table->path = fresh.path;
        int old_fd = table->fd;
        table->fd = fresh.fd;
        table->stamp = fresh.stamp;
        close(old_fd);
        table->driver->close(old_state);
    } else {
        log_warning("%s: still using the old content: %s", table->name, buffer_string(&fresh.why));
        if (fresh.fd >= 0)
            close(fresh.fd);
        free(fresh.path);
    }
    buffer_release(&fresh.why);
    return ok;
}

bool table_refresh(struct table *table)
{
    bool visible;
    table->next_check = clock_after(CHECK_INTERVAL);
    outdated |= source_wants_reopening(table);
    if (!table->path || table->busy || !looks_changed(table, &visible))
        return false;
    if (helper_serves(table)) {
        outdated = true;
        return false;
    }
    int probe = visible ? open(table->path, O_RDONLY | O_CLOEXEC) : -1;
    if (probe < 0) {
        outdated |= !visible || errno == EPERM || errno == EACCES;
        return false;
    }
    close(probe);
    /* A broken new file is looked at again only when it changes once more. */
    if (!reopen(table)) {
        struct stat info;
        if (stat(table->path, &info) == 0)
            table->stamp = file_stamp_of(&info);
        return false;
    }
    return true;
}

void tables_look(void)
{
    LIST_EACH(&open_tables, link) {
        struct table *table = LIST_ENTRY(link, struct table, link);
        if (table->path)
            table_refresh(table);
    }
}

/* ---- looking up --------------------------------------------------------------------------------------------------- */

static void refresh_when_due(struct table *table)
{
    if (table->path && clock_monotonic() >= table->next_check)
        table_refresh(table);
}

static bool wants_folding(const struct table *table)
{
    return !table->is_pattern && !(table->driver->kind & (DRIVER_PATTERN | DRIVER_AS_IS)) && !(table->flags & TABLE_NO_FOLD);
}

/* deliver - what a driver found, made fit for the caller. */
static enum table_result deliver(struct table *table, struct slice key, struct buffer *value)
{
    if ((table->flags & TABLE_FILE_VALUES) && !(table->driver->kind & DRIVER_FILES_AT_OPEN)) {
        struct buffer content = BUFFER_INIT;
        if (!value_decode(buffer_slice(value), &content)) {
            buffer_release(&content);
            table->config_error = true;
            return table_fail(table, "table %s: key %.*s: malformed BASE64 value: %.30s", table->name, SLICE_ARGS(key), buffer_string(value));
        }
        buffer_release(value);
        *value = content;
        return TABLE_FOUND;
    }
    if ((table->flags & TABLE_UTF8) && !slice_is_ascii(buffer_slice(value)) && !slice_is_utf8(buffer_slice(value))) {
        log_warning("%s: key \"" SLICE_FORMAT "\": non-UTF-8 value \"%s\": malformed UTF-8 or invalid codepoint", table->name, SLICE_ARGS(key),
                    buffer_string(value));
        table->config_error = true;
        return table_fail(table, "%s: non-UTF-8 value", table->name);
    }
    return TABLE_FOUND;
}

static enum table_result look_up_prepared(struct table *table, struct slice key, struct buffer *value)
{
    table->busy++;
    enum table_result result = table->driver->kind & DRIVER_BLOCKS ? helper_lookup(table, key, value) : table->driver->lookup(table, key, value);
    table->busy--;
    return result == TABLE_FOUND ? deliver(table, key, value) : result;
}

/* look_up_long - keys that are too long or not plain enough for the stack. */
static enum table_result look_up_long(struct table *table, struct slice key, struct buffer *value)
{
    struct buffer copy = BUFFER_INIT;
    if (wants_folding(table))
        table_key_fold(key, table->flags & TABLE_UTF8, &copy);
    else
        buffer_append_slice(&copy, key);
    enum table_result result = look_up_prepared(table, buffer_slice(&copy), value);
    buffer_release(&copy);
    return result;
}

enum table_result table_lookup(struct table *table, struct slice key, struct buffer *value)
{
    buffer_clear(value);
    table->config_error = false;
    refresh_when_due(table);
    if (slice_find(key, '\0') < key.len)
        return TABLE_NOT_FOUND;
    bool ascii = !(table->flags & TABLE_UTF8) || slice_is_ascii(key);
    if (!ascii && !slice_is_utf8(key))
        return TABLE_NOT_FOUND;
    if (!ascii || key.len >= SHORT_KEY)
        return look_up_long(table, key, value);
    char copy[SHORT_KEY];
    bool fold = wants_folding(table);
    for (size_t i = 0; i < key.len; i++)
        copy[i] = fold && key.data[i] >= 'A' && key.data[i] <= 'Z' ? (char)(key.data[i] | 0x20) : key.data[i];
    copy[key.len] = '\0';
    return look_up_prepared(table, slice_make(copy, key.len), value);
}

/* ---- changing and walking ----------------------------------------------------------------------------------------- */

static enum table_result cannot(struct table *table, const char *what)
{
    return table_fail(table, "table %s: %s operation is not supported", table->name, what);
}

enum table_result table_update(struct table *table, struct slice key, struct slice value)
{
    if (!table->driver->update)
        return cannot(table, "update");
    struct buffer folded = BUFFER_INIT;
    if (table->flags & TABLE_NO_FOLD)
        buffer_append_slice(&folded, key);
    else
        table_key_fold(key, table->flags & TABLE_UTF8, &folded);
    table->busy++;
    enum table_result result = table->driver->update(table, buffer_slice(&folded), value);
    table->busy--;
    buffer_release(&folded);
    return result;
}

enum table_result table_delete(struct table *table, struct slice key)
{
    if (!table->driver->remove)
        return cannot(table, "delete");
    struct buffer folded = BUFFER_INIT;
    if (table->flags & TABLE_NO_FOLD)
        buffer_append_slice(&folded, key);
    else
        table_key_fold(key, table->flags & TABLE_UTF8, &folded);
    table->busy++;
    enum table_result result = table->driver->remove(table, buffer_slice(&folded));
    table->busy--;
    buffer_release(&folded);
    return result;
}

enum table_result table_sync(struct table *table)
{
    return table->driver->sync ? table->driver->sync(table) : TABLE_FOUND;
}

enum table_result table_next(struct table *table, bool first, struct buffer *key, struct buffer *value)
{
    if (!table->driver->next)
        return cannot(table, "sequence");
    buffer_clear(key);
    buffer_clear(value);
    if (first)
        refresh_when_due(table);
    enum table_result result = table->driver->next(table, first, key, value);
    return result == TABLE_FOUND ? deliver(table, buffer_slice(key), value) : result;
}
