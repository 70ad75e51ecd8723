/* base.h - what every source file stands on: standard headers, attributes, banned functions, memory */
#ifndef POSTERN_BASE_BASE_H
#define POSTERN_BASE_BASE_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

#define PRINTF_LIKE(format_index, first) __attribute__((format(printf, format_index, first)))
#define MUST_CHECK __attribute__((warn_unused_result))
#define NO_RETURN __attribute__((noreturn))
#define UNUSED __attribute__((unused))
#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))
#define CONTAINER_OF(pointer, type, member) ((type *)((char *)(pointer) - offsetof(type, member)))

/* memory_alloc, memory_zalloc, memory_resize, memory_copy - heap memory that is always there: running out of
   memory ends the process (master starts another).  Sizes in bytes; the caller frees with free(). */
void *memory_alloc(size_t size) MUST_CHECK;
void *memory_zalloc(size_t count, size_t size) MUST_CHECK;
void *memory_resize(void *old, size_t size) MUST_CHECK;
void *memory_copy(const void *data, size_t size) MUST_CHECK;
/* memory_string - a heap copy of a C string. */
char *memory_string(const char *text) MUST_CHECK;

#include "base/banned.h"

#endif
