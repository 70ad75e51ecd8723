/* maildrop.c - records of maildrop files */
#include "queue/maildrop.h"

enum { PIECE = 64 * 1024, LENGTH_BYTES_MAX = 5 };

void maildrop_put(struct buffer *out, char type, struct slice data)
{
    size_t length = data.len;
    buffer_append_byte(out, type);
    do {
        buffer_append_byte(out, (char)((length & 0x7F) | (length > 0x7F ? 0x80 : 0)));
        length >>= 7;
    } while (length);
    buffer_append_slice(out, data);
}

void maildrop_put_text(struct buffer *out, char type, const char *format, ...)
{
    struct buffer text = BUFFER_INIT;
    va_list args;
    va_start(args, format);
    buffer_vprintf(&text, format, args);
    va_end(args);
    maildrop_put(out, type, buffer_slice(&text));
    buffer_release(&text);
}

/* ---- reading ------------------------------------------------------------------------------------------------------ */

void maildrop_reader_open(struct maildrop_reader *reader, int fd)
{
    *reader = (struct maildrop_reader){.fd = fd};
}

void maildrop_reader_memory(struct maildrop_reader *reader, struct slice data)
{
    *reader = (struct maildrop_reader){.fd = -1, .file_ended = true};
    buffer_append_slice(&reader->buffer, data);
}

void maildrop_reader_release(struct maildrop_reader *reader)
{
    buffer_release(&reader->buffer);
}

/* have - make sure that n unread bytes are in the buffer; false at the end of input or an error. */
static bool have(struct maildrop_reader *reader, size_t n)
{
    while (reader->buffer.len - reader->at < n && !reader->file_ended) {
        if (reader->at) {
            buffer_consume(&reader->buffer, reader->at);
            reader->at = 0;
        }
        char *room = buffer_reserve(&reader->buffer, PIECE);
        ssize_t got = room ? read(reader->fd, room, PIECE) : -1;
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            reader->file_ended = true;
        else
            buffer_commit(&reader->buffer, (size_t)got);
    }
    return reader->buffer.len - reader->at >= n;
}

/* read_length - false: cut off, or more than a record may have. */
static bool read_length(struct maildrop_reader *reader, size_t *length)
{
    *length = 0;
    for (unsigned i = 0; i < LENGTH_BYTES_MAX; i++) {
        if (!have(reader, 1))
            return false;
        uint8_t byte = (uint8_t)reader->buffer.data[reader->at++];
        *length |= (size_t)(byte & 0x7F) << (7 * i);
        if (!(byte & 0x80))
            return *length <= MAILDROP_RECORD_MAX;
    }
    return false;
}

enum maildrop_result maildrop_read(struct maildrop_reader *reader, char *type, struct slice *data)
{
    size_t length;
    if (!have(reader, 1))
        return MAILDROP_NO_MORE;
    *type = reader->buffer.data[reader->at++];
    if (!read_length(reader, &length) || !have(reader, length))
        return MAILDROP_MALFORMED;
    *data = slice_make(reader->buffer.data + reader->at, length);
    reader->at += length;
    return MAILDROP_RECORD;
}

bool maildrop_seek(struct maildrop_reader *reader, int64_t offset)
{
    if (reader->fd < 0) {
        if (offset < 0 || (uint64_t)offset > reader->buffer.len)
            return false;
        reader->at = (size_t)offset;
        return true;
    }
    if (lseek(reader->fd, offset, SEEK_SET) < 0)
        return false;
    buffer_clear(&reader->buffer);
    reader->at = 0;
    reader->file_ended = false;
    return true;
}

/* ---- order -------------------------------------------------------------------------------------------------------- */

static const char *const strict_types[] = {
    [MAILDROP_ENVELOPE] = "MCFSRVAin", [MAILDROP_CONTENT] = "XLN", [MAILDROP_EXTRACTED] = "EAR", [MAILDROP_COMPLETE] = ""};
static const char *const all_types[] = {
    [MAILDROP_ENVELOPE] = "CTcFILSDRO/WVA>K<ionpwMreP", [MAILDROP_CONTENT] = "LNwpX", [MAILDROP_EXTRACTED] = "DRO/PreAFIL>KonpwE",
    [MAILDROP_COMPLETE] = ""};

bool maildrop_step(enum maildrop_phase *phase, char type, bool strict)
{
    if (type == '\0' || !strchr((strict ? strict_types : all_types)[*phase], type))
        return false;
    if (type == MAILDROP_CONTENT_BEGINS)
        *phase = MAILDROP_CONTENT;
    else if (type == MAILDROP_CONTENT_ENDS)
        *phase = MAILDROP_EXTRACTED;
    else if (type == MAILDROP_END)
        *phase = MAILDROP_COMPLETE;
    return true;
}

bool maildrop_attribute(struct slice data, struct slice *name, struct slice *value)
{
    if (!slice_cut(data, '=', name, value))
        return false;
    *name = slice_trim(*name);
    *value = slice_trim_left(*value);
    return true;
}
