/* fuzz_ipc.c - the message decoder; whatever it accepts must survive encoding, decoding and copying unchanged

   The first byte chooses the message, the rest are its fields. */
#include "ipc/message.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* check - the panic of a fuzz target. */
static void check(bool ok)
{
    if (!ok)
        abort();
}

static void encode_again(const struct message_record *record, const void *value, struct arena *arena)
{
    struct buffer first = BUFFER_INIT, second = BUFFER_INIT;
    void *again = arena_alloc(arena, message_struct_size(record)), *copy = arena_alloc(arena, message_struct_size(record));
    check(message_encode(record, value, &first));
    check(message_decode(record, buffer_slice(&first), arena, again));
    message_copy(record, again, arena, copy);
    check(message_encode(record, copy, &second));
    check(slice_equal(buffer_slice(&first), buffer_slice(&second)));
    buffer_release(&first);
    buffer_release(&second);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct message_record *record = size ? message_record_of((enum message_type)data[0]) : NULL;
    if (!record)
        return 0;
    struct arena *arena = arena_new(0);
    void *value = arena_alloc(arena, message_struct_size(record));
    if (message_decode(record, slice_make(data + 1, size - 1), arena, value))
        encode_again(record, value, arena);
    arena_free(arena);
    return 0;
}
