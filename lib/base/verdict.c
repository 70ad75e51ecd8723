/* verdict.c - status codes of RFC 3463 as text */
#include "base/verdict.h"

/* number - up to three digits off the front of *text. */
static bool number(struct slice *text, uint16_t *value)
{
    size_t digits = 0;
    *value = 0;
    while (digits < text->len && isdigit((unsigned char)text->data[digits]) && digits < 4)
        *value = (uint16_t)(*value * 10 + (text->data[digits++] - '0'));
    *text = slice_from(*text, digits);
    return digits >= 1 && digits <= 3;
}

static bool dot(struct slice *text)
{
    bool there = text->len && text->data[0] == '.';
    *text = slice_from(*text, there);
    return there;
}

bool status_code_parse(struct slice text, struct status_code *code, struct slice *rest)
{
    uint16_t class;
    struct status_code got = {0};
    if (!number(&text, &class) || (class != 2 && class != 4 && class != 5))
        return false;
    got.class = (uint8_t)class;
    if (!dot(&text) || !number(&text, &got.subject) || !dot(&text) || !number(&text, &got.detail))
        return false;
    if (text.len && !strchr(" \t\r\n", text.data[0]))
        return false;
    *code = got;
    if (rest)
        *rest = slice_trim_left(text);
    return true;
}

const char *status_code_format(struct status_code code, char text[STATUS_CODE_TEXT])
{
    snprintf(text, STATUS_CODE_TEXT, "%u.%u.%u", code.class % 10u, code.subject % 1000u, code.detail % 1000u);
    return text;
}
