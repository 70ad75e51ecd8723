/* fuzz_index_entry.c - an index entry of any bytes, as they are and with a good checksum; what decodes is encoded and decoded again */
#include "queue/crc32c.h"
#include "queue/index_entry.h"
#include "queue/queue_id.h"

static void try_bytes(struct slice bytes, struct slice sort_key)
{
    struct arena *arena = arena_new(0);
    struct index_entry entry, again;
    struct index_entry_facts facts;
    struct buffer out = BUFFER_INIT;
    bool has_facts = index_entry_read_facts(bytes, sort_key, &facts);
    if (index_entry_decode(bytes, sort_key, arena, &entry)) {
        if (!has_facts || facts.segment != entry.place.segment || facts.queue != entry.queue)
            abort();
        index_entry_encode(&entry, &out);
        if (!index_entry_decode(buffer_slice(&out), sort_key, arena, &again) || again.recipient_count != entry.recipient_count ||
            !slice_equal(again.destination, entry.destination))
            abort();
        for (size_t i = 0; i < entry.recipient_count; i++) {
            if (!slice_equal(again.recipients[i].reason, entry.recipients[i].reason) || again.recipients[i].index != entry.recipients[i].index)
                abort();
        }
    }
    buffer_release(&out);
    arena_free(arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char key[QUEUE_ID_MAX];
    struct slice sort_key = queue_id_sort_key(SLICE("ABCDEF0123456"), key);
    try_bytes(slice_make(data, size), sort_key);
    if (size < INDEX_ENTRY_FIXED_SIZE)
        return 0;
    uint8_t *copy = memory_copy(data, size);
    copy[4] = INDEX_ENTRY_VERSION;
    uint32_t sum = crc32c(crc32c(0, sort_key.data, sort_key.len), copy + 4, size - 4);
    for (int i = 0; i < 4; i++)
        copy[i] = (uint8_t)(sum >> (8 * i));
    try_bytes(slice_make(copy, size), sort_key);
    free(copy);
    return 0;
}
