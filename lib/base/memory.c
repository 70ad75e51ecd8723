/* memory.c - heap memory that is always there */
#include "base/base.h"
#include "base/log.h"

/* never_null - running out of memory ends the process; master starts another. */
static void *never_null(void *memory)
{
    static bool failing;
    if (!memory) {
        /* Logging may want memory as well. */
        if (failing)
            _exit(1);
        failing = true;
        log_fatal("out of memory");
    }
    return memory;
}

void *memory_alloc(size_t size)
{
    return never_null(malloc(size ? size : 1));
}

void *memory_zalloc(size_t count, size_t size)
{
    return never_null(calloc(count ? count : 1, size ? size : 1));
}

void *memory_resize(void *old, size_t size)
{
    return never_null(realloc(old, size ? size : 1));
}

void *memory_copy(const void *data, size_t size)
{
    void *copy = memory_alloc(size);
    if (size)
        memcpy(copy, data, size);
    return copy;
}

char *memory_string(const char *text)
{
    return memory_copy(text, strlen(text) + 1);
}
