/* content_scan.c - dots, long lines and 8-bit bytes of content */
#include "message/header.h"

enum { LONG_LINE = 998 /* RFC 5321 4.5.3.1.6 without CRLF */, SHORT_RECORD = 127 };

static bool has_8bit(const char *data, size_t len)
{
    uint64_t bits = 0, word;
    size_t i = 0;
    for (; i + 8 <= len; i += 8) {
        memcpy(&word, data + i, 8);
        bits |= word;
    }
    for (; i < len; i++)
        bits |= (unsigned char)data[i];
    return (bits & UINT64_C(0x8080808080808080)) != 0;
}

/* end_line - the line (its LF included in length) is complete. */
static void end_line(struct content_scan *scan, uint64_t length)
{
    length -= length >= 2 ? 2 : 1; /* CRLF */
    scan->lines++;
    scan->long_records += length > SHORT_RECORD;
    scan->has_long_lines |= length > LONG_LINE;
    scan->line_length = 0;
}

/* scan_line_end - strays in a line, or in the part of it that is there: end is its LF or NULL. */
static void scan_line_end(struct content_scan *scan, struct slice part, const char *end)
{
    size_t len = end ? (size_t)(end - part.data) : part.len;
    const char *cr = memchr(part.data, '\r', len);
    bool cr_is_last = cr && (size_t)(cr - part.data) == len - 1;

    scan->has_stray_cr_lf |= (scan->after_cr && part.data[0] != '\n') || (cr && !cr_is_last);
    if (end)
        scan->has_stray_cr_lf |= len > 0 ? !cr : !scan->after_cr;
    scan->after_cr = !end && cr_is_last;
}

void content_scan_feed(struct content_scan *scan, struct slice data)
{
    scan->bytes += data.len;
    scan->has_8bit = scan->has_8bit || has_8bit(data.data, data.len);
    while (data.len) {
        if (scan->line_length == 0 && data.data[0] == '.')
            scan->has_dot_lines = true;
        const char *end = memchr(data.data, '\n', data.len);
        scan_line_end(scan, data, end);
        if (!end) {
            scan->line_length += data.len;
            return;
        }
        size_t taken = (size_t)(end - data.data) + 1;
        end_line(scan, scan->line_length + taken);
        data = slice_from(data, taken);
    }
}
