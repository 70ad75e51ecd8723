/* index_entry.c - encoding and decoding of index entries; what is read back is trusted no more than the network */
#include "queue/index_entry.h"

#include "base/cursor.h"
#include "queue/crc32c.h"
#include "queue/queue_id.h"

enum { FLAG_FORCED_EXPIRE = 1, FLAG_WARNED = 2, FLAG_REQUEUE = 4 };
enum { FLAGS_OFFSET = 6, NEXT_ATTEMPT_OFFSET = 64 };
enum { SMALLEST_RECIPIENT = 5 }; /* bytes: bounds the list before memory is taken for it */

uint64_t index_entry_hash(struct slice text)
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    for (size_t i = 0; i < text.len; i++)
        hash = (hash ^ (uint8_t)text.data[i]) * UINT64_C(0x100000001b3);
    hash ^= hash >> 32;
    return hash * UINT64_C(0x9e3779b97f4a7c15);
}

static uint32_t checksum(struct slice bytes, struct slice sort_key)
{
    return crc32c(crc32c(0, sort_key.data, sort_key.len), bytes.data + 4, bytes.len - 4);
}

static bool queue_is_known(int queue)
{
    return queue == INDEX_DEFERRED || queue == INDEX_HOLD || queue == INDEX_INCOMING;
}

/* ---- encoding ----------------------------------------------------------------------------------------------------- */

static void put_or_same(struct buffer *out, struct slice s, const struct slice *before)
{
    if (before && slice_equal(s, *before)) {
        put_varint(out, 0);
    } else {
        put_varint(out, s.len + 1);
        buffer_append_slice(out, s);
    }
}

static void put_recipient(struct buffer *out, const struct index_recipient *r, const struct index_recipient *before)
{
    put_varint(out, r->index);
    put_or_same(out, r->address, before ? &before->address : NULL);
    put_or_same(out, r->original, before ? &before->original : NULL);
    put_or_same(out, r->status, before ? &before->status : NULL);
    put_or_same(out, r->reason, before ? &before->reason : NULL);
}

static void put_fixed(struct buffer *out, const struct index_entry *entry)
{
    put_u8(out, INDEX_ENTRY_VERSION);
    put_u8(out, (uint8_t)entry->queue);
    put_u8(out, (entry->forced_expire ? FLAG_FORCED_EXPIRE : 0) | (entry->warned ? FLAG_WARNED : 0) | (entry->requeue ? FLAG_REQUEUE : 0));
    put_u8(out, 0);
    put_u64(out, entry->place.segment);
    put_u64(out, entry->place.offset);
    put_u64(out, entry->place.length);
    put_u64(out, entry->place.content_file);
    put_u64(out, entry->place.content_offset);
    put_u64(out, entry->place.content_length);
    put_u64(out, (uint64_t)entry->arrival_time);
    put_u64(out, (uint64_t)entry->next_attempt);
    put_u64(out, (uint64_t)entry->last_attempt);
    put_u64(out, (uint64_t)entry->message_size);
    put_u64(out, index_entry_hash(entry->destination));
    put_u64(out, index_entry_hash(entry->sender));
    put_u32(out, entry->attempts);
}

static void store_checksum(char *bytes, size_t len, struct slice sort_key)
{
    uint32_t sum = checksum(slice_make(bytes, len), sort_key);
    for (int i = 0; i < 4; i++)
        bytes[i] = (char)(sum >> (8 * i));
}

void index_entry_encode(const struct index_entry *entry, struct buffer *out)
{
    char key[QUEUE_ID_MAX];
    size_t start = out->len;
    put_u32(out, 0);
    put_fixed(out, entry);
    put_counted(out, entry->queue_id);
    put_counted(out, entry->sender);
    put_counted(out, entry->destination);
    put_varint(out, entry->recipient_count);
    for (size_t i = 0; i < entry->recipient_count; i++)
        put_recipient(out, &entry->recipients[i], i > 0 ? &entry->recipients[i - 1] : NULL);
    store_checksum(out->data + start, out->len - start, queue_id_sort_key(entry->queue_id, key));
}

/* ---- decoding ----------------------------------------------------------------------------------------------------- */

/* begin - a cursor behind the checksum; failed when that is wrong. */
static struct cursor begin(struct slice bytes, struct slice sort_key)
{
    struct cursor c = cursor_of(bytes);
    uint32_t sum = cursor_u32(&c);
    if (bytes.len < INDEX_ENTRY_FIXED_SIZE || sum != checksum(bytes, sort_key) || cursor_u8(&c) != INDEX_ENTRY_VERSION)
        c.failed = true;
    return c;
}

static struct slice string_or_same(struct cursor *c, struct slice before)
{
    uint64_t n = cursor_varint(c);
    if (n == 0)
        return before;
    if (n - 1 > cursor_left(c)) {
        c->failed = true;
        return before;
    }
    return cursor_bytes(c, (size_t)(n - 1));
}

static void read_fixed(struct cursor *c, struct index_entry *entry, uint64_t *destination_hash, uint64_t *sender_hash)
{
    entry->queue = (enum index_queue)cursor_u8(c);
    uint8_t flags = cursor_u8(c);
    entry->forced_expire = flags & FLAG_FORCED_EXPIRE;
    entry->warned = flags & FLAG_WARNED;
    entry->requeue = flags & FLAG_REQUEUE;
    cursor_u8(c);
    entry->place.segment = cursor_u64(c);
    entry->place.offset = cursor_u64(c);
    entry->place.length = cursor_u64(c);
    entry->place.content_file = cursor_u64(c);
    entry->place.content_offset = cursor_u64(c);
    entry->place.content_length = cursor_u64(c);
    entry->arrival_time = (int64_t)cursor_u64(c);
    entry->next_attempt = (int64_t)cursor_u64(c);
    entry->last_attempt = (int64_t)cursor_u64(c);
    entry->message_size = (int64_t)cursor_u64(c);
    *destination_hash = cursor_u64(c);
    *sender_hash = cursor_u64(c);
    entry->attempts = cursor_u32(c);
    if (!queue_is_known(entry->queue) || entry->place.segment == 0 || entry->place.offset > INT64_MAX / 2 ||
        entry->place.length > INT64_MAX / 2 || entry->place.content_offset > INT64_MAX / 2 || entry->place.content_length > INT64_MAX / 2)
        c->failed = true;
}

static void read_recipients(struct cursor *c, struct arena *arena, struct index_entry *entry)
{
    uint64_t count = cursor_varint(c);
    if (count > cursor_left(c) / SMALLEST_RECIPIENT) {
        c->failed = true;
        return;
    }
    entry->recipient_count = (size_t)count;
    entry->recipients = arena_alloc(arena, (size_t)count * sizeof(*entry->recipients));
    struct index_recipient before = {0};
    for (size_t i = 0; i < count && !c->failed; i++) {
        struct index_recipient *r = &entry->recipients[i];
        uint64_t index = cursor_varint(c);
        if (index > UINT32_MAX)
            c->failed = true;
        r->index = (uint32_t)index;
        r->address = string_or_same(c, before.address);
        r->original = string_or_same(c, before.original);
        r->status = string_or_same(c, before.status);
        r->reason = string_or_same(c, before.reason);
        before = *r;
    }
}

bool index_entry_decode(struct slice bytes, struct slice sort_key, struct arena *arena, struct index_entry *entry)
{
    uint64_t destination_hash, sender_hash;
    char key[QUEUE_ID_MAX];
    *entry = (struct index_entry){0};
    struct cursor c = begin(bytes, sort_key);
    read_fixed(&c, entry, &destination_hash, &sender_hash);
    entry->queue_id = cursor_counted(&c);
    entry->sender = cursor_counted(&c);
    entry->destination = cursor_counted(&c);
    read_recipients(&c, arena, entry);
    return !c.failed && cursor_left(&c) == 0 && queue_id_is_valid(entry->queue_id) &&
           slice_equal(queue_id_sort_key(entry->queue_id, key), sort_key) && index_entry_hash(entry->destination) == destination_hash &&
           index_entry_hash(entry->sender) == sender_hash;
}

bool index_entry_read_facts(struct slice bytes, struct slice sort_key, struct index_entry_facts *facts)
{
    struct index_entry entry = {0};
    struct cursor c = begin(bytes, sort_key);
    uint64_t sender_hash;
    *facts = (struct index_entry_facts){0};
    read_fixed(&c, &entry, &facts->destination_hash, &sender_hash);
    facts->queue = entry.queue;
    facts->segment = entry.place.segment;
    facts->offset = entry.place.offset;
    facts->next_attempt = entry.next_attempt;
    return !c.failed;
}

bool index_entry_patch(struct buffer *bytes, struct slice sort_key, const struct index_change *change)
{
    if (begin(buffer_slice(bytes), sort_key).failed)
        return false;
    char *at = bytes->data;
    at[INDEX_ENTRY_QUEUE_OFFSET] = (char)change->queue;
    at[FLAGS_OFFSET] = (char)((at[FLAGS_OFFSET] & ~FLAG_REQUEUE) | (change->requeue ? FLAG_REQUEUE : 0) | (change->expire ? FLAG_FORCED_EXPIRE : 0));
    for (int i = 0; i < 8 && change->next_attempt > 0; i++)
        at[NEXT_ATTEMPT_OFFSET + i] = (char)((uint64_t)change->next_attempt >> (8 * i));
    store_checksum(at, bytes->len, sort_key);
    return true;
}

struct slice index_entry_id(struct slice bytes)
{
    struct cursor c = cursor_of(bytes.len > INDEX_ENTRY_FIXED_SIZE ? slice_from(bytes, INDEX_ENTRY_FIXED_SIZE) : SLICE(""));
    return cursor_counted(&c);
}

struct queue_place index_entry_place(struct slice bytes)
{
    struct index_entry entry = {0};
    uint64_t destination_hash, sender_hash;
    struct cursor c = cursor_of(slice_from(bytes, INDEX_ENTRY_QUEUE_OFFSET));
    read_fixed(&c, &entry, &destination_hash, &sender_hash);
    return entry.place;
}
