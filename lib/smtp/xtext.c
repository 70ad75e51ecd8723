/* xtext.c - xtext encoding and decoding */
#include "smtp/xtext.h"

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    if (c >= 'a' && c <= 'f') /* not xtext, but sent */
        return c - 'a' + 10;
    return -1;
}

void xtext_encode(struct buffer *out, struct slice text)
{
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.data[i];
        if (c > ' ' && c < 127 && c != '+' && c != '=')
            buffer_append_byte(out, (char)c);
        else
            buffer_printf(out, "+%02X", c);
    }
}

bool xtext_decode(struct buffer *out, struct slice text)
{
    for (size_t i = 0; i < text.len; i++) {
        if (text.data[i] != '+') {
            buffer_append_byte(out, text.data[i]);
            continue;
        }
        int high = i + 2 < text.len ? hex_digit(text.data[i + 1]) : -1;
        int low = i + 2 < text.len ? hex_digit(text.data[i + 2]) : -1;
        if (high < 0 || low < 0)
            return false;
        buffer_append_byte(out, (char)(high * 16 + low));
        i += 2;
    }
    return true;
}
