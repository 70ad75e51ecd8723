/* inline.c - tables written where they are used: inline:{ key=value, { key = text with blanks } }, and internal:name,
   an empty table of this process */
#include "table/driver.h"
#include "table/rows.h"

/* take_key - the text before "=", or what stands in quotes before it.  False: there is no "=". */
static bool take_key(struct slice *text, struct buffer *key)
{
    *text = slice_trim_left(*text);
    if (text->len && text->data[0] == '"') {
        size_t i = 1;
        for (; i < text->len && text->data[i] != '"'; i++) {
            if (text->data[i] == '\\' && i + 1 < text->len)
                i++;
            buffer_append_byte(key, text->data[i]);
        }
        *text = slice_trim_left(slice_from(*text, i + 1));
        if (text->len == 0 || text->data[0] != '=')
            return false;
        *text = slice_from(*text, 1);
        return true;
    }
    struct slice head, tail;
    if (!slice_cut(*text, '=', &head, &tail))
        return false;
    buffer_append_slice(key, slice_trim(head));
    *text = tail;
    return true;
}

/* add_entry - false after table_fail. */
static bool add_entry(struct table *table, struct slice element)
{
    struct buffer key = BUFFER_INIT, folded = BUFFER_INIT, content = BUFFER_INIT, why = BUFFER_INIT;
    struct slice text = element;
    (void)config_braced(element, &text);
    bool ok = take_key(&text, &key);
    struct slice value = slice_trim(text);
    if (!ok)
        table_fail(table, "missing '=' after attribute name: \"%s\"; need \"inline:{name=value...}\"", table->name);
    if (ok && (table->flags & TABLE_FILE_VALUES)) {
        ok = value_from_files(value, &content, &why);
        value = buffer_slice(&content);
        if (!ok)
            table_fail(table, "%s: %s", table->name, buffer_string(&why));
    }
    if (ok) {
        if (table->flags & TABLE_NO_FOLD)
            buffer_append_slice(&folded, buffer_slice(&key));
        else
            table_key_fold(buffer_slice(&key), table->flags & TABLE_UTF8, &folded);
        (void)rows_set(table->state, buffer_slice(&folded), value, true); /* the last of a name counts */
    }
    buffer_release(&key);
    buffer_release(&folded);
    buffer_release(&content);
    buffer_release(&why);
    return ok;
}

static bool inline_open(struct table *table)
{
    struct slice inside, element;
    if (!config_braced(slice_of(table->argument), &inside)) {
        table_fail(table, "bad syntax: \"%s\"; need \"inline:{name=value...}\"", table->name);
        return false;
    }
    table->state = rows_new();
    bool ok = true;
    while (ok && config_list_next(&inside, &element))
        ok = add_entry(table, element);
    if (ok && rows_count(table->state) == 0) {
        table_fail(table, "%s: \"%s\"; need \"inline:{name=value...}\"", strchr(table->argument, ' ') ? "empty table" : "bad syntax", table->name);
        ok = false;
    }
    if (!ok) {
        rows_free(table->state);
        table->state = NULL;
    }
    return ok;
}

static bool internal_open(struct table *table)
{
    table->state = rows_new();
    return true;
}

static void inline_close(void *state)
{
    rows_free(state);
}

static enum table_result inline_lookup(struct table *table, struct slice key, struct buffer *value)
{
    struct slice found;
    if (!rows_get(table->state, key, &found))
        return TABLE_NOT_FOUND;
    buffer_append_slice(value, found);
    return TABLE_FOUND;
}

static enum table_result inline_next(struct table *table, bool first, struct buffer *key, struct buffer *value)
{
    return rows_walk(table->state, first, key, value);
}

static enum table_result internal_update(struct table *table, struct slice key, struct slice value)
{
    if (!rows_set(table->state, key, value, true))
        return table_fail(table, "%s: table is full", table->name);
    return TABLE_FOUND;
}

static enum table_result internal_remove(struct table *table, struct slice key)
{
    return rows_remove(table->state, key) ? TABLE_FOUND : TABLE_NOT_FOUND;
}

const struct table_driver table_driver_inline = {"inline", 0, inline_open, inline_close, inline_lookup, NULL, NULL, inline_next};
const struct table_driver table_driver_internal = {"internal",      0,    internal_open, inline_close, inline_lookup, internal_update,
                                                   internal_remove, inline_next};
