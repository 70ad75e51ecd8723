/* index_bdb_scan.c - walking in one of the orders: keys are fetched in groups, each group from behind the last key, so that nothing is
   held between two steps */
#include "queue/index_bdb.h"

#include "base/log.h"

enum { GROUP = 64, STEPS_MAX = 4096 /* over entries of other queues, at once */ };

struct index_scan {
    struct index *index;
    enum index_order order;
    enum index_queue queue;
    char *text;               /* destination */
    struct index_key prefix;  /* all keys of the walk begin so */
    struct index_key from;    /* where the next group begins */
    struct index_key group[GROUP];
    size_t at, count;
    bool ended;
};

static struct index_key prefix_of(enum index_order order, struct slice text)
{
    struct index_key key = {.len = 0};
    if (order == INDEX_BY_DESTINATION)
        return index_bdb_order_key('d', index_entry_hash(text), SLICE(""));
    if (order == INDEX_BY_NEXT_ATTEMPT)
        key = (struct index_key){{'n'}, 1};
    return key;
}

struct index_scan *index_scan_start(struct index *index, enum index_order order, enum index_queue queue, struct slice key)
{
    if ((order == INDEX_BY_NEXT_ATTEMPT && queue != INDEX_DEFERRED) || (order == INDEX_BY_DESTINATION && queue != INDEX_INCOMING))
        log_panic("index: queue %c has no such order", queue);
    struct index_scan *scan = memory_zalloc(1, sizeof(*scan));
    scan->index = index;
    scan->order = order;
    scan->queue = queue;
    scan->text = slice_string(key);
    scan->prefix = scan->from = prefix_of(order, key);
    return scan;
}

void index_scan_free(struct index_scan *scan)
{
    if (!scan)
        return;
    free(scan->text);
    free(scan);
}

struct index *index_bdb_scan_index(const struct index_scan *scan)
{
    return scan->index;
}

enum index_queue index_bdb_scan_queue(const struct index_scan *scan)
{
    return scan->queue;
}

struct index_key index_bdb_scan_position(const struct index_scan *scan)
{
    return scan->from;
}

void index_bdb_scan_move(struct index_scan *scan, const struct index_key *from)
{
    scan->from = *from;
}

static bool in_walk(const struct index_scan *scan, const struct index_key *key)
{
    return key->len > scan->prefix.len && memcmp(key->bytes, scan->prefix.bytes, scan->prefix.len) == 0;
}

/* walk - fill the group: 0 or an error.  last: the last key that was seen. */
static int walk(struct index_scan *scan, DBC *cursor, struct index_key *last)
{
    bool by_id = scan->order == INDEX_BY_ID;
    u_int32_t step = DB_SET_RANGE;
    struct index_key key = scan->from;
    for (unsigned steps = 0; scan->count < GROUP && steps < STEPS_MAX; steps++) {
        uint8_t queue = 0;
        DBT k = {.data = key.bytes, .size = (u_int32_t)key.len, .ulen = sizeof(key.bytes), .flags = DB_DBT_USERMEM};
        DBT v = {.flags = DB_DBT_PARTIAL | DB_DBT_USERMEM};
        if (by_id)
            v = (DBT){.data = &queue, .ulen = 1, .dlen = 1, .doff = INDEX_ENTRY_QUEUE_OFFSET, .flags = DB_DBT_PARTIAL | DB_DBT_USERMEM};
        int error = cursor->get(cursor, &k, &v, step);
        key.len = k.size;
        scan->ended = error || !in_walk(scan, &key);
        if (scan->ended)
            return error == DB_NOTFOUND ? 0 : error;
        *last = key;
        if (!by_id || queue == scan->queue)
            scan->group[scan->count++] = key;
        step = DB_NEXT;
    }
    return 0;
}

/* fetch_group - 0 or an error. */
static int fetch_group(struct index_scan *scan)
{
    DB *db = scan->order == INDEX_BY_ID ? scan->index->entries : scan->index->keys;
    DBC *cursor;
    int error = db->cursor(db, scan->index->txn, &cursor, 0);
    if (error)
        return error;
    struct index_key last = {.len = 0};
    scan->at = scan->count = 0;
    error = walk(scan, cursor, &last);
    cursor->close(cursor);
    if (last.len > 0) {
        scan->from = last;
        /* A zero byte behind: the smallest greater key.  Sort keys are shorter than the room by that byte. */
        scan->from.bytes[scan->from.len++] = 0;
    }
    return error;
}

/* still_belongs - the entry may have changed since its key was fetched; and hashes may meet. */
static bool still_belongs(const struct index_scan *scan, const struct index_key *key, const struct index_entry *entry)
{
    if (entry->queue != scan->queue)
        return false;
    if (scan->order == INDEX_BY_DESTINATION)
        return slice_equal(entry->destination, slice_of(scan->text));
    if (scan->order == INDEX_BY_ID)
        return true;
    uint64_t next = 0;
    for (int i = 0; i < 8; i++)
        next = next << 8 | key->bytes[1 + i];
    return next == (uint64_t)(entry->next_attempt > 0 ? entry->next_attempt : 0);
}

int index_scan_next(struct index_scan *scan, struct arena *arena, struct index_entry *entry)
{
    size_t skip = scan->order == INDEX_BY_ID ? 0 : 9;
    for (;;) {
        while (scan->at < scan->count) {
            const struct index_key *key = &scan->group[scan->at++];
            if (key->len <= skip || key->len - skip >= QUEUE_ID_MAX)
                continue;
            struct slice sort_key = slice_make(key->bytes + skip, key->len - skip);
            if (index_bdb_read_entry(scan->index, sort_key, arena, entry) > 0 && still_belongs(scan, key, entry))
                return 1;
        }
        if (scan->ended || index_count(scan->index, scan->queue) == 0)
            return 0;
        bool stepped_over = scan->order == INDEX_BY_ID && scan->count == 0 && scan->from.len > 0;
        if (stepped_over && !scan->index->txn && fiber_current())
            fiber_yield();
        int error = fetch_group(scan);
        if (error) {
            index_bdb_failed(scan->index, "scan", error);
            scan->ended = true;
            return -1;
        }
    }
}
