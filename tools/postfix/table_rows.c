/* table_rows.c - the text of tables, row by row */
#include "checks.h"
#include "conf/config_file.h"
#include "conf/logical_lines.h"
#include "table/table.h"

static const struct {
    const char *type, *suffix; /* NULL: the text is the table */
} kinds[] = {{"hash", ".db"}, {"btree", ".db"}, {"lmdb", ".lmdb"}, {"cdb", ".cdb"}, {"texthash", NULL}};

bool table_use_has_rows(const struct table_use *use)
{
    for (size_t i = 0; i < COUNT_OF(kinds); i++)
        if (strcmp(use->type, kinds[i].type) == 0)
            return true;
    return false;
}

bool table_use_is_indexed(const struct table_use *use, const char **suffix)
{
    for (size_t i = 0; i < COUNT_OF(kinds); i++)
        if (kinds[i].suffix && strcmp(use->type, kinds[i].type) == 0) {
            *suffix = kinds[i].suffix;
            return true;
        }
    return false;
}

bool table_use_is_alias(const struct table_use *use)
{
    return strcmp(use->place.name, "alias_maps") == 0 || strcmp(use->place.name, "alias_database") == 0;
}

/* key_length - a quoted key may have blanks in it. */
static size_t key_length(struct slice line, bool alias)
{
    bool quoted = false;
    for (size_t i = 0; i < line.len; i++) {
        if (line.data[i] == '\\')
            i++;
        else if (line.data[i] == '"')
            quoted = !quoted;
        else if (!quoted && (alias ? line.data[i] == ':' : line.data[i] == ' ' || line.data[i] == '\t'))
            return i;
    }
    return line.len;
}

static bool split(struct slice line, bool alias, struct slice *key, struct slice *value)
{
    size_t n = key_length(line, alias);
    *key = slice_trim(slice_first(line, n));
    *value = slice_trim(slice_from(line, n + (alias && n < line.len)));
    if (key->len > 1 && key->data[0] == '"' && key->data[key->len - 1] == '"')
        *key = slice_make(key->data + 1, key->len - 2);
    return key->len > 0 && value->len > 0;
}

bool table_rows_read(struct arena *arena, const char *path, bool alias, struct table_rows *rows,
                     void (*line_problem)(void *context, int line, const char *text), void *context)
{
    struct buffer text = BUFFER_INIT, line = BUFFER_INIT, folded = BUFFER_INIT;
    struct logical_lines lines;
    struct slice key, value;
    size_t room = 0;
    *rows = (struct table_rows){0};
    bool ok = config_read_file(path, &text);
    logical_lines_start(&lines, buffer_slice(&text));
    while (ok && logical_lines_next(&lines, &line)) {
        if (lines.orphan || !split(buffer_slice(&line), alias, &key, &value)) {
            if (line_problem)
                line_problem(context, lines.first, lines.orphan ? "a line must not start with white space"
                             : alias ? "expected \"name: value\"" : "expected \"key whitespace value\"");
            continue;
        }
        if (rows->count == room) {
            room = room ? room * 2 : 256;
            rows->rows = memory_resize(rows->rows, room * sizeof(*rows->rows));
        }
        buffer_clear(&folded);
        table_key_fold(key, true, &folded);
        rows->rows[rows->count++] = (struct table_row){arena_string(arena, buffer_slice(&folded)), arena_string(arena, value), lines.first};
    }
    if (rows->count) {
        struct table_row *kept = arena_copy(arena, rows->rows, rows->count * sizeof(*kept));
        free(rows->rows);
        rows->rows = kept;
    }
    buffer_release(&text);
    buffer_release(&line);
    buffer_release(&folded);
    return ok;
}
