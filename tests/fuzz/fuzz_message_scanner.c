/* fuzz_message_scanner.c - content in one piece and cut up must give the same events, and nothing may get lost on the raw way */
#include "message/header.h"

static void on_header(void *context, enum message_part part, struct slice text, bool truncated)
{
    buffer_printf(context, "%c%d", 'H' + (int)part, truncated);
    buffer_append_slice(context, text);
}

static void on_header_end(void *context, enum message_part part)
{
    buffer_append_byte(context, (char)('0' + (int)part));
}

static void on_body(void *context, struct slice line, bool more)
{
    buffer_append_byte(context, more ? '+' : '\n');
    buffer_append_slice(context, line);
}

static void on_raw(void *context, struct slice data)
{
    buffer_append_slice(context, data);
}

static struct buffer errors; /* apart: raw bytes are collected before they are passed on, so their order to errors may differ */

static void on_error(void *context, const char *what, struct slice text)
{
    buffer_append_string(&errors, what);
    buffer_append_slice(&errors, text);
}

static void scan(struct slice data, size_t piece, int options, struct buffer *out)
{
    struct message_limits limits = {.header_size_limit = options & 4 ? 20 : 200, .line_length_limit = 300, .mime_nesting_limit = 3,
                                    .mime_boundary_length_limit = 10, .mime_processing = options & 1, .strict_8bitmime = options & 8,
                                    .strict_mime_encoding_domain = options & 8};
    struct message_scanner_events events = {on_header, on_header_end, options & 2 ? on_body : NULL, on_error, on_raw};
    struct message_scanner *scanner = message_scanner_new(&limits, &events, out);
    while (data.len) {
        message_scanner_feed(scanner, slice_first(data, piece));
        data = slice_from(data, piece);
    }
    message_scanner_finish(scanner);
    buffer_append_slice(out, buffer_slice(&errors));
    buffer_clear(&errors);
    message_scanner_free(scanner);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2)
        return 0;
    struct buffer whole = BUFFER_INIT, cut = BUFFER_INIT;
    struct slice content = slice_make(data + 2, size - 2);
    scan(content, size, data[0], &whole);
    scan(content, 1 + data[1], data[0], &cut);
    if (!slice_equal(buffer_slice(&whole), buffer_slice(&cut)))
        abort();
    buffer_release(&whole);
    buffer_release(&cut);
    struct content_scan measured = {0};
    content_scan_feed(&measured, content);
    return 0;
}
