/* fuzz_field_list.c - a header and the edits of mail filters: what is written can be read again as the same fields
   uses: qmgr/cleanup/field_list.c */
#include "../../qmgr/cleanup/field_list.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* take - up to a byte, which is left out. */
static struct slice take(struct slice *rest, char end)
{
    struct slice head = *rest, tail = {0};
    slice_cut(*rest, end, &head, &tail);
    *rest = tail;
    return head;
}

/* put_clean - as content gets into the queue: CRLF line ends only. */
static void put_clean(struct buffer *out, struct slice text)
{
    for (size_t i = 0; i < text.len; i++) {
        if (text.data[i] == '\n')
            buffer_append_byte(out, '\r');
        if (text.data[i] != '\r')
            buffer_append_byte(out, text.data[i]);
    }
}

static void edit(struct field_list *list, char operation, size_t index, struct slice name, struct slice value)
{
    struct buffer text = BUFFER_INIT;
    size_t place = field_list_find(list, name, index);
    field_text_make(&text, name, value, index & 1 ? ' ' : '\r');
    bool good = true;
    if (operation == 'i')
        good = field_list_insert(list, index, buffer_slice(&text));
    else if (operation == 'r' && place < list->count)
        good = field_list_replace(list, place, buffer_slice(&text));
    else if (operation == 'd' && place < list->count)
        field_list_delete(list, place);
    else if (operation == 't')
        good = field_list_insert(list, index, value); /* of a table */
    if (!good && list->text.len < FIELD_LIST_TEXT_MAX / 2 && list->count < FIELD_LIST_FIELDS_MAX)
        abort();
    buffer_release(&text);
}

static bool is_name(struct slice name)
{
    for (size_t i = 0; i < name.len; i++) {
        if ((unsigned char)name.data[i] <= ' ' || name.data[i] == ':')
            return false;
    }
    return name.len > 0;
}

/* check - written and read again. */
static void check(const struct field_list *list)
{
    struct field_list again;
    field_list_init(&again);
    for (size_t i = 0; i < list->count; i++) {
        buffer_append_slice(&again.text, field_text(list, i));
        buffer_append(&again.text, "\r\n", 2);
    }
    if (!field_list_parse(&again, UINT64_MAX) || again.count != list->count)
        abort();
    for (size_t i = 0; i < list->count; i++) {
        struct slice name = field_name(list, i), value = field_value(list, i);
        if (!slice_equal(field_text(list, i), field_text(&again, i)) || name.len + value.len > field_text(list, i).len)
            abort();
    }
    field_list_release(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice rest = slice_make(data, size);
    struct field_list list;
    field_list_init(&list);
    put_clean(&list.text, take(&rest, '\0'));
    /* a field does not begin with a continuation */
    bool usable = list.text.len == 0 || (list.text.data[0] != ' ' && list.text.data[0] != '\t');
    if (usable && field_list_parse(&list, size % 64)) {
        while (rest.len > 2) {
            char operation = rest.data[0];
            size_t index = (unsigned char)rest.data[1];
            rest = slice_from(rest, 2);
            struct slice name = take(&rest, ':'), value = take(&rest, '\0');
            bool table = operation == 't' && (value.len == 0 || value.data[0] == ' ' || value.data[0] == '\t' || slice_find(value, '\r') < value.len);
            if (is_name(name) && !table)
                edit(&list, operation, index, name, value);
        }
        check(&list);
    }
    field_list_release(&list);
    return 0;
}
