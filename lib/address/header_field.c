/* header_field.c - the addresses of a header field in their new form

   A field in which nothing changes stays as it is, byte for byte.  A changed one is written anew: blanks and folds between addresses become
   one blank, and lines are folded after commas where they would get long. */
#include "address/mail_address.h"

enum { FOLD_LENGTH = 70 /* bytes of a line, the blank in front included; as Postfix folds */ };

/* map_tokens - false: no address changed, or map said stop. */
static bool map_tokens(struct address_token *tokens, size_t count, address_map_function *map, void *context)
{
    bool changed = false;
    for (size_t i = 0; i < count; i++) {
        struct slice address = tokens[i].text;
        if (tokens[i].kind != ADDRESS_TOKEN_ADDRESS)
            continue;
        if (!map(context, &address))
            return false;
        if (slice_equal(address, tokens[i].raw)) /* also when only quotes or a route were too many */
            continue;
        tokens[i].text = tokens[i].raw = address.len ? address : SLICE("\"\"");
        changed = true;
    }
    return changed;
}

/* append_text - text between addresses: folds and blanks become one blank; *quoted: inside "..." nothing changes. */
static void append_text(struct buffer *out, struct slice text)
{
    bool quoted = false;
    for (size_t i = 0; i < text.len; i++) {
        char c = text.data[i];
        if (c == '\r' || c == '\n' || (c == '\t' && !quoted))
            c = ' ';
        if (c == ' ' && !quoted && (out->len == 0 || out->data[out->len - 1] == ' '))
            continue;
        buffer_append_byte(out, c);
        if (c == '\\' && i + 1 < text.len)
            buffer_append_byte(out, text.data[++i]);
        else if (c == '"')
            quoted = !quoted;
    }
}

/* element_length - up to and with the next comma that separates addresses. */
static size_t element_length(struct slice text)
{
    bool quoted = false;
    size_t comment = 0;
    for (size_t i = 0; i < text.len; i++) {
        char c = text.data[i];
        if (c == '\\')
            i++;
        else if (c == '"' && !comment)
            quoted = !quoted;
        else if (c == '(' && !quoted)
            comment++;
        else if (c == ')' && comment)
            comment--;
        else if (c == ',' && !quoted && !comment)
            return i + 1;
    }
    return text.len;
}

/* fold - "Name: a, b, c" in lines that are not too long. */
static struct slice fold(struct slice name, struct slice value, struct arena *arena)
{
    struct buffer out = BUFFER_INIT;
    buffer_append_slice(&out, name);
    buffer_append_byte(&out, ':');
    size_t line = out.len;
    bool first = true;
    while (value.len) {
        struct slice element = slice_first(value, element_length(value));
        value = slice_from(value, element.len);
        element = slice_trim(element);
        if (element.len == 0)
            continue;
        if (!first && line + 1 + element.len > FOLD_LENGTH) {
            buffer_append_string(&out, "\r\n\t");
            line = 1;
        } else {
            buffer_append_byte(&out, ' ');
            line++;
        }
        buffer_append_slice(&out, element);
        line += element.len;
        first = false;
    }
    struct slice folded = arena_slice(arena, buffer_slice(&out));
    buffer_release(&out);
    return folded;
}

bool address_header_map(struct slice name, struct slice value, size_t limit, address_map_function *map, void *context, struct arena *arena,
                        struct slice *field)
{
    struct address_token *tokens;
    size_t count;
    if (value.len == 0)
        return false;
    address_list_parse(value, limit, arena, &tokens, &count);
    if (!map_tokens(tokens, count, map, context))
        return false;
    struct buffer line = BUFFER_INIT;
    for (size_t i = 0; i < count; i++) {
        if (tokens[i].kind == ADDRESS_TOKEN_ADDRESS)
            buffer_append_slice(&line, tokens[i].raw);
        else
            append_text(&line, tokens[i].text);
    }
    *field = fold(name, buffer_slice(&line), arena);
    buffer_release(&line);
    return true;
}
