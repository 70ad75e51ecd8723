/* store_scan.c - reading segments: at start, at their tails, and all over again when index entries were lost */
#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "base/log.h"
#include "queue/store_private.h"

enum { ARENA_KEPT = 64 << 10, YIELD_AFTER = 64 };
#define DAMAGE_PATIENCE (2 * MICROSECONDS) /* a live writer may be about to write over what looks damaged */
#define LEFTOVER_AGE 3600                  /* seconds */

/* ---- copies by the cleaner and their origins ---------------------------------------------------------------------- */

static bool same_place(const struct queue_place *a, uint64_t segment, uint64_t offset)
{
    return a->segment == segment && a->offset == offset;
}

/* retire_origin - the copy is complete, so it wins: its origin is done, wherever the cleaner was interrupted. */
static void retire_origin(struct store *store, const struct record_header *copy)
{
    struct store_segment *origin = store_segment_learn(store, copy->origin_segment);
    struct record_header header;
    if (!origin || store_segment_fd(store, origin) < 0)
        return;
    origin->users++;
    bool alive = record_header_read(origin->fd, origin->number, copy->origin_offset, &header) &&
                 (header.state == MESSAGE_STATE_LIVE || header.state == MESSAGE_STATE_HELD) && strcmp(header.queue_id, copy->queue_id) == 0 &&
                 header.generation < copy->generation;
    struct queue_place place = record_place(&header);
    if (alive)
        store_mark_done(store, &place);
    origin->users--;
}

/* has_newer_copy - the index points to a copy of this record. */
static bool has_newer_copy(struct store *store, const struct queue_place *place, const struct queue_place *indexed)
{
    struct store_segment *segment = store_segment_learn(store, indexed->segment);
    struct record_header header;
    if (!segment || store_segment_fd(store, segment) < 0)
        return false;
    segment->users++;
    bool newer = record_header_read(segment->fd, segment->number, indexed->offset, &header) && header.origin_segment == place->segment &&
                 header.origin_offset == place->offset;
    segment->users--;
    return newer;
}

/* ---- one record --------------------------------------------------------------------------------------------------- */

/* indexed_elsewhere - the index has an entry for this id at another place: true when this record needs nothing more. */
static bool indexed_elsewhere(struct store *store, const struct record_header *header, const struct queue_record *record, struct index_entry *entry)
{
    if (header->generation > 0 && same_place(&entry->place, header->origin_segment, header->origin_offset)) {
        entry->place = record->place;
        return index_put(store->index, entry) == 1;
    }
    if (has_newer_copy(store, &record->place, &entry->place)) {
        store_mark_done(store, &record->place);
        return true;
    }
    log_warning("%s: a second message with this queue id", header->queue_id);
    return false;
}

/* take_live - a live record: known to the index, to memory, or new. */
static void take_live(struct store *store, struct store_segment *segment, const struct record_header *header,
                      const struct queue_record *record, struct arena *arena)
{
    struct index_entry entry;
    if (offset_set_has(&segment->in_memory, record->place.offset))
        return;
    int found = index_get(store->index, record->envelope.queue_id, arena, &entry);
    bool here = found == 1 && same_place(&entry.place, record->place.segment, record->place.offset);
    if (here || (found == 1 && indexed_elsewhere(store, header, record, &entry)))
        return;
    /* has_newer_copy may have waited, and cleanup may have told us of it meanwhile. */
    if (store_segment_knows(segment, record->place.offset))
        return;
    store_segment_note(segment, record->place.offset, record->place.offset + record->place.length);
    offset_set_add(&segment->in_memory, record->place.offset);
    if (store->events && store->events->found)
        store->events->found(store->context, record);
}

static bool check_content(struct store *store, struct store_segment *segment, const struct queue_record *record)
{
    if (!record->place.content_file)
        return record_check_content(segment->fd, record);
    int fd = content_file_open(&store->directory, segment->number, record->place.content_file);
    bool whole = fd >= 0 && record_check_content(fd, record);
    if (fd >= 0)
        close(fd);
    return whole;
}

/* take - an intact record that nobody has told us of. */
static void take(struct store *store, struct store_segment *segment, struct queue_record *record, struct arena *arena)
{
    struct record_header header;
    bool alive = record->state == MESSAGE_STATE_LIVE || record->state == MESSAGE_STATE_HELD;
    if (!record_header_read(segment->fd, segment->number, record->place.offset, &header))
        return;
    if (header.origin_segment && record->state != MESSAGE_STATE_DEAD)
        retire_origin(store, &header);
    if (!alive)
        return;
    bool whole = check_content(store, segment, record);
    if (store_segment_knows(segment, record->place.offset))
        return;
    if (!whole)
        store_set_aside(store, segment, &record->place, header.queue_id, true, "damaged content");
    else
        take_live(store, segment, &header, record, arena);
}

/* ---- one segment -------------------------------------------------------------------------------------------------- */

/* damaged - true: reading can go on behind it. */
static bool damaged(struct store *store, struct store_segment *segment, const struct queue_record *record, uint64_t next)
{
    uint64_t offset = record->place.offset;
    if (!segment->closed) {
        if (segment->damage_seen != offset) {
            segment->damage_seen = offset;
            segment->damage_seen_at = clock_monotonic();
        }
        if (clock_monotonic() - segment->damage_seen_at < DAMAGE_PATIENCE)
            return false;
    }
    store_set_aside(store, segment, &record->place, NULL, false, "damaged record");
    if (store_segment_knows(segment, offset))
        return true; /* somebody told us of it meanwhile after all */
    store_segment_note(segment, offset, next ? next : offset + record->place.length);
    return true;
}

/* scan_one - the record at read_until; false: nothing more for now. */
static bool scan_one(struct store *store, struct store_segment *segment, struct arena *arena)
{
    struct queue_record record;
    uint64_t offset = segment->read_until, next;
    enum record_result result = record_read(segment->fd, segment->number, offset, arena, &record, &next);
    if (offset < segment->read_until)
        return true; /* we were told of it while we waited */
    switch (result) {
    case RECORD_OK:
        take(store, segment, &record, arena);
        if (!store_segment_knows(segment, offset))
            store_segment_note(segment, offset, next);
        return true;
    case RECORD_CORRUPT:
        return damaged(store, segment, &record, next);
    case RECORD_INCOMPLETE:
        if (segment->closed)
            log_warning("segment %016llX: dropped an incomplete record at offset %llu", (unsigned long long)segment->number,
                        (unsigned long long)offset);
        /* fall through */
    case RECORD_END:
        segment->complete = segment->closed;
        return false;
    }
    return false;
}

/* give_back - space that a killed writer had reserved behind the end. */
static void give_back(struct store_segment *segment)
{
    struct stat status;
    if (fstat(segment->fd, &status) == 0 && (uint64_t)status.st_blocks * 512 > (uint64_t)status.st_size + (64 << 10) &&
        ftruncate(segment->fd, status.st_size) < 0)
        log_warning("segment %016llX: cannot give back reserved space: %s", (unsigned long long)segment->number, strerror(errno));
}

void store_scan_segment(struct store *store, struct store_segment *segment)
{
    if (segment->complete || store_segment_fd(store, segment) < 0)
        return;
    segment->users++;
    /* First whether it is closed, then its end: not the other way round. */
    if (!segment->closed && segment_file_is_closed(segment->fd)) {
        segment->closed = true;
        give_back(segment);
    }
    struct arena *arena = arena_new(ARENA_KEPT);
    for (unsigned n = 1; scan_one(store, segment, arena); n++) {
        arena_reset(arena);
        if (n % YIELD_AFTER == 0 && fiber_current())
            fiber_yield();
    }
    arena_free(arena);
    segment->users--;
}

/* ---- all segments ------------------------------------------------------------------------------------------------- */

/* remove_leftover - of a writer that died while it made a segment. */
static void remove_leftover(const struct store *store, const char *name)
{
    struct stat status;
    if (fstatat(store->directory.segment_fd, name, &status, AT_SYMLINK_NOFOLLOW) == 0 && time(NULL) - status.st_mtime > LEFTOVER_AGE)
        unlinkat(store->directory.segment_fd, name, 0);
}

void store_scan_directory(struct store *store)
{
    int fd = openat(store->directory.segment_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *list = fd < 0 ? NULL : fdopendir(fd);
    if (!list) {
        log_error("cannot list the segments: %s", strerror(errno));
        if (fd >= 0)
            close(fd);
        return;
    }
    for (struct dirent *entry; (entry = readdir(list)) != NULL;) {
        uint64_t number;
        if (segment_file_number(entry->d_name, &number)) {
            if (!store_segment_learn(store, number) && errno != ENOENT)
                log_error("cannot open segment %s: %s", entry->d_name, strerror(errno));
        } else if (slice_starts(slice_of(entry->d_name), SLICE(".new-"))) {
            remove_leftover(store, entry->d_name);
        }
    }
    closedir(list);
}

static void scan_all(struct store *store, bool copies)
{
    size_t position = 0;
    struct slice key;
    void *value;
    while (map_next(store->segments, &position, &key, &value)) {
        struct store_segment *segment = value;
        if ((segment->kind == SEGMENT_KIND_COPIES) == copies)
            store_scan_segment(store, segment);
    }
}

void store_scan(struct store *store)
{
    store_take(store);
    store_scan_directory(store);
    scan_all(store, true);
    scan_all(store, false);
    store_give(store);
}

/* ---- start -------------------------------------------------------------------------------------------------------- */

/* drop_entries_of_missing - of segments that are gone (after a power cut the index may be older than the segments). */
static void drop_entries_of_missing(struct store *store)
{
    static const enum index_queue queues[] = {INDEX_DEFERRED, INDEX_HOLD, INDEX_INCOMING};
    struct arena *arena = arena_new(0);
    struct index_entry entry;
    for (size_t q = 0; q < COUNT_OF(queues); q++) {
        struct index_scan *scan = index_scan_start(store->index, INDEX_BY_ID, queues[q], SLICE(""));
        for (unsigned n = 1; index_scan_next(scan, arena, &entry) == 1; n++) {
            if (!store_segment_find(store, entry.place.segment))
                index_delete(store->index, entry.queue_id);
            arena_reset(arena);
            if (n % YIELD_AFTER == 0 && fiber_current())
                fiber_yield();
        }
        index_scan_free(scan);
    }
    arena_free(arena);
}

static void check_missing_segments(struct store *store)
{
    size_t position = 0;
    uint64_t number;
    bool entries = false;
    while (index_segment_next(store->index, &position, &number)) {
        if (!store_segment_find(store, number))
            entries |= index_segment_count(store->index, number) > 0;
    }
    if (entries) {
        log_warning("the index knows messages of segments that are gone: dropping them");
        drop_entries_of_missing(store);
    }
    position = 0;
    while (index_segment_next(store->index, &position, &number)) {
        if (!store_segment_find(store, number))
            index_segment_delete(store->index, number);
    }
}

/* remove_orphans - contents of segments that are gone. */
static void remove_orphans(struct store *store)
{
    int fd = openat(store->directory.content_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *list = fd < 0 ? NULL : fdopendir(fd);
    if (!list) {
        if (fd >= 0)
            close(fd);
        return;
    }
    for (struct dirent *entry; (entry = readdir(list)) != NULL;) {
        uint64_t number;
        if (segment_file_number(entry->d_name, &number) && !store_segment_find(store, number))
            content_folder_remove(&store->directory, number);
    }
    closedir(list);
}

void store_recover(struct store *store)
{
    store_take(store);
    store_scan_directory(store);
    check_missing_segments(store);
    remove_orphans(store);
    scan_all(store, true);
    scan_all(store, false);
    store_give(store);
}

/* ---- audit -------------------------------------------------------------------------------------------------------- */

bool store_needs_audit(const struct store *store)
{
    return index_damaged_entries(store->index) != store->damaged_entries;
}

struct audit {
    struct store *store;
    struct store_segment *segment;
    struct arena *arena;
    uint64_t counts[INDEX_QUEUE_COUNT]; /* entries that point into the segment */
};

/* is_known - to memory, or by an index entry (which is counted). */
static bool is_known(struct audit *audit, const struct queue_record *record)
{
    struct index_entry entry;
    if (offset_set_has(&audit->segment->in_memory, record->place.offset))
        return true;
    if (index_get(audit->store->index, record->envelope.queue_id, audit->arena, &entry) != 1)
        return false;
    if (same_place(&entry.place, record->place.segment, record->place.offset))
        audit->counts[index_queue_number(entry.queue)]++;
    return true;
}

static void audit_record(struct audit *audit, const struct queue_record *record)
{
    struct store *store = audit->store;
    if ((record->state != MESSAGE_STATE_LIVE && record->state != MESSAGE_STATE_HELD) || is_known(audit, record))
        return;
    offset_set_add(&audit->segment->in_memory, record->place.offset);
    if (store->events && store->events->found)
        store->events->found(store->context, record);
}

static void audit_segment(struct audit *audit)
{
    struct store_segment *segment = audit->segment;
    uint64_t offset = SEGMENT_HEADER_SIZE, end = segment->read_until, next, before = index_segment_count(audit->store->index, segment->number);
    struct queue_record record;
    segment->users++;
    for (unsigned n = 1; offset && offset < end && store_segment_fd(audit->store, segment) >= 0; n++, offset = next) {
        arena_reset(audit->arena);
        enum record_result result = record_read(segment->fd, segment->number, offset, audit->arena, &record, &next);
        if (result == RECORD_OK)
            audit_record(audit, &record);
        else if (result != RECORD_CORRUPT)
            break;
        if (n % YIELD_AFTER == 0 && fiber_current())
            fiber_yield();
    }
    segment->users--;
    /* Only what stood still can be corrected. */
    if (offset >= end && segment->ahead_count == 0 && index_segment_count(audit->store->index, segment->number) == before)
        index_segment_set_counts(audit->store->index, segment->number, audit->counts);
}

/* store_audit - read everything again: messages whose index entries were lost are found, and the index's counts are put right. */
void store_audit(struct store *store)
{
    size_t position = 0;
    struct slice key;
    void *value;
    struct audit audit = {.store = store, .arena = arena_new(ARENA_KEPT)};
    log_warning("index entries were found damaged: looking for their messages");
    store->damaged_entries = index_damaged_entries(store->index);
    while (map_next(store->segments, &position, &key, &value)) {
        audit.segment = value;
        memset(audit.counts, 0, sizeof(audit.counts));
        audit_segment(&audit);
    }
    arena_free(audit.arena);
}
