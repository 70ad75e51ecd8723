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

/* store - a text behind all others. */
static bool store(struct field_list *list, struct slice text, struct field *field)
{
    size_t colon = slice_find(slice_first(text, slice_find(text, '\n')), ':');

    *field = (struct field){.offset = list->text.len, .len = text.len};
    if (colon < text.len)
        field->name_len = slice_trim_right(slice_first(text, colon)).len;
    return buffer_append_slice(&list->text, text);
}

static bool make_room(struct field_list *list)
{
    if (list->count < list->room)
        return true;
    if (list->count >= FIELD_LIST_FIELDS_MAX)
        return false;
    list->room = list->room ? list->room * 2 : 32;
    list->fields = memory_resize(list->fields, list->room * sizeof(*list->fields));
    return true;
}

bool field_list_insert(struct field_list *list, size_t place, struct slice text)
{
    struct field field;

    if (place > list->count)
        place = list->count;
    if (!make_room(list) || !store(list, text, &field))
        return false;
    memmove(&list->fields[place + 1], &list->fields[place], (list->count - place) * sizeof(*list->fields));
    list->fields[place] = field;
    list->count++;
    return true;
}

bool field_list_append_parsed(struct field_list *list, struct slice text, bool own)
{
    if (!field_list_insert(list, list->count, text))
        return false;
    list->fields[list->count - 1].own = own;
    return true;
}

bool field_list_replace(struct field_list *list, size_t place, struct slice text)
{
    return store(list, text, &list->fields[place]);
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
