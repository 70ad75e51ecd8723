/* make.c - a database from its text */
#include <fcntl.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/log.h"
#include "postmap.h"
#include "table/compile.h"

#define SOURCE_MAX ((size_t)4 << 30)

static void read_all(int fd, const char *name, struct buffer *text)
{
    char piece[65536];
    ssize_t n;

    while ((n = read(fd, piece, sizeof(piece))) > 0)
        if (!buffer_append(text, piece, (size_t)n))
            log_fatal("%s: file is too large", name);
    if (n < 0)
        log_fatal("read %s: %s", name, strerror(errno));
}

/* ---- progress, on a terminal only ---- */

#define PROGRESS_PAUSE (MICROSECONDS / 4)

struct progress { const char *name; int64_t next; bool shown; };

static void show(void *context, size_t done, size_t total)
{
    struct progress *progress = context;
    int64_t now = clock_monotonic();

    if (now < progress->next)
        return;
    progress->next = now + PROGRESS_PAUSE;
    progress->shown = true;
    fprintf(stderr, "\r%s: %d%%", progress->name, (int)(100.0 * (double)done / (double)total));
    fflush(stderr);
}

static void hide(const struct progress *progress)
{
    if (progress->shown)
        fprintf(stderr, "\r%*s\r", (int)strlen(progress->name) + 6, "");
}

/* become_owner - root makes the database as the owner of its source, so that who owns the text can rebuild it. */
static void become_owner(const struct options *options, const struct stat *info)
{
    if (options->keep_root || geteuid() != 0 || info->st_uid == 0)
        return;
    if (setegid(info->st_gid) < 0 || seteuid(info->st_uid) < 0)
        log_fatal("cannot become the owner of the source file: %s", strerror(errno));
}

static void become_root_again(const struct options *options)
{
    if (!options->keep_root && getuid() == 0 && (seteuid(0) < 0 || setegid(getgid()) < 0))
        log_fatal("cannot become root again: %s", strerror(errno));
}

/* open_source - the text, and in *how the mode of the database. */
static int open_source(const struct options *options, struct slice type, const char *name, struct table_maker_options *how, struct stat *info)
{
    char *why = NULL;
    if (options->incremental)
        return STDIN_FILENO;
    if (!table_can_be_made(type, &why))
        log_fatal("%s", why);
    int fd = open(name, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        log_fatal("open %s: %s", name, strerror(errno));
    if (fstat(fd, info) == 0 && !options->default_mode)
        how->mode = 0600 | (info->st_mode & 0044);
    return fd;
}

/* compile - all rows that can be understood; a failure is the end, and the old database stays. */
static void compile(const struct options *options, struct table_maker *maker, const char *file, struct slice text)
{
    struct progress progress = {.name = file, .next = clock_after(2 * PROGRESS_PAUSE)};
    struct table_text how = {.file = file, .alias = options->alias, .fold_off = options->fold_off, .utf8 = (options->table_flags & TABLE_UTF8) != 0,
                             .file_values = options->file_values, .replace = options->replace, .silent_duplicates = options->silent_duplicates,
                             .nis_master = config_string(options->config, "myhostname"), .progress = isatty(STDERR_FILENO) ? show : NULL,
                             .context = &progress};
    char *why = NULL;

    (void)table_compile(maker, &how, text);
    hide(&progress);
    if (!table_maker_commit(maker, &why))
        log_fatal("%s", why);
}

void make_table(const struct options *options, struct slice type, struct slice path)
{
    char *name = slice_string(path), *why = NULL;
    struct buffer text = BUFFER_INIT_MAX(SOURCE_MAX), full = BUFFER_INIT;
    struct table_maker_options how = {.incremental = options->incremental, .mode = 0644,
                                      .nul = options->without_nul ? MAKER_NUL_WITHOUT : options->with_nul ? MAKER_NUL_WITH : MAKER_NUL_DEFAULT};
    const char *file = options->incremental ? "stdin" : name;
    struct stat info = {0};

    buffer_printf(&full, SLICE_FORMAT ":%s", SLICE_ARGS(type), name);
    int fd = open_source(options, type, name, &how, &info);
    read_all(fd, file, &text);
    become_owner(options, &info);
    struct table_maker *maker = table_maker_open(buffer_slice(&full), &how, options->config, &why);
    if (maker == NULL)
        log_fatal("%s", why);
    compile(options, maker, file, buffer_slice(&text));
    become_root_again(options);
    if (!options->incremental)
        close(fd);
    buffer_release(&text);
    buffer_release(&full);
    free(name);
}
