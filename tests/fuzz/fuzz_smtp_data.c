/* fuzz_smtp_data.c - content from the wire: cut anywhere, the same comes out; nothing after us could see another end of data in it */
#include "base/buffer.h"
#include "base/log.h"
#include "smtp/data.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void collect(void *context, struct slice content)
{
    buffer_append_slice(context, content);
}

/* feed - in pieces of at most piece bytes; the number of bytes taken. */
static size_t feed(struct slice input, size_t piece, bool stuffed, bool strict, struct buffer *out, bool *end, int64_t *length)
{
    struct smtp_data state;
    size_t taken = 0;

    *end = false;
    smtp_data_init(&state, stuffed, strict);
    while (taken < input.len && !*end)
        taken += smtp_data_feed(&state, slice_first(slice_from(input, taken), piece), collect, out, end);
    if (!*end)
        smtp_data_finish(&state, collect, out);
    *length = smtp_data_size(&state);
    return taken;
}

/* check_wire_form - CRLF at the end of every line, no LF without CR. */
static void check_wire_form(struct slice content)
{
    for (size_t i = 0; i < content.len; i++)
        if (content.data[i] == '\n' && (i == 0 || content.data[i - 1] != '\r'))
            log_panic("bare LF");
    if (content.len && !slice_ends(content, SLICE("\r\n")))
        log_panic("unfinished line");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2)
        return 0;
    struct slice input = slice_make(data + 2, size - 2);
    bool stuffed = data[0] & 1, strict = data[0] & 2, end, end_again;
    struct buffer whole = BUFFER_INIT, pieces = BUFFER_INIT;
    int64_t length, length_again;

    size_t taken = feed(input, input.len + 1, stuffed, strict, &whole, &end, &length);
    size_t taken_again = feed(input, (size_t)data[1] % 16 + 1, stuffed, strict, &pieces, &end_again, &length_again);
    if (taken != taken_again || end != end_again || length != length_again || !slice_equal(buffer_slice(&whole), buffer_slice(&pieces)))
        log_panic("the cut makes a difference");
    check_wire_form(buffer_slice(&whole));
    if (length != (int64_t)whole.len)
        log_panic("size");
    if (end && strict && stuffed && !(taken == 3 || (taken >= 5 && memcmp(input.data + taken - 5, "\r\n.\r\n", 5) == 0)))
        log_panic("ended without <CR><LF>.<CR><LF>");
    buffer_release(&whole);
    buffer_release(&pieces);
    return 0;
}
