/* config.c - main.cf and overrides as written: loading, setting, walking; problems */
#include "conf/config_private.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "base/arena.h"
#include "base/log.h"
#include "conf/logical_lines.h"

#define FILE_SIZE_MAX ((size_t)16 << 20) /* a main.cf larger than this is not one */

/* ---- problems ---- */

static void log_problem(void *context, bool fatal, const char *file, int line, const char *text)
{
    if (fatal)
        log_fatal("%s", text);
    log_warning("%s", text);
}

void config_ignore_problem(void *context, bool fatal, const char *file, int line, const char *text)
{
}

void config_problem(struct config *config, bool fatal, const char *file, int line, const char *format, ...)
{
    struct buffer text = BUFFER_INIT_MAX(4096);
    va_list args;
    va_start(args, format);
    buffer_vprintf(&text, format, args);
    va_end(args);
    if (text.overflow)
        buffer_append_string(&text, "(a very long message)");
    config->failed |= fatal;
    config->report(config->context, fatal, file, line, buffer_string(&text));
    buffer_release(&text);
}

/* ---- life ---- */

static void free_setting(void *value)
{
    struct setting *setting = value;
    free(setting->value);
    free(setting);
}

static struct config *config_new(const char *directory, config_report *report, void *context)
{
    struct config *config = memory_zalloc(1, sizeof(*config));
    config->directory = memory_string(directory);
    struct buffer path = BUFFER_INIT;
    buffer_printf(&path, "%s/main.cf", directory);
    config->path = buffer_steal(&path);
    config->report = report != NULL ? report : log_problem;
    config->context = context;
    config->settings = map_new(free_setting);
    config->expanded = map_new(NULL);
    config->strings = arena_new(0);
    return config;
}

void config_free(struct config *config)
{
    if (config == NULL)
        return;
    map_free(config->settings);
    map_free(config->expanded);
    buffer_release(&config->main_text);
    buffer_release(&config->master_text);
    arena_free(config->strings);
    free(config->own_networks);
    free(config->directory);
    free(config->path);
    free(config);
}

const char *config_directory(const struct config *config)
{
    return config->directory;
}

/* ---- settings ---- */

/* is_program_name - names that only the program sets, never a file or an option. */
static bool is_program_name(struct slice name)
{
    return slice_equal(name, SLICE("process_name")) || slice_equal(name, SLICE("process_id")) ||
           slice_equal(name, SLICE("service_name")) || slice_equal(name, SLICE("config_directory"));
}

/* forget_expanded - what was expanded before may be another thing now; the strings themselves stay (callers hold them). */
static void forget_expanded(struct config *config)
{
    free(config->own_networks);
    config->own_networks = NULL;
    if (map_count(config->expanded) == 0)
        return;
    map_free(config->expanded);
    config->expanded = map_new(NULL);
}

static void store(struct config *config, struct slice name, struct slice value, int line)
{
    struct setting *setting = map_get(config->settings, name);
    char *text = slice_string(value);
    if (setting != NULL) {
        free(setting->value);
        setting->value = text;
        setting->line = line;
    } else {
        setting = memory_zalloc(1, sizeof(*setting));
        setting->value = text;
        setting->line = line;
        map_set(config->settings, name, setting);
    }
    forget_expanded(config);
}

struct config *config_empty_reporting(config_report *report, void *context)
{
    struct config *config = config_new(DEFAULT_CONFIG_DIRECTORY, report, context);
    store(config, SLICE("config_directory"), slice_of(DEFAULT_CONFIG_DIRECTORY), 0);
    return config;
}

struct config *config_empty(void)
{
    return config_empty_reporting(NULL, NULL);
}

void config_set(struct config *config, struct slice name, struct slice value)
{
    store(config, name, value, 0);
}

const char *config_raw(const struct config *config, struct slice name, int *line)
{
    const struct setting *setting = map_get(config->settings, name);
    if (line != NULL)
        *line = setting != NULL ? setting->line : 0;
    return setting != NULL ? setting->value : NULL;
}

int config_line_of(const struct config *config, struct slice name)
{
    int line;
    config_raw(config, name, &line);
    return line;
}

bool config_next_set(const struct config *config, size_t *position, struct slice *name)
{
    void *value;
    while (map_next(config->settings, position, name, &value))
        if (((struct setting *)value)->line > 0)
            return true;
    return false;
}

bool config_next_any(const struct config *config, size_t *position, struct slice *name)
{
    void *value;
    while (map_next(config->settings, position, name, &value))
        if (!is_program_name(*name))
            return true;
    return false;
}

/* split_assignment - "name = value"; NULL or what is wrong, in Postfix's words. */
static const char *split_assignment(struct slice text, struct slice *name, struct slice *value)
{
    text = slice_trim(text);
    size_t n = 0;
    while (n < text.len && text.data[n] != '=' && !isspace((unsigned char)text.data[n]))
        n++;
    *name = slice_first(text, n);
    if (n == 0)
        return "missing attribute name";
    struct slice rest = slice_trim_left(slice_from(text, n));
    if (rest.len == 0 || rest.data[0] != '=')
        return "missing '=' after attribute name";
    *value = slice_trim(slice_from(rest, 1));
    return NULL;
}

bool config_set_argument(struct config *config, const char *argument)
{
    struct slice text = slice_of(argument), name, value, inside;
    if (config_braced(text, &inside))
        text = inside;
    const char *wrong = split_assignment(text, &name, &value);
    if (wrong != NULL) {
        config_problem(config, true, NULL, 0, "invalid \"-o %s\" option value: %s", argument, wrong);
        return false;
    }
    if (!is_program_name(name))
        store(config, name, value, 0);
    return true;
}

struct config *config_copy(const struct config *config, config_report *report, void *context)
{
    struct config *copy = config_new(config->directory, report, context);
    size_t position = 0;
    struct slice name;
    void *value;
    while (map_next(config->settings, &position, &name, &value)) {
        const struct setting *setting = value;
        store(copy, name, slice_of(setting->value), setting->line);
    }
    return copy;
}

struct config *config_copy_quiet(const struct config *config)
{
    return config_copy(config, config_ignore_problem, NULL);
}

/* ---- the file ---- */

static void warn_null_byte(struct config *config, const char *file, const struct logical_lines *lines)
{
    if (lines->last > lines->first)
        config_problem(config, false, file, lines->first, "%s, line %d-%d: text after null byte may be ignored", file,
                       lines->first, lines->last);
    else
        config_problem(config, false, file, lines->first, "%s, line %d: text after null byte may be ignored", file, lines->first);
}

static bool parse_line(struct config *config, const char *file, const struct logical_lines *lines, struct slice line)
{
    struct slice name, value;
    size_t null = slice_find(line, '\0');
    if (null < line.len) {
        warn_null_byte(config, file, lines);
        line = slice_first(line, null);
    }
    if (lines->orphan) {
        bool cut = line.len > 30;
        config_problem(config, false, file, lines->first, "%s: logical line must not start with whitespace: \"" SLICE_FORMAT "%s\"",
                       file, SLICE_ARGS(slice_first(line, 30)), cut ? "..." : "");
        return true;
    }
    const char *wrong = split_assignment(line, &name, &value);
    if (wrong != NULL) {
        config_problem(config, true, file, lines->first, "%s, line %d: %s: \"" SLICE_FORMAT "\"", file, lines->first, wrong,
                       SLICE_ARGS(slice_first(line, 200)));
        return false;
    }
    int old_line;
    const char *old = config_raw(config, name, &old_line);
    if (old != NULL && old_line > 0 && !slice_equal(slice_of(old), value))
        config_problem(config, false, file, lines->first, "%s, line %d: overriding earlier entry: " SLICE_FORMAT "=%s", file,
                       lines->first, SLICE_ARGS(name), old);
    if (is_program_name(name))
        config_problem(config, false, file, lines->first, "%s: read-only parameter assignment: " SLICE_FORMAT "=" SLICE_FORMAT, file,
                       SLICE_ARGS(name), SLICE_ARGS(value));
    else
        store(config, name, value, lines->first);
    return true;
}

bool config_parse(struct config *config, struct slice text, const char *file_name)
{
    struct logical_lines lines;
    struct buffer line = BUFFER_INIT;
    bool ok = true;
    logical_lines_start(&lines, text);
    while (logical_lines_next(&lines, &line))
        ok &= parse_line(config, file_name, &lines, buffer_slice(&line));
    buffer_release(&line);
    return ok;
}

bool config_read_file(const char *path, struct buffer *text)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    ssize_t n = 1;
    text->max = FILE_SIZE_MAX;
    while (n > 0) {
        char *room = buffer_reserve(text, 65536);
        if (room == NULL) {
            errno = EFBIG;
            n = -1;
            break;
        }
        n = read(fd, room, 65536);
        if (n > 0)
            buffer_commit(text, (size_t)n);
        else if (n < 0 && errno == EINTR)
            n = 1;
    }
    int saved = errno;
    close(fd);
    errno = saved;
    return n == 0;
}

struct config *config_new_at(const char *directory, config_report *report, void *context)
{
    if (directory == NULL)
        directory = getenv("MAIL_CONFIG");
    if (directory == NULL || directory[0] == '\0')
        directory = DEFAULT_CONFIG_DIRECTORY;
    struct config *config = config_new(directory, report, context);
    store(config, SLICE("config_directory"), slice_of(directory), 0);
    return config;
}

struct config *config_if_good(struct config *config)
{
    if (!config->failed)
        return config;
    config_free(config);
    return NULL;
}

void config_take_texts(struct config *config, struct slice main_text, struct slice master_text)
{
    buffer_append_slice(&config->main_text, main_text);
    buffer_append_slice(&config->master_text, master_text);
    config->whole = true;
    config_parse(config, main_text, config->path);
}

struct config *config_load_despite(const char *directory, bool *broken, config_report *report, void *context)
{
    struct config *config = config_new_at(directory, report, context);
    struct buffer text = BUFFER_INIT;
    bool found = config_read_file(config->path, &text);
    if (found)
        config_parse(config, buffer_slice(&text), config->path);
    else
        config_problem(config, true, config->path, 0, "open %s: %s", config->path, strerror(errno));
    buffer_release(&text);
    *broken = config->failed;
    if (found)
        return config;
    config_free(config);
    return NULL;
}

struct config *config_load(const char *directory, config_report *report, void *context)
{
    bool broken;
    struct config *config = config_load_despite(directory, &broken, report, context);
    return config != NULL ? config_if_good(config) : NULL;
}
