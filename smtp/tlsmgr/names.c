/* names.c - see names.h */
#include "names.h"

#include "address/mail_address.h"

bool domain_name(struct slice given, struct arena *arena, struct slice *name)
{
    struct buffer ascii = BUFFER_INIT_MAX(1024);
    bool good = given.len > 0 && domain_to_ascii(slice_ends(given, SLICE(".")) ? slice_first(given, given.len - 1) : given, &ascii);

    *name = arena_lower(arena, buffer_slice(&ascii));
    buffer_release(&ascii);
    for (size_t i = 0; good && i < name->len; i++)
        good = isalnum((unsigned char)name->data[i]) || strchr("-._", name->data[i]);
    return good && name->len > 0 && name->len <= DOMAIN_NAME_MAX && slice_find(*name, '.') < name->len;
}
