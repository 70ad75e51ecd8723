/* fuzz_address_list.c - address lists: no crash, tokens put together give the text back (but for separators that were missing) */
#include "address/mail_address.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena *arena = arena_new(0);
    struct address_token *tokens;
    size_t count, bytes = 0;
    address_list_parse(slice_make(data, size), 1000, arena, &tokens, &count);
    for (size_t i = 0; i < count; i++) {
        bytes += tokens[i].kind == ADDRESS_TOKEN_ADDRESS ? tokens[i].raw.len : tokens[i].text.len;
        mail_address_domain(tokens[i].text);
    }
    if (bytes < size)
        abort();
    arena_free(arena);
    return 0;
}
