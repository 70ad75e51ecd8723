/* check_tables.c - tables that are missing, unreadable, older than their text, or have rows that do nothing */
#include <fcntl.h>
#include <sys/stat.h>

#include "base/log.h"
#include "base/map.h"
#include "checks.h"
#include "conf/table_names.h"
#include "table/table.h"

struct table_check {
    struct control *control;
    const struct table_use *use;
};

static void say_table(struct checks *checks, const struct table_use *use, enum finding_kind kind, enum finding_weight weight, const char *why)
{
    found(checks->control, kind, weight, use->place.file, use->place.line, use->name, "%s: table %s: %s", use->place.name, use->name, why);
}

static bool readable(struct checks *checks, const struct table_use *use, const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd >= 0) {
        close(fd);
        return true;
    }
    bool missing = errno == ENOENT;
    say_table(checks, use, missing ? FINDING_TABLE_MISSING : FINDING_TABLE_UNREADABLE, FINDING_ERROR,
              arena_printf(checks->arena, "open %s: %s", path, strerror(errno)));
    return false;
}

/* check_age - the index has to be younger than the text. */
static void check_age(struct checks *checks, const struct table_use *use, const char *index)
{
    struct stat text, compiled;
    if (config_bool(checks->config, "database_auto_update"))
        return; /* the first program that looks makes it anew */
    if (stat(use->path, &text) == 0 && stat(index, &compiled) == 0 && text.st_mtime > compiled.st_mtime)
        found(checks->control, FINDING_TABLE_STALE, FINDING_WARNING, use->path, 0, use->name, "database %s is older than source file %s", index,
              use->path);
}

static void line_problem(void *context, int line, const char *text)
{
    const struct table_check *check = context;
    found(check->control, FINDING_TABLE_LINE, FINDING_WARNING, check->use->path, line, check->use->name, "%s", text);
}

static void check_row_texts(struct checks *checks, const struct table_use *use)
{
    struct table_check check = {checks->control, use};
    struct table_rows rows;
    struct map *seen = map_new(NULL);
    struct arena *arena = arena_new(0);
    if (table_rows_read(arena, use->path, table_use_is_alias(use), &rows, line_problem, &check)) {
        for (size_t i = 0; i < rows.count; i++) {
            const struct table_row *before = map_get(seen, slice_of(rows.rows[i].key));
            if (before)
                found(checks->control, FINDING_TABLE_DUPLICATE, FINDING_WARNING, use->path, rows.rows[i].line, use->name,
                      "duplicate entry: \"%s\" (also in line %d)", rows.rows[i].key, before->line);
            else
                map_set(seen, slice_of(rows.rows[i].key), &rows.rows[i]);
        }
    }
    map_free(seen);
    arena_free(arena);
}

/* ---- patterns: the library says what it leaves out ---------------------------------------------------------------- */

static int line_in(const char *text)
{
    const char *at = strstr(text, "line ");
    uint64_t line;
    size_t digits = at ? strspn(at + 5, "0123456789") : 0;
    return digits && slice_to_u64(slice_make(at + 5, digits), &line) && line < INT_MAX ? (int)line : 0;
}

static void pattern_problem(enum log_severity severity, const char *text, void *context)
{
    const struct table_check *check = context;
    if (severity == LOG_SEVERITY_WARNING || severity == LOG_SEVERITY_ERROR)
        found_text(check->control, &(struct finding){FINDING_TABLE_LINE, FINDING_WARNING, check->use->path, line_in(text), check->use->name, text});
}

static void collect_problem(enum log_severity severity, const char *text, void *context)
{
    struct buffer *all = context;
    if (severity != LOG_SEVERITY_INFO)
        buffer_printf(all, "%s\n", text);
}

static void check_patterns(struct checks *checks, const struct table_use *use)
{
    struct buffer problems = BUFFER_INIT;
    struct table_check check = {checks->control, use};
    if (use->path[0] == '/' && !readable(checks, use, use->path))
        return;
    log_set_watcher(collect_problem, &problems);
    table_free(table_open(slice_of(use->name), 0, checks->config));
    log_set_watcher(NULL, NULL);
    struct slice rest = buffer_slice(&problems), line;
    while (slice_next_line(&rest, &line))
        if (line.len)
            pattern_problem(LOG_SEVERITY_WARNING, arena_string(checks->arena, line), &check);
    buffer_release(&problems);
}

/* ---- tables of servers -------------------------------------------------------------------------------------------- */

static void first_problem(enum log_severity severity UNUSED, const char *text, void *context)
{
    struct buffer *problem = context;
    static const char label[] = "error: ";
    if (problem->len == 0)
        buffer_append_string(problem, strncmp(text, label, strlen(label)) == 0 ? text + strlen(label) : text);
}

/* check_definition - settings that cannot be read, a client library that is not installed, a program that is none; nobody is connected to. */
static void check_definition(struct checks *checks, const struct table_use *use)
{
    struct buffer problem = BUFFER_INIT;
    if (use->path[0] == '/' && !readable(checks, use, use->path))
        return;
    log_set_watcher(first_problem, &problem);
    table_free(table_open(slice_of(use->name), 0, checks->config));
    log_set_watcher(NULL, NULL);
    if (problem.len)
        say_table(checks, use, FINDING_TABLE_UNREADABLE, FINDING_ERROR, arena_string(checks->arena, buffer_slice(&problem)));
    buffer_release(&problem);
}

/* ---- all ---------------------------------------------------------------------------------------------------------- */

static void check_table(struct checks *checks, const struct table_use *use)
{
    const char *suffix;
    bool pattern = strcmp(use->type, "pcre") == 0 || strcmp(use->type, "regexp") == 0 || strcmp(use->type, "cidr") == 0;
    if (!table_type_known(slice_of(use->type)))
        return; /* check_types has told */
    if (pattern) {
        check_patterns(checks, use);
        return;
    }
    if (table_setting_at(slice_of(use->type), 0) || strcmp(use->type, "program") == 0) {
        check_definition(checks, use);
        return;
    }
    if (!table_use_has_rows(use))
        return;
    if (table_use_is_indexed(use, &suffix)) {
        const char *index = arena_printf(checks->arena, "%s%s", use->path, suffix);
        if (readable(checks, use, index))
            check_age(checks, use, index);
    } else if (!readable(checks, use, use->path)) {
        return;
    }
    check_row_texts(checks, use);
}

/* is_read - a program that runs reads the setting: a fault in it breaks mail. */
static bool is_read(struct checks *checks, const struct setting_place *place)
{
    const struct parameter *row = parameter_find(slice_of(place->name));
    struct slice rest = slice_of(row ? row->programs : "smtpd"), program; /* a restriction class, if it is no row */
    if (strcmp(place->name, "alias_database") == 0)
        return false; /* only newaliases does */
    while (config_list_next(&rest, &program)) {
        if (slice_equal(program, SLICE("all")) || slice_equal(program, SLICE("trivial-rewrite")))
            return true;
        for (size_t i = 0; i < checks->services.count; i++)
            if (is_program(&checks->services.services[i], arena_string(checks->arena, program)))
                return true;
    }
    return false;
}

void check_types(struct checks *checks)
{
    struct map *seen = map_new(NULL);
    for (size_t i = 0; i < checks->tables.count; i++) {
        const struct table_use *use = &checks->tables.uses[i];
        if (table_type_known(slice_of(use->type)) || map_get(seen, slice_of(use->name)))
            continue;
        map_set(seen, slice_of(use->name), checks);
        say_table(checks, use, FINDING_TABLE_TYPE, is_read(checks, &use->place) ? FINDING_ERROR : FINDING_WARNING, "this table type is not there");
    }
    map_free(seen);
}

void check_tables(struct checks *checks)
{
    struct map *seen = map_new(NULL);
    for (size_t i = 0; i < checks->tables.count; i++) {
        const struct table_use *use = &checks->tables.uses[i];
        if (map_get(seen, slice_of(use->name)))
            continue;
        map_set(seen, slice_of(use->name), checks);
        check_table(checks, use);
    }
    map_free(seen);
}
