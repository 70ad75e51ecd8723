/* maildrop_export.c - a message of the queue as the records of a Postfix queue file */
#include "queue/maildrop_export.h"

#include <sys/socket.h>

#include "address/mail_address.h"
#include "base/clock.h"
#include "queue/segment_file.h"

enum { CHUNK = 64 * 1024 };

struct export {
    const struct queue_record *record;
    void (*put)(void *context, char type, struct slice data);
    void *context;
    struct arena *arena;
};

static void put_format(struct export *export, char type, const char *format, ...) PRINTF_LIKE(3, 4);
static void put_format(struct export *export, char type, const char *format, ...)
{
    struct buffer text = BUFFER_INIT;
    va_list args;
    va_start(args, format);
    buffer_vprintf(&text, format, args);
    va_end(args);
    export->put(export->context, type, buffer_slice(&text));
    buffer_release(&text);
}

static void attribute(struct export *export, const char *name, struct slice value)
{
    if (value.len > 0)
        put_format(export, MAILDROP_ATTRIBUTE, "%s=" SLICE_FORMAT, name, SLICE_ARGS(value));
}

/* first_of - the original source where it is known apart, else the client. */
static struct slice first_of(struct slice log, struct slice client)
{
    return log.len ? log : client;
}

static void put_number(struct export *export, const char *name, int64_t value)
{
    if (value)
        put_format(export, MAILDROP_ATTRIBUTE, "%s=%lld", name, (long long)value);
}

static void put_beginning(struct export *export)
{
    const struct envelope *e = &export->record->envelope;
    long long content = (long long)export->record->place.content_length;
    put_format(export, MAILDROP_SIZE, "%15lld %15lld %15lld %15d %15lld %15lld", content, (long long)export->record->place.content_offset,
               (long long)e->recipients_count, 0, (long long)e->message_size, (long long)e->send_options);
    put_format(export, MAILDROP_TIME, "%lld %lld", (long long)(e->arrival_time / MICROSECONDS), (long long)(e->arrival_time % MICROSECONDS));
    put_format(export, MAILDROP_ATTRIBUTE, "create_time=%lld", (long long)(e->arrival_time / MICROSECONDS));
    if (e->sender_full_name.len)
        export->put(export->context, MAILDROP_FULL_NAME, e->sender_full_name);
    attribute(export, "log_ident", e->log_ident.len ? e->log_ident : e->queue_id);
    attribute(export, "rewrite_context", e->rewrite_context);
    attribute(export, "sasl_method", e->sasl_method);
    attribute(export, "sasl_username", e->sasl_username);
    attribute(export, "sasl_sender", e->sasl_sender);
    attribute(export, "envelope_id", e->envelope_id);
    put_number(export, "ret_flags", e->ret);
    put_number(export, "trace_flags", (e->trace & TRACE_VERIFY_ONLY ? MAILDROP_TRACE_VERIFY : 0) | (e->trace & TRACE_VERBOSE ? MAILDROP_TRACE_REPORT : 0));
    export->put(export->context, MAILDROP_SENDER, mail_address_internal(e->sender, export->arena));
    attribute(export, "encoding", e->encoding);
}

static void put_client(struct export *export)
{
    const struct envelope *e = &export->record->envelope;
    attribute(export, "log_client_name", first_of(e->log_client_name, e->client_name));
    attribute(export, "log_client_address", first_of(e->log_client_address, e->client_address));
    attribute(export, "log_client_port", first_of(e->log_client_port, e->client_port));
    attribute(export, "log_message_origin", e->log_message_origin);
    attribute(export, "log_helo_name", first_of(e->log_helo_name, e->helo_name));
    attribute(export, "log_protocol_name", first_of(e->log_protocol_name, e->protocol_name));
    attribute(export, "client_name", e->client_name);
    attribute(export, "reverse_client_name", e->reverse_client_name);
    attribute(export, "client_address", e->client_address);
    attribute(export, "client_port", e->client_port);
    attribute(export, "server_address", e->server_address);
    attribute(export, "server_port", e->server_port);
    attribute(export, "helo_name", e->helo_name);
    attribute(export, "protocol_name", e->protocol_name);
    if (e->client_address.len)
        put_number(export, "client_address_type", slice_find(e->client_address, ':') < e->client_address.len ? AF_INET6 : AF_INET);
    if (e->content_filter.len)
        export->put(export->context, 'L', e->content_filter);
    if (e->redirect.len)
        export->put(export->context, MAILDROP_REDIRECT, e->redirect);
    if (e->verp_delimiters.len)
        export->put(export->context, MAILDROP_VERP, e->verp_delimiters);
}

static void put_recipient(struct export *export, size_t i)
{
    const struct recipient *r = &export->record->envelope.recipients[i];
    struct slice original = recipient_original(r);
    bool pending = export->record->recipient_states[i] == RECIPIENT_STATE_PENDING;
    put_number(export, "notify_flags", r->notify);
    if (r->orcpt.len)
        attribute(export, "dsn_orig_rcpt", r->orcpt);
    else
        put_format(export, MAILDROP_ATTRIBUTE, "dsn_orig_rcpt=rfc822;" SLICE_FORMAT, SLICE_ARGS(original));
    export->put(export->context, MAILDROP_ORIGINAL, mail_address_internal(original, export->arena));
    export->put(export->context, pending ? MAILDROP_RECIPIENT : MAILDROP_DONE, mail_address_internal(r->address, export->arena));
}

/* ---- content ------------------------------------------------------------------------------------------------------ */

/* put_lines - complete lines of text; returns how much is left, which is put too when it is the end. */
static size_t put_lines(struct export *export, struct slice text, bool end)
{
    while (text.len > 0) {
        size_t at = slice_find(text, '\n');
        struct slice line = slice_first(text, at);
        if (at < text.len && line.len > 0 && line.data[line.len - 1] == '\r')
            line.len--;
        /* A CR at the cut may belong to the line's end. */
        if (line.len > MAILDROP_EXPORT_LINE_MAX) {
            export->put(export->context, MAILDROP_UNFINISHED, slice_first(line, MAILDROP_EXPORT_LINE_MAX));
            text = slice_from(text, MAILDROP_EXPORT_LINE_MAX);
            continue;
        }
        if (at == text.len && !end)
            return text.len;
        export->put(export->context, at < text.len ? MAILDROP_LINE : MAILDROP_UNFINISHED, line);
        text = slice_from(text, at + 1);
    }
    return 0;
}

static bool put_content(struct export *export, int fd)
{
    const struct queue_place *place = &export->record->place;
    char *chunk = memory_alloc(CHUNK);
    size_t held = 0;
    uint64_t done = 0;
    bool ok = true;
    while (ok && done < place->content_length) {
        size_t n = CHUNK - held;
        n = place->content_length - done < n ? (size_t)(place->content_length - done) : n;
        ok = segment_file_read_now(fd, chunk + held, n, place->content_offset + done) == (ssize_t)n;
        done += n;
        size_t len = held + n;
        held = ok ? put_lines(export, slice_make(chunk, len), done == place->content_length) : 0;
        memmove(chunk, chunk + len - held, held);
    }
    free(chunk);
    return ok;
}

bool maildrop_export(const struct queue_record *record, int content_fd, void (*put)(void *context, char type, struct slice data), void *context)
{
    struct export export = {record, put, context, arena_new(0)};
    put_beginning(&export);
    put_client(&export);
    for (size_t i = 0; i < record->envelope.recipients_count; i++)
        put_recipient(&export, i);
    put(context, MAILDROP_CONTENT_BEGINS, SLICE(""));
    bool ok = put_content(&export, content_fd);
    if (ok) {
        put(context, MAILDROP_CONTENT_ENDS, SLICE(""));
        put(context, MAILDROP_END, SLICE(""));
    }
    arena_free(export.arena);
    return ok;
}
