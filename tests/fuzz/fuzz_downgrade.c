/* fuzz_downgrade.c - 8-bit content to quoted-printable: the same however it is cut, and no encoded line is too long */
#include "message/downgrade.h"

struct run {
    struct downgrade downgrade;
    struct message_scanner *scanner;
    struct buffer out;
};

static void put_line(struct run *run, struct slice text)
{
    buffer_append_slice(&run->out, text);
    buffer_append_string(&run->out, "\r\n");
}

static void on_header(void *context, enum message_part part, struct slice text, bool truncated)
{
    struct run *run = context;
    if (!downgrade_header(&run->downgrade, text))
        put_line(run, text);
}

static void on_header_end(void *context, enum message_part part)
{
    struct run *run = context;
    downgrade_header_end(&run->downgrade, message_scanner_part(run->scanner));
    put_line(run, SLICE(""));
}

static void on_body(void *context, struct slice line, bool more)
{
    struct run *run = context;
    size_t before = run->out.len;
    downgrade_body(&run->downgrade, line, more);
    if (run->downgrade.encoding && run->downgrade.column > 76)
        abort();
    for (size_t i = before; run->downgrade.encoding && i < run->out.len; i++) {
        if ((unsigned char)run->out.data[i] > 126)
            abort();
    }
}

static void on_delimiter(void *context, struct slice line, bool last)
{
    struct run *run = context;
    downgrade_part_over(&run->downgrade);
    put_line(run, line);
}

static void convert(struct slice data, size_t piece, struct run *run)
{
    static const struct message_limits limits = {.header_size_limit = 300, .line_length_limit = 300, .mime_nesting_limit = 3,
                                                 .mime_boundary_length_limit = 10, .mime_processing = true};
    static const struct message_scanner_events events = {.header = on_header, .header_end = on_header_end, .body = on_body,
                                                         .delimiter = on_delimiter};
    run->downgrade.output = &run->out;
    run->scanner = message_scanner_new(&limits, &events, run);
    while (data.len) {
        message_scanner_feed(run->scanner, slice_first(data, piece));
        data = slice_from(data, piece);
    }
    message_scanner_finish(run->scanner);
    downgrade_part_over(&run->downgrade);
    message_scanner_free(run->scanner);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct run whole = {0}, cut = {0};
    if (size < 1)
        return 0;
    convert(slice_make(data + 1, size - 1), size, &whole);
    convert(slice_make(data + 1, size - 1), 1 + data[0], &cut);
    if (!slice_equal(buffer_slice(&whole.out), buffer_slice(&cut.out)))
        abort();
    buffer_release(&whole.out);
    buffer_release(&cut.out);
    return 0;
}
