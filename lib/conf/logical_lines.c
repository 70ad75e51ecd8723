/* logical_lines.c - see logical_lines.h */
#include "conf/logical_lines.h"

void logical_lines_start(struct logical_lines *lines, struct slice text)
{
    *lines = (struct logical_lines){.rest = text, .line_number = 1};
}

static bool is_blank(char byte)
{
    return byte == ' ' || (byte >= '\t' && byte <= '\r');
}

/* take_line - the next physical line; false at the end. */
static bool take_line(struct logical_lines *lines, struct slice *line)
{
    if (!slice_next_line(&lines->rest, line))
        return false;
    lines->line_number++;
    return true;
}

/* is_ignored - empty, white space only, or a comment: such lines do not even end a logical line. */
static bool is_ignored(struct slice line)
{
    struct slice text = slice_trim_left(line);
    return text.len == 0 || text.data[0] == '#';
}

bool logical_lines_next(struct logical_lines *lines, struct buffer *line)
{
    buffer_clear(line);
    struct slice physical;
    do {
        if (!take_line(lines, &physical))
            return false;
    } while (is_ignored(physical));
    lines->first = lines->last = lines->line_number - 1;
    lines->orphan = is_blank(physical.data[0]);
    buffer_append_slice(line, physical);

    for (struct logical_lines ahead = *lines; take_line(&ahead, &physical);) {
        if (is_ignored(physical))
            continue;
        if (!is_blank(physical.data[0]))
            break;
        buffer_append_slice(line, physical);
        lines->rest = ahead.rest;
        lines->line_number = ahead.line_number;
        lines->last = ahead.line_number - 1;
    }
    buffer_truncate(line, slice_trim_right(buffer_slice(line)).len);
    return true;
}
