/* segment_search.c - find a waiting message by its id in the segments alone */
#include "queue/segment_search.h"

#include <dirent.h>
#include <fcntl.h>

#include "base/clock.h"
#include "queue/queue_id.h"
#include "queue/segment_file.h"

#define ROUGHLY (3600 * MICROSECONDS)

struct search {
    int segment_directory, content_directory;
    struct slice queue_id;
    uint64_t made; /* when the id was: segments are numbered by their time; 0: unknown */
    uint64_t *numbers;
    size_t count;
};

static int compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

static bool list_segments(struct search *search)
{
    int fd = openat(search->segment_directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *list = fd < 0 ? NULL : fdopendir(fd);
    if (!list) {
        if (fd >= 0)
            close(fd);
        return false;
    }
    size_t capacity = 0;
    for (struct dirent *entry; (entry = readdir(list)) != NULL;) {
        uint64_t number;
        if (!segment_file_number(entry->d_name, &number))
            continue;
        if (search->count == capacity) {
            capacity = capacity ? capacity * 2 : 64;
            search->numbers = memory_resize(search->numbers, capacity * sizeof(*search->numbers));
        }
        search->numbers[search->count++] = number;
    }
    closedir(list);
    if (search->count > 1)
        qsort(search->numbers, search->count, sizeof(*search->numbers), compare);
    return true;
}

/* in_segment - offset of the live record with the id, or 0. */
static uint64_t in_segment(const struct search *search, int fd, uint64_t number)
{
    struct record_header header;
    uint64_t offset = SEGMENT_HEADER_SIZE;
    uint8_t bytes[RECORD_RECIPIENTS_OFFSET];
    while (offset && segment_file_read_now(fd, bytes, sizeof(bytes), offset) == (ssize_t)sizeof(bytes)) {
        if (!record_header_parse(bytes, number, offset, &header)) {
            offset = record_find(fd, number, offset + 8);
            continue;
        }
        if ((header.state == MESSAGE_STATE_LIVE || header.state == MESSAGE_STATE_HELD) && slice_equal(slice_of(header.queue_id), search->queue_id))
            return offset;
        offset += header.length;
    }
    return 0;
}

/* try_segment - as segment_search. */
static int try_segment(const struct search *search, uint64_t number, struct arena *arena, struct queue_record *record, int *content_fd)
{
    char name[SEGMENT_NAME_SIZE];
    uint64_t next;
    int fd = openat(search->segment_directory, segment_file_name(number, name), O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT ? 0 : -1;
    uint64_t offset = in_segment(search, fd, number);
    if (!offset || record_read(fd, number, offset, arena, record, &next) != RECORD_OK) {
        close(fd);
        return 0;
    }
    *content_fd = fd;
    if (record->place.content_file) {
        struct segment_directory directory = {search->segment_directory, search->content_directory};
        *content_fd = content_file_open(&directory, number, record->place.content_file);
        close(fd);
    }
    return *content_fd < 0 ? -1 : 1;
}

/* try_all - first those of the id's time (which is rough) and before, youngest first; copies by the cleaner are in younger ones. */
static int try_all(const struct search *search, struct arena *arena, struct queue_record *record, int *content_fd)
{
    size_t middle = search->count;
    int result = 0;
    while (search->made && middle > 0 && search->numbers[middle - 1] > search->made + ROUGHLY)
        middle--;
    for (size_t i = middle; i > 0 && result == 0; i--)
        result = try_segment(search, search->numbers[i - 1], arena, record, content_fd);
    for (size_t i = middle; i < search->count && result == 0; i++)
        result = try_segment(search, search->numbers[i], arena, record, content_fd);
    return result;
}

static int open_below(const char *queue_directory, const char *name)
{
    char path[PATH_MAX];
    int n = snprintf(path, sizeof(path), "%s/%s", queue_directory, name);
    errno = ENAMETOOLONG;
    return n < 0 || n >= (int)sizeof(path) ? -1 : open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

int segment_search(const char *queue_directory, struct slice queue_id, struct arena *arena, struct queue_record *record, int *content_fd)
{
    struct search search = {.queue_id = queue_id, .made = (uint64_t)queue_id_time(queue_id)};
    search.segment_directory = open_below(queue_directory, "segment");
    if (search.segment_directory < 0)
        return errno == ENOENT ? 0 : -1;
    search.content_directory = open_below(queue_directory, "content");
    int result = list_segments(&search) ? try_all(&search, arena, record, content_fd) : -1;
    int error = errno;
    close(search.segment_directory);
    if (search.content_directory >= 0)
        close(search.content_directory);
    free(search.numbers);
    errno = error;
    return result;
}
