/* store_damage.c - damaged bytes are copied to corrupt/ and reported; their neighbours go on */
#include <fcntl.h>
#include <sys/stat.h>

#include "base/log.h"
#include "queue/store_private.h"

enum { SAVED_MAX = 64 << 20, SECTOR = 512 };

struct save {
    int from_fd, directory_fd;
    uint64_t offset, length;
    char name[80];
    bool has_data, has_gap, existed;
    int error;
};

static bool is_zero(const char *bytes, size_t len)
{
    return len == 0 || (bytes[0] == 0 && memcmp(bytes, bytes + 1, len - 1) == 0);
}

static void note_sectors(struct save *save, const char *bytes, size_t len, uint64_t offset)
{
    for (size_t at = 0, n; at < len; at += n) {
        n = SECTOR - (size_t)((offset + at) % SECTOR);
        n = len - at < n ? len - at : n;
        bool zero = is_zero(bytes + at, n);
        save->has_data |= !zero;
        save->has_gap |= zero && n == SECTOR;
    }
}

/* save_in_pool - bytes of a segment to a file in corrupt/; bytes that cannot be read are left out. */
static void save_in_pool(void *arg)
{
    enum { CHUNK = 64 << 10 };
    struct save *save = arg;
    char *chunk = malloc(CHUNK);
    int fd = chunk && save->directory_fd >= 0 ? openat(save->directory_fd, save->name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600) : -1;
    save->error = fd < 0 ? errno : 0;
    save->existed = fd < 0 && errno == EEXIST;
    for (uint64_t done = 0; chunk && done < save->length && done < SAVED_MAX;) {
        /* Steps that end on sector borders, so that a never written sector is seen as one. */
        size_t n = CHUNK - (size_t)((save->offset + done) % SECTOR);
        n = save->length - done < n ? (size_t)(save->length - done) : n;
        ssize_t got = segment_file_read_now(save->from_fd, chunk, n, save->offset + done);
        if (got == 0)
            break;
        if (got > 0)
            note_sectors(save, chunk, (size_t)got, save->offset + done);
        if (got > 0 && fd >= 0 && !segment_file_write(fd, chunk, (size_t)got, done))
            save->error = errno;
        done += got > 0 ? (uint64_t)got : n;
    }
    if (fd >= 0 && fsync(fd) < 0)
        save->error = errno;
    if (fd >= 0)
        close(fd);
    /* Nothing but zeros was never mail. */
    if (fd >= 0 && !save->has_data)
        unlinkat(save->directory_fd, save->name, 0);
    free(chunk);
}

static void report(struct store *store, const struct queue_place *place, const struct save *save, const char *reason)
{
    char text[320];
    int n = snprintf(text, sizeof(text), "segment %016llX offset %llu: %s%s (%llu bytes), ", (unsigned long long)place->segment,
                     (unsigned long long)place->offset, reason, save->has_gap ? " with parts that were never written" : "",
                     (unsigned long long)place->length);
    if (!save->has_data)
        snprintf(text + n, sizeof(text) - (size_t)n, "nothing is left of it");
    else if (save->error)
        snprintf(text + n, sizeof(text) - (size_t)n, "cannot be saved in corrupt/%s: %s", save->name, strerror(save->error));
    else
        snprintf(text + n, sizeof(text) - (size_t)n, "saved in corrupt/%s", save->name);
    if (store->events && store->events->corrupt)
        store->events->corrupt(store->context, place, text);
    else
        log_error("%s", text);
}

void store_set_aside(struct store *store, struct store_segment *segment, const struct queue_place *place, const char *queue_id,
                     bool mark_done, const char *reason)
{
    struct save save = {.from_fd = segment->fd, .directory_fd = store->corrupt_fd, .offset = place->offset, .length = place->length};
    struct stat status;
    snprintf(save.name, sizeof(save.name), "%s%s%016llX-%llX", queue_id ? queue_id : "", queue_id ? "-" : "",
             (unsigned long long)segment->number, (unsigned long long)place->offset);
    segment_file_work(save_in_pool, &save);
    /* So that it is not found again. */
    if (mark_done && store_segment_fd(store, segment) >= 0 && fstat(segment->fd, &status) == 0 &&
        (uint64_t)status.st_size > place->offset + RECORD_STATE_OFFSET)
        store_mark_done(store, place);
    /* A stretch of zeros that nobody has claimed was never mail; and what was saved before was reported then. */
    if (!save.existed && (save.has_data || mark_done))
        report(store, place, &save, reason);
}
