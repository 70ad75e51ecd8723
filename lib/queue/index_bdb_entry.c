/* index_bdb_entry.c - putting, getting and deleting entries, and keeping the keys of the orders in step */
#include "base/log.h"
#include "queue/index_bdb.h"

static const enum index_queue queues[INDEX_QUEUE_COUNT] = {INDEX_DEFERRED, INDEX_HOLD, INDEX_INCOMING};

unsigned index_queue_number(enum index_queue queue)
{
    for (unsigned q = 0; q < INDEX_QUEUE_COUNT; q++) {
        if (queues[q] == queue)
            return q;
    }
    log_panic("index: unknown queue %d", (int)queue);
}

static void add_bytes(struct index_key *key, const void *bytes, size_t len)
{
    if (len > 0)
        memcpy(key->bytes + key->len, bytes, len);
    key->len += len;
}

struct index_key index_bdb_entry_key(struct slice sort_key)
{
    struct index_key key = {.len = 0};
    add_bytes(&key, sort_key.data, sort_key.len);
    return key;
}

struct index_key index_bdb_order_key(char tag, uint64_t value, struct slice sort_key)
{
    struct index_key key = {{(uint8_t)tag}, 9};
    for (int i = 0; i < 8; i++)
        key.bytes[1 + i] = (uint8_t)(value >> (56 - 8 * i));
    add_bytes(&key, sort_key.data, sort_key.len);
    return key;
}

struct index_key index_bdb_key_of(const struct index_entry_facts *facts, struct slice sort_key)
{
    if (facts->queue == INDEX_DEFERRED)
        return index_bdb_order_key('n', facts->next_attempt > 0 ? (uint64_t)facts->next_attempt : 0, sort_key);
    if (facts->queue == INDEX_INCOMING)
        return index_bdb_order_key('d', facts->destination_hash, sort_key);
    return (struct index_key){.len = 0};
}

bool index_bdb_same_key(const struct index_key *a, const struct index_key *b)
{
    return a->len == b->len && memcmp(a->bytes, b->bytes, a->len) == 0;
}

/* find_raw - the bytes of an entry into index->old: 1, 0, -1. */
static int find_raw(struct index *index, struct slice sort_key)
{
    struct index_key key = index_bdb_entry_key(sort_key);
    int error = index_bdb_get(index, index->entries, &key, &index->old);
    if (error && error != DB_NOTFOUND)
        index_bdb_failed(index, "get", error);
    return !error ? 1 : error == DB_NOTFOUND ? 0 : -1;
}

int index_bdb_remove_pair(struct index *index, DB *db, const struct index_key *key)
{
    DBT k = index_bdb_in(key->bytes, key->len);
    int error = db->del(db, index->txn, &k, 0);
    return error == DB_NOTFOUND ? 0 : error;
}

int index_bdb_put_pair(struct index *index, DB *db, const struct index_key *key, struct slice value)
{
    DBT k = index_bdb_in(key->bytes, key->len), v = index_bdb_in(value.data ? value.data : "", value.len);
    return db->put(db, index->txn, &k, &v, 0);
}

static void note_change(struct index *index, uint64_t segment, uint64_t offset, bool present)
{
    if (index->change_count == index->change_capacity) {
        index->change_capacity = index->change_capacity ? index->change_capacity * 2 : 64;
        index->changes = memory_resize(index->changes, index->change_capacity * sizeof(*index->changes));
    }
    index->changes[index->change_count++] = (struct index_change_note){segment, offset, present};
}

void index_bdb_count_damaged(struct index *index, struct slice sort_key)
{
    index->damaged_entries++;
    log_warning("queue index: the entry with key " SLICE_FORMAT " is damaged", SLICE_ARGS(sort_key));
}

void index_bdb_account(struct index *index, const struct index_entry_facts *old, const struct index_entry_facts *facts)
{
    if (old)
        index_bdb_count(index, old->segment, old->queue, -1);
    index_bdb_count(index, facts->segment, facts->queue, 1);
    if (old && old->segment == facts->segment && old->offset == facts->offset)
        return;
    if (old)
        note_change(index, old->segment, old->offset, false);
    note_change(index, facts->segment, facts->offset, true);
}

void index_bdb_account_gone(struct index *index, const struct index_entry_facts *old)
{
    index_bdb_count(index, old->segment, old->queue, -1);
    note_change(index, old->segment, old->offset, false);
}

/* ---- put ---------------------------------------------------------------------------------------------------------- */

/* replace_key - of the order; old is NULL for a new entry. */
static int replace_key(struct index *index, const struct index_entry_facts *old, const struct index_entry_facts *facts, struct slice sort_key)
{
    struct index_key before = {.len = 0}, after = index_bdb_key_of(facts, sort_key);
    int error = 0;
    if (old)
        before = index_bdb_key_of(old, sort_key);
    if (index_bdb_same_key(&before, &after))
        return 0;
    if (before.len)
        error = index_bdb_remove_pair(index, index->keys, &before);
    if (!error && after.len)
        error = index_bdb_put_pair(index, index->keys, &after, SLICE(""));
    return error;
}

/* put_in_transaction - false: failed (logged), the transaction will be undone. */
static bool put_in_transaction(struct index *index, const struct index_entry *entry, struct slice sort_key)
{
    struct index_entry_facts old, facts = {.queue = entry->queue, .segment = entry->place.segment, .offset = entry->place.offset,
                                           .next_attempt = entry->next_attempt, .destination_hash = index_entry_hash(entry->destination)};
    int found = find_raw(index, sort_key);
    if (found < 0)
        return false;
    bool known = found && index_entry_read_facts(buffer_slice(&index->old), sort_key, &old);
    if (found && !known)
        index_bdb_count_damaged(index, sort_key);
    buffer_clear(&index->value);
    index_entry_encode(entry, &index->value);
    struct index_key key = index_bdb_entry_key(sort_key);
    int error = index_bdb_put_pair(index, index->entries, &key, buffer_slice(&index->value));
    if (!error)
        error = replace_key(index, known ? &old : NULL, &facts, sort_key);
    if (error) {
        index_bdb_failed(index, "put", error);
        return false;
    }
    index_bdb_account(index, known ? &old : NULL, &facts);
    return true;
}

/* A change that fails because the disk is full makes the index give up its reserve (index_bdb_failed): then one more try succeeds. */
enum { CHANGE_TRIES = 2 };

int index_put(struct index *index, const struct index_entry *entry)
{
    char key[QUEUE_ID_MAX];
    bool done = false;
    if (!queue_id_is_valid(entry->queue_id) || entry->place.segment == 0)
        log_panic("index_put: queue id \"" SLICE_FORMAT "\", segment %llu", SLICE_ARGS(entry->queue_id),
                  (unsigned long long)entry->place.segment);
    bool alone = index->depth == 0;
    for (int i = 0; i < CHANGE_TRIES && !done && (i == 0 || alone); i++) {
        index_write_begin(index);
        bool ok = !index->failed && put_in_transaction(index, entry, queue_id_sort_key(entry->queue_id, key));
        done = index_write_end_one(index) && ok;
    }
    return done ? 1 : -1;
}

/* ---- delete ------------------------------------------------------------------------------------------------------- */

static int delete_in_transaction(struct index *index, struct slice sort_key)
{
    struct index_entry_facts old;
    int found = find_raw(index, sort_key);
    if (found <= 0)
        return found;
    struct index_key key = index_bdb_entry_key(sort_key);
    int error = index_bdb_remove_pair(index, index->entries, &key);
    if (!index_entry_read_facts(buffer_slice(&index->old), sort_key, &old)) {
        index_bdb_count_damaged(index, sort_key);
    } else {
        key = index_bdb_key_of(&old, sort_key);
        if (!error && key.len)
            error = index_bdb_remove_pair(index, index->keys, &key);
        index_bdb_account_gone(index, &old);
    }
    if (error)
        index_bdb_failed(index, "delete", error);
    return error ? -1 : 1;
}

int index_delete(struct index *index, struct slice queue_id)
{
    char key[QUEUE_ID_MAX];
    int result = -1;
    bool alone = index->depth == 0;
    for (int i = 0; i < CHANGE_TRIES && result < 0 && (i == 0 || alone); i++) {
        index_write_begin(index);
        int deleted = index->failed ? -1 : delete_in_transaction(index, queue_id_sort_key(queue_id, key));
        result = index_write_end_one(index) ? deleted : -1;
    }
    return result;
}

/* ---- get ---------------------------------------------------------------------------------------------------------- */

static int decode_found(struct index *index, struct slice sort_key, struct arena *arena, struct index_entry *entry)
{
    struct slice bytes = slice_make(arena_copy(arena, index->old.data, index->old.len), index->old.len);
    if (index_entry_decode(bytes, sort_key, arena, entry))
        return 1;
    /* Its message is still in its segment: the store looks for it again. */
    index_bdb_count_damaged(index, sort_key);
    index_write_begin(index);
    struct index_key key = index_bdb_entry_key(sort_key);
    int error = index_bdb_remove_pair(index, index->entries, &key);
    if (error)
        index_bdb_failed(index, "drop a damaged entry", error);
    /* Undone or not: the entry is of no use either way. */
    (void)!index_write_end_one(index);
    return -1;
}

void index_test_spoil(struct index *index, struct slice sort_key)
{
    struct index_key key = index_bdb_entry_key(sort_key);
    if (index_bdb_get(index, index->entries, &key, &index->old) != 0 || index->old.len == 0)
        log_panic("index_test_spoil: no such entry");
    index->old.data[index->old.len / 2] ^= 1;
    index_write_begin(index);
    int error = index_bdb_put_pair(index, index->entries, &key, buffer_slice(&index->old));
    if (error)
        index_bdb_failed(index, "spoil", error);
    index_write_end(index);
}

int index_bdb_read_entry(struct index *index, struct slice sort_key, struct arena *arena, struct index_entry *entry)
{
    int found = find_raw(index, sort_key);
    return found > 0 ? decode_found(index, sort_key, arena, entry) : found;
}

int index_get(struct index *index, struct slice queue_id, struct arena *arena, struct index_entry *entry)
{
    char text[QUEUE_ID_MAX];
    return index_bdb_read_entry(index, queue_id_sort_key(queue_id, text), arena, entry);
}
