/* header_field.c - the addresses of a header field in their new form

   A field in which nothing changes stays as it is, byte for byte.  A changed one is written anew: blanks and folds between addresses become
   one blank, and lines are folded after commas where they would get long. */
#include "address/mail_address.h"

enum { FOLD_LENGTH = 69 /* bytes of a line, the tab in front of it not counted; as Postfix folds */ };

/* map_tokens - false: no address changed, or map said stop. */
static bool map_tokens(struct address_token *tokens, size_t count, address_map_function *map, void *context, struct arena *arena)
{
    bool changed = false;
    for (size_t i = 0; i < count; i++) {
        struct slice address = tokens[i].text;
        if (tokens[i].kind != ADDRESS_TOKEN_ADDRESS)
            continue;
        if (!map(context, &address))
            return false;
        bool no_local_part = address.len == 0 || address.data[0] == '@';
        changed = changed || no_local_part || !slice_equal(address, tokens[i].raw); /* also when only quotes or a route were too many */
        tokens[i].text = no_local_part ? arena_format(arena, "\"\"" SLICE_FORMAT, SLICE_ARGS(address)) : address;
    }
    return changed;
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
            line = 0;
        } else {
            buffer_append_byte(&out, ' ');
            line++;
        }
        buffer_append_slice(&out, element);
        line += element.len;
        first = false;
    }
    if (out.len && out.data[out.len - 1] == ',') /* nothing follows the last comma: Postfix prints its blank all the same */
        buffer_append_byte(&out, ' ');
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
    if (!map_tokens(tokens, count, map, context, arena))
        return false;
    struct buffer line = BUFFER_INIT;
    address_list_print(tokens, count, &line);
    *field = fold(name, buffer_slice(&line), arena);
    buffer_release(&line);
    return true;
}
