/* reply.c - building and parsing of reply lines */
#include "smtp/reply.h"

#include "base/verdict.h"

static const struct smtp_reply replies[] = {
#define REPLY(id, code, status, text) {code, status, text},
#include "smtp/replies.def"
#undef REPLY
};

const struct smtp_reply *smtp_reply(enum smtp_reply_id id)
{
    return &replies[id];
}

void smtp_reply_fill(struct buffer *out, const char *text, const struct slice *values, size_t count)
{
    const char *mark;

    while ((mark = strstr(text, "{}")) != NULL) {
        buffer_append(out, text, (size_t)(mark - text));
        if (count > 0) {
            buffer_append_slice(out, *values++);
            count--;
        }
        text = mark + 2;
    }
    buffer_append_string(out, text);
}

/* utf8_cut - the greatest length up to room that does not cut a UTF-8 sequence in two. */
static size_t utf8_cut(struct slice text, size_t room)
{
    if (text.len <= room)
        return text.len;
    while (room > 0 && ((unsigned char)text.data[room] & 0xC0) == 0x80)
        room--;
    return room;
}

void smtp_reply_line(struct buffer *out, int code, bool more, const char *status, struct slice text)
{
    char front[8 + 12 + 2];
    int length = snprintf(front, sizeof(front), "%03d%c%.11s%s", code % 1000, more ? '-' : ' ', status, status[0] ? " " : "");

    text.len = utf8_cut(text, SMTP_REPLY_LINE_MAX - (size_t)length);
    buffer_append(out, front, (size_t)length);
    size_t start = out->len;
    if (!buffer_append_slice(out, text) || !buffer_append_string(out, "\r\n"))
        return;
    for (char *at = out->data + start; at < out->data + out->len - 2; at++)
        if ((unsigned char)*at < ' ' || *at == 127)
            *at = ' ';
}

int smtp_reply_soften(int code, char *status)
{
    if (status[0] == '5')
        status[0] = '4';
    return code / 100 == 5 ? code - 100 : code;
}

static bool parse_code(struct slice text, int *code)
{
    if (text.len < 3)
        return false;
    for (size_t i = 0; i < 3; i++)
        if (!isdigit((unsigned char)text.data[i]))
            return false;
    *code = (text.data[0] - '0') * 100 + (text.data[1] - '0') * 10 + (text.data[2] - '0');
    return true;
}

bool smtp_reply_parse(struct slice line, int *code, bool *more, struct slice *text)
{
    if (!parse_code(line, code) || *code < 100)
        return false;
    if (line.len > 3 && line.data[3] != ' ' && line.data[3] != '-')
        return false;
    *more = line.len > 3 && line.data[3] == '-';
    *text = slice_from(line, 4);
    return true;
}

bool smtp_reply_split(struct slice text, int *code, struct status_code *status, struct slice *rest)
{
    if (!parse_code(text, code) || *code < 400 || *code > 599)
        return false;
    if (text.len > 3 && text.data[3] != ' ' && text.data[3] != '\t')
        return false;
    text = slice_trim(slice_from(text, 3));
    *rest = text;
    if (!status_code_parse(text, status, rest) || status->class != *code / 100) {
        *status = (struct status_code){0};
        *rest = text;
    }
    return true;
}
