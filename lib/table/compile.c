/* compile.c - rows of a text into a table */
#include "address/mail_address.h"
#include "base/log.h"
#include "table/compile.h"
#include "table/source.h"

/* Progress is told after that many bytes of text. */
enum { PROGRESS_STEP = 1 << 18 };

struct compiling {
    struct table_maker *maker;
    const struct table_text *how;
    struct table_source source;
    struct slice text;
    size_t told;
    struct arena *arena;
};

static void add(struct compiling *c, struct slice key, struct slice value)
{
    const struct table_text *how = c->how;
    struct buffer folded = BUFFER_INIT, content = BUFFER_INIT, why = BUFFER_INIT;
    bool ok = true;

    if (!how->fold_off) {
        table_key_fold(key, how->utf8, &folded);
        key = buffer_slice(&folded);
    }
    if (how->file_values) {
        ok = table_value_from_files(value, &content, &why);
        value = buffer_slice(&content);
    }
    if (!ok) {
        log_warning("%s, line %d: %s: skipping this entry", how->file, c->source.lines.first, buffer_string(&why));
        c->source.bad++;
    } else if (table_maker_add(c->maker, key, value, how->replace) == MAKER_DUPLICATE && !how->silent_duplicates) {
        log_warning("%s: duplicate entry: \"" SLICE_FORMAT "\"", table_maker_name(c->maker), SLICE_ARGS(key));
    }
    buffer_release(&folded);
    buffer_release(&content);
    buffer_release(&why);
}

static void tell(struct compiling *c)
{
    size_t done = c->text.len - c->source.lines.rest.len;
    if (c->how->progress && done - c->told >= PROGRESS_STEP) {
        c->told = done;
        c->how->progress(c->how->context, done, c->text.len);
    }
}

/* ---- key whitespace value ----------------------------------------------------------------------------------------- */

static void add_rows(struct compiling *c)
{
    struct slice key, value;
    while (table_source_next(&c->source, &key, &value)) {
        add(c, key, value);
        tell(c);
    }
}

/* ---- name: value -------------------------------------------------------------------------------------------------- */

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

/* add_word - a word that stands outside of quotes: a backslash in it marks the next byte as it is.  quote: put the word in quotes where such a
 * byte needs them.  The result is the length of the word. */
static size_t add_word(struct buffer *out, struct slice text, bool quote)
{
    struct buffer word = BUFFER_INIT;
    size_t i = 0;
    bool needed = false;
    for (; i < text.len && !strchr(" \t\"", text.data[i]) && (quote ? !strchr("()<>@,;:[]", text.data[i]) : true); i++) {
        bool escaped = text.data[i] == '\\' && i + 1 < text.len;
        i += escaped;
        needed |= escaped && strchr(" \t\"\\()<>@,;:[]", text.data[i]);
        if (quote && (text.data[i] == '"' || text.data[i] == '\\'))
            buffer_append_byte(&word, '\\');
        buffer_append_byte(&word, text.data[i]);
    }
    if (quote && needed)
        buffer_printf(out, "\"" SLICE_FORMAT "\"", SLICE_ARGS(buffer_slice(&word)));
    else
        buffer_append_slice(out, buffer_slice(&word));
    buffer_release(&word);
    return i;
}

static size_t quoted_length(struct slice text)
{
    size_t i = 1;
    while (i < text.len && text.data[i] != '"')
        i += text.data[i] == '\\' ? 2 : 1;
    return i < text.len ? i + 1 : text.len;
}

/* without_escapes - the value in external form: no backslash outside quotes, and blanks there are one space. */
static struct slice without_escapes(struct arena *arena, struct slice value, bool quote)
{
    struct buffer out = BUFFER_INIT;
    while (value.len) {
        size_t length = 1;
        if (value.data[0] == ' ' || value.data[0] == '\t') {
            if (out.len && out.data[out.len - 1] != ' ')
                buffer_append_byte(&out, ' ');
        } else if (value.data[0] == '"') {
            length = quoted_length(value);
            buffer_append(&out, value.data, length);
        } else if ((length = add_word(&out, value, quote)) == 0) {
            buffer_append(&out, value.data, length = 1);
        }
        value = slice_from(value, length);
    }
    struct slice copy = arena_slice(arena, buffer_slice(&out));
    buffer_release(&out);
    return copy;
}

static void add_alias(struct compiling *c, struct slice line)
{
    size_t colon = find_colon(line);
    struct slice name = slice_trim(slice_first(line, colon)), value = slice_trim(slice_from(line, colon + 1));
    int number = c->source.lines.first;

    if (colon == line.len || name.len == 0 || value.len == 0) {
        log_warning("%s, line %d: need name:value pair", c->how->file, number);
        c->source.bad++;
        return;
    }
    if (c->how->utf8 && !slice_is_utf8(line)) {
        log_warning("%s, line %d: non-UTF-8 input \"" SLICE_FORMAT "\" -- ignoring this line", c->how->file, number, SLICE_ARGS(line));
        c->source.bad++;
        return;
    }
    size_t quoted = name.data[0] == '"' ? quoted_length(name) : 0;
    if (slice_find(slice_from(name, quoted), '@') < name.len - quoted) {
        log_warning("%s, line %d: name must be local", c->how->file, number);
        c->source.bad++;
        return;
    }
    /* "Quoted User" and Quoted User are the same name */
    bool escaped = name.data[0] != '"' && slice_find(name, '\\') < name.len;
    struct slice key = escaped ? without_escapes(c->arena, name, false) : mail_address_internal(name, c->arena);
    add(c, key, without_escapes(c->arena, value, true));
}

/* add_last_rows - what sendmail-style alias files end with, and (as Debian's) what NIS masters look for. */
static void add_last_rows(struct compiling *c)
{
    char now[32];
    table_maker_add(c->maker, SLICE("@"), SLICE("@"), true);
    if (!c->how->nis_master)
        return;
    snprintf(now, sizeof(now), "%010lld", (long long)time(NULL));
    table_maker_add_plain(c->maker, SLICE("YP_LAST_MODIFIED"), slice_of(now));
    table_maker_add_plain(c->maker, SLICE("YP_MASTER_NAME"), slice_of(c->how->nis_master));
}

static void add_aliases(struct compiling *c)
{
    struct logical_lines *lines = &c->source.lines;
    struct buffer line = BUFFER_INIT;
    while (logical_lines_next(lines, &line)) {
        if (lines->orphan) {
            log_warning("%s, line %d: logical line must not start with whitespace: \"%.30s...\"", c->how->file, lines->first, buffer_string(&line));
            c->source.bad++;
        } else {
            add_alias(c, buffer_slice(&line));
        }
        arena_reset(c->arena);
        tell(c);
    }
    buffer_release(&line);
    add_last_rows(c);
}

size_t table_compile(struct table_maker *maker, const struct table_text *how, struct slice text)
{
    struct compiling c = {.maker = maker, .how = how, .text = text};
    table_source_start(&c.source, how->file, text, how->utf8);
    c.arena = arena_new(0);
    if (how->alias)
        add_aliases(&c);
    else
        add_rows(&c);
    size_t bad = c.source.bad;
    table_source_end(&c.source);
    arena_free(c.arena);
    return bad;
}
