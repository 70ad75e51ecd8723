/* store_mark.c - marks in place, making them durable, reclaiming what is finished */
#include <fcntl.h>
#include <sys/stat.h>

#include "base/log.h"
#include "queue/store_private.h"

enum { FAILED_SYNCS_MAX = 3 };

/* ---- marks -------------------------------------------------------------------------------------------------------- */

bool store_mark_byte(struct store *store, const struct queue_place *place, uint64_t at, char value)
{
    struct store_segment *segment = store_segment_find(store, place->segment);
    if (!segment || at >= place->length || store_segment_fd(store, segment) < 0)
        return false;
    if (!segment_file_write(segment->fd, &value, 1, place->offset + at)) {
        log_error("segment %016llX: cannot mark: %s", (unsigned long long)segment->number, strerror(errno));
        return false;
    }
    segment->dirty = true;
    return true;
}

bool store_mark_recipient(struct store *store, const struct queue_place *place, size_t index, char state)
{
    return store_mark_byte(store, place, RECORD_RECIPIENTS_OFFSET + index, state);
}

bool store_mark_state(struct store *store, const struct queue_place *place, char state)
{
    return store_mark_byte(store, place, RECORD_STATE_OFFSET, state);
}

bool store_mark_warned(struct store *store, const struct queue_place *place)
{
    return store_mark_byte(store, place, RECORD_WARNED_OFFSET, 'W');
}

bool store_mark_expired(struct store *store, const struct queue_place *place)
{
    return store_mark_byte(store, place, RECORD_EXPIRED_OFFSET, 'E');
}

static void content_is_done(struct store_segment *segment, uint64_t number)
{
    segment->contents_done = memory_resize(segment->contents_done, (segment->contents_done_count + 1) * sizeof(*segment->contents_done));
    segment->contents_done[segment->contents_done_count++] = number;
}

bool store_mark_done(struct store *store, const struct queue_place *place)
{
    struct store_segment *segment = store_segment_find(store, place->segment);
    if (!segment || !store_mark_byte(store, place, RECORD_STATE_OFFSET, MESSAGE_STATE_DONE))
        return false;
    offset_set_remove(&segment->in_memory, place->offset);
    if (place->content_file)
        content_is_done(segment, place->content_file);
    return true;
}

/* ---- what the index says ------------------------------------------------------------------------------------------ */

static bool is_live(struct store *store, struct store_segment *segment, uint64_t offset)
{
    char state = 0;
    return store_segment_fd(store, segment) >= 0 && segment_file_read_now(segment->fd, &state, 1, offset + RECORD_STATE_OFFSET) == 1 &&
           (state == MESSAGE_STATE_LIVE || state == MESSAGE_STATE_HELD);
}

/* A message that got an entry may be forgotten by memory; one that lost its entry is either done, or memory's alone. */
void store_index_changed(void *context, uint64_t number, uint64_t offset, bool present)
{
    struct store *store = context;
    struct store_segment *segment = store_segment_find(store, number);
    if (!segment)
        return;
    if (present) {
        offset_set_remove(&segment->in_memory, offset);
    } else if (is_live(store, segment, offset)) {
        offset_set_add(&segment->in_memory, offset);
        /* The index must not claim to know it any more. */
        if (offset < segment->persisted && index_segment_put(store->index, number, offset) == 1)
            segment->persisted = offset;
    }
}

/* ---- sync --------------------------------------------------------------------------------------------------------- */

/* One segment in a round of syncing. */
struct round_item {
    struct store_segment *segment;
    int fd, error;        /* fd: -1 when it is not open */
    bool sync;            /* has marks to write */
    uint64_t read_until;  /* may be told to the index afterwards; 0: not now */
    uint64_t *contents;   /* may be removed afterwards */
    size_t content_count;
    bool finished;        /* may be removed afterwards */
};

struct round {
    struct store *store;
    struct round_item *items;
    size_t count;
};

static bool is_finished(struct store *store, const struct store_segment *segment)
{
    return segment->complete && segment->in_memory.count == 0 && segment->ahead_count == 0 && segment->users == 0 &&
           index_segment_count(store->index, segment->number) == 0 && store->cleaning != segment->number;
}

static void fill_item(struct store *store, struct round_item *item)
{
    struct store_segment *segment = item->segment;
    item->fd = segment->fd;
    item->sync = segment->dirty;
    segment->dirty = false;
    /* The index may be told when nothing in front of it lives in memory only: a restart would not find it. */
    if (segment->in_memory.count == 0 && segment->read_until != segment->persisted)
        item->read_until = segment->read_until;
    item->contents = segment->contents_done;
    item->content_count = segment->contents_done_count;
    segment->contents_done = NULL;
    segment->contents_done_count = 0;
    item->finished = is_finished(store, segment);
    segment->users++;
}

static void begin_round(struct store *store, struct round *round)
{
    size_t position = 0;
    struct slice key;
    void *value;
    round->store = store;
    round->items = memory_zalloc(map_count(store->segments) + 1, sizeof(*round->items));
    while (map_next(store->segments, &position, &key, &value)) {
        struct round_item *item = &round->items[round->count];
        item->segment = value;
        if (item->segment->dirty || item->segment->contents_done_count > 0 || is_finished(store, item->segment) ||
            (item->segment->in_memory.count == 0 && item->segment->read_until != item->segment->persisted)) {
            fill_item(store, item);
            round->count++;
        }
    }
}

static void sync_in_pool(void *arg)
{
    struct round *round = arg;
    for (size_t i = 0; i < round->count; i++) {
        struct round_item *item = &round->items[i];
        if (!item->sync)
            continue;
        int fd = item->fd >= 0 ? item->fd : segment_file_open(&round->store->directory, item->segment->number, O_RDWR);
        item->error = fd < 0 || segment_file_datasync(fd) < 0 ? errno : 0;
        if (fd >= 0 && item->fd < 0)
            close(fd);
    }
}

/* check_syncs - false when one failed: then nothing is removed, for the marks of one segment may be about copies in another. */
static bool check_syncs(struct round *round)
{
    bool all = true;
    for (size_t i = 0; i < round->count; i++) {
        struct store_segment *segment = round->items[i].segment;
        if (!round->items[i].error) {
            segment->failed_syncs = round->items[i].sync ? 0 : segment->failed_syncs;
            continue;
        }
        segment->dirty = true;
        log_error("segment %016llX: cannot make marks durable: %s", (unsigned long long)segment->number, strerror(round->items[i].error));
        /* A disk that does not take marks any more must not keep finished mail for ever: the removal says the same. */
        if (++segment->failed_syncs < FAILED_SYNCS_MAX)
            all = false;
    }
    return all;
}

/* tell_index - how far was read; when it cannot take that (the disk is full) the next round tries again. */
static void tell_index(struct round *round)
{
    struct index *index = round->store->index;
    index_write_begin(index);
    for (size_t i = 0; i < round->count; i++) {
        struct round_item *item = &round->items[i];
        if (item->read_until && (item->segment->in_memory.count > 0 || index_segment_put(index, item->segment->number, item->read_until) != 1))
            item->read_until = 0;
    }
    bool told = index_write_end_one(index);
    for (size_t i = 0; i < round->count && told; i++) {
        if (round->items[i].read_until)
            round->items[i].segment->persisted = round->items[i].read_until;
    }
}

static void remove_in_pool(void *arg)
{
    struct round *round = arg;
    const struct segment_directory *directory = &round->store->directory;
    for (size_t i = 0; i < round->count; i++) {
        struct round_item *item = &round->items[i];
        for (size_t c = 0; c < item->content_count && !item->finished; c++)
            content_file_remove(directory, item->segment->number, item->contents[c]);
        if (item->finished && !segment_file_remove(directory, item->segment->number))
            item->error = errno;
    }
}

static void forget_contents(struct store *store, const struct round_item *item)
{
    for (size_t c = 0; c < item->content_count; c++)
        store_content_forget(store, item->segment->number, item->contents[c]);
}

/* reclaim - remove what is finished, now that the marks are on disk. */
static void reclaim(struct round *round)
{
    struct store *store = round->store;
    bool any = false;
    for (size_t i = 0; i < round->count; i++) {
        struct round_item *item = &round->items[i];
        item->segment->users--;
        item->finished = item->finished && is_finished(store, item->segment) && !item->segment->dirty;
        item->segment->users++;
        forget_contents(store, item);
        any |= item->finished || item->content_count > 0;
    }
    if (any)
        segment_file_work(remove_in_pool, round);
    for (size_t i = 0; i < round->count; i++) {
        struct round_item *item = &round->items[i];
        item->segment->users--;
        if (!item->finished || item->error)
            continue;
        index_segment_delete(store->index, item->segment->number);
        store_segment_forget(store, item->segment);
    }
}

/* put_back - contents whose removal has to wait for a better sync. */
static void put_back(struct round *round)
{
    for (size_t i = 0; i < round->count; i++) {
        for (size_t c = 0; c < round->items[i].content_count; c++)
            content_is_done(round->items[i].segment, round->items[i].contents[c]);
        round->items[i].segment->users--;
    }
}

static void run_round(struct store *store)
{
    struct round round = {0};
    begin_round(store, &round);
    if (round.count > 0) {
        segment_file_work(sync_in_pool, &round);
        if (check_syncs(&round)) {
            tell_index(&round);
            reclaim(&round);
        } else {
            put_back(&round);
        }
    }
    for (size_t i = 0; i < round.count; i++)
        free(round.items[i].contents);
    free(round.items);
}

/* read_on - segments with nothing alive may be closed by now: read to their ends, so that they can go. */
static void read_on(struct store *store)
{
    size_t position = 0;
    struct slice key;
    void *value;
    while (map_next(store->segments, &position, &key, &value)) {
        struct store_segment *segment = value;
        if (!segment->complete && segment->in_memory.count == 0 && index_segment_count(store->index, segment->number) == 0)
            store_scan_segment(store, segment);
    }
}

void store_sync(struct store *store)
{
    store_take(store);
    read_on(store);
    run_round(store);
    store_give(store);
    index_maintain(store->index);
}

/* ---- dropping everything ------------------------------------------------------------------------------------------ */

/* drop_indexed - mark what has an index entry between two offsets of a segment where other messages live. */
static void drop_indexed(struct store *store, struct store_segment *segment, uint64_t offset, uint64_t end)
{
    struct record_header header;
    while (offset && offset < end && store_segment_fd(store, segment) >= 0) {
        if (!record_header_read(segment->fd, segment->number, offset, &header)) {
            offset = record_find(segment->fd, segment->number, offset + 8);
            continue;
        }
        struct queue_place place = record_place(&header);
        if ((header.state == MESSAGE_STATE_LIVE || header.state == MESSAGE_STATE_HELD) && !offset_set_has(&segment->in_memory, offset))
            store_mark_done(store, &place);
        offset += header.length;
    }
}

static void drop_from_segment(struct store *store, struct store_segment *segment)
{
    segment->users++;
    drop_indexed(store, segment, SEGMENT_HEADER_SIZE, segment->read_until);
    for (size_t i = 0; i < segment->ahead_count; i++)
        drop_indexed(store, segment, segment->ahead[i].from, segment->ahead[i].to);
    segment->users--;
}

struct drop {
    const struct segment_directory *directory;
    uint64_t *numbers; /* of segments that go as a whole */
    size_t count;
};

static void drop_in_pool(void *arg)
{
    struct drop *drop = arg;
    for (size_t i = 0; i < drop->count; i++)
        segment_file_remove(drop->directory, drop->numbers[i]);
}

/* drop_from_all - marks where others live; the rest is forgotten and goes as a whole. */
static void drop_from_all(struct store *store, struct drop *drop)
{
    size_t position = 0;
    struct slice key;
    void *value;
    while (map_next(store->segments, &position, &key, &value)) {
        struct store_segment *segment = value;
        if (index_segment_count(store->index, segment->number) == 0)
            continue;
        if (segment->complete && segment->in_memory.count == 0 && segment->ahead_count == 0 && segment->users == 0) {
            drop->numbers[drop->count++] = segment->number;
            store_segment_forget(store, segment);
        } else {
            drop_from_segment(store, segment);
        }
    }
}

/* Segments go before the index: entries without a segment are dropped by recovery, segments without entries would be new mail. */
uint64_t store_drop_all(struct store *store)
{
    store_take(store);
    uint64_t count = index_count(store->index, INDEX_DEFERRED) + index_count(store->index, INDEX_HOLD) + index_count(store->index, INDEX_INCOMING);
    struct drop drop = {&store->directory, memory_zalloc(map_count(store->segments) + 1, sizeof(uint64_t)), 0};
    drop_from_all(store, &drop);
    segment_file_work(drop_in_pool, &drop);
    free(drop.numbers);
    store->cleaning = 0;
    index_drop_all(store->index);
    size_t position = 0;
    struct slice key;
    void *value;
    while (map_next(store->segments, &position, &key, &value))
        ((struct store_segment *)value)->persisted = 0;
    store_give(store);
    return count;
}
