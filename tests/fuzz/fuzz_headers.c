/* fuzz_headers.c - header fields: splitting, and address lists in those that hold addresses */
#include "address/mail_address.h"
#include "message/header.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice name, value;
    if (!header_parse(slice_make(data, size), &name, &value))
        return 0;
    if (name.len == 0 || name.len + value.len >= size)
        abort();
    if (header_flags(header_known(name)) & (HEADER_SENDER_ADDRESSES | HEADER_RECIPIENT_ADDRESSES)) {
        struct arena *arena = arena_new(0);
        struct slice *addresses;
        address_list_addresses(value, 100, arena, &addresses);
        arena_free(arena);
    }
    return 0;
}
