/* scanner.c - headers and MIME structure in one pass

   States: in a header block (primary, MIME part, nested message) or in a body.  A stack of boundaries says which multiparts are open; a line
   that begins with "--" and the text of one of them ends the innermost part and all that is inside it.  Nothing is copied that lies whole in
   the piece being fed: spans point into it and are saved only when the piece ends before they do. */
#include "message/header.h"
#include "message/mime.h"

struct boundary {
    struct boundary *outer;
    bool digest; /* parts without a Content-Type are messages */
    size_t len;
    char text[];
};

/* Bytes that belong together: a view of the piece being fed, or saved in the buffer. */
struct span {
    const char *start;
    size_t len;
    bool saved;
    struct buffer memory;
};

struct message_scanner {
    struct message_limits limits;
    struct message_scanner_events events;
    void *context;
    enum message_part state;
    bool finished_header;  /* the primary header has ended */
    bool continues_line;   /* the piece of a line comes next */
    bool truncated;        /* the open header is longer than header_size_limit */
    struct span header;    /* the open logical header, with the CRLF of its last line */
    size_t header_lines;   /* its lines that ended with CRLF */
    struct span raw;       /* body bytes not yet passed on */
    struct buffer partial; /* beginning of a line whose end has not come */
    bool from_partial;     /* the line being handled lies in partial */
    struct boundary *boundaries;
    size_t depth;
    /* of the present part */
    enum mime_type type;
    enum mime_encoding encoding;
    struct buffer boundary;
    struct buffer too_deep; /* the header that asks for one level too much */
    struct buffer encoding_text; /* what encoding was read from, when it is another */
    bool body_8bit_reported;
};

struct message_scanner *message_scanner_new(const struct message_limits *limits, const struct message_scanner_events *events, void *context)
{
    struct message_scanner *s = memory_zalloc(1, sizeof(*s));
    s->limits = *limits;
    s->events = *events;
    s->context = context;
    s->state = MESSAGE_PRIMARY_HEADER;
    s->type = MIME_TYPE_TEXT;
    return s;
}

static void pop_boundary(struct message_scanner *s)
{
    struct boundary *inner = s->boundaries;
    s->boundaries = inner->outer;
    s->depth--;
    free(inner);
}

void message_scanner_free(struct message_scanner *s)
{
    if (!s)
        return;
    while (s->boundaries)
        pop_boundary(s);
    buffer_release(&s->header.memory);
    buffer_release(&s->raw.memory);
    buffer_release(&s->partial);
    buffer_release(&s->boundary);
    buffer_release(&s->too_deep);
    buffer_release(&s->encoding_text);
    free(s);
}

/* ---- spans ---- */

static struct slice span_slice(const struct span *span)
{
    return span->saved ? buffer_slice(&span->memory) : slice_make(span->start, span->len);
}

static void span_clear(struct span *span)
{
    span->len = 0;
    span->saved = false;
    buffer_clear(&span->memory);
}

static void span_save(struct span *span)
{
    if (span->saved || span->len == 0)
        return;
    buffer_append(&span->memory, span->start, span->len);
    span->saved = true;
}

/* span_add - volatile_data: the bytes will not stay. */
static void span_add(struct span *span, struct slice data, bool volatile_data)
{
    if (!span->saved && !volatile_data && (span->len == 0 || span->start + span->len == data.data)) {
        if (span->len == 0)
            span->start = data.data;
        span->len += data.len;
        return;
    }
    span_save(span);
    span->saved = true;
    buffer_append_slice(&span->memory, data);
    span->len = span->memory.len;
}

static void flush_raw(struct message_scanner *s)
{
    if (!s->events.raw || s->raw.len == 0)
        return;
    s->events.raw(s->context, span_slice(&s->raw));
    span_clear(&s->raw);
}

static void report(struct message_scanner *s, const char *what, struct slice text)
{
    if (s->events.mime_error)
        s->events.mime_error(s->context, what, text);
}

/* chomp - without the line end. */
static struct slice chomp(struct slice line)
{
    if (line.len && line.data[line.len - 1] == '\n')
        line.len--;
    if (line.len && line.data[line.len - 1] == '\r')
        line.len--;
    return line;
}

/* ---- headers ---- */

static void note_mime_header(struct message_scanner *s, struct slice name, struct slice value)
{
    switch (header_known(name)) {
    case HEADER_CONTENT_TYPE:
        s->type = mime_parse_type(value, s->limits.mime_boundary_length_limit, &s->boundary);
        break;
    case HEADER_CONTENT_TRANSFER_ENCODING:
        s->encoding = mime_parse_encoding(value);
        buffer_clear(&s->encoding_text);
        if (s->encoding == MIME_ENCODING_OTHER && s->limits.strict_mime_encoding_domain)
            buffer_append_slice(&s->encoding_text, slice_trim(value));
        break;
    default:
        break;
    }
}

/* header_text - the open logical header: without what follows a NUL (nobody else would see it), and without blanks before the colon (RFC 5322 4.5). */
static struct slice header_text(struct message_scanner *s, struct slice *name, struct slice *value, bool *parsed)
{
    struct slice text = chomp(span_slice(&s->header));
    text = slice_first(text, slice_find(text, '\0'));
    *parsed = header_parse(text, name, value);
    if (!*parsed || text.data[name->len] == ':')
        return text;
    size_t colon = slice_find(text, ':'), length = text.len - (colon - name->len);
    span_save(&s->header);
    char *start = s->header.memory.data;
    memmove(start + name->len, start + colon, text.len - colon);
    text = slice_make(start, length);
    *parsed = header_parse(text, name, value);
    return text;
}

/* end_header - the open logical header is complete. */
static void end_header(struct message_scanner *s)
{
    if (s->header.len == 0)
        return;
    struct slice name, value;
    bool parsed;
    struct slice text = header_text(s, &name, &value, &parsed);
    if ((s->limits.strict_7bit_headers || s->limits.strict_8bitmime) && !slice_is_ascii(text))
        report(s, "improper use of 8-bit data in message header", text);
    if (s->limits.mime_processing && parsed && slice_starts_case(name, SLICE("content-"))) {
        note_mime_header(s, name, value);
        if (s->depth >= s->limits.mime_nesting_limit + 2 && header_known(name) == HEADER_CONTENT_TYPE) {
            buffer_clear(&s->too_deep);
            buffer_append_slice(&s->too_deep, text);
        }
    }
    s->events.header(s->context, s->state, text, s->truncated);
    span_clear(&s->header);
    s->header_lines = 0;
    s->truncated = false;
}

/* add_to_header - within header_size_limit, where a line end counts as one byte; the rest is dropped: of the first line what is too much, of
   the others the whole line. */
static void add_to_header(struct message_scanner *s, struct slice line)
{
    if (s->truncated)
        return;
    size_t taken = s->header.len - s->header_lines, limit = s->limits.header_size_limit, room = limit > taken ? limit - taken : 0;
    s->truncated = chomp(line).len > room;
    if (s->truncated && s->header.len && !s->continues_line)
        return;
    span_add(&s->header, s->truncated ? slice_first(line, room) : line, s->from_partial);
    s->header_lines += slice_ends(line, SLICE("\r\n"));
}

/* ---- MIME structure ---- */

/* push_boundary - one level of multiparts deeper; not (reported) when it is too deep.  The two levels above the limit are Postfix' way to count. */
static void push_boundary(struct message_scanner *s)
{
    if (s->depth >= s->limits.mime_nesting_limit + 2) {
        report(s, "MIME nesting exceeds safety limit", buffer_slice(&s->too_deep));
        return;
    }
    struct boundary *b = memory_alloc(sizeof(*b) + s->boundary.len);
    b->outer = s->boundaries;
    b->digest = s->type == MIME_TYPE_DIGEST;
    b->len = s->boundary.len;
    memcpy(b->text, s->boundary.data, b->len);
    s->boundaries = b;
    s->depth++;
}

static bool is_composite(enum mime_type type)
{
    return type == MIME_TYPE_MULTIPART || type == MIME_TYPE_DIGEST || type == MIME_TYPE_MESSAGE || type == MIME_TYPE_RFC822;
}

/* start_part - what a part is before its headers say so. */
static void start_part(struct message_scanner *s)
{
    s->type = s->boundaries && s->boundaries->digest && s->state == MESSAGE_MIME_HEADER ? MIME_TYPE_RFC822 : MIME_TYPE_TEXT;
    s->encoding = MIME_ENCODING_7BIT;
    s->body_8bit_reported = false;
    buffer_clear(&s->boundary);
}

/* end_block - the header block is over: what comes next depends on its type. */
static void end_block(struct message_scanner *s, bool event)
{
    end_header(s);
    enum message_part part = s->state;
    s->finished_header = true;
    s->state = MESSAGE_BODY_LINE;
    if (event) {
        flush_raw(s);
        s->events.header_end(s->context, part);
    }
    if (!s->limits.mime_processing)
        return;
    if (s->limits.strict_mime_encoding_domain && is_composite(s->type) && s->encoding == MIME_ENCODING_OTHER)
        report(s, "invalid message/* or multipart/* encoding domain", buffer_slice(&s->encoding_text));
    if ((s->type == MIME_TYPE_MULTIPART || s->type == MIME_TYPE_DIGEST) && s->boundary.len) {
        push_boundary(s);
    } else if (s->type == MIME_TYPE_RFC822 && s->encoding != MIME_ENCODING_OTHER) { /* ends where the part does that it is in */
        s->state = MESSAGE_NESTED_HEADER;
        start_part(s);
    }
}

/* match_boundary - does the line end a part?  Closes the inner parts; *last: it was the closing delimiter. */
static bool match_boundary(struct message_scanner *s, struct slice line, bool *last)
{
    if (!s->boundaries || line.len < 3 || line.data[0] != '-' || line.data[1] != '-')
        return false;
    struct boundary *b = s->boundaries;
    struct slice text = slice_from(line, 2);
    while (b && !(b->len && text.len >= b->len && memcmp(text.data, b->text, b->len) == 0))
        b = b->outer;
    if (!b)
        return false;
    while (s->boundaries != b)
        pop_boundary(s);
    *last = slice_starts(slice_from(text, b->len), SLICE("--"));
    return true;
}

/* ---- lines ---- */

static void pass_body(struct message_scanner *s, struct slice line, bool more)
{
    if (s->events.body)
        s->events.body(s->context, more ? line : chomp(line), more);
    else if (s->events.raw)
        span_add(&s->raw, line, s->from_partial);
}

static void pass_delimiter(struct message_scanner *s, struct slice line, bool more, bool last)
{
    if (!s->events.delimiter || more) {
        pass_body(s, line, more);
        return;
    }
    if (s->events.raw)
        flush_raw(s);
    s->events.delimiter(s->context, chomp(line), last);
}

static void check_body_8bit(struct message_scanner *s, struct slice line)
{
    bool wanted = s->limits.mime_processing && (s->limits.strict_8bitmime || s->limits.strict_8bitmime_body);
    if (!wanted || s->body_8bit_reported || s->encoding != MIME_ENCODING_7BIT || slice_is_ascii(line))
        return;
    s->body_8bit_reported = true;
    report(s, "improper use of 8-bit data in message body", chomp(line));
}

static void body_line(struct message_scanner *s, struct slice line, bool more)
{
    bool last = false;
    if (!s->continues_line && match_boundary(s, line, &last)) {
        pass_delimiter(s, line, more, last);
        if (last) {
            pop_boundary(s);
            s->state = MESSAGE_BODY_LINE;
        } else {
            s->state = MESSAGE_MIME_HEADER;
        }
        start_part(s);
        return;
    }
    check_body_8bit(s, line);
    pass_body(s, line, more);
}

static void header_line(struct message_scanner *s, struct slice line, bool more)
{
    struct slice text = chomp(line), name, value;
    if (s->continues_line) { /* the rest of a very long line, which may have been a boundary: what was raw comes first */
        flush_raw(s);
        add_to_header(s, line);
        return;
    }
    if (text.len && (text.data[0] == ' ' || text.data[0] == '\t') && s->header.len) {
        add_to_header(s, line);
        return;
    }
    end_header(s);
    if (text.len == 0) {
        end_block(s, true);
        return;
    }
    if (header_parse(text, &name, &value)) {
        flush_raw(s);
        add_to_header(s, line);
        return;
    }
    bool last;
    /* A delimiter right after the headers of a part needs no empty line; popping is left to body_line. */
    bool delimiter = s->state != MESSAGE_PRIMARY_HEADER && match_boundary(s, line, &last);
    if (s->state == MESSAGE_PRIMARY_HEADER && s->limits.report_header_fault)
        report(s, MESSAGE_HEADER_FAULT, text);
    end_block(s, !delimiter);
    if (s->state != MESSAGE_BODY_LINE) /* a nested message that begins without a header */
        s->state = MESSAGE_BODY_LINE;
    body_line(s, line, more);
}

static void handle_line(struct message_scanner *s, struct slice line, bool more)
{
    if (s->state == MESSAGE_BODY_LINE)
        body_line(s, line, more);
    else
        header_line(s, line, more);
    s->continues_line = more;
}

/* ---- feeding ---- */

/* piece_limit - a line longer than this is handled in pieces; always enough to recognise a boundary. */
static size_t piece_limit(const struct message_scanner *s)
{
    return s->limits.line_length_limit > 256 ? s->limits.line_length_limit : 256;
}

/* nothing_to_see - the rest of the content may pass as it is. */
static bool nothing_to_see(const struct message_scanner *s)
{
    return s->state == MESSAGE_BODY_LINE && !s->events.body && !s->boundaries && s->partial.len == 0 &&
           !(s->limits.mime_processing && (s->limits.strict_8bitmime || s->limits.strict_8bitmime_body));
}

/* feed_partial - complete the line that began in an earlier piece; returns how many bytes of data were used. */
static size_t feed_partial(struct message_scanner *s, struct slice data)
{
    size_t limit = piece_limit(s), room = limit + 2 - s->partial.len;
    struct slice taken = slice_first(data, room);
    size_t line_end = slice_find(taken, '\n');
    bool ends = line_end < taken.len;
    taken = ends ? slice_first(taken, line_end + 1) : taken;
    buffer_append_slice(&s->partial, taken);
    size_t handled = ends ? s->partial.len : s->partial.len == limit + 2 ? limit : 0;
    if (handled) {
        s->from_partial = true;
        handle_line(s, slice_first(buffer_slice(&s->partial), handled), !ends);
        s->from_partial = false;
        buffer_consume(&s->partial, handled);
    }
    return taken.len;
}

/* feed_line - one line (or a piece of a long one) that lies in data; 0: its end is not there yet.  A piece is cut off when a line
   of limit bytes has no CRLF after it, here as in feed_partial. */
static size_t feed_line(struct message_scanner *s, struct slice data)
{
    size_t limit = piece_limit(s), line_end = slice_find(slice_first(data, limit + 2), '\n');
    if (line_end < data.len && line_end < limit + 2) {
        handle_line(s, slice_first(data, line_end + 1), false);
        return line_end + 1;
    }
    if (data.len < limit + 2)
        return 0;
    handle_line(s, slice_first(data, limit), true);
    return limit;
}

void message_scanner_feed(struct message_scanner *s, struct slice data)
{
    while (data.len) {
        size_t used;
        if (nothing_to_see(s)) {
            if (s->events.raw)
                span_add(&s->raw, data, false);
            break;
        }
        if (s->partial.len) {
            used = feed_partial(s, data);
        } else if ((used = feed_line(s, data)) == 0) {
            buffer_append_slice(&s->partial, data);
            break;
        }
        data = slice_from(data, used);
    }
    span_save(&s->header);
    flush_raw(s);
}

void message_scanner_finish(struct message_scanner *s)
{
    if (s->partial.len) {
        s->from_partial = true;
        handle_line(s, buffer_slice(&s->partial), false);
        s->from_partial = false;
        buffer_clear(&s->partial);
    }
    end_header(s);
    flush_raw(s);
}

struct message_part_facts message_scanner_part(const struct message_scanner *s)
{
    return (struct message_part_facts){.composite = is_composite(s->type) || s->type == MIME_TYPE_MESSAGE_ANY_ENCODING,
                                       .is_8bit = s->encoding == MIME_ENCODING_8BIT, .is_binary = s->encoding == MIME_ENCODING_BINARY};
}

bool message_scanner_in_primary_header(const struct message_scanner *s)
{
    return !s->finished_header;
}
