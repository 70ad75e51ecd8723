/* index_bdb_segment.c - per segment: how far it was read, how many entries point into it; and from these the counts of the queues */
#include "base/cursor.h"
#include "base/log.h"
#include "queue/crc32c.h"
#include "queue/index_bdb.h"

static struct slice number_key(const uint64_t *number)
{
    return slice_make(number, sizeof(*number));
}

static struct index_key segment_key(uint64_t number)
{
    struct index_key key = {{'S'}, 9};
    for (int i = 0; i < 8; i++)
        key.bytes[1 + i] = (uint8_t)(number >> (56 - 8 * i));
    return key;
}

static struct index_segment *find(const struct index *index, uint64_t number)
{
    return map_get(index->segments, number_key(&number));
}

/* touch - the segment's record, in the list of those the transaction changes. */
static struct index_segment *touch(struct index *index, uint64_t number)
{
    struct index_segment *segment = find(index, number);
    if (!segment) {
        segment = memory_zalloc(1, sizeof(*segment));
        segment->number = number;
        list_init(&segment->dirty);
        map_set(index->segments, number_key(&number), segment);
    }
    if (list_is_empty(&segment->dirty)) {
        segment->known_new = segment->known;
        segment->read_until_new = segment->read_until;
        segment->deleted_new = false;
        list_append(&index->dirty, &segment->dirty);
    }
    return segment;
}

void index_bdb_count(struct index *index, uint64_t segment, enum index_queue queue, int change)
{
    unsigned q = index_queue_number(queue);
    touch(index, segment)->delta[q] += change;
    index->counts[q] += change;
}

/* ---- the record --------------------------------------------------------------------------------------------------- */

enum { FLAG_KNOWN = 1 };

static void encode(const struct index_segment *segment, struct buffer *out)
{
    buffer_clear(out);
    put_u32(out, 0);
    put_u8(out, segment->known_new ? FLAG_KNOWN : 0);
    put_u64(out, segment->read_until_new);
    for (int q = 0; q < INDEX_QUEUE_COUNT; q++)
        put_u64(out, (uint64_t)(segment->counts[q] + segment->delta[q]));
    uint32_t sum = crc32c((uint32_t)segment->number, out->data + 4, out->len - 4);
    for (int i = 0; i < 4; i++)
        out->data[i] = (char)(sum >> (8 * i));
}

static bool decode(struct slice bytes, struct index_segment *segment)
{
    struct cursor c = cursor_of(bytes);
    uint32_t sum = cursor_u32(&c);
    if (c.failed || sum != crc32c((uint32_t)segment->number, bytes.data + 4, bytes.len - 4))
        return false;
    segment->known = cursor_u8(&c) & FLAG_KNOWN;
    segment->read_until = cursor_u64(&c);
    for (int q = 0; q < INDEX_QUEUE_COUNT; q++) {
        segment->counts[q] = (int64_t)cursor_u64(&c);
        if (segment->counts[q] < 0)
            return false;
    }
    return !c.failed && cursor_left(&c) == 0;
}

static bool load_one(struct index *index, const DBT *key, const DBT *value)
{
    const uint8_t *bytes = key->data;
    if (key->size != 9)
        return false;
    struct index_segment *segment = memory_zalloc(1, sizeof(*segment));
    list_init(&segment->dirty);
    for (int i = 0; i < 8; i++)
        segment->number = segment->number << 8 | bytes[1 + i];
    map_set(index->segments, number_key(&segment->number), segment);
    if (!decode(slice_make(value->data, value->size), segment))
        return false;
    for (int q = 0; q < INDEX_QUEUE_COUNT; q++)
        index->counts[q] += segment->counts[q];
    return true;
}

bool index_bdb_load_segments(struct index *index)
{
    DBC *cursor;
    uint8_t key_bytes[INDEX_KEY_MAX] = {'S'}, value_bytes[64];
    if (index->keys->cursor(index->keys, NULL, &cursor, 0) != 0)
        return false;
    DBT key = {.data = key_bytes, .size = 1, .ulen = sizeof(key_bytes), .flags = DB_DBT_USERMEM};
    DBT value = {.data = value_bytes, .ulen = sizeof(value_bytes), .flags = DB_DBT_USERMEM};
    bool ok = true;
    int error = cursor->get(cursor, &key, &value, DB_SET_RANGE);
    for (; error == 0 && ok && key_bytes[0] == 'S'; error = cursor->get(cursor, &key, &value, DB_NEXT))
        ok = load_one(index, &key, &value);
    cursor->close(cursor);
    return ok && (error == 0 || error == DB_NOTFOUND);
}

void index_bdb_forget_segments(struct index *index)
{
    list_init(&index->dirty);
    map_free(index->segments);
    index->segments = map_new(free);
    memset(index->counts, 0, sizeof(index->counts));
}

int index_bdb_write_segments(struct index *index)
{
    int error = 0;
    LIST_EACH(&index->dirty, link) {
        struct index_segment *segment = LIST_ENTRY(link, struct index_segment, dirty);
        struct index_key key = segment_key(segment->number);
        DBT k = index_bdb_in(key.bytes, key.len);
        if (segment->deleted_new) {
            error = index->keys->del(index->keys, index->txn, &k, 0);
            error = error == DB_NOTFOUND ? 0 : error;
        } else {
            encode(segment, &index->value);
            DBT v = index_bdb_in(index->value.data, index->value.len);
            error = index->keys->put(index->keys, index->txn, &k, &v, 0);
        }
        if (error)
            break;
    }
    return error;
}

static void settle(struct index *index, struct index_segment *segment, bool committed)
{
    list_remove(&segment->dirty);
    for (int q = 0; q < INDEX_QUEUE_COUNT; q++) {
        if (committed)
            segment->counts[q] += segment->delta[q];
        else
            index->counts[q] -= segment->delta[q];
        segment->delta[q] = 0;
    }
    if (!committed)
        return;
    segment->known = segment->known_new;
    segment->read_until = segment->read_until_new;
    if (segment->deleted_new) {
        for (int q = 0; q < INDEX_QUEUE_COUNT; q++)
            index->counts[q] -= segment->counts[q];
        uint64_t number = segment->number;
        map_remove(index->segments, number_key(&number));
    }
}

void index_bdb_settle_segments(struct index *index, bool committed)
{
    LIST_EACH(&index->dirty, link)
        settle(index, LIST_ENTRY(link, struct index_segment, dirty), committed);
}

/* ---- the public part ---------------------------------------------------------------------------------------------- */

uint64_t index_count(struct index *index, enum index_queue queue)
{
    int64_t count = index->counts[index_queue_number(queue)];
    return count > 0 ? (uint64_t)count : 0;
}

uint64_t index_segment_count(struct index *index, uint64_t number)
{
    struct index_segment *segment = find(index, number);
    int64_t count = 0;
    for (int q = 0; segment && q < INDEX_QUEUE_COUNT; q++)
        count += segment->counts[q] + segment->delta[q];
    return count > 0 ? (uint64_t)count : 0;
}

int index_segment_get(struct index *index, uint64_t number, uint64_t *read_until)
{
    struct index_segment *segment = find(index, number);
    bool dirty = segment && !list_is_empty(&segment->dirty);
    if (!segment || !(dirty ? segment->known_new : segment->known))
        return 0;
    *read_until = dirty ? segment->read_until_new : segment->read_until;
    return 1;
}

int index_segment_put(struct index *index, uint64_t number, uint64_t read_until)
{
    index_write_begin(index);
    struct index_segment *segment = touch(index, number);
    segment->known_new = true;
    segment->deleted_new = false;
    segment->read_until_new = read_until;
    return index_write_end_one(index) ? 1 : -1;
}

int index_segment_delete(struct index *index, uint64_t number)
{
    if (!find(index, number))
        return 0;
    index_write_begin(index);
    touch(index, number)->deleted_new = true;
    return index_write_end_one(index) ? 1 : -1;
}

int index_segment_set_counts(struct index *index, uint64_t number, const uint64_t counts[INDEX_QUEUE_COUNT])
{
    index_write_begin(index);
    struct index_segment *segment = touch(index, number);
    for (int q = 0; q < INDEX_QUEUE_COUNT; q++) {
        int64_t change = (int64_t)counts[q] - segment->counts[q] - segment->delta[q];
        segment->delta[q] += change;
        index->counts[q] += change;
    }
    return index_write_end_one(index) ? 1 : -1;
}

bool index_segment_next(struct index *index, size_t *position, uint64_t *number)
{
    struct slice key;
    void *value;
    if (!map_next(index->segments, position, &key, &value))
        return false;
    *number = ((struct index_segment *)value)->number;
    return true;
}
