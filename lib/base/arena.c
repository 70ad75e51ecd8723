/* arena.c - memory of one lifetime: blocks in a list, the newest is filled front to back */
#include "base/arena.h"
#include "base/buffer.h"

enum { ALIGNMENT = 16, DEFAULT_BLOCK = 1024 - 32, GREATEST_BLOCK = 64 * 1024 };

struct block {
    struct block *older;
    size_t size; /* of bytes */
    _Alignas(ALIGNMENT) char bytes[];
};

struct arena {
    struct block *newest;
    size_t used;       /* bytes of the newest block */
    size_t next_size;  /* of the next ordinary block */
    size_t heap_bytes;
};

struct arena *arena_new(size_t first_block)
{
    struct arena *arena = memory_zalloc(1, sizeof(*arena));
    arena->next_size = first_block ? first_block : DEFAULT_BLOCK;
    arena->heap_bytes = sizeof(*arena);
    return arena;
}

static void free_older(struct arena *arena, struct block *block)
{
    while (block) {
        struct block *older = block->older;
        arena->heap_bytes -= sizeof(*block) + block->size;
        free(block);
        block = older;
    }
}

void arena_reset(struct arena *arena)
{
    struct block *kept = arena->newest;
    /* Keep one block, but not a giant one that a single big message asked for. */
    if (kept && kept->size > GREATEST_BLOCK) {
        free_older(arena, kept);
        arena->newest = NULL;
    } else if (kept) {
        free_older(arena, kept->older);
        kept->older = NULL;
    }
    arena->used = 0;
}

void arena_free(struct arena *arena)
{
    if (!arena)
        return;
    free_older(arena, arena->newest);
    free(arena);
}

/* add_block - make room for size bytes in a fresh newest block. */
static void add_block(struct arena *arena, size_t size)
{
    size_t wanted = arena->next_size;
    if (arena->next_size < GREATEST_BLOCK)
        arena->next_size *= 2;
    if (wanted < size)
        wanted = size;
    struct block *block = memory_alloc(sizeof(*block) + wanted);
    block->older = arena->newest;
    block->size = wanted;
    arena->newest = block;
    arena->used = 0;
    arena->heap_bytes += sizeof(*block) + wanted;
}

/* take - size bytes, not zeroed, at a multiple of alignment. */
static char *take(struct arena *arena, size_t size, size_t alignment)
{
    size_t start = (arena->used + alignment - 1) & ~(alignment - 1);
    if (!arena->newest || start > arena->newest->size || size > arena->newest->size - start) {
        add_block(arena, size);
        start = 0;
    }
    arena->used = start + size;
    return arena->newest->bytes + start;
}

void *arena_alloc(struct arena *arena, size_t size)
{
    void *memory = take(arena, size ? size : 1, ALIGNMENT);
    return memset(memory, 0, size);
}

char *arena_bytes(struct arena *arena, size_t size)
{
    return take(arena, size ? size : 1, 1);
}

void *arena_copy(struct arena *arena, const void *data, size_t size)
{
    char *copy = take(arena, size ? size : 1, ALIGNMENT);
    return size ? memcpy(copy, data, size) : copy;
}

char *arena_string(struct arena *arena, struct slice s)
{
    char *copy = take(arena, s.len + 1, 1);
    if (s.len)
        memcpy(copy, s.data, s.len);
    copy[s.len] = '\0';
    return copy;
}

struct slice arena_slice(struct arena *arena, struct slice s)
{
    return (struct slice){arena_string(arena, s), s.len};
}

char *arena_strdup(struct arena *arena, const char *text)
{
    return arena_string(arena, slice_of(text));
}

struct slice arena_lower(struct arena *arena, struct slice s)
{
    char *copy = arena_string(arena, s);
    for (size_t i = 0; i < s.len; i++) {
        if (copy[i] >= 'A' && copy[i] <= 'Z')
            copy[i] = (char)(copy[i] | 0x20);
    }
    return (struct slice){copy, s.len};
}

static struct slice format_into(struct arena *arena, const char *format, va_list args) PRINTF_LIKE(2, 0);
static struct slice format_into(struct arena *arena, const char *format, va_list args)
{
    va_list again;
    va_copy(again, args);
    int len = vsnprintf(NULL, 0, format, args);
    size_t size = len > 0 ? (size_t)len : 0;
    char *text = take(arena, size + 1, 1);
    text[0] = '\0';
    if (size)
        vsnprintf(text, size + 1, format, again);
    va_end(again);
    return (struct slice){text, size};
}

char *arena_printf(struct arena *arena, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    struct slice s = format_into(arena, format, args);
    va_end(args);
    return (char *)(uintptr_t)s.data;
}

struct slice arena_format(struct arena *arena, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    struct slice s = format_into(arena, format, args);
    va_end(args);
    return s;
}

size_t arena_size(const struct arena *arena)
{
    return arena->heap_bytes;
}
