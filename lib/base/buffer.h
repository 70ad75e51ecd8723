/* buffer.h - a growing string of bytes with a declared greatest length; always NUL terminated */
#ifndef POSTERN_BASE_BUFFER_H
#define POSTERN_BASE_BUFFER_H

#include "base/slice.h"

struct buffer {
    char *data;    /* NUL terminated once anything was written; NULL before */
    size_t len;
    size_t capacity;
    size_t max;    /* greatest len; 0 means BUFFER_MAX_DEFAULT */
    bool overflow; /* sticky: something did not fit and was left out */
};

#define BUFFER_MAX_DEFAULT ((size_t)1 << 30)
#define BUFFER_INIT ((struct buffer){0})
#define BUFFER_INIT_MAX(limit) ((struct buffer){.max = (limit)})

void buffer_init(struct buffer *b, size_t max);
/* buffer_release - free the memory; the buffer is empty and usable afterwards.  buffer_clear keeps the memory. */
void buffer_release(struct buffer *b);
void buffer_clear(struct buffer *b);
/* buffer_truncate - shorten to len bytes. buffer_consume - drop n bytes at the front. */
void buffer_truncate(struct buffer *b, size_t len);
void buffer_consume(struct buffer *b, size_t n);
/* buffer_reserve - room for n more bytes; returns where they go (then buffer_commit), or NULL and overflow set. */
char *buffer_reserve(struct buffer *b, size_t n);
void buffer_commit(struct buffer *b, size_t n);
/* Appending.  Returns false (and sets overflow, appending nothing) when it would exceed max. */
bool buffer_append(struct buffer *b, const void *data, size_t len);
bool buffer_append_slice(struct buffer *b, struct slice s);
bool buffer_append_string(struct buffer *b, const char *text);
bool buffer_append_byte(struct buffer *b, char byte);
bool buffer_append_lower(struct buffer *b, struct slice s); /* ASCII lower case */
bool buffer_printf(struct buffer *b, const char *format, ...) PRINTF_LIKE(2, 3);
bool buffer_vprintf(struct buffer *b, const char *format, va_list args) PRINTF_LIKE(2, 0);
/* buffer_slice - view of the content, valid until the next change.  buffer_string - the content as a C string ("" when
   empty).  buffer_steal - hand the heap string to the caller (who frees) and reset the buffer. */
struct slice buffer_slice(const struct buffer *b);
const char *buffer_string(const struct buffer *b);
char *buffer_steal(struct buffer *b) MUST_CHECK;

#endif
