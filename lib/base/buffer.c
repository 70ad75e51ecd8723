/* buffer.c - growing bytes with a greatest length */
#include "base/buffer.h"

static size_t limit_of(const struct buffer *b)
{
    return b->max ? b->max : BUFFER_MAX_DEFAULT;
}

/* grow - capacity for len + n bytes and the NUL; false and overflow when that is more than max. */
static bool grow(struct buffer *b, size_t n)
{
    size_t limit = limit_of(b);
    if (b->len > limit || n > limit - b->len) {
        b->overflow = true;
        return false;
    }
    size_t need = b->len + n + 1;
    if (need > b->capacity) {
        size_t capacity = b->capacity ? b->capacity * 2 : 32;
        if (capacity > limit + 1)
            capacity = limit + 1;
        if (capacity < need)
            capacity = need;
        b->data = memory_resize(b->data, capacity);
        b->capacity = capacity;
    }
    return true;
}

void buffer_init(struct buffer *b, size_t max)
{
    *b = BUFFER_INIT_MAX(max);
}

void buffer_release(struct buffer *b)
{
    free(b->data);
    *b = BUFFER_INIT_MAX(b->max);
}

void buffer_clear(struct buffer *b)
{
    b->overflow = false;
    buffer_truncate(b, 0);
}

void buffer_truncate(struct buffer *b, size_t len)
{
    if (b->data && len <= b->len) {
        b->len = len;
        b->data[len] = '\0';
    }
}

void buffer_consume(struct buffer *b, size_t n)
{
    if (n >= b->len) {
        buffer_truncate(b, 0);
    } else if (n) {
        memmove(b->data, b->data + n, b->len - n);
        buffer_truncate(b, b->len - n);
    }
}

char *buffer_reserve(struct buffer *b, size_t n)
{
    return grow(b, n) ? b->data + b->len : NULL;
}

void buffer_commit(struct buffer *b, size_t n)
{
    b->len += n;
    b->data[b->len] = '\0';
}

bool buffer_append(struct buffer *b, const void *data, size_t len)
{
    if (!grow(b, len))
        return false;
    if (len)
        memcpy(b->data + b->len, data, len);
    buffer_commit(b, len);
    return true;
}

bool buffer_append_slice(struct buffer *b, struct slice s)
{
    return buffer_append(b, s.data, s.len);
}

bool buffer_append_string(struct buffer *b, const char *text)
{
    return buffer_append(b, text, strlen(text));
}

bool buffer_append_byte(struct buffer *b, char byte)
{
    return buffer_append(b, &byte, 1);
}

bool buffer_append_lower(struct buffer *b, struct slice s)
{
    char *to = buffer_reserve(b, s.len);
    if (!to)
        return false;
    for (size_t i = 0; i < s.len; i++)
        to[i] = s.data[i] >= 'A' && s.data[i] <= 'Z' ? (char)(s.data[i] | 0x20) : s.data[i];
    buffer_commit(b, s.len);
    return true;
}

bool buffer_printf(struct buffer *b, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    bool ok = buffer_vprintf(b, format, args);
    va_end(args);
    return ok;
}

bool buffer_vprintf(struct buffer *b, const char *format, va_list args)
{
    va_list again;
    va_copy(again, args);
    size_t room = b->capacity > b->len ? b->capacity - b->len : 0;
    int need = vsnprintf(room ? b->data + b->len : NULL, room, format, args);
    bool ok = need >= 0 && grow(b, (size_t)need);
    if (ok && (size_t)need >= room)
        vsnprintf(b->data + b->len, (size_t)need + 1, format, again);
    va_end(again);
    if (ok)
        buffer_commit(b, (size_t)need);
    else if (room)
        b->data[b->len] = '\0'; /* take back what the first attempt wrote */
    b->overflow |= !ok;
    return ok;
}

struct slice buffer_slice(const struct buffer *b)
{
    return (struct slice){b->data, b->len};
}

const char *buffer_string(const struct buffer *b)
{
    return b->data ? b->data : "";
}

char *buffer_steal(struct buffer *b)
{
    char *text = b->data ? b->data : memory_string("");
    *b = BUFFER_INIT_MAX(b->max);
    return text;
}
