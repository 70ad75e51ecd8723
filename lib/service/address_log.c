/* address_log.c - see address_log.h */
#include "service/address_log.h"

#include "address/mail_address.h"

static bool is_internal;

void address_log_format(const char *format)
{
    is_internal = strcmp(format, "internal") == 0;
}

void address_log_append(struct buffer *line, const char *name, struct slice address)
{
    struct arena *arena = is_internal && slice_find(address, '"') < address.len ? arena_new(0) : NULL;

    buffer_printf(line, " %s=<" SLICE_FORMAT ">", name, SLICE_ARGS(arena ? mail_address_internal(address, arena) : address));
    arena_free(arena);
}
