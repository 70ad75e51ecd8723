/* index_bdb_scan.c - walking in one of the orders: keys are fetched in groups, each group from behind the last key, so that nothing is
   held between two steps */
#include "queue/index_bdb.h"

enum { GROUP = 64 };

struct index_scan {
    struct index *index;
    enum index_order order;
    enum index_queue queue;
    char *text;               /* destination or sender */
    struct index_key prefix;  /* all keys of the walk begin so */
    struct index_key from;    /* where the next group begins */
    struct index_key group[GROUP];
    size_t at, count;
    bool ended;
};

static struct index_key prefix_of(enum index_order order, enum index_queue queue, struct slice text)
{
    struct slice nothing = SLICE("");
    if (order == INDEX_BY_ID)
        return index_bdb_entry_key(queue, nothing);
    if (order == INDEX_BY_DESTINATION)
        return index_bdb_order_key('d', queue, index_entry_hash(text), nothing);
    if (order == INDEX_BY_SENDER)
        return index_bdb_order_key('s', queue, index_entry_hash(text), nothing);
    struct index_key key = index_bdb_order_key('n', queue, 0, nothing);
    key.len = 2;
    return key;
}

struct index_scan *index_scan_start(struct index *index, enum index_order order, enum index_queue queue, struct slice key)
{
    struct index_scan *scan = memory_zalloc(1, sizeof(*scan));
    scan->index = index;
    scan->order = order;
    scan->queue = queue;
    scan->text = slice_string(key);
    scan->prefix = scan->from = prefix_of(order, queue, key);
    return scan;
}

void index_scan_free(struct index_scan *scan)
{
    if (!scan)
        return;
    free(scan->text);
    free(scan);
}

static bool in_walk(const struct index_scan *scan, const struct index_key *key)
{
    return key->len > scan->prefix.len && memcmp(key->bytes, scan->prefix.bytes, scan->prefix.len) == 0;
}

/* fetch_group - 0 or an error. */
static int fetch_group(struct index_scan *scan)
{
    DB *db = scan->order == INDEX_BY_ID ? scan->index->entries : scan->index->keys;
    DBC *cursor;
    int error = db->cursor(db, scan->index->txn, &cursor, 0);
    if (error)
        return error;
    u_int32_t step = DB_SET_RANGE;
    struct index_key key = scan->from;
    scan->at = scan->count = 0;
    while (scan->count < GROUP) {
        DBT k = {.data = key.bytes, .size = (u_int32_t)key.len, .ulen = sizeof(key.bytes), .flags = DB_DBT_USERMEM};
        DBT v = {.flags = DB_DBT_PARTIAL | DB_DBT_USERMEM};
        error = cursor->get(cursor, &k, &v, step);
        key.len = k.size;
        if (error || !in_walk(scan, &key))
            break;
        scan->group[scan->count++] = key;
        step = DB_NEXT;
    }
    cursor->close(cursor);
    scan->ended = error || scan->count < GROUP;
    if (scan->count > 0) {
        scan->from = scan->group[scan->count - 1];
        /* A zero byte behind: the smallest greater key.  Sort keys are shorter than the room by that byte. */
        scan->from.bytes[scan->from.len++] = 0;
    }
    return error == DB_NOTFOUND ? 0 : error;
}

/* still_belongs - the entry may have changed since its key was fetched; and hashes may meet. */
static bool still_belongs(const struct index_scan *scan, const struct index_key *key, const struct index_entry *entry)
{
    switch (scan->order) {
    case INDEX_BY_DESTINATION:
        return slice_equal(entry->destination, slice_of(scan->text));
    case INDEX_BY_SENDER:
        return slice_equal(entry->sender, slice_of(scan->text));
    case INDEX_BY_NEXT_ATTEMPT: {
        uint64_t next = 0;
        for (int i = 0; i < 8; i++)
            next = next << 8 | key->bytes[2 + i];
        return next == (uint64_t)(entry->next_attempt > 0 ? entry->next_attempt : 0);
    }
    case INDEX_BY_ID:
        break;
    }
    return true;
}

int index_scan_next(struct index_scan *scan, struct arena *arena, struct index_entry *entry)
{
    size_t skip = scan->order == INDEX_BY_ID ? 1 : 10;
    for (;;) {
        while (scan->at < scan->count) {
            const struct index_key *key = &scan->group[scan->at++];
            if (key->len <= skip || key->len - skip >= QUEUE_ID_MAX)
                continue;
            struct slice sort_key = slice_make(key->bytes + skip, key->len - skip);
            if (index_bdb_read_entry(scan->index, scan->queue, sort_key, arena, entry) > 0 && still_belongs(scan, key, entry))
                return 1;
        }
        if (scan->ended)
            return 0;
        int error = fetch_group(scan);
        if (error) {
            index_bdb_failed(scan->index, "scan", error);
            scan->ended = true;
            return -1;
        }
    }
}
