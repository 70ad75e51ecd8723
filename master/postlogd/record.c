/* record.c - from a syslog datagram to a line of the log file */
#include "record.h"

enum { LINE_MAX_BYTES = 2000, PRIORITY_DIGITS = 3, DATE_BYTES = 15 };

/* take_priority - "<22>"; false when it is not there. */
static bool take_priority(struct slice *rest)
{
    uint64_t number;
    size_t end = slice_find(*rest, '>');
    if (rest->len == 0 || rest->data[0] != '<' || end == rest->len || end < 2 || end > PRIORITY_DIGITS + 1)
        return false;
    if (!slice_to_u64(slice_make(rest->data + 1, end - 1), &number))
        return false;
    *rest = slice_from(*rest, end + 1);
    return true;
}

static bool looks_like_date(struct slice date)
{
    return date.len == DATE_BYTES && date.data[3] == ' ' && date.data[6] == ' ' && date.data[9] == ':' && date.data[12] == ':';
}

static void append_clean(struct buffer *out, struct slice text)
{
    for (size_t i = 0; i < text.len && out->len < LINE_MAX_BYTES; i++) {
        unsigned char c = (unsigned char)text.data[i];
        buffer_append_byte(out, c < 32 || c == 127 ? '?' : (char)c);
    }
}

bool record_to_line(struct slice record, const char *host, struct buffer *out)
{
    buffer_clear(out);
    if (!take_priority(&record))
        return false;
    struct slice date = slice_first(record, DATE_BYTES), text = slice_trim_right(slice_from(record, DATE_BYTES));
    if (!looks_like_date(date) || text.len < 2 || text.data[0] != ' ')
        return false;
    append_clean(out, date);
    buffer_printf(out, " %s ", host);
    append_clean(out, slice_from(text, 1));
    buffer_append_byte(out, '\n');
    return true;
}
