/* dropped.c - read a maildrop file.  It comes from a user: postdrop checked it, but nothing here relies on that. */
#include "address/mail_address.h"
#include "pickup.h"

enum { RECORDS_MAX = 50 * 1000 * 1000, JUMPS_MAX = 10000, RECIPIENTS_MAX = 1000 * 1000 };
#define YEAR_2500 INT64_C(16725225600) /* seconds */

/* ---- envelope ----------------------------------------------------------------------------------------------------- */

/* external - records hold addresses in internal form (unquoted), we speak the external form. */
static struct slice external(struct dropped *dropped, struct slice internal)
{
    size_t at = slice_find_last(internal, '@');
    struct slice local = slice_first(internal, at), domain = at < internal.len ? slice_from(internal, at + 1) : slice_of("");
    if (internal.len == 0)
        return slice_of("");
    return mail_address_join(local, domain, dropped->arena);
}

static void add_recipient(struct dropped *dropped, struct slice address)
{
    struct envelope *envelope = &dropped->envelope;
    if (envelope->recipients_count == dropped->recipient_room) {
        size_t room = dropped->recipient_room ? dropped->recipient_room * 2 : 8;
        struct recipient *larger = arena_alloc(dropped->arena, room * sizeof(*larger));
        if (envelope->recipients_count)
            memcpy(larger, envelope->recipients, envelope->recipients_count * sizeof(*larger));
        envelope->recipients = larger;
        dropped->recipient_room = room;
    }
    envelope->recipients[envelope->recipients_count++] = (struct recipient){
        .address = external(dropped, address), .original = dropped->original, .orcpt = dropped->orcpt, .notify = dropped->notify};
    dropped->original = dropped->orcpt = slice_of("");
    dropped->notify = 0;
}

static int64_t number(struct slice value)
{
    int64_t n;
    return slice_to_i64(value, &n) ? n : 0;
}

static int64_t trace_bits(int64_t flags)
{
    return (flags & MAILDROP_TRACE_VERIFY ? TRACE_VERIFY_ONLY : 0) | (flags & MAILDROP_TRACE_REPORT ? TRACE_VERBOSE : 0);
}

static void take_attribute(struct dropped *dropped, struct slice data)
{
    struct envelope *envelope = &dropped->envelope;
    struct slice name, value;
    if (!maildrop_attribute(data, &name, &value))
        return;
    struct slice copy = arena_slice(dropped->arena, value);
    if (slice_equal(name, SLICE("notify_flags")))
        dropped->notify = number(value) & (NOTIFY_NEVER | NOTIFY_SUCCESS | NOTIFY_FAILURE | NOTIFY_DELAY);
    else if (slice_equal(name, SLICE("dsn_orig_rcpt")))
        dropped->orcpt = copy;
    else if (slice_equal(name, SLICE("encoding")))
        envelope->encoding = copy;
    else if (slice_equal(name, SLICE("envelope_id")))
        envelope->envelope_id = copy;
    else if (slice_equal(name, SLICE("ret_flags")))
        envelope->ret = number(value) & 3;
    else if (slice_equal(name, SLICE("trace_flags")))
        envelope->trace = trace_bits(number(value));
    else if (slice_equal(name, SLICE("rewrite_context")))
        envelope->rewrite_context = slice_equal(value, SLICE("remote")) ? SLICE("remote") : SLICE("local");
    else if (slice_equal(name, SLICE("requiretls")))
        envelope->send_options |= slice_equal(value, SLICE("yes")) ? SEND_REQUIRE_TLS : 0;
    else if (slice_equal(name, SLICE("log_ident")))
        dropped->old_queue_id = copy;
}

static bool clean(struct slice data)
{
    return slice_find_any(data, "\r\n") == data.len && slice_find(data, '\0') == data.len;
}

/* take_record - one record of an envelope segment; false: malformed. */
static bool take_record(struct dropped *dropped, struct maildrop_reader *reader, char type, struct slice data)
{
    struct slice head, tail;
    if (type != MAILDROP_POINTER && !clean(data))
        return false;
    switch (type) {
    case MAILDROP_SENDER:
        dropped->envelope.sender = external(dropped, data);
        dropped->has_sender = true;
        return true;
    case MAILDROP_FULL_NAME:
        dropped->envelope.sender_full_name = arena_slice(dropped->arena, data);
        return true;
    case MAILDROP_RECIPIENT:
        if (dropped->envelope.recipients_count >= RECIPIENTS_MAX)
            return false;
        if (data.len)
            add_recipient(dropped, data);
        return true;
    case MAILDROP_ORIGINAL:
        dropped->original = external(dropped, data);
        return true;
    case MAILDROP_DONE:
    case MAILDROP_CANCELED:
        dropped->original = dropped->orcpt = slice_of("");
        dropped->notify = 0;
        return true;
    case MAILDROP_ATTRIBUTE:
        take_attribute(dropped, data);
        return true;
    case MAILDROP_VERP:
        dropped->envelope.verp_delimiters = arena_slice(dropped->arena, slice_first(data, 2));
        return true;
    case MAILDROP_TIME:
        slice_cut(slice_trim(data), ' ', &head, &tail);
        if (number(head) > 0 && number(head) < YEAR_2500)
            dropped->envelope.arrival_time = number(head) * MICROSECONDS + number(slice_trim(tail)) % MICROSECONDS;
        return true;
    case MAILDROP_POINTER:
        if (number(slice_trim(data)) <= 0)
            return true;
        return dropped->jumps++ < JUMPS_MAX && maildrop_seek(reader, number(slice_trim(data)));
    default:
        return true; /* no meaning for a fresh submission */
    }
}

/* next - the next record that may stand here. */
static bool next(struct dropped *dropped, struct maildrop_reader *reader, char *type, struct slice *data)
{
    return dropped->records++ < RECORDS_MAX && maildrop_read(reader, type, data) == MAILDROP_RECORD
           && maildrop_step(&dropped->phase, *type, false);
}

/* where - the offset of the next unread record. */
static int64_t where(const struct maildrop_reader *reader)
{
    if (reader->fd < 0)
        return (int64_t)reader->at;
    return lseek(reader->fd, 0, SEEK_CUR) - (int64_t)(reader->buffer.len - reader->at);
}

enum dropped_result dropped_envelope(struct dropped *dropped, struct maildrop_reader *reader)
{
    char type;
    struct slice data;
    int64_t content = -1;
    dropped->phase = MAILDROP_ENVELOPE;
    dropped->envelope.rewrite_context = SLICE("local");
    while (dropped->phase != MAILDROP_COMPLETE) {
        enum maildrop_phase before = dropped->phase;
        if (!next(dropped, reader, &type, &data))
            return DROPPED_MALFORMED;
        if (type == MAILDROP_CONTENT_BEGINS)
            content = where(reader);
        else if (before != MAILDROP_CONTENT && !take_record(dropped, reader, type, data))
            return DROPPED_MALFORMED;
        else if (before == MAILDROP_CONTENT && type == MAILDROP_POINTER && !take_record(dropped, reader, type, data))
            return DROPPED_MALFORMED;
    }
    if (!dropped->has_sender || dropped->envelope.recipients_count == 0 || !maildrop_seek(reader, content))
        return DROPPED_MALFORMED;
    dropped->phase = MAILDROP_CONTENT;
    return DROPPED_OK;
}

/* ---- content ------------------------------------------------------------------------------------------------------ */

/* put_text - a line break inside a record is one: nothing but CRLF may end a line later. */
static void put_text(struct slice text, void (*put)(void *context, struct slice data), void *context)
{
    struct slice head, tail;
    while (slice_cut(text, '\n', &head, &tail)) {
        put(context, head.len && head.data[head.len - 1] == '\r' ? slice_first(head, head.len - 1) : head);
        put(context, SLICE("\r\n"));
        text = tail;
    }
    put(context, text);
}

enum dropped_result dropped_content(struct dropped *dropped, struct maildrop_reader *reader, void (*put)(void *context, struct slice data),
                                    void *context, int64_t *size)
{
    char type;
    struct slice data;
    bool open_line = false, first = true;
    for (;;) {
        if (!next(dropped, reader, &type, &data))
            return DROPPED_MALFORMED;
        if (type == MAILDROP_CONTENT_ENDS)
            break;
        if (type == MAILDROP_POINTER && !take_record(dropped, reader, type, data))
            return DROPPED_MALFORMED;
        if (type != MAILDROP_LINE && type != MAILDROP_UNFINISHED)
            continue;
        if (first && data.len && (data.data[0] == ' ' || data.data[0] == '\t')) { /* not a continuation of our own header */
            put(context, SLICE("\r\n"));
            ++*size;
        }
        first = false;
        put_text(data, put, context);
        open_line = type == MAILDROP_UNFINISHED;
        if (!open_line)
            put(context, SLICE("\r\n"));
        *size += (int64_t)data.len + !open_line;
    }
    if (open_line) {
        put(context, SLICE("\r\n"));
        ++*size;
    }
    return DROPPED_OK;
}
