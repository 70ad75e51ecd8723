/* store_file.c - the segments the store knows, and a bounded number of open files

   A descriptor is given out by number to be passed to an agent, so one that was used a moment ago is never closed to make room: its
   number could mean another file by the time it is sent. */
#include <fcntl.h>
#include <sys/stat.h>

#include "queue/store_private.h"

enum { OPEN_SEGMENTS_MAX = 256, OPEN_CONTENTS_MAX = 128 };
#define IN_USE_FOR (60 * MICROSECONDS)

static struct slice number_key(const uint64_t *number)
{
    return slice_make(number, sizeof(*number));
}

struct store_segment *store_segment_find(struct store *store, uint64_t number)
{
    return map_get(store->segments, number_key(&number));
}

/* ---- known bytes -------------------------------------------------------------------------------------------------- */

/* advance - over ranges that are known already. */
static void advance(struct store_segment *segment)
{
    size_t used = 0;
    while (used < segment->ahead_count && segment->ahead[used].from <= segment->read_until) {
        if (segment->ahead[used].to > segment->read_until)
            segment->read_until = segment->ahead[used].to;
        used++;
    }
    if (used == 0)
        return;
    segment->ahead_count -= used;
    memmove(segment->ahead, segment->ahead + used, segment->ahead_count * sizeof(*segment->ahead));
    if (segment->ahead_count == 0) {
        free(segment->ahead);
        segment->ahead = NULL;
        segment->ahead_capacity = 0;
    }
}

static void insert_ahead(struct store_segment *segment, uint64_t from, uint64_t to)
{
    size_t at = segment->ahead_count;
    while (at > 0 && segment->ahead[at - 1].from > from)
        at--;
    if (at > 0 && segment->ahead[at - 1].to == from) {
        segment->ahead[at - 1].to = to;
        return;
    }
    if (segment->ahead_count == segment->ahead_capacity) {
        segment->ahead_capacity = segment->ahead_capacity ? segment->ahead_capacity * 2 : 8;
        segment->ahead = memory_resize(segment->ahead, segment->ahead_capacity * sizeof(*segment->ahead));
    }
    memmove(segment->ahead + at + 1, segment->ahead + at, (segment->ahead_count - at) * sizeof(*segment->ahead));
    segment->ahead[at] = (struct known_range){from, to};
    segment->ahead_count++;
}

void store_segment_note(struct store_segment *segment, uint64_t from, uint64_t to)
{
    if (from == segment->read_until)
        segment->read_until = to;
    else if (from > segment->read_until)
        insert_ahead(segment, from, to);
    advance(segment);
}

bool store_segment_knows(struct store_segment *segment, uint64_t offset)
{
    if (offset < segment->read_until)
        return true;
    for (size_t i = 0; i < segment->ahead_count; i++) {
        if (offset >= segment->ahead[i].from && offset < segment->ahead[i].to)
            return true;
    }
    return false;
}

/* ---- segments ----------------------------------------------------------------------------------------------------- */

void store_segment_free(void *value)
{
    struct store_segment *segment = value;
    list_remove(&segment->recent);
    if (segment->fd >= 0)
        close(segment->fd);
    if (segment->read_fd >= 0)
        close(segment->read_fd);
    offset_set_release(&segment->in_memory);
    free(segment->ahead);
    free(segment->contents_done);
    free(segment);
}

static void close_one(struct store *store, int *fd)
{
    if (*fd < 0)
        return;
    close(*fd);
    *fd = -1;
    store->open_segments--;
}

static void close_files(struct store *store, struct store_segment *segment)
{
    close_one(store, &segment->fd);
    close_one(store, &segment->read_fd);
    list_remove(&segment->recent);
}

/* make_room - close what was least recently used; what may be on its way to an agent only when that was long ago. */
static void make_room(struct store *store, int64_t now)
{
    LIST_EACH(&store->recent, link) {
        struct store_segment *segment = LIST_ENTRY(link, struct store_segment, recent);
        if (store->open_segments < OPEN_SEGMENTS_MAX)
            break;
        if (segment->users > 0)
            continue;
        close_one(store, &segment->fd);
        if (now - segment->last_used >= IN_USE_FOR)
            close_files(store, segment);
    }
}

static void used_now(struct store *store, struct store_segment *segment, int64_t now)
{
    segment->last_used = now;
    list_remove(&segment->recent);
    list_append(&store->recent, &segment->recent);
}

static int open_one(struct store *store, struct store_segment *segment, int *fd, int flags)
{
    int64_t now = clock_monotonic();
    if (*fd < 0) {
        if (store->open_segments >= OPEN_SEGMENTS_MAX)
            make_room(store, now);
        *fd = segment_file_open(&store->directory, segment->number, flags);
        if (*fd < 0)
            return -1;
        store->open_segments++;
    }
    used_now(store, segment, now);
    return *fd;
}

int store_segment_fd(struct store *store, struct store_segment *segment)
{
    return open_one(store, segment, &segment->fd, O_RDWR);
}

static bool read_kind(struct store_segment *segment)
{
    uint8_t bytes[SEGMENT_HEADER_SIZE];
    struct segment_header header;
    if (segment_file_read_now(segment->fd, bytes, sizeof(bytes), 0) != (ssize_t)sizeof(bytes) || !segment_header_parse(bytes, &header))
        return false;
    segment->kind = header.kind;
    return true;
}

struct store_segment *store_segment_learn(struct store *store, uint64_t number)
{
    struct store_segment *segment = store_segment_find(store, number);
    if (segment)
        return segment;
    segment = memory_zalloc(1, sizeof(*segment));
    segment->number = number;
    segment->fd = segment->read_fd = -1;
    list_init(&segment->recent);
    if (store_segment_fd(store, segment) < 0) {
        store_segment_free(segment);
        return NULL;
    }
    read_kind(segment); /* a damaged file header: its records still count */
    segment->read_until = SEGMENT_HEADER_SIZE;
    uint64_t until;
    if (index_segment_get(store->index, number, &until) == 1 && until > SEGMENT_HEADER_SIZE)
        segment->read_until = segment->persisted = until;
    map_set(store->segments, number_key(&number), segment);
    return segment;
}

void store_segment_forget(struct store *store, struct store_segment *segment)
{
    uint64_t number = segment->number;
    close_files(store, segment);
    map_remove(store->segments, number_key(&number));
}

bool store_content(struct store *store, const struct queue_place *place, int *fd, uint64_t *key)
{
    if (place->content_file) {
        struct store_content_file *content = store_content_file(store, place->segment, place->content_file);
        if (content) {
            *fd = content->fd;
            *key = content->key;
        }
        return content != NULL;
    }
    struct store_segment *segment = store_segment_find(store, place->segment);
    if (!segment)
        return false;
    bool open = segment->read_fd >= 0;
    if (open_one(store, segment, &segment->read_fd, O_RDONLY) < 0)
        return false;
    if (!open)
        segment->read_key = ++store->last_key;
    *fd = segment->read_fd;
    *key = segment->read_key;
    return true;
}

/* ---- large contents ----------------------------------------------------------------------------------------------- */

static struct slice content_key(uint64_t numbers[2], uint64_t segment, uint64_t number)
{
    numbers[0] = segment;
    numbers[1] = number;
    return slice_make(numbers, 2 * sizeof(*numbers));
}

void store_content_free(void *value)
{
    struct store_content_file *content = value;
    list_remove(&content->recent);
    close(content->fd);
    free(content);
}

void store_content_forget(struct store *store, uint64_t segment, uint64_t number)
{
    uint64_t numbers[2];
    if (map_remove(store->contents, content_key(numbers, segment, number)))
        store->open_contents--;
}

static void make_content_room(struct store *store, int64_t now)
{
    LIST_EACH(&store->recent_contents, link) {
        struct store_content_file *content = LIST_ENTRY(link, struct store_content_file, recent);
        if (store->open_contents < OPEN_CONTENTS_MAX || now - content->last_used < IN_USE_FOR)
            break;
        store_content_forget(store, content->segment, content->number);
    }
}

struct store_content_file *store_content_file(struct store *store, uint64_t segment, uint64_t number)
{
    uint64_t numbers[2];
    struct slice key = content_key(numbers, segment, number);
    struct store_content_file *content = map_get(store->contents, key);
    int64_t now = clock_monotonic();
    if (!content) {
        make_content_room(store, now);
        int fd = content_file_open(&store->directory, segment, number);
        if (fd < 0)
            return NULL;
        content = memory_zalloc(1, sizeof(*content));
        *content = (struct store_content_file){.segment = segment, .number = number, .key = ++store->last_key, .fd = fd};
        list_init(&content->recent);
        map_set(store->contents, key, content);
        store->open_contents++;
    }
    content->last_used = now;
    list_remove(&content->recent);
    list_append(&store->recent_contents, &content->recent);
    return content;
}
