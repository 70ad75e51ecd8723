/* maker.c - making tables: a new file beside the old one, renamed when it is whole

   A crash at any time leaves the old table, or the new one, and at most a file PATH.SUFFIX.PID.new. */
#include <fcntl.h>

#include "table/driver.h"
#include "table/maker.h"

static const struct maker_format *const formats[] = {&maker_format_hash, &maker_format_btree, &maker_format_lmdb, &maker_format_cdb};

void maker_fail(struct table_maker *maker, const char *format, ...)
{
    va_list args;
    if (maker->why.len)
        return;
    va_start(args, format);
    buffer_vprintf(&maker->why, format, args);
    va_end(args);
}

bool maker_nul(const struct table_maker *maker)
{
    return maker->options.nul != MAKER_NUL_WITHOUT;
}

const char *table_maker_name(const struct table_maker *maker)
{
    return maker->name;
}

static const struct maker_format *find_format(struct slice type)
{
    for (size_t i = 0; i < COUNT_OF(formats); i++) {
        if (slice_equal(type, slice_of(formats[i]->type)))
            return formats[i];
    }
    return NULL;
}

const char *table_maker_suffix(const char *type)
{
    const struct maker_format *format = find_format(slice_of(type));
    return format ? format->suffix : NULL;
}

static bool is_known_type(struct slice type)
{
    for (size_t i = 0; table_type_at(i); i++) {
        if (slice_equal(type, slice_of(table_type_at(i))))
            return true;
    }
    return false;
}

static char *printed(const char *format, ...) PRINTF_LIKE(1, 2);
static char *printed(const char *format, ...)
{
    struct buffer text = BUFFER_INIT;
    va_list args;
    va_start(args, format);
    buffer_vprintf(&text, format, args);
    va_end(args);
    return buffer_steal(&text);
}

static void maker_free(struct table_maker *maker)
{
    if (maker->lock_fd >= 0)
        close(maker->lock_fd);
    buffer_release(&maker->why);
    free(maker->name);
    free(maker->path);
    free(maker->temporary);
    free(maker);
}

/* ---- opening ------------------------------------------------------------------------------------------------------ */

/* lock_existing - open and lock the database file as it is now: another process may have renamed a new one over the one we
   waited for. */
static bool lock_existing(struct table_maker *maker, int flags)
{
    for (int attempt = 0; attempt < 100; attempt++) {
        struct stat opened, named;
        int fd = open(maker->path, flags | O_RDWR | O_CLOEXEC | O_NOCTTY, maker->options.mode);
        if (fd < 0 || !lock_file(fd, true, maker->format->by_flock) || fstat(fd, &opened) < 0) {
            maker_fail(maker, "open database %s: %s", maker->path, strerror(errno));
            if (fd >= 0)
                close(fd);
            return false;
        }
        if (stat(maker->path, &named) == 0 && named.st_ino == opened.st_ino && named.st_dev == opened.st_dev) {
            maker->lock_fd = fd;
            return true;
        }
        close(fd);
    }
    maker_fail(maker, "open database %s: it is replaced all the time", maker->path);
    return false;
}

/* open_in_place - for postmap -i: the file as it is, made when missing. */
static bool open_in_place(struct table_maker *maker)
{
    struct stat info;
    if (!lock_existing(maker, O_CREAT))
        return false;
    if (fstat(maker->lock_fd, &info) == 0 && info.st_size == 0)
        return maker->format->create(maker, maker->path);
    return maker->format->open_existing(maker, maker->path);
}

/* rewrite_in_place - where no file can be made in the directory, but the old one may be written. */
static bool rewrite_in_place(struct table_maker *maker)
{
    if (!lock_existing(maker, 0))
        return false;
    if (ftruncate(maker->lock_fd, 0) < 0) {
        maker_fail(maker, "truncate %s: %s", maker->path, strerror(errno));
        return false;
    }
    return maker->format->create(maker, maker->path);
}

static bool open_beside(struct table_maker *maker)
{
    maker->temporary = printed("%s.%ld.new", maker->path, (long)getpid());
    (void)unlink(maker->temporary);
    int fd = open(maker->temporary, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, maker->options.mode);
    if (fd >= 0) {
        close(fd);
        return maker->format->create(maker, maker->temporary);
    }
    int error = errno;
    free(maker->temporary);
    maker->temporary = NULL;
    if ((error == EACCES || error == EPERM || error == EROFS) && access(maker->path, W_OK) == 0)
        return rewrite_in_place(maker);
    maker_fail(maker, "open database %s: %s", maker->path, strerror(error));
    return false;
}

/* final_path - the file itself when the name is a symbolic link, so that the link stays. */
static char *final_path(struct slice argument, const char *suffix)
{
    char *path = printed(SLICE_FORMAT "%s", SLICE_ARGS(argument), suffix);
    char *real = realpath(path, NULL);
    if (!real)
        return path;
    free(path);
    return real;
}

bool table_can_be_made(struct slice type, char **why)
{
    if (find_format(type))
        return true;
    if (is_known_type(type))
        *why = printed("unsupported dictionary type: " SLICE_FORMAT " does not support bulk-mode creation.", SLICE_ARGS(type));
    else
        *why = printed("unsupported dictionary type: " SLICE_FORMAT ". Is the postfix-" SLICE_FORMAT " package installed?", SLICE_ARGS(type), SLICE_ARGS(type));
    return false;
}

bool table_value_from_files(struct slice names, struct buffer *value, struct buffer *why)
{
    return value_from_files(names, value, why);
}

struct table_maker *table_maker_open(struct slice type_and_name, const struct table_maker_options *options, struct config *config,
                                     char **why)
{
    struct slice type, argument;
    if (!slice_cut(type_and_name, ':', &type, &argument) || type.len == 0 || argument.len == 0) {
        *why = printed("open dictionary: expecting \"type:name\" form instead of \"" SLICE_FORMAT "\"", SLICE_ARGS(type_and_name));
        return NULL;
    }
    if (!table_can_be_made(type, why))
        return NULL;
    const struct maker_format *format = find_format(type);
    struct table_maker *maker = memory_zalloc(1, sizeof(*maker));
    maker->format = format;
    maker->config = config;
    maker->options = *options;
    maker->lock_fd = -1;
    maker->path = final_path(argument, format->suffix);
    maker->name = format->named_by_path ? printed(SLICE_FORMAT "%s", SLICE_ARGS(argument), format->suffix) : slice_string(type_and_name);
    if (options->incremental ? open_in_place(maker) : open_beside(maker))
        return maker;
    *why = memory_string(buffer_string(&maker->why));
    table_maker_abort(maker);
    return NULL;
}

enum maker_result table_maker_add(struct table_maker *maker, struct slice key, struct slice value, bool replace)
{
    if (maker->why.len)
        return MAKER_FAILED;
    return maker->format->add(maker, key, value, replace);
}

enum maker_result table_maker_add_plain(struct table_maker *maker, struct slice key, struct slice value)
{
    struct table_maker_options kept = maker->options;
    maker->options.nul = MAKER_NUL_WITHOUT;
    enum maker_result result = table_maker_add(maker, key, value, true);
    maker->options = kept;
    return result;
}

/* ---- the end ------------------------------------------------------------------------------------------------------ */

/* take_over_rights - the new file belongs to whom the old one belonged, with the same mode. */
static void take_over_rights(struct table_maker *maker, int fd)
{
    struct stat old, new;
    if (stat(maker->path, &old) < 0 || fstat(fd, &new) < 0)
        return;
    if ((old.st_uid != new.st_uid || old.st_gid != new.st_gid) && fchown(fd, old.st_uid, old.st_gid) < 0)
        log_debug("cannot give %s to the owner of the old file: %s", maker->path, strerror(errno));
    if (old.st_mode != new.st_mode && fchmod(fd, old.st_mode & 07777) < 0)
        log_debug("cannot give %s the mode of the old file: %s", maker->path, strerror(errno));
}

/* sync_directory - so that the rename is on disk. */
static void sync_directory(const char *path)
{
    const char *slash = strrchr(path, '/');
    char *directory = slash ? slice_string(slice_make(path, slash == path ? 1 : (size_t)(slash - path))) : memory_string(".");
    int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0) {
        (void)fsync(fd);
        close(fd);
    }
    free(directory);
}

static bool make_durable(struct table_maker *maker)
{
    const char *file = maker->temporary ? maker->temporary : maker->path;
    int fd = open(file, O_RDWR | O_CLOEXEC);
    bool ok = fd >= 0;
    if (ok && maker->temporary)
        take_over_rights(maker, fd);
    ok = ok && fsync(fd) == 0;
    if (!ok)
        maker_fail(maker, "write %s: %s", file, strerror(errno));
    if (fd >= 0)
        close(fd);
    if (ok && maker->temporary && rename(maker->temporary, maker->path) < 0) {
        maker_fail(maker, "rename %s to %s: %s", maker->temporary, maker->path, strerror(errno));
        ok = false;
    }
    if (ok && maker->temporary)
        sync_directory(maker->path);
    return ok;
}

bool table_maker_commit(struct table_maker *maker, char **why)
{
    bool ok = maker->format->close(maker) && maker->why.len == 0 && make_durable(maker);
    if (!ok) {
        *why = memory_string(buffer_string(&maker->why));
        if (maker->temporary)
            (void)unlink(maker->temporary);
    }
    maker_free(maker);
    return ok;
}

void table_maker_abort(struct table_maker *maker)
{
    if (!maker)
        return;
    (void)maker->format->close(maker);
    if (maker->temporary)
        (void)unlink(maker->temporary);
    maker_free(maker);
}
