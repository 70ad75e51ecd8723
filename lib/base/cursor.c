/* cursor.c - reading and writing bytes front to back with a sticky error */
#include "base/cursor.h"

struct cursor cursor_of(struct slice s)
{
    const uint8_t *data = (const uint8_t *)(s.data ? s.data : "");
    return (struct cursor){data, data + s.len, false};
}

size_t cursor_left(const struct cursor *c)
{
    return c->failed ? 0 : (size_t)(c->end - c->at);
}

/* take - n bytes, or NULL and failed. */
static const uint8_t *take(struct cursor *c, uint64_t n)
{
    if (c->failed || n > (uint64_t)(c->end - c->at)) {
        c->failed = true;
        return NULL;
    }
    const uint8_t *at = c->at;
    c->at += n;
    return at;
}

/* fixed - little-endian number of n bytes. */
static uint64_t fixed(struct cursor *c, int n)
{
    const uint8_t *at = take(c, (uint64_t)n);
    uint64_t value = 0;
    for (int i = 0; at && i < n; i++)
        value |= (uint64_t)at[i] << (8 * i);
    return value;
}

uint8_t cursor_u8(struct cursor *c)
{
    return (uint8_t)fixed(c, 1);
}

uint16_t cursor_u16(struct cursor *c)
{
    return (uint16_t)fixed(c, 2);
}

uint32_t cursor_u32(struct cursor *c)
{
    return (uint32_t)fixed(c, 4);
}

uint64_t cursor_u64(struct cursor *c)
{
    return fixed(c, 8);
}

uint64_t cursor_varint(struct cursor *c)
{
    uint64_t value = 0;
    for (int shift = 0; shift < 64; shift += 7) {
        const uint8_t *at = take(c, 1);
        if (!at)
            return 0;
        /* The tenth byte holds only the topmost bit; a zero last byte would be a second spelling of the same number. */
        if ((shift == 63 && *at > 1) || (shift > 0 && *at == 0))
            break;
        value |= (uint64_t)(*at & 0x7f) << shift;
        if (*at < 0x80)
            return value;
    }
    c->failed = true;
    return 0;
}

struct slice cursor_bytes(struct cursor *c, size_t n)
{
    const uint8_t *at = take(c, n);
    return at ? slice_make(at, n) : slice_make(NULL, 0);
}

struct slice cursor_counted(struct cursor *c)
{
    uint64_t n = cursor_varint(c);
    const uint8_t *at = take(c, n);
    return at ? slice_make(at, (size_t)n) : slice_make(NULL, 0);
}

static void put_fixed(struct buffer *b, uint64_t v, size_t n)
{
    uint8_t bytes[8];
    for (size_t i = 0; i < n; i++)
        bytes[i] = (uint8_t)(v >> (8 * i));
    buffer_append(b, bytes, n);
}

void put_u8(struct buffer *b, uint8_t v)
{
    put_fixed(b, v, 1);
}

void put_u16(struct buffer *b, uint16_t v)
{
    put_fixed(b, v, 2);
}

void put_u32(struct buffer *b, uint32_t v)
{
    put_fixed(b, v, 4);
}

void put_u64(struct buffer *b, uint64_t v)
{
    put_fixed(b, v, 8);
}

void put_varint(struct buffer *b, uint64_t v)
{
    uint8_t bytes[10];
    size_t n = 0;
    for (; v > 0x7f; v >>= 7)
        bytes[n++] = (uint8_t)(v | 0x80);
    bytes[n++] = (uint8_t)v;
    buffer_append(b, bytes, n);
}

void put_counted(struct buffer *b, struct slice s)
{
    put_varint(b, s.len);
    buffer_append_slice(b, s);
}
