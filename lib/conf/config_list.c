/* config_list.c - list values: elements, and braces that protect separators */
#include "conf/config.h"

#define SEPARATORS ", \t\r\n"

static bool is_separator(char byte)
{
    return byte != '\0' && strchr(SEPARATORS, byte) != NULL;
}

bool config_list_next(struct slice *rest, struct slice *element)
{
    size_t start = 0, end, level = 0;
    while (start < rest->len && is_separator(rest->data[start]))
        start++;
    for (end = start; end < rest->len; end++) {
        char byte = rest->data[end];
        if (byte == '{')
            level++;
        else if (byte == '}' && level > 0)
            level--;
        else if (level == 0 && is_separator(byte))
            break;
    }
    *element = slice_make(rest->data + start, end - start);
    *rest = slice_from(*rest, end);
    return element->len > 0;
}

bool config_list_has(const char *list, const char *word)
{
    struct slice rest = slice_of(list), element;
    while (config_list_next(&rest, &element))
        if (slice_equal_case(element, slice_of(word)))
            return true;
    return false;
}

bool config_braced(struct slice text, struct slice *inside)
{
    text = slice_trim(text);
    if (text.len < 2 || text.data[0] != '{' || text.data[text.len - 1] != '}')
        return false;
    size_t level = 0;
    for (size_t i = 0; i < text.len; i++) {
        if (text.data[i] == '{')
            level++;
        else if (text.data[i] == '}' && --level == 0 && i + 1 < text.len)
            return false; /* "{a}{b}": the first brace's partner is not the last */
    }
    if (level != 0)
        return false;
    *inside = slice_trim(slice_make(text.data + 1, text.len - 2));
    return true;
}
