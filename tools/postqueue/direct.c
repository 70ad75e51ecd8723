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
    void (*visit)(void *context, const struct queue_item *item);
    void *context;
    struct arena *arena;
    struct map *seen; /* ids: the cleaner may have left two copies of a message */
    struct index *index; /* NULL: not to be had */
};

static void list_maildrop_file(struct walk *walk, int directory, const char *name)
{
    struct maildrop_summary summary;
    struct queue_item item = {.queue = "maildrop", .has_sasl_user = true};
    if (!maildrop_summary_read(directory, name, walk->arena, &summary))
        return;
    maildrop_summary_entry(&summary, walk->arena, &item.entry);
    walk->visit(walk->context, &item);
}

static const char *queue_name(const struct queue_record *record, const struct index_entry *entry)
{
    if (record->state == MESSAGE_STATE_HELD)
        return "hold";
    return entry && entry->queue == INDEX_DEFERRED ? "deferred" : "incoming";
}

/* add_recipient - one that waits, with what the index knows (it is in the same order: *at goes through it). */
static void add_recipient(const struct recipient *r, uint32_t number, const struct index_entry *known, size_t *at, struct index_entry *entry)
{
    struct index_recipient *added = &entry->recipients[entry->recipient_count++];
    *added = (struct index_recipient){.address = r->address, .original = r->original, .index = number};
    while (known && *at < known->recipient_count && known->recipients[*at].index < number)
        ++*at;
    if (known && *at < known->recipient_count && known->recipients[*at].index == number) {
        added->reason = known->recipients[*at].reason;
        added->status = known->recipients[*at].status;
    }
}

static void list_record(struct walk *walk, const struct queue_record *record)
{
    const struct envelope *e = &record->envelope;
    struct index_entry found, *known = &found;
    bool waits = record->state == MESSAGE_STATE_LIVE || record->state == MESSAGE_STATE_HELD;
    size_t at = 0;
    if (!waits || map_get(walk->seen, e->queue_id))
        return;
    map_set(walk->seen, e->queue_id, walk);
    if (!walk->index || index_get(walk->index, e->queue_id, walk->arena, &found) <= 0)
        known = NULL;
    struct queue_item item = {.queue = queue_name(record, known), .has_sasl_user = true, .sasl_user = e->sasl_username};
    if (known)
        item.entry = *known;
    item.entry.queue_id = e->queue_id;
    item.entry.place = record->place;
    item.entry.arrival_time = e->arrival_time;
    item.entry.message_size = e->message_size;
    item.entry.forced_expire = record->expired;
    item.entry.sender = e->sender;
    item.entry.recipient_count = 0;
    item.entry.recipients = arena_alloc(walk->arena, (e->recipients_count + 1) * sizeof(*item.entry.recipients));
    for (uint32_t i = 0; i < e->recipients_count; i++) {
        if (record->recipient_states[i] == RECIPIENT_STATE_PENDING)
            add_recipient(&e->recipients[i], i, known, &at, &item.entry);
    }
    walk->visit(walk->context, &item);
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

void direct_each(struct config *config, void (*visit)(void *context, const struct queue_item *item), void *context)
{
    static const struct store_events events = {.found = ignore_found, .corrupt = ignore_corrupt};
    struct walk walk = {.visit = visit, .context = context, .arena = arena_new(0), .seen = map_new(NULL)};
    char *why = NULL;
    become_owner(config);
    struct store *store = store_is_locked(".") ? NULL : store_open(".", &events, NULL, &why);
    walk.index = store ? store_index(store) : NULL;
    each_file(&walk, "maildrop", list_maildrop_file);
    each_file(&walk, "segment", list_segment);
    store_close(store);
    free(why);
    map_free(walk.seen);
    arena_free(walk.arena);
}

void direct_tell(const struct queue_item *item, const struct queue_handler *handler, const char *empty_sender)
{
    const struct index_entry *e = &item->entry;
    const struct queue_message message = {.queue_name = slice_of(item->queue), .queue_id = e->queue_id, .time = e->arrival_time / MICROSECONDS,
                                          .size = e->message_size, .forced_expire = e->forced_expire,
                                          .sender = e->sender.len ? e->sender : slice_of(empty_sender), .attempts = e->attempts,
                                          .last_attempt = e->last_attempt / MICROSECONDS, .next_attempt = e->next_attempt / MICROSECONDS,
                                          .destination = e->destination};
    handler->message(handler->context, &message);
    for (int with_reason = 1; with_reason >= 0; with_reason--) {
        for (size_t i = 0; i < e->recipient_count; i++) {
            const struct index_recipient *r = &e->recipients[i];
            const struct queue_recipient recipient = {r->original, r->address, r->reason, r->status};
            if ((r->reason.len > 0) == with_reason)
                handler->recipient(handler->context, &recipient);
        }
    }
    handler->message_end(handler->context);
}
