/* source.c - see source.h */
#include "table/source.h"

#include "base/log.h"

/* How much of a bad line a warning shows. */
enum { SHOWN = 30 };

void table_source_start(struct table_source *source, const char *file, struct slice text, bool utf8)
{
    *source = (struct table_source){.file = file, .utf8 = utf8};
    logical_lines_start(&source->lines, text);
}

void table_source_end(struct table_source *source)
{
    buffer_release(&source->line);
}

bool table_source_line(struct table_source *source, struct slice *line)
{
    while (logical_lines_next(&source->lines, &source->line)) {
        *line = buffer_slice(&source->line);
        int first = source->lines.first, last = source->lines.last;
        if (slice_find(*line, '\0') < line->len) {
            if (first == last)
                log_warning("%s, line %d: text after null byte may be ignored", source->file, last);
            else
                log_warning("%s, line %d-%d: text after null byte may be ignored", source->file, first, last);
            *line = slice_trim_right(slice_first(*line, slice_find(*line, '\0')));
        }
        if (!source->lines.orphan)
            return true;
        source->bad++;
        struct slice text = slice_trim_left(*line);
        log_warning("%s: logical line must not start with whitespace: \"%.*s%s\"", source->file, SLICE_ARGS(slice_first(text, SHOWN)),
                    text.len > SHOWN ? "..." : "");
    }
    table_source_end(source);
    return false;
}

/* key_length - up to the first blank outside quotes; *unbalanced: a quote is not closed. */
static size_t key_length(struct slice line, bool *unbalanced)
{
    bool quoted = false;
    size_t i;
    for (i = 0; i < line.len; i++) {
        char byte = line.data[i];
        if (byte == '\\' && i + 1 < line.len)
            i++;
        else if (byte == '"')
            quoted = !quoted;
        else if (!quoted && (byte == ' ' || (byte >= '\t' && byte <= '\r')))
            break;
    }
    *unbalanced = quoted;
    return i;
}

/* split - key and value of a line; false after a warning. */
static bool split(const struct table_source *source, struct slice line, struct slice *key, struct slice *value)
{
    bool unbalanced;
    int number = source->lines.last;
    size_t length = key_length(line, &unbalanced);
    if (source->utf8 && !slice_is_ascii(line) && !slice_is_utf8(line)) {
        log_warning("%s, line %d: non-UTF-8 input \"" SLICE_FORMAT "\" -- ignoring this line", source->file, number, SLICE_ARGS(line));
        return false;
    }
    if (unbalanced) {
        log_warning("%s, line %d: unbalanced '\"' in '" SLICE_FORMAT "' -- ignoring this line", source->file, number, SLICE_ARGS(line));
        return false;
    }
    *key = slice_first(line, length);
    *value = slice_trim(slice_from(line, length));
    if (key->len == 0 || value->len == 0) {
        log_warning("%s, line %d: expected format: key whitespace value", source->file, number);
        return false;
    }
    if (key->data[key->len - 1] == ':')
        log_warning("%s, line %d: record is in \"key: value\" format; is this an alias file?", source->file, number);
    return true;
}

bool table_source_next(struct table_source *source, struct slice *key, struct slice *value)
{
    struct slice line;
    while (table_source_line(source, &line)) {
        if (split(source, line, key, value))
            return true;
        source->bad++;
    }
    return false;
}
