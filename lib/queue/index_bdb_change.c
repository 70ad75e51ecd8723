/* index_bdb_change.c - the same change for many entries: a cursor walks over the entries and writes over some bytes of each; what has to go from
   keys.db is collected and deleted in its order, which costs half of what random deletions do */
#include "queue/index_bdb.h"

enum {
    PIECE = 500,       /* entries changed at once */
    STEPS_MAX = 5000   /* and looked at */
};

struct piece {
    struct index *index;
    const struct index_change *change;
    bool (*choose)(void *context, struct slice queue_id, const struct queue_place *place);
    void *context;
    enum index_queue queue;
    DBC *cursor;
    struct index_key key; /* of the entry the cursor is at */
    struct index_key gone[PIECE], come[PIECE]; /* of keys.db */
    size_t gone_count, come_count, changed;
};

static int by_bytes(const void *a, const void *b)
{
    const struct index_key *left = a, *right = b;
    int order = memcmp(left->bytes, right->bytes, left->len < right->len ? left->len : right->len);
    return order ? order : left->len < right->len ? -1 : left->len > right->len;
}

/* read_whole - the entry the cursor is at into index->old: 0 or an error. */
static int read_whole(struct piece *piece)
{
    struct buffer *out = &piece->index->old;
    for (size_t room = 1024;;) {
        buffer_clear(out);
        if (!buffer_reserve(out, room))
            return ENOMEM;
        room = out->capacity - 1;
        DBT k = index_bdb_in(piece->key.bytes, piece->key.len), v = {.data = out->data, .ulen = (u_int32_t)room, .flags = DB_DBT_USERMEM};
        k.ulen = sizeof(piece->key.bytes);
        int error = piece->cursor->get(piece->cursor, &k, &v, DB_CURRENT);
        if (error == DB_BUFFER_SMALL && v.size > room) {
            room = v.size;
            continue;
        }
        if (error == 0)
            buffer_commit(out, v.size);
        return error;
    }
}

static int write_over(struct piece *piece)
{
    struct buffer *bytes = &piece->index->old;
    DBT k = index_bdb_in(piece->key.bytes, piece->key.len), v = index_bdb_in(bytes->data, bytes->len);
    return piece->cursor->put(piece->cursor, &k, &v, DB_CURRENT);
}

static void note_keys(struct piece *piece, const struct index_entry_facts *old, const struct index_entry_facts *facts, struct slice sort_key)
{
    struct index_key before = index_bdb_key_of(old, sort_key), after = {.len = 0};
    if (facts)
        after = index_bdb_key_of(facts, sort_key);
    if (index_bdb_same_key(&before, &after))
        return;
    if (before.len)
        piece->gone[piece->gone_count++] = before;
    if (after.len)
        piece->come[piece->come_count++] = after;
}

/* change_this - the entry the cursor is at: 0 or an error. */
static int change_this(struct piece *piece)
{
    struct index *index = piece->index;
    struct slice sort_key = slice_make(piece->key.bytes, piece->key.len);
    struct index_entry_facts old, facts;
    int error = read_whole(piece);
    if (error)
        return error;
    if (!index_entry_read_facts(buffer_slice(&index->old), sort_key, &old)) {
        index_bdb_count_damaged(index, sort_key); /* who reads it deletes it */
        return 0;
    }
    struct queue_place place = index_entry_place(buffer_slice(&index->old));
    if (!piece->choose(piece->context, index_entry_id(buffer_slice(&index->old)), &place))
        return 0;
    piece->changed++;
    if (piece->change->remove) {
        note_keys(piece, &old, NULL, sort_key);
        index_bdb_account_gone(index, &old);
        return piece->cursor->del(piece->cursor, 0);
    }
    if (!index_entry_patch(&index->old, sort_key, piece->change) || !index_entry_read_facts(buffer_slice(&index->old), sort_key, &facts))
        return 0;
    note_keys(piece, &old, &facts, sort_key);
    index_bdb_account(index, &old, &facts);
    return write_over(piece);
}

/* walk - 1: there may be more, 0: the end, -1: *error. */
static int walk(struct piece *piece, int *error)
{
    u_int32_t step = DB_SET_RANGE;
    for (unsigned steps = 0; piece->changed < PIECE && steps < STEPS_MAX; steps++) {
        uint8_t queue = 0;
        DBT k = {.data = piece->key.bytes, .size = (u_int32_t)piece->key.len, .ulen = sizeof(piece->key.bytes), .flags = DB_DBT_USERMEM};
        DBT v = {.data = &queue, .ulen = 1, .dlen = 1, .doff = INDEX_ENTRY_QUEUE_OFFSET, .flags = DB_DBT_PARTIAL | DB_DBT_USERMEM};
        *error = piece->cursor->get(piece->cursor, &k, &v, step);
        if (*error)
            return *error == DB_NOTFOUND ? 0 : -1;
        piece->key.len = k.size;
        step = DB_NEXT;
        if (queue == piece->queue && piece->key.len < QUEUE_ID_MAX && (*error = change_this(piece)) != 0)
            return -1;
    }
    return 1;
}

static int change_keys(struct piece *piece)
{
    struct index *index = piece->index;
    int error = 0;
    qsort(piece->gone, piece->gone_count, sizeof(piece->gone[0]), by_bytes);
    qsort(piece->come, piece->come_count, sizeof(piece->come[0]), by_bytes);
    for (size_t i = 0; i < piece->gone_count && !error; i++)
        error = index_bdb_remove_pair(index, index->keys, &piece->gone[i]);
    for (size_t i = 0; i < piece->come_count && !error; i++)
        error = index_bdb_put_pair(index, index->keys, &piece->come[i], SLICE(""));
    return error;
}

/* try_piece - as index_change_some. */
static int try_piece(struct piece *piece)
{
    struct index *index = piece->index;
    int result = -1;
    index_write_begin(index);
    int error = index->failed ? 0 : index->entries->cursor(index->entries, index->txn, &piece->cursor, 0);
    if (!error && !index->failed) {
        result = walk(piece, &error);
        piece->cursor->close(piece->cursor);
        error = result < 0 ? error : change_keys(piece);
    }
    if (error)
        index_bdb_failed(index, "change", error);
    return index_write_end_one(index) && !error ? result : -1;
}

int index_change_some(struct index_scan *scan, const struct index_change *change,
                      bool (*choose)(void *context, struct slice queue_id, const struct queue_place *place), void *context, uint64_t *changed)
{
    struct piece *piece = memory_alloc(sizeof(*piece));
    int result = -1;
    /* Twice: a failure makes the index give up its reserve (index_bdb_failed). */
    for (int i = 0; i < 2 && result < 0; i++) {
        *piece = (struct piece){.index = index_bdb_scan_index(scan), .change = change, .choose = choose, .context = context,
                                .queue = index_bdb_scan_queue(scan), .key = index_bdb_scan_position(scan)};
        result = try_piece(piece);
    }
    if (result >= 0) {
        *changed += piece->changed;
        if (piece->key.len < INDEX_KEY_MAX)
            piece->key.bytes[piece->key.len++] = 0; /* the smallest greater key */
        index_bdb_scan_move(scan, &piece->key);
    }
    free(piece);
    return result;
}
