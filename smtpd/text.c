/* text.c - see text.h */
#include "text.h"

#include <openssl/sha.h>

void text_escape(struct buffer *out, struct slice text, size_t max)
{
    static const char codes[] = "\a\b\f\n\r\t\v", letters[] = "abfnrtv";

    for (size_t i = 0; i < text.len && i < max; i++) {
        unsigned char byte = (unsigned char)text.data[i];
        const char *code = byte ? strchr(codes, byte) : NULL;
        if (code)
            buffer_printf(out, "\\%c", letters[code - codes]);
        else if (byte == '\\')
            buffer_append_string(out, "\\\\");
        else if (byte < ' ' || byte > 126)
            buffer_printf(out, "\\%03o", byte);
        else
            buffer_append_byte(out, (char)byte);
    }
}

void text_hash(struct buffer *out, struct slice text, size_t bytes)
{
    uint8_t digest[SHA256_DIGEST_LENGTH];

    SHA256((const unsigned char *)text.data, text.len, digest);
    for (size_t i = 0; i < bytes && i < sizeof(digest); i++)
        buffer_printf(out, "%02x", digest[i]);
}
