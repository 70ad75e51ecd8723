/* header.c - header fields: names and values */
#include "message/header.h"

static const struct known {
    const char *name;
    uint8_t len;
    uint8_t flags;
} known[] = {
    {NULL, 0, 0},
#define HEADER(id, name, flags) {name, sizeof(name) - 1, flags},
#include "message/headers.def"
#undef HEADER
};

enum header_kind header_known(struct slice name)
{
    for (size_t i = 1; i < COUNT_OF(known); i++) {
        if (known[i].len == name.len && slice_equal_case(name, slice_make(known[i].name, known[i].len)))
            return (enum header_kind)i;
    }
    return HEADER_OTHER;
}

int header_flags(enum header_kind kind)
{
    return known[kind].flags;
}

const char *header_name(enum header_kind kind)
{
    return known[kind].name;
}

bool header_parse(struct slice text, struct slice *name, struct slice *value)
{
    size_t i = 0;
    while (i < text.len && text.data[i] > ' ' && text.data[i] != ':' && text.data[i] != 127)
        i++;
    size_t colon = i;
    while (colon < text.len && (text.data[colon] == ' ' || text.data[colon] == '\t'))
        colon++;
    if (i == 0 || colon >= text.len || text.data[colon] != ':')
        return false;
    *name = slice_first(text, i);
    *value = slice_trim_left(slice_from(text, colon + 1));
    return true;
}

struct slice header_with_lf(struct slice text, struct buffer *out)
{
    if (slice_find(text, '\r') == text.len)
        return text;
    for (size_t i = 0; i < text.len; i++) {
        if (text.data[i] != '\r' || i + 1 == text.len || text.data[i + 1] != '\n')
            buffer_append_byte(out, text.data[i]);
    }
    return buffer_slice(out);
}
