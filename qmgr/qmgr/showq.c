/* showq.c - the queue listing for postqueue and other people's exporters: attributes as NUL-terminated names and values

   An announcement of the protocol, then per message queue_name, queue_id, time, size, forced_expire, sender, and per recipient orig_recipient,
   recipient, reason; a lone NUL ends a message, another one the listing.  Order as Postfix: maildrop, active, incoming, deferred, hold. */
#include "qmgr.h"

#include <dirent.h>
#include <fcntl.h>

#include "base/log.h"
#include "queue/maildrop_summary.h"

enum { BATCH = 100 /* entries between two looks at the rest of the world */ };
static const int64_t write_time = 600 * MICROSECONDS;

static void put_attribute(struct buffer *out, const char *name, struct slice value)
{
    buffer_append(out, name, strlen(name) + 1);
    /* What comes from outside has no NUL, or it would end here. */
    value.len = slice_find(value, '\0');
    buffer_append_slice(out, value);
    buffer_append_byte(out, '\0');
}

static void put_number(struct buffer *out, const char *name, int64_t number)
{
    buffer_append(out, name, strlen(name) + 1);
    buffer_printf(out, "%lld", (long long)number);
    buffer_append_byte(out, '\0');
}

static void put_message(struct buffer *out, const char *queue, const struct index_entry *e, struct slice empty_sender)
{
    put_attribute(out, "queue_name", slice_of(queue));
    put_attribute(out, "queue_id", e->queue_id);
    put_number(out, "time", e->arrival_time / MICROSECONDS);
    put_number(out, "size", e->message_size);
    put_number(out, "forced_expire", e->forced_expire);
    put_attribute(out, "sender", e->sender.len ? e->sender : empty_sender);
}

static void put_recipient(struct buffer *out, struct slice original, struct slice address, struct slice reason)
{
    put_attribute(out, "orig_recipient", original);
    put_attribute(out, "recipient", address);
    put_attribute(out, "reason", reason);
}

/* send_out - what was gathered; false: the reader has gone away.  Waits. */
static bool send_out(struct stream *stream, struct buffer *out)
{
    stream_write_slice(stream, buffer_slice(out));
    buffer_clear(out);
    return stream_error(stream) == STREAM_OK;
}

/* put_active - a picture of this moment: no wait in between. */
static void put_active(struct qmgr *q, struct buffer *out, struct slice empty_sender)
{
    LIST_EACH(&q->active, link) {
        const struct message *m = LIST_ENTRY(link, struct message, link);
        const struct envelope *e = &m->envelope;
        struct index_entry entry = {.queue_id = e->queue_id, .arrival_time = e->arrival_time, .message_size = e->message_size,
                                    .forced_expire = m->forced_expire, .sender = e->sender};
        if (m->deleted)
            continue;
        put_message(out, "active", &entry, empty_sender);
        for (uint32_t i = 0; i < m->slot_count; i++) {
            const struct recipient *r = message_recipient(m, &m->slots[i]);
            if (m->slots[i].state != SLOT_SENT)
                put_recipient(out, r->original, r->address, (struct slice){NULL, 0});
        }
        buffer_append_byte(out, '\0');
    }
}

static void put_entry(struct buffer *out, const char *queue, const struct index_entry *entry, struct slice empty_sender)
{
    put_message(out, queue, entry, empty_sender);
    for (int with_reason = 1; with_reason >= 0; with_reason--) {
        for (size_t i = 0; i < entry->recipient_count; i++) {
            const struct index_recipient *r = &entry->recipients[i];
            if ((r->reason.len > 0) == with_reason)
                put_recipient(out, r->original, r->address, r->reason);
        }
    }
    buffer_append_byte(out, '\0');
}

/* ---- maildrop: files that pickup has not yet taken ---------------------------------------------------------------- */

struct maildrop_look {
    int directory;
    const char *name;
    struct arena *arena;
    struct maildrop_summary summary;
    bool ok;
};

static void look(void *arg)
{
    struct maildrop_look *look = arg;
    look->ok = maildrop_summary_read(look->directory, look->name, look->arena, &look->summary);
}

static void put_maildrop_file(int directory, const char *name, struct buffer *out, struct slice empty_sender)
{
    struct maildrop_look file = {.directory = directory, .name = name, .arena = arena_new(0)};
    run_offload(look, &file);
    if (file.ok) {
        struct index_entry entry = {.queue_id = file.summary.queue_id, .arrival_time = file.summary.time * MICROSECONDS,
                                    .message_size = file.summary.size, .sender = file.summary.sender};
        put_message(out, "maildrop", &entry, empty_sender);
        for (size_t i = 0; i < file.summary.recipient_count; i++)
            put_recipient(out, (struct slice){NULL, 0}, file.summary.recipients[i], (struct slice){NULL, 0});
        buffer_append_byte(out, '\0');
    }
    arena_free(file.arena);
}

static bool send_maildrop(struct qmgr *q, struct stream *stream, struct buffer *out)
{
    DIR *directory = opendir("maildrop");
    bool ok = true;
    if (!directory)
        return true;
    for (const struct dirent *file; ok && (file = readdir(directory));) {
        if (queue_id_is_valid(slice_of(file->d_name)))
            put_maildrop_file(dirfd(directory), file->d_name, out, slice_of(q->params.empty_address_recipient));
        ok = send_out(stream, out);
    }
    closedir(directory);
    return ok;
}

static bool send_queue(struct qmgr *q, struct stream *stream, struct buffer *out, const char *name, enum index_queue queue)
{
    struct arena *arena = arena_new(0);
    struct index_entry entry;
    struct index_scan *scan = index_scan_start(q->index, INDEX_BY_ID, queue, (struct slice){NULL, 0});
    bool ok = true;
    for (int i = 1; ok && index_scan_next(scan, arena, &entry) > 0; i++) {
        if (!message_find(q, entry.queue_id))
            put_entry(out, name, &entry, slice_of(q->params.empty_address_recipient));
        arena_reset(arena);
        if (i % BATCH == 0) {
            ok = send_out(stream, out);
            fiber_yield();
        }
    }
    index_scan_free(scan);
    arena_free(arena);
    return ok && send_out(stream, out);
}

void showq_serve(struct qmgr *q, struct stream *stream)
{
    struct buffer out = BUFFER_INIT;
    store_scan(q->store); /* what was acknowledged is listed, also when cleanup's word of it is still on the way */
    stream_set_deadline(stream, clock_after(write_time));
    put_attribute(&out, "protocol", SLICE("mail_queue_list_protocol"));
    buffer_append_byte(&out, '\0');
    bool ok = send_maildrop(q, stream, &out);
    put_active(q, &out, slice_of(q->params.empty_address_recipient));
    ok = ok && send_out(stream, &out) && send_queue(q, stream, &out, "incoming", INDEX_INCOMING) &&
              send_queue(q, stream, &out, "deferred", INDEX_DEFERRED) && send_queue(q, stream, &out, "hold", INDEX_HOLD);
    if (ok) {
        stream_write(stream, "", 1);
        stream_flush(stream);
    }
    buffer_release(&out);
}
