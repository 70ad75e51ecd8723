/* direct.c - reading maildrop/ and the segments */
#include "direct.h"

#include <dirent.h>
#include <fcntl.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/map.h"
#include "queue/maildrop_summary.h"
#include "queue/segment_file.h"
#include "queue/store.h"
#include "run/run.h"
#include "service/sandbox.h"

struct walk {
    const struct queue_handler *handler;
    struct slice empty_sender;
    struct arena *arena;
    struct map *seen; /* ids: the cleaner may have left two copies of a message */
    struct index *index; /* NULL: not to be had */
};

static void list_maildrop_file(struct walk *walk, int directory, const char *name)
{
    struct maildrop_summary summary;
    if (!maildrop_summary_read(directory, name, walk->arena, &summary))
        return;
    struct queue_message message = {.queue_name = SLICE("maildrop"), .queue_id = summary.queue_id, .time = summary.time, .size = summary.size,
                                    .sender = summary.sender.len ? summary.sender : walk->empty_sender};
    walk->handler->message(walk->handler->context, &message);
    for (size_t i = 0; i < summary.recipient_count; i++)
        walk->handler->recipient(walk->handler->context, (struct slice){NULL, 0}, summary.recipients[i], (struct slice){NULL, 0});
    walk->handler->message_end(walk->handler->context);
}

static const char *queue_name(const struct queue_record *record, const struct index_entry *entry)
{
    if (record->state == MESSAGE_STATE_HELD)
        return "hold";
    return entry && entry->queue == INDEX_DEFERRED ? "deferred" : "incoming";
}

static struct slice reason_of(const struct index_entry *entry, uint32_t recipient)
{
    for (size_t i = 0; entry && i < entry->recipient_count; i++) {
        if (entry->recipients[i].index == recipient)
            return entry->recipients[i].reason;
    }
    return (struct slice){NULL, 0};
}

static void list_recipients(struct walk *walk, const struct queue_record *record, const struct index_entry *entry)
{
    const struct envelope *e = &record->envelope;
    for (int with_reason = 1; with_reason >= 0; with_reason--) {
        for (uint32_t i = 0; i < e->recipients_count; i++) {
            struct slice reason = reason_of(entry, i);
            if (record->recipient_states[i] == RECIPIENT_STATE_PENDING && (reason.len > 0) == with_reason)
                walk->handler->recipient(walk->handler->context, e->recipients[i].original, e->recipients[i].address, reason);
        }
    }
}

static void list_record(struct walk *walk, const struct queue_record *record)
{
    const struct envelope *e = &record->envelope;
    struct index_entry found, *entry = &found;
    bool waits = record->state == MESSAGE_STATE_LIVE || record->state == MESSAGE_STATE_HELD;
    if (!waits || map_get(walk->seen, e->queue_id))
        return;
    map_set(walk->seen, e->queue_id, walk);
    if (!walk->index || index_get(walk->index, e->queue_id, walk->arena, &found) <= 0)
        entry = NULL;
    struct queue_message message = {.queue_name = slice_of(queue_name(record, entry)), .queue_id = e->queue_id,
                                    .time = e->arrival_time / MICROSECONDS, .size = e->message_size, .forced_expire = record->expired,
                                    .sender = e->sender.len ? e->sender : walk->empty_sender};
    walk->handler->message(walk->handler->context, &message);
    list_recipients(walk, record, entry);
    walk->handler->message_end(walk->handler->context);
}

static void list_segment(struct walk *walk, int directory, const char *name)
{
    uint64_t number, offset = SEGMENT_HEADER_SIZE, next;
    if (!segment_file_number(name, &number))
        return;
    int fd = openat(directory, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0) {
        log_warning("open segment/%s: %s", name, strerror(errno));
        return;
    }
    for (enum record_result result = RECORD_OK; result == RECORD_OK || result == RECORD_CORRUPT; offset = next) {
        struct queue_record record;
        result = record_read(fd, number, offset, walk->arena, &record, &next);
        if (result == RECORD_OK)
            list_record(walk, &record);
        else if (result == RECORD_CORRUPT)
            log_warning("segment/%s: damaged record at %llu", name, (unsigned long long)offset);
        arena_reset(walk->arena);
        if (next <= offset)
            break;
    }
    close(fd);
}

static void each_file(struct walk *walk, const char *path, void (*list)(struct walk *walk, int directory, const char *name))
{
    DIR *directory = opendir(path);
    if (!directory) {
        if (errno != ENOENT)
            log_warning("open directory %s: %s", path, strerror(errno));
        return;
    }
    for (const struct dirent *file; (file = readdir(directory));) {
        if (file->d_name[0] != '.')
            list(walk, dirfd(directory), file->d_name);
        arena_reset(walk->arena);
    }
    closedir(directory);
}

static void become_owner(struct config *config)
{
    struct sandbox_owner owner;
    if (geteuid() != 0)
        return;
    if (!sandbox_owner_find(config, &owner))
        log_fatal("unknown user name: mail_owner = %s", config_string(config, "mail_owner"));
    sandbox_drop(&owner);
}

static void ignore_found(void *context UNUSED, const struct queue_record *record UNUSED)
{
}

static void ignore_corrupt(void *context UNUSED, const struct queue_place *place UNUSED, const char *text UNUSED)
{
}

static void list_all(void *arg)
{
    static const struct store_events events = {.found = ignore_found, .corrupt = ignore_corrupt};
    struct walk *walk = arg;
    char *why = NULL;
    struct store *store = store_is_locked(".") ? NULL : store_open(".", &events, NULL, &why);
    walk->index = store ? store_index(store) : NULL;
    each_file(walk, "maildrop", list_maildrop_file);
    each_file(walk, "segment", list_segment);
    store_close(store);
    free(why);
}

void direct_list(struct config *config, const struct queue_handler *handler, const char *empty_sender)
{
    struct walk walk = {.handler = handler, .empty_sender = slice_of(empty_sender), .arena = arena_new(0), .seen = map_new(NULL)};
    become_owner(config);
    run_main(list_all, &walk);
    map_free(walk.seen);
    arena_free(walk.arena);
}
