/* fuzz_address_path.c - MAIL FROM / RCPT TO arguments: no crash, and what is accepted is stable when parsed again */
#include "address/mail_address.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1)
        return 0;
    struct arena *arena = arena_new(0);
    struct slice external, rest, again;
    bool strict = data[0] & 1, utf8 = data[0] & 2;
    if (mail_address_parse_path(slice_make(data + 1, size - 1), strict, utf8, arena, &external, &rest)) {
        struct slice path = arena_format(arena, "<" SLICE_FORMAT ">", SLICE_ARGS(external));
        if (!mail_address_parse_path(path, true, utf8, arena, &again, &rest) || !slice_equal(again, external))
            abort();
        struct mail_address parts;
        mail_address_split(external, arena, &parts);
        mail_address_internal(external, arena);
    }
    arena_free(arena);
    return 0;
}
