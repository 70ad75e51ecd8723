/* store.c - the queue as its one owner sees it: opening, arrivals, reading a message again */
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "base/log.h"
#include "queue/store_private.h"

enum { SEGMENT_SIZE = 64 << 20, LARGE_CONTENT = 256 << 10 };
#define LOCK_PATIENCE (10 * MICROSECONDS) /* a predecessor may still be leaving */
#define CLEAN_AGE (10 * 60 * MICROSECONDS)
#define LOCK_INTERVAL (MICROSECONDS / 20)

/* ---- one owner ---------------------------------------------------------------------------------------------------- */

static void nap(void)
{
    if (fiber_current())
        fiber_sleep(LOCK_INTERVAL);
    else
        usleep(LOCK_INTERVAL);
}

static char *no_lock(int fd, const char *directory)
{
    char pid[16] = "";
    ssize_t n = fd < 0 ? 0 : pread(fd, pid, sizeof(pid) - 1, 0);
    struct buffer text = BUFFER_INIT;
    if (n > 0)
        buffer_printf(&text, "the queue in %s is in use by process %.*s", directory, (int)strcspn(pid, "\n"), pid);
    else
        buffer_printf(&text, "cannot lock the queue in %s: %s", directory, strerror(errno));
    return buffer_steal(&text);
}

/* take_lock - of segment/.lock; the descriptor, or -1 with *why. */
static int take_lock(const struct segment_directory *directory, const char *queue_directory, bool patient, char **why)
{
    int fd = openat(directory->segment_fd, ".lock", O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    int64_t deadline = patient ? clock_after(LOCK_PATIENCE) : 0;
    while (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) < 0) {
        if (errno == EWOULDBLOCK && clock_monotonic() < deadline) {
            nap();
            continue;
        }
        *why = no_lock(fd, queue_directory);
        close(fd);
        return -1;
    }
    if (fd < 0) {
        *why = no_lock(fd, queue_directory);
        return -1;
    }
    char pid[16];
    int n = snprintf(pid, sizeof(pid), "%ld\n", (long)getpid());
    if (ftruncate(fd, 0) < 0 || !segment_file_write(fd, pid, (size_t)n, 0))
        log_warning("cannot write my process id into the queue lock: %s", strerror(errno));
    return fd;
}

bool store_is_locked(const char *queue_directory)
{
    struct segment_directory directory;
    if (!segment_directory_open(&directory, queue_directory))
        return false;
    int fd = openat(directory.segment_fd, ".lock", O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    bool locked = fd >= 0 && !segment_file_is_closed(fd);
    if (fd >= 0)
        close(fd);
    segment_directory_close(&directory);
    return locked;
}

/* ---- open and close ----------------------------------------------------------------------------------------------- */

static int open_corrupt(const char *queue_directory)
{
    char path[PATH_MAX];
    int n = snprintf(path, sizeof(path), "%s/corrupt", queue_directory);
    if (n < 0 || n >= (int)sizeof(path) || (mkdir(path, 0700) < 0 && errno != EEXIST))
        return -1;
    return open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

static struct store *new_store(const char *queue_directory, const struct segment_directory *directory, int lock_fd)
{
    struct store *store = memory_zalloc(1, sizeof(*store));
    store->directory = *directory;
    store->lock_fd = lock_fd;
    store->queue_directory = memory_string(queue_directory);
    store->copier_options = (struct segment_writer_options){
        .queue_directory = store->queue_directory, .segment_size = SEGMENT_SIZE, .large_content = LARGE_CONTENT};
    store->clean_age = CLEAN_AGE;
    store->corrupt_fd = open_corrupt(queue_directory);
    if (store->corrupt_fd < 0)
        log_warning("cannot open the corrupt directory: %s", strerror(errno));
    store->segments = map_new(store_segment_free);
    store->contents = map_new(store_content_free);
    list_init(&store->recent);
    list_init(&store->recent_contents);
    condition_init(&store->free);
    return store;
}

struct store *store_open(const char *queue_directory, const struct store_events *events, void *context, char **why)
{
    struct segment_directory directory;
    struct buffer text = BUFFER_INIT;
    if (!segment_directory_open(&directory, queue_directory)) {
        buffer_printf(&text, "open the queue in %s: %s", queue_directory, strerror(errno));
        *why = buffer_steal(&text);
        return NULL;
    }
    int lock_fd = take_lock(&directory, queue_directory, true, why);
    if (lock_fd < 0) {
        segment_directory_close(&directory);
        return NULL;
    }
    bool fresh = false;
    struct store *store = new_store(queue_directory, &directory, lock_fd);
    store->events = events;
    store->context = context;
    store->index = index_open(queue_directory, &fresh, why);
    if (!store->index) {
        store_close(store);
        return NULL;
    }
    store->damaged_entries = index_damaged_entries(store->index);
    index_set_watcher(store->index, store_index_changed, store);
    return store;
}

void store_close(struct store *store)
{
    if (!store)
        return;
    while (store->readers > 0)
        nap();
    store_take(store);
    segment_writer_close(store->copier);
    if (store->index)
        index_set_watcher(store->index, NULL, NULL);
    index_close(store->index);
    map_free(store->segments);
    map_free(store->contents);
    if (store->corrupt_fd >= 0)
        close(store->corrupt_fd);
    segment_directory_close(&store->directory);
    close(store->lock_fd);
    free(store->queue_directory);
    free(store);
}

struct index *store_index(struct store *store)
{
    return store->index;
}

void store_take(struct store *store)
{
    while (store->busy)
        condition_wait(&store->free, CLOCK_NEVER);
    store->busy = true;
}

void store_give(struct store *store)
{
    store->busy = false;
    condition_signal(&store->free);
}

/* ---- arrivals ----------------------------------------------------------------------------------------------------- */

bool store_arrived(struct store *store, const struct queue_place *place)
{
    struct store_segment *segment = store_segment_learn(store, place->segment);
    if (!segment || store_segment_knows(segment, place->offset))
        return false;
    store_segment_note(segment, place->offset, place->offset + place->length);
    offset_set_add(&segment->in_memory, place->offset);
    return true;
}

/* ---- reading ------------------------------------------------------------------------------------------------------ */

/* content_is_whole - checksum of the content, once per open file for large ones. */
static bool content_is_whole(struct store *store, struct store_segment *segment, const struct queue_record *record)
{
    if (!record->place.content_file)
        return record_check_content(segment->fd, record);
    struct store_content_file *content = store_content_file(store, record->place.segment, record->place.content_file);
    if (!content)
        return false;
    if (content->checked)
        return true;
    int fd = dup(content->fd); /* the wait may see it closed */
    bool whole = fd >= 0 && record_check_content(fd, record);
    if (fd >= 0)
        close(fd);
    content = store_content_file(store, record->place.segment, record->place.content_file);
    if (content)
        content->checked = whole;
    return whole;
}

bool store_read(struct store *store, const struct queue_place *place, struct arena *arena, struct queue_record *record)
{
    uint64_t next;
    struct store_segment *segment = store_segment_learn(store, place->segment);
    if (!segment || store_segment_fd(store, segment) < 0)
        return false;
    segment->users++;
    store->readers++;
    const char *reason = NULL;
    enum record_result result = record_read(segment->fd, place->segment, place->offset, arena, record, &next);
    if (result != RECORD_OK || record->place.length != place->length)
        reason = "damaged record";
    else if ((record->state == MESSAGE_STATE_LIVE || record->state == MESSAGE_STATE_HELD) && !content_is_whole(store, segment, record))
        reason = "damaged content";
    if (reason)
        store_set_aside(store, segment, place, NULL, true, reason);
    segment->users--;
    store->readers--;
    return !reason;
}
