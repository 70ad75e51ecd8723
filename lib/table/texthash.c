/* texthash.c - a text file in postmap's format, held in memory */
#include "table/driver.h"
#include "table/rows.h"
#include "table/source.h"

/* What a row takes in a typical file, to size the index once. */
enum { TYPICAL_ROW = 24 };

/* add_row - false after table_fail. */
static bool add_row(struct table *table, const struct table_source *source, struct slice key, struct slice value)
{
    struct buffer folded = BUFFER_INIT, content = BUFFER_INIT, why = BUFFER_INIT;
    bool ok = true;
    if (!(table->flags & TABLE_NO_FOLD)) {
        table_key_fold(key, table->flags & TABLE_UTF8, &folded);
        key = buffer_slice(&folded);
    }
    if (table->flags & TABLE_FILE_VALUES) {
        ok = value_from_files(value, &content, &why);
        value = buffer_slice(&content);
    }
    if (!ok) {
        log_warning("%s, line %d: %s: skipping this entry", source->file, source->lines.last, buffer_string(&why));
        ok = true;
    } else if (!rows_set(table->state, key, value, false)) {
        if (table->flags & TABLE_SOURCE_MAY_DUPLICATE) {
            log_warning("%s, line %d: duplicate entry: \"" SLICE_FORMAT "\"", source->file, source->lines.last, SLICE_ARGS(key));
        } else {
            table_fail(table, "%s, line %d: duplicate entry: \"" SLICE_FORMAT "\"", source->file, source->lines.last, SLICE_ARGS(key));
            ok = false;
        }
    }
    buffer_release(&folded);
    buffer_release(&content);
    buffer_release(&why);
    return ok;
}

static bool texthash_open(struct table *table)
{
    struct buffer text = BUFFER_INIT;
    struct table_source source;
    struct slice key, value;
    bool ok = table_read_file(table, table->argument, &text);
    if (!ok && table->fd < 0) { /* in the words of the indexed types */
        char *reason = memory_string(buffer_string(&table->why) + strlen("open "));
        table_fail(table, "open database %s", reason);
        free(reason);
    }
    table->state = rows_new();
    rows_reserve(table->state, text.len / TYPICAL_ROW, text.len);
    table_source_start(&source, table->argument, buffer_slice(&text), table->flags & TABLE_UTF8);
    while (ok && table_source_next(&source, &key, &value))
        ok = add_row(table, &source, key, value);
    table_source_end(&source);
    buffer_release(&text);
    if (!ok) {
        rows_free(table->state);
        table->state = NULL;
    }
    return ok;
}

static void texthash_close(void *state)
{
    rows_free(state);
}

static enum table_result texthash_lookup(struct table *table, struct slice key, struct buffer *value)
{
    struct slice found;
    if (!rows_get(table->state, key, &found))
        return TABLE_NOT_FOUND;
    buffer_append_slice(value, found);
    return TABLE_FOUND;
}

static enum table_result texthash_next(struct table *table, bool first, struct buffer *key, struct buffer *value)
{
    return rows_walk(table->state, first, key, value);
}

const struct table_driver table_driver_texthash = {"texthash", 0, texthash_open, texthash_close, texthash_lookup, NULL, NULL, texthash_next};
