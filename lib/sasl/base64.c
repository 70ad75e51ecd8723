/* base64.c - base64, strictly */
#include "sasl/base64.h"

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void base64_encode(struct buffer *out, struct slice data)
{
    for (size_t i = 0; i < data.len; i += 3) {
        size_t left = data.len - i;
        const unsigned char *at = (const unsigned char *)data.data + i;
        unsigned bits = (unsigned)at[0] << 16 | (left > 1 ? (unsigned)at[1] << 8 : 0) | (left > 2 ? at[2] : 0u);
        char four[4] = {alphabet[bits >> 18], alphabet[bits >> 12 & 63], left > 1 ? alphabet[bits >> 6 & 63] : '=', left > 2 ? alphabet[bits & 63] : '='};
        buffer_append(out, four, sizeof(four));
    }
}

static int value_of(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

bool base64_decode(struct slice text, struct buffer *out)
{
    size_t padding = 0;

    if (text.len % 4 != 0)
        return false;
    while (padding < 2 && padding < text.len && text.data[text.len - 1 - padding] == '=')
        padding++;
    for (size_t i = 0; i < text.len; i += 4) {
        size_t letters = i + 4 == text.len ? 4 - padding : 4;
        unsigned bits = 0;
        for (size_t k = 0; k < 4; k++) {
            int value = k < letters ? value_of(text.data[i + k]) : 0;
            if (value < 0)
                return false;
            bits = bits << 6 | (unsigned)value;
        }
        if ((letters == 2 && (bits & 0xFFFF)) || (letters == 3 && (bits & 0xFF)))
            return false;
        char three[3] = {(char)(bits >> 16), (char)(bits >> 8), (char)bits};
        if (out)
            buffer_append(out, three, letters - 1);
    }
    return true;
}
