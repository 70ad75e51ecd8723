/* showq.c - the queue listing for postqueue and other people's exporters: attributes as NUL-terminated names and values

   An announcement of the protocol, then per message queue_name, queue_id, time, size, forced_expire, sender, and per recipient recipient, reason
   (Postfix 3.11 puts orig_recipient before it, which postqueue of 3.7 takes for an error); a lone NUL ends a message, another one the listing.  Order as Postfix: maildrop, active, incoming, deferred, hold. */
#include "query.h"

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

static void put_message(struct buffer *out, const struct queue_item *item, struct slice empty_sender, bool extended)
{
    const struct index_entry *e = &item->entry;
    put_attribute(out, "queue_name", slice_of(item->queue));
    put_attribute(out, "queue_id", e->queue_id);
    put_number(out, "time", e->arrival_time / MICROSECONDS);
    put_number(out, "size", e->message_size);
    put_number(out, "forced_expire", e->forced_expire);
    put_attribute(out, "sender", e->sender.len ? e->sender : empty_sender);
    if (!extended)
        return;
    put_number(out, "attempts", e->attempts);
    put_number(out, "last_attempt", e->last_attempt / MICROSECONDS);
    put_number(out, "next_attempt", e->next_attempt / MICROSECONDS);
    put_attribute(out, "destination", e->destination);
}

void showq_put(struct buffer *out, const struct queue_item *item, struct slice empty_sender, bool extended)
{
    const struct index_entry *e = &item->entry;
    put_message(out, item, empty_sender, extended);
    for (int with_reason = 1; with_reason >= 0; with_reason--) {
        for (size_t i = 0; i < e->recipient_count; i++) {
            const struct index_recipient *r = &e->recipients[i];
            if ((r->reason.len > 0) != with_reason)
                continue;
            if (extended)
                put_attribute(out, "orig_recipient", r->original);
            put_attribute(out, "recipient", r->address);
            put_attribute(out, "reason", r->reason);
            if (extended)
                put_attribute(out, "status", r->status);
        }
    }
    buffer_append_byte(out, '\0');
}

struct listing {
    struct qmgr *q;
    struct stream *stream;
    struct buffer out;
};

static void list_item(void *context, const struct queue_item *item)
{
    struct listing *l = context;
    showq_put(&l->out, item, slice_of(l->q->params.empty_address_recipient), false);
}

/* send_out - what was gathered; false: the reader has gone away.  Waits. */
static bool send_out(void *context)
{
    struct listing *l = context;
    stream_write_slice(l->stream, buffer_slice(&l->out));
    buffer_clear(&l->out);
    return stream_error(l->stream) == STREAM_OK;
}

void showq_serve(struct qmgr *q, struct stream *stream)
{
    struct listing l = {.q = q, .stream = stream};
    const struct query_visitor visitor = {list_item, send_out, &l};
    store_scan(q->store); /* what was acknowledged is listed, also when cleanup's word of it is still on the way */
    stream_set_deadline(stream, clock_after(write_time));
    put_attribute(&l.out, "protocol", SLICE("mail_queue_list_protocol"));
    buffer_append_byte(&l.out, '\0');
    if (query_each(q, NULL, &visitor)) {
        stream_write(stream, "", 1);
        stream_flush(stream);
    }
    buffer_release(&l.out);
}
