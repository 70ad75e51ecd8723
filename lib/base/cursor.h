/* cursor.h - read bytes front to back with a sticky error; numbers are little-endian or variable length (7 bits a byte) */
#ifndef POSTERN_BASE_CURSOR_H
#define POSTERN_BASE_CURSOR_H

#include "base/buffer.h"

struct cursor {
    const uint8_t *at, *end;
    bool failed; /* sticky: something was missing or malformed; every later read gives 0 / empty */
};

struct cursor cursor_of(struct slice s);
uint8_t cursor_u8(struct cursor *c);
uint16_t cursor_u16(struct cursor *c);
uint32_t cursor_u32(struct cursor *c);
uint64_t cursor_u64(struct cursor *c);
uint64_t cursor_varint(struct cursor *c); /* at most 10 bytes */
struct slice cursor_bytes(struct cursor *c, size_t n);
struct slice cursor_counted(struct cursor *c); /* varint length, then bytes */
size_t cursor_left(const struct cursor *c);

/* The writing side: append to a buffer (sticky error: buffer.overflow). */
void put_u8(struct buffer *b, uint8_t v);
void put_u16(struct buffer *b, uint16_t v);
void put_u32(struct buffer *b, uint32_t v);
void put_u64(struct buffer *b, uint64_t v);
void put_varint(struct buffer *b, uint64_t v);
void put_counted(struct buffer *b, struct slice s);

#endif
