/* fuzz_index_entry.c - an index entry of any bytes, as they are and with a good checksum; what decodes is encoded and decoded again */
#include "queue/crc32c.h"
#include "queue/index_entry.h"
#include "queue/queue_id.h"

/* try_patch - a change of an intact entry leaves an intact entry. */
static void try_patch(struct slice bytes, struct slice sort_key, const struct index_entry *entry)
{
    const struct index_change change = {.queue = INDEX_HOLD, .next_attempt = 12345, .expire = true, .requeue = true};
    struct arena *arena = arena_new(0);
    struct buffer copy = BUFFER_INIT;
    struct index_entry again;
    buffer_append_slice(&copy, bytes);
    if (!index_entry_patch(&copy, sort_key, &change) || !index_entry_decode(buffer_slice(&copy), sort_key, arena, &again))
        abort();
    struct queue_place place = index_entry_place(buffer_slice(&copy));
    if (again.queue != INDEX_HOLD || again.next_attempt != 12345 || !again.forced_expire || !again.requeue || again.warned != entry->warned ||
        again.recipient_count != entry->recipient_count || !slice_equal(index_entry_id(buffer_slice(&copy)), entry->queue_id) ||
        place.segment != entry->place.segment || place.offset != entry->place.offset || place.content_length != entry->place.content_length)
        abort();
    buffer_release(&copy);
    arena_free(arena);
}

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
        try_patch(bytes, sort_key, &entry);
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
