/* make.c - a database from its text */
#include <fcntl.h>
#include <sys/stat.h>

#include "address/mail_address.h"
#include "base/log.h"
#include "conf/logical_lines.h"
#include "postmap.h"
#include "table/source.h"

#define SOURCE_MAX ((size_t)4 << 30)

struct making {
    const struct options *options;
    struct table_maker *maker;
    const char *file; /* name of the text, for messages */
    struct slice type, path;
    struct arena *arena;
    bool utf8;
};

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

/* file_value - -F: the files named in the value, joined and in base64. */
static bool file_value(struct making *m, struct slice value, int line, struct buffer *out)
{
    struct buffer why = BUFFER_INIT;
    bool good = table_value_from_files(value, out, &why);

    if (!good)
        log_fatal("%s, line %d: %s", m->file, line, buffer_string(&why));
    buffer_release(&why);
    return good;
}

static void add(struct making *m, struct slice key, struct slice value, int line)
{
    struct buffer folded = BUFFER_INIT, content = BUFFER_INIT;

    if (!m->options->fold_off) {
        table_key_fold(key, m->utf8, &folded);
        key = buffer_slice(&folded);
    }
    if (m->options->file_values && file_value(m, value, line, &content))
        value = buffer_slice(&content);
    enum maker_result result = table_maker_add(m->maker, key, value, m->options->replace);
    if (result == MAKER_DUPLICATE && !m->options->silent_duplicates)
        log_warning("%s: duplicate entry: \"" SLICE_FORMAT "\"", table_maker_name(m->maker), SLICE_ARGS(key));
    buffer_release(&folded);
    buffer_release(&content);
}

/* ---- postmap: key whitespace value ---- */

static void add_rows(struct making *m, struct slice text)
{
    struct table_source source;
    struct slice key, value;

    table_source_start(&source, m->file, text, m->utf8);
    while (table_source_next(&source, &key, &value))
        add(m, key, value, source.lines.first);
}

/* ---- postalias: name: value ---- */

/* find_colon - the one that ends the name, outside quotes. */
static size_t find_colon(struct slice line)
{
    bool quoted = false;

    for (size_t i = 0; i < line.len; i++) {
        if (line.data[i] == '\\' && i + 1 < line.len)
            i++;
        else if (line.data[i] == '"')
            quoted = !quoted;
        else if (line.data[i] == ':' && !quoted)
            return i;
    }
    return line.len;
}

/* without_escapes - the value in external form: a backslash outside quotes only marks the next character as it is. */
static struct slice without_escapes(struct making *m, struct slice value)
{
    struct buffer out = BUFFER_INIT;
    bool quoted = false;

    for (size_t i = 0; i < value.len; i++) {
        if (value.data[i] == '"')
            quoted = !quoted;
        if (value.data[i] == '\\' && i + 1 < value.len) {
            if (quoted)
                buffer_append_byte(&out, '\\');
            i++;
        }
        buffer_append_byte(&out, value.data[i]);
    }
    struct slice copy = arena_slice(m->arena, buffer_slice(&out));
    buffer_release(&out);
    return copy;
}

static void add_alias(struct making *m, struct slice line, int number)
{
    size_t colon = find_colon(line);
    struct slice name = slice_trim(slice_first(line, colon)), value = slice_trim(slice_from(line, colon + 1));

    if (colon == line.len || name.len == 0 || value.len == 0) {
        log_warning("%s, line %d: need name:value pair", m->file, number);
        return;
    }
    if (slice_find(name, '@') < name.len && name.data[0] != '"') {
        log_warning("%s, line %d: name must be local and have no domain", m->file, number);
        return;
    }
    /* "Quoted User" and Quoted User are the same name */
    add(m, mail_address_internal(name, m->arena), without_escapes(m, value), number);
}

static void add_aliases(struct making *m, struct slice text)
{
    struct logical_lines lines;
    struct buffer line = BUFFER_INIT;
    char now[32];

    logical_lines_start(&lines, text);
    while (logical_lines_next(&lines, &line)) {
        if (lines.orphan)
            log_warning("%s, line %d: logical line must not start with whitespace: \"%.30s...\"", m->file, lines.first, buffer_string(&line));
        else
            add_alias(m, buffer_slice(&line), lines.first);
        arena_reset(m->arena);
    }
    buffer_release(&line);
    /* what sendmail-style alias files end with, and (as Debian's) what NIS masters look for */
    table_maker_add(m->maker, SLICE("@"), SLICE("@"), true);
    snprintf(now, sizeof(now), "%010lld", (long long)time(NULL));
    table_maker_add_plain(m->maker, SLICE("YP_LAST_MODIFIED"), slice_of(now));
    table_maker_add_plain(m->maker, SLICE("YP_MASTER_NAME"), slice_of(config_string(m->options->config, "myhostname")));
}

static void fail(const struct making *m, char *why)
{
    (void)m;
    log_fatal("%s", why);
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

void make_table(const struct options *options, struct slice type, struct slice path)
{
    char *name = slice_string(path), *full, *why = NULL;
    struct buffer text = BUFFER_INIT_MAX(SOURCE_MAX);
    struct table_maker_options how = {.incremental = options->incremental, .mode = 0644,
                                      .nul = options->without_nul ? MAKER_NUL_WITHOUT : options->with_nul ? MAKER_NUL_WITH : MAKER_NUL_DEFAULT};
    struct making m = {.options = options, .file = options->incremental ? "stdin" : name, .type = type, .path = path,
                       .utf8 = (options->table_flags & TABLE_UTF8) != 0};
    struct stat info = {0};

    if (asprintf(&full, SLICE_FORMAT ":%s", SLICE_ARGS(type), name) < 0)
        log_fatal("out of memory");
    int fd = options->incremental ? STDIN_FILENO : open(name, O_RDONLY | O_CLOEXEC);
    if (!options->incremental && !table_can_be_made(type, &why))
        fail(&m, why);
    if (fd < 0)
        log_fatal("open %s: %s", name, strerror(errno));
    if (!options->incremental && fstat(fd, &info) == 0 && !options->default_mode)
        how.mode = 0600 | (info.st_mode & 0044) | ((info.st_mode & 0004) ? 0004 : 0);
    read_all(fd, m.file, &text);
    become_owner(options, &info);
    m.maker = table_maker_open(slice_of(full), &how, options->config, &why);
    if (m.maker == NULL)
        fail(&m, why);
    m.arena = arena_new(0);
    if (options->alias)
        add_aliases(&m, buffer_slice(&text));
    else
        add_rows(&m, buffer_slice(&text));
    if (!table_maker_commit(m.maker, &why))
        fail(&m, why);
    become_root_again(options);
    if (!options->incremental)
        close(fd);
    arena_free(m.arena);
    buffer_release(&text);
    free(full);
    free(name);
}
