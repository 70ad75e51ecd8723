/* downgrade.c - see downgrade.h */
#include "message/downgrade.h"

#include "message/mime.h"

enum { QUOTED_LINE = 72 /* after more bytes a line is broken before its next one, as Postfix does (RFC 2045 6.7 allows 75 before the "=") */ };

bool downgrade_header(struct downgrade *d, struct slice text)
{
    struct slice name, value;
    if (!header_parse(text, &name, &value) || header_known(name) != HEADER_CONTENT_TRANSFER_ENCODING)
        return false;
    enum mime_encoding encoding = mime_parse_encoding(value);
    if (encoding != MIME_ENCODING_8BIT && encoding != MIME_ENCODING_BINARY)
        return false;
    d->held = true;
    return true;
}

void downgrade_header_end(struct downgrade *d, struct message_part_facts part)
{
    bool eight = part.is_8bit || part.is_binary;
    d->encoding = eight && !part.composite;
    d->column = 0;
    if (eight && d->held)
        buffer_append_string(d->output, part.composite ? "Content-Transfer-Encoding: 7bit\r\n" : "Content-Transfer-Encoding: quoted-printable\r\n");
    d->held = false; /* a second field that says otherwise was written where it stood */
}

void downgrade_part_over(struct downgrade *d)
{
    if (d->held)
        buffer_append_string(d->output, "Content-Transfer-Encoding: quoted-printable\r\n");
    d->held = d->encoding = false;
}

static void put_quoted(struct downgrade *d, const char *bytes, size_t len)
{
    if (d->column > QUOTED_LINE) {
        buffer_append_string(d->output, "=\r\n");
        d->column = 0;
    }
    buffer_append(d->output, bytes, len);
    d->column += len;
}

static void quote(struct downgrade *d, struct slice line, bool more)
{
    static const char hex[] = "0123456789ABCDEF";
    for (size_t i = 0; i < line.len; i++) {
        unsigned char c = (unsigned char)line.data[i];
        bool blank_at_end = (c == ' ' || c == '\t') && i + 1 == line.len;
        bool plain = (c > ' ' && c < 127 && c != '=') || ((c == ' ' || c == '\t') && !blank_at_end);
        char code[3] = {'=', hex[c >> 4], hex[c & 15]};
        if (plain)
            put_quoted(d, &line.data[i], 1);
        else
            put_quoted(d, code, sizeof(code));
    }
    if (more)
        return;
    buffer_append_string(d->output, "\r\n");
    d->column = 0;
}

void downgrade_body(struct downgrade *d, struct slice line, bool more)
{
    if (d->encoding) {
        quote(d, line, more);
        return;
    }
    buffer_append_slice(d->output, line);
    if (!more)
        buffer_append_string(d->output, "\r\n");
}
