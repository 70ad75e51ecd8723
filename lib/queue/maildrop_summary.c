/* maildrop_summary.c - sender and recipients of a maildrop file */
#include "queue/maildrop_summary.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "queue/maildrop.h"
#include "queue/queue_id.h"

enum { RECIPIENTS_MAX = 100000, FIRST_CAPACITY = 16 };

static void add_recipient(struct maildrop_summary *summary, struct arena *arena, struct slice address, size_t *capacity)
{
    if (summary->recipient_count == *capacity) {
        size_t more = *capacity ? 2 * *capacity : FIRST_CAPACITY;
        struct slice *list = arena_alloc(arena, more * sizeof(*list));
        if (summary->recipient_count)
            memcpy(list, summary->recipients, summary->recipient_count * sizeof(*list));
        summary->recipients = list;
        *capacity = more;
    }
    summary->recipients[summary->recipient_count++] = arena_slice(arena, address);
}

static bool read_records(int fd, struct arena *arena, struct maildrop_summary *summary)
{
    struct maildrop_reader reader;
    struct slice data;
    enum maildrop_phase phase = MAILDROP_ENVELOPE;
    enum maildrop_result result;
    size_t capacity = 0;
    char type;
    maildrop_reader_open(&reader, fd);
    while ((result = maildrop_read(&reader, &type, &data)) == MAILDROP_RECORD && phase != MAILDROP_COMPLETE) {
        bool outside = phase != MAILDROP_CONTENT;
        if (!maildrop_step(&phase, type, false) || summary->recipient_count > RECIPIENTS_MAX) {
            result = MAILDROP_MALFORMED;
            break;
        }
        if (outside && type == MAILDROP_SENDER)
            summary->sender = arena_slice(arena, data);
        else if (outside && type == MAILDROP_RECIPIENT)
            add_recipient(summary, arena, data, &capacity);
    }
    maildrop_reader_release(&reader);
    return result != MAILDROP_MALFORMED;
}

bool maildrop_summary_read(int directory, const char *name, struct arena *arena, struct maildrop_summary *summary)
{
    struct stat st;
    *summary = (struct maildrop_summary){.queue_id = arena_slice(arena, slice_of(name))};
    if (!queue_id_is_valid(summary->queue_id))
        return false;
    int fd = openat(directory, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0)
        return false;
    /* The owner's execute bit says that it is complete (compat.md k.3). */
    bool ready = fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && (st.st_mode & S_IXUSR);
    summary->time = st.st_mtime;
    summary->size = st.st_size;
    bool ok = ready && read_records(fd, arena, summary);
    close(fd);
    return ok;
}

void maildrop_summary_entry(const struct maildrop_summary *summary, struct arena *arena, struct index_entry *entry)
{
    *entry = (struct index_entry){.queue_id = summary->queue_id, .arrival_time = summary->time * MICROSECONDS, .message_size = summary->size,
                                  .sender = summary->sender, .recipient_count = summary->recipient_count};
    entry->recipients = arena_alloc(arena, (summary->recipient_count + 1) * sizeof(*entry->recipients));
    for (size_t i = 0; i < summary->recipient_count; i++)
        entry->recipients[i] = (struct index_recipient){.address = summary->recipients[i], .index = (uint32_t)i};
}
