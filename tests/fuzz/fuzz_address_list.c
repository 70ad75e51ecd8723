/* fuzz_address_list.c - address lists: no crash, and what is printed is not longer than the text and what was missing in it allow */
#include "address/mail_address.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena *arena = arena_new(0);
    struct address_token *tokens;
    size_t count;
    address_list_parse(slice_make(data, size), 1000, arena, &tokens, &count);
    for (size_t i = 0; i < count; i++)
        mail_address_domain(tokens[i].text);
    struct buffer printed = BUFFER_INIT;
    address_list_print(tokens, count, &printed);
    if (printed.len > 4 * size + 4)
        abort();
    buffer_release(&printed);
    arena_free(arena);
    return 0;
}
