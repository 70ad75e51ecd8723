/* content.c - content from the submitter through the scanner into the queue

   Normally nothing is copied on this way but headers and lines into the sink: the scanner works in the bytes that came with the lane. */
#include "base/log.h"
#include "transaction.h"

/* ---- writing ---- */

void content_write(struct transaction *t, struct slice data)
{
    if (data.len == 0 || t->discarded || (t->refused && transaction_is_over(t)))
        return;
    int64_t limit = t->cleanup->params.message_size_limit;
    content_scan_feed(&t->written, data);
    t->last_byte = data.data[data.len - 1];
    if (limit > 0 && t->written.bytes > (uint64_t)limit) {
        if (!t->refused)
            log_warning(SLICE_FORMAT ": queue file size limit exceeded", SLICE_ARGS(t->queue_id));
        transaction_refuse(t, SUBMIT_STATUS_REFUSED, 552, SLICE("5.3.4 Error: message file too big"));
        return;
    }
    if (!content_sink_write(t->sink, data))
        transaction_write_failed(t, errno);
}

void content_write_text(struct transaction *t, struct slice text)
{
    struct slice line;
    if (text.len == 0)
        content_write(t, SLICE("\r\n"));
    while (slice_next_line(&text, &line)) {
        if (slice_ends(line, SLICE("\r")))
            line.len--;
        content_write(t, line);
        content_write(t, SLICE("\r\n"));
    }
}

/* ---- events of the scanner ---- */

static void on_header(void *context, enum message_part part, struct slice text, bool truncated)
{
    struct transaction *t = context;
    if (!transaction_is_over(t))
        headers_handle(t, part, text, truncated);
}

static void on_header_end(void *context, enum message_part part)
{
    struct transaction *t = context;
    if (transaction_is_over(t))
        return;
    if (part == MESSAGE_PRIMARY_HEADER)
        headers_end(t);
    t->checked_bytes = 0;
    content_write(t, SLICE("\r\n"));
    if (part == MESSAGE_PRIMARY_HEADER)
        t->body_offset = content_sink_size(t->sink);
}

/* is_checked - is the line within the part of the segment that body_checks look at? */
static bool is_checked(struct transaction *t, struct slice line)
{
    if (t->checked_bytes >= t->cleanup->params.body_checks_size_limit || table_list_is_empty(t->cleanup->body_checks))
        return false;
    t->checked_bytes += (int64_t)line.len + 1;
    return true;
}

static void on_body(void *context, struct slice line, bool more)
{
    struct transaction *t = context;
    if (transaction_is_over(t))
        return;
    struct slice text = line;
    if (is_checked(t, line) && check_text(t, t->cleanup->body_checks, "body_checks", "body", &text) == CHECK_DROP)
        return;
    if (text.data != line.data) {
        content_write_text(t, text);
        return;
    }
    content_write(t, line);
    if (!more)
        content_write(t, SLICE("\r\n"));
}

static void on_raw(void *context, struct slice data)
{
    content_write(context, data);
}

/* minds_nesting - Postfix looks at MIME structure only when something depends on it. */
static bool minds_nesting(const struct cleanup *c)
{
    const struct cleanup_params *p = &c->params;
    return !table_list_is_empty(c->header_checks) || !table_list_is_empty(c->mime_header_checks) || !table_list_is_empty(c->nested_header_checks) ||
           !table_list_is_empty(c->body_checks) || p->strict_8bitmime || p->strict_8bitmime_body || p->strict_7bit_headers ||
           p->strict_mime_encoding_domain;
}

static void on_mime_error(void *context, const char *what, struct slice text)
{
    struct transaction *t = context;
    if (transaction_is_over(t) || t->refused || (t->options & SUBMIT_NO_HEADER_BODY_CHECKS))
        return;
    if (strstr(what, "nesting") && !minds_nesting(t->cleanup))
        return;
    bool header_fault = strcmp(what, MESSAGE_HEADER_FAULT) == 0;
    if (header_fault && strcasecmp(t->cleanup->params.non_empty_end_of_header_action, "reject") != 0) {
        content_write(t, SLICE("MIME-Error: " MESSAGE_HEADER_FAULT "\r\n"));
        return;
    }
    log_mime_error(t, what, text);
    transaction_refuse_content(t, SUBMIT_STATUS_REFUSED, 550, arena_format(t->arena, "5.6.0 %s", what));
}

/* ---- feeding: only CRLF line ends and no other CR or LF get past this point ---- */

/* is_clean - every CR and LF of the piece is part of a CRLF in it. */
static bool is_clean(struct slice data)
{
    const char *at = data.data, *end = data.data + data.len;
    while (at < end) {
        const char *lf = memchr(at, '\n', (size_t)(end - at));
        const char *line_end = lf ? lf : end;
        const char *cr = memchr(at, '\r', (size_t)(line_end - at));
        if (lf ? cr != lf - 1 : cr != NULL)
            return false;
        at = line_end + 1;
    }
    return true;
}

/* clean - a copy in which a lone LF ends a line and a lone CR is a blank (cleanup_replace_stray_cr_lf) or stays. A CR at the end of
   the piece is held back: LF may be next. */
static void clean(struct transaction *t, struct slice data, bool *held_cr, struct buffer *out)
{
    char stray = t->cleanup->params.cleanup_replace_stray_cr_lf ? ' ' : '\r';
    for (size_t i = 0; i < data.len; i++) {
        char c = data.data[i];
        if (c == '\n') {
            buffer_append(out, "\r\n", 2);
            *held_cr = false;
            continue;
        }
        if (*held_cr)
            buffer_append_byte(out, stray);
        *held_cr = c == '\r';
        if (!*held_cr)
            buffer_append_byte(out, c);
    }
}

struct slice content_clean(struct transaction *t, struct slice data, bool *held_cr, struct buffer *out)
{
    if (!*held_cr && is_clean(data))
        return data;
    clean(t, data, held_cr, out);
    return buffer_slice(out);
}

/* is_line_end - CR LF, which stay whatever the sets of characters say. */
static bool is_line_end(struct slice data, size_t i)
{
    return data.data[i] == '\n' || (data.data[i] == '\r' && i + 1 < data.len && data.data[i + 1] == '\n');
}

/* line_of - the line (as far as the piece has it) around a byte, without what follows a NUL. */
static struct slice line_of(struct slice data, size_t at)
{
    size_t start = slice_find_last(slice_first(data, at), '\n');
    struct slice line = slice_from(data, start < at ? start + 1 : 0);
    line = slice_first(line, slice_find(line, '\r'));
    return slice_first(line, slice_find(line, '\0'));
}

/* filter_bytes - message_reject_characters and message_strip_characters. */
static struct slice filter_bytes(struct transaction *t, struct slice data, struct buffer *out)
{
    const struct byte_set *reject = &t->cleanup->reject_bytes, *strip = &t->cleanup->strip_bytes;
    if (!reject->any && !strip->any)
        return data;
    buffer_clear(out);
    for (size_t i = 0; i < data.len; i++) {
        unsigned char c = (unsigned char)data.data[i];
        if (reject->has[c] && !is_line_end(data, i)) {
            log_content_action(t, "reject", "content", line_of(data, i), SLICE("5.7.1 disallowed character"));
            transaction_refuse_content(t, SUBMIT_STATUS_REFUSED, 550, SLICE("5.7.1 disallowed character"));
            return data;
        }
        if (!strip->has[c] || is_line_end(data, i))
            buffer_append_byte(out, (char)c);
    }
    return buffer_slice(out);
}

void transaction_content(struct transaction *t, struct slice data)
{
    if (transaction_is_over(t) || data.len == 0)
        return;
    struct buffer cleaned = BUFFER_INIT, filtered = BUFFER_INIT;
    data = content_clean(t, data, &t->held_cr, &cleaned);
    if (!(t->options & SUBMIT_NO_HEADER_BODY_CHECKS))
        data = filter_bytes(t, data, &filtered);
    if (!transaction_is_over(t))
        message_scanner_feed(t->scanner, data);
    buffer_release(&cleaned);
    buffer_release(&filtered);
}

void content_start(struct transaction *t)
{
    bool checks_body = !table_list_is_empty(t->cleanup->body_checks) && !(t->options & SUBMIT_NO_HEADER_BODY_CHECKS);
    struct message_scanner_events events = {.header = on_header, .header_end = on_header_end, .body = checks_body ? on_body : NULL,
                                            .mime_error = on_mime_error, .raw = on_raw};
    if (t->discarded)
        return;
    t->scanner = message_scanner_new(&t->cleanup->limits, &events, t);
    t->sink = content_sink_new(t->cleanup->writer);
    t->last_byte = '\n';
}

void content_finish(struct transaction *t)
{
    if (t->held_cr) {
        t->held_cr = false;
        message_scanner_feed(t->scanner, SLICE("\r\n"));
    }
    message_scanner_finish(t->scanner);
    if (transaction_is_over(t))
        return;
    if (message_scanner_in_primary_header(t->scanner))
        headers_end(t);
    if (t->last_byte != '\n')
        content_write(t, SLICE("\r\n"));
}
