/* store_clean.c - the cleaner: a segment that is old and mostly done gives its survivors to a current one, then it goes

   The copy has a higher generation and names its origin.  Order: the copy is durable; the index points to it; the origin is marked done.
   Interrupted anywhere, the next start finds either no complete copy (the origin lives) or a complete one (retire_origin). */
#include <sys/stat.h>

#include "base/log.h"
#include "queue/store_private.h"

typedef void moved_function(void *context, struct slice queue_id, const struct queue_place *from, const struct queue_place *to);

enum { SURVIVORS_MAX = 256, PIECE = 32, SMALL_SEGMENT = 1 << 20, MANY_SEGMENTS = 64 };
#define AGAIN_AFTER (3600 * MICROSECONDS)

/* ---- which segment ------------------------------------------------------------------------------------------------ */

/* is_worth_it - much room for few survivors; or one of too many small segments. */
static bool is_worth_it(struct store *store, struct store_segment *segment)
{
    struct stat status;
    uint64_t survivors = index_segment_count(store->index, segment->number);
    if (!segment->complete || segment->in_memory.count > 0 || segment->ahead_count > 0 || survivors == 0 || survivors > SURVIVORS_MAX)
        return false;
    if (segment->clean_not_before > clock_monotonic() || (int64_t)segment->number + store->clean_age > clock_wall() ||
        store_segment_fd(store, segment) < 0 || fstat(segment->fd, &status) < 0)
        return false;
    if (status.st_size < SMALL_SEGMENT)
        return map_count(store->segments) > MANY_SEGMENTS;
    return (uint64_t)status.st_size / survivors >= 64 << 10;
}

static struct store_segment *choose(struct store *store)
{
    size_t position = 0;
    struct slice key;
    void *value;
    struct store_segment *segment = store->cleaning ? store_segment_find(store, store->cleaning) : NULL;
    if (segment)
        return segment;
    store->cleaning = 0;
    while (map_next(store->segments, &position, &key, &value)) {
        segment = value;
        if (is_worth_it(store, segment)) {
            store->cleaning = segment->number;
            store->clean_offset = SEGMENT_HEADER_SIZE;
            return segment;
        }
    }
    return NULL;
}

/* ---- one survivor ------------------------------------------------------------------------------------------------- */

/* mutable_bytes - state, warned, expired and the recipient states, as they are now. */
static bool mutable_bytes(int fd, const struct record_header *header, char *bytes)
{
    size_t len = RECORD_RECIPIENTS_OFFSET - RECORD_STATE_OFFSET + header->recipient_count;
    return segment_file_read_now(fd, bytes, len, header->offset + RECORD_STATE_OFFSET) == (ssize_t)len;
}

/* carry_over - marks that were made while the copy was on its way to the disk.  Does not wait, nor may anything until the owner knows
   the new place. */
static bool carry_over(struct store *store, const struct record_header *origin, int origin_fd, const char *copied, const struct queue_place *copy)
{
    struct store_segment *to = store_segment_learn(store, copy->segment);
    size_t len = RECORD_RECIPIENTS_OFFSET - RECORD_STATE_OFFSET + origin->recipient_count;
    char *now = memory_alloc(len);
    bool ok = to && store_segment_fd(store, to) >= 0 && mutable_bytes(origin_fd, origin, now);
    if (ok && memcmp(now, copied, len) != 0) {
        ok = segment_file_write(to->fd, now, len, copy->offset + RECORD_STATE_OFFSET);
        to->dirty = true;
    }
    free(now);
    return ok;
}

struct survivor {
    struct record_header header;
    struct queue_record record;
    char *bytes;  /* the whole record, without a content of its own file */
    size_t length;
};

static bool load(struct store_segment *segment, uint64_t offset, struct arena *arena, struct survivor *survivor)
{
    if (!record_header_read(segment->fd, segment->number, offset, &survivor->header))
        return false;
    survivor->length = (size_t)survivor->header.length;
    survivor->bytes = arena_alloc(arena, survivor->length);
    return segment_file_read(segment->fd, survivor->bytes, survivor->length, offset) == (ssize_t)survivor->length &&
           record_parse(&survivor->header, slice_make(survivor->bytes, survivor->length), arena, &survivor->record);
}

static struct new_record as_new(struct survivor *survivor)
{
    const struct record_header *old = &survivor->header;
    struct new_record record = {
        .header = *old,
        .states = slice_make(survivor->bytes + RECORD_RECIPIENTS_OFFSET, old->recipient_count),
        .envelope = slice_make(survivor->bytes + record_envelope_offset(old), old->envelope_length),
        .content_segment = old->content_file ? old->segment : 0,
        .keep_content = true,
    };
    if (!old->content_file)
        record.content = slice_make(survivor->bytes + record_content_offset(old), (size_t)old->content_length);
    record.header.generation++;
    record.header.origin_segment = old->segment;
    record.header.origin_offset = old->offset;
    return record;
}

/* settle - the copy is durable: the index, then the owner, then the origin. */
static bool settle(struct store *store, struct store_segment *from, struct survivor *survivor, const struct queue_place *copy, struct arena *arena,
                   moved_function *moved, void *context)
{
    struct index_entry entry;
    struct queue_place origin = record_place(&survivor->header);
    struct store_segment *to = store_segment_learn(store, copy->segment);
    if (!to || !carry_over(store, &survivor->header, from->fd, survivor->bytes + RECORD_STATE_OFFSET, copy))
        return false;
    store_segment_note(to, copy->offset, copy->offset + copy->length);
    if (index_get(store->index, survivor->record.envelope.queue_id, arena, &entry) == 1 && entry.place.segment == origin.segment &&
        entry.place.offset == origin.offset) {
        entry.place = *copy;
        if (index_put(store->index, &entry) != 1) {
            store_mark_done(store, copy);
            return false;
        }
        if (moved)
            moved(context, survivor->record.envelope.queue_id, &origin, copy);
    } else {
        store_mark_done(store, copy); /* it ended meanwhile */
    }
    store_mark_done(store, &origin);
    return true;
}

static struct segment_writer *copier(struct store *store)
{
    if (!store->copier) {
        store->copier = segment_writer_open(&store->copier_options);
        if (store->copier)
            store->copier->kind = SEGMENT_KIND_COPIES;
    }
    return store->copier;
}

static bool is_indexed_here(struct store *store, const struct survivor *survivor, struct arena *arena)
{
    struct index_entry entry;
    return index_get(store->index, survivor->record.envelope.queue_id, arena, &entry) == 1 &&
           entry.place.segment == survivor->header.segment && entry.place.offset == survivor->header.offset;
}

/* move_one - false: cleaning this segment has to stop. */
static bool move_one(struct store *store, struct store_segment *from, uint64_t offset, struct arena *arena, moved_function *moved,
                     void *context)
{
    struct survivor survivor;
    struct queue_place copy;
    if (!load(from, offset, arena, &survivor) || !is_indexed_here(store, &survivor, arena))
        return true; /* damaged, or not the index's: it stays, and so does the segment */
    struct segment_writer *writer = copier(store);
    struct new_record record = as_new(&survivor);
    if (!writer || segment_writer_append(writer, &record, &copy) < 0) {
        log_warning("segment %016llX: cannot move a message: %s", (unsigned long long)from->number, strerror(errno));
        return false;
    }
    return settle(store, from, &survivor, &copy, arena, moved, context);
}

/* ---- a piece of work ---------------------------------------------------------------------------------------------- */

static bool next_live(struct store_segment *segment, uint64_t *offset, uint64_t *end)
{
    struct record_header header;
    while (*offset && *offset < segment->read_until) {
        if (!record_header_read(segment->fd, segment->number, *offset, &header)) {
            *offset = record_find(segment->fd, segment->number, *offset + 8);
            continue;
        }
        *end = *offset + header.length;
        if (header.state == MESSAGE_STATE_LIVE || header.state == MESSAGE_STATE_HELD)
            return true;
        *offset = *end;
    }
    return false;
}

void store_idle_work(struct store *store, void (*moved)(void *context, struct slice queue_id, const struct queue_place *from,
                     const struct queue_place *to), void *context)
{
    store_take(store);
    if (store_needs_audit(store))
        store_audit(store);
    struct store_segment *segment = choose(store);
    if (segment && store_segment_fd(store, segment) >= 0) {
        struct arena *arena = arena_new(0);
        uint64_t end = 0;
        bool more = true;
        segment->users++;
        for (int n = 0; n < PIECE && more; n++) {
            more = next_live(segment, &store->clean_offset, &end);
            if (more && !move_one(store, segment, store->clean_offset, arena, moved, context))
                more = false;
            store->clean_offset = end;
            arena_reset(arena);
        }
        segment->users--;
        arena_free(arena);
        if (!more) {
            /* What is left, if anything, cannot be moved now. */
            segment->clean_not_before = clock_after(AGAIN_AFTER);
            store->cleaning = 0;
        }
    }
    store_give(store);
}
