/* field_list.c - see field_list.h */
#include "field_list.h"

void field_list_init(struct field_list *list)
{
    *list = (struct field_list){.text = BUFFER_INIT_MAX(FIELD_LIST_TEXT_MAX)};
}

void field_list_release(struct field_list *list)
{
    buffer_release(&list->text);
    free(list->fields);
    list->fields = NULL;
    list->count = list->room = 0;
}

/* ---- looking ---- */

struct slice field_text(const struct field_list *list, size_t index)
{
    const struct field *f = &list->fields[index];
    return slice_first(slice_from(buffer_slice(&list->text), f->offset), f->len);
}

struct slice field_name(const struct field_list *list, size_t index)
{
    return slice_first(field_text(list, index), list->fields[index].name_len);
}

struct slice field_value(const struct field_list *list, size_t index)
{
    struct slice text = field_text(list, index);
    return slice_from(text, slice_find(text, ':') + 1);
}

size_t field_list_find(const struct field_list *list, struct slice name, size_t index)
{
    for (size_t i = 0; i < list->count; i++) {
        if (list->fields[i].own || !slice_equal_case(field_name(list, i), name))
            continue;
        if (index <= 1)
            return i;
        index--;
    }
    return list->count;
}

/* ---- changing ---- */

static bool make_room(struct field_list *list)
{
    if (list->count >= FIELD_LIST_FIELDS_MAX)
        return false;
    if (list->count < list->room)
        return true;
    list->room = list->room ? list->room * 2 : 32;
    list->fields = memory_resize(list->fields, list->room * sizeof(*list->fields));
    return true;
}

/* open_place - a field that lies at that offset of the text. */
static bool open_place(struct field_list *list, size_t place, size_t offset, size_t len)
{
    if (!make_room(list))
        return false;
    struct field *field = &list->fields[place];
    memmove(field + 1, field, (list->count - place) * sizeof(*field));
    *field = (struct field){.offset = offset, .len = len};
    list->count++;
    struct slice text = field_text(list, place);
    size_t colon = slice_find(slice_first(text, slice_find(text, '\n')), ':');
    if (colon < text.len && text.data[colon] == ':')
        field->name_len = slice_trim_right(slice_first(text, colon)).len;
    return true;
}

/* next_field - take the first field with all its lines off the front of *rest. */
static bool next_field(struct slice *rest, struct slice *field)
{
    size_t end = 0;

    if (rest->len == 0)
        return false;
    do {
        end += slice_find(slice_from(*rest, end), '\n');
        end += end < rest->len;
    } while (end < rest->len && (rest->data[end] == ' ' || rest->data[end] == '\t'));
    *field = slice_first(*rest, end);
    *rest = slice_from(*rest, end);
    return true;
}

static struct slice without_line_end(struct slice text)
{
    if (slice_ends(text, SLICE("\n")))
        text.len--;
    if (slice_ends(text, SLICE("\r")))
        text.len--;
    return text;
}

bool field_list_parse(struct field_list *list, uint64_t own)
{
    struct slice rest = buffer_slice(&list->text), field;
    const char *start = rest.data;

    while (next_field(&rest, &field)) {
        size_t offset = (size_t)(field.data - start);
        if (!open_place(list, list->count, offset, without_line_end(field).len))
            return false;
        list->fields[list->count - 1].own = offset == own;
    }
    return true;
}

/* append_wire - with CRLF for each line end. */
static bool append_wire(struct buffer *out, struct slice text)
{
    struct slice line;
    bool good = true;

    for (bool first = true; slice_next_line(&text, &line); first = false) {
        if (slice_ends(line, SLICE("\r")))
            line.len--;
        good = good && (first || buffer_append(out, "\r\n", 2)) && buffer_append_slice(out, line);
    }
    return good;
}

bool field_list_insert(struct field_list *list, size_t place, struct slice text)
{
    struct slice field;

    for (place = place < list->count ? place : list->count; next_field(&text, &field); place++) {
        size_t offset = list->text.len;
        if (!append_wire(&list->text, field) || !open_place(list, place, offset, list->text.len - offset))
            return false;
    }
    return true;
}

bool field_list_replace(struct field_list *list, size_t place, struct slice text)
{
    field_list_delete(list, place);
    return field_list_insert(list, place, text);
}

void field_list_delete(struct field_list *list, size_t place)
{
    list->count--;
    memmove(&list->fields[place], &list->fields[place + 1], (list->count - place) * sizeof(*list->fields));
}

/* ---- what filters write ---- */

void field_text_make(struct buffer *out, struct slice name, struct slice value, char stray)
{
    buffer_append_slice(out, name);
    buffer_append_byte(out, ':');
    for (size_t i = 0; i < value.len; i++) {
        char c = value.data[i], next = i + 1 < value.len ? value.data[i + 1] : '\0';
        if (c == '\r' && next == '\n')
            continue;
        if (c == '\r')
            c = stray;
        if (c != '\n') {
            buffer_append_byte(out, c);
            continue;
        }
        if (i + 1 == value.len)
            break;
        buffer_append_string(out, next == ' ' || next == '\t' ? "\r\n" : "\r\n\t");
    }
}
