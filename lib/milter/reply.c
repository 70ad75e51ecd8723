/* reply.c - the bytes of the milter protocol: numbers are big-endian, strings end with NUL */
#include "milter/reply.h"

#include "base/verdict.h"
#include "smtp/reply.h"

/* ---- numbers and strings ---- */

void milter_put_u32(struct buffer *out, uint32_t value)
{
    for (int shift = 24; shift >= 0; shift -= 8)
        buffer_append_byte(out, (char)(value >> shift));
}

void milter_put_text(struct buffer *out, struct slice text)
{
    size_t start = out->len;

    buffer_append_slice(out, text);
    for (size_t i = start; i < out->len; i++)
        if (out->data[i] == '\0')
            out->data[i] = ' ';
    buffer_append_byte(out, '\0');
}

static uint32_t number_at(const char *at)
{
    const uint8_t *bytes = (const uint8_t *)at;

    return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
}

static bool take_u32(struct slice *data, uint32_t *value)
{
    if (data->len < 4)
        return false;
    *value = number_at(data->data);
    *data = slice_from(*data, 4);
    return true;
}

/* take_text - up to the NUL, max bytes at most. */
static bool take_text(struct slice *data, size_t max, struct slice *text)
{
    size_t end = slice_find(*data, '\0');

    if (end == data->len || end > max)
        return false;
    *text = slice_first(*data, end);
    *data = slice_from(*data, end + 1);
    return true;
}

/* ---- commands ---- */

size_t milter_begin(struct buffer *out, char command)
{
    size_t place = out->len;

    milter_put_u32(out, 0);
    buffer_append_byte(out, command);
    return place;
}

void milter_finish(struct buffer *out, size_t place)
{
    uint32_t len = (uint32_t)(out->len - place - 4);

    for (int i = 0; i < 4; i++)
        out->data[place + (size_t)i] = (char)(len >> (24 - 8 * i));
}

const char *milter_command_name(char command)
{
    switch (command) {
#define COMMAND(letter, name) \
    case letter: return "SMFIC_" #name;
        MILTER_COMMANDS(COMMAND)
#undef COMMAND
    default: return "unknown";
    }
}

/* ---- the negotiation ---- */

uint32_t milter_actions_of(int version)
{
    return version >= 6 ? 0x1ff : 0x3f;
}

uint32_t milter_steps_of(int version)
{
    return version >= 6 ? 0x1fffff : version >= 4 ? 0x3ff : version >= 3 ? 0x17f : 0x7f;
}

bool milter_parse_options(struct slice data, struct milter_options *options)
{
    memset(options, 0, sizeof(*options));
    if (!take_u32(&data, &options->version) || !take_u32(&data, &options->actions) || !take_u32(&data, &options->steps))
        return false;
    while (data.len) {
        uint32_t stage;
        struct slice list;
        if (!take_u32(&data, &stage) || !take_text(&data, 4096, &list))
            return false;
        if (stage < MILTER_STAGES)
            options->macros[stage] = list;
    }
    return true;
}

/* ---- replies ---- */

static bool parse_header(struct slice data, struct milter_reply *r)
{
    return take_text(&data, MILTER_NAME_MAX, &r->name) && take_text(&data, MILTER_PACKET_MAX, &r->value) && data.len == 0;
}

static bool parse_indexed_header(struct slice data, struct milter_reply *r)
{
    return take_u32(&data, &r->index) && parse_header(data, r);
}

static bool parse_address(struct slice data, struct milter_reply *r)
{
    return take_text(&data, MILTER_ADDRESS_MAX, &r->value) && data.len == 0;
}

static bool parse_address_with_parameters(struct slice data, struct milter_reply *r)
{
    return take_text(&data, MILTER_ADDRESS_MAX, &r->value) && (data.len == 0 || take_text(&data, MILTER_ADDRESS_MAX, &r->parameters)) && data.len == 0;
}

static bool parse_reason(struct slice data, struct milter_reply *r)
{
    return take_text(&data, MILTER_REASON_MAX, &r->value) && data.len == 0;
}

static bool parse_text(struct slice data, struct milter_reply *r)
{
    return take_text(&data, MILTER_REPLY_TEXT, &r->value) && data.len == 0;
}

static bool parse_body(struct slice data, struct milter_reply *r)
{
    r->value = data;
    return true;
}

static bool parse_nothing(struct slice data UNUSED, struct milter_reply *r UNUSED)
{
    return true; /* what follows is of no interest */
}

struct reply_row {
    char code;
    enum milter_reply_kind kind;
    bool (*parse)(struct slice data, struct milter_reply *r);
};

static const struct reply_row rows[] = {
    {'c', REPLY_IS_CONTINUE, parse_nothing},
    {'a', REPLY_IS_ACCEPT, parse_nothing},
    {'r', REPLY_IS_REJECT, parse_nothing},
    {'t', REPLY_IS_TEMPFAIL, parse_nothing},
    {'d', REPLY_IS_DISCARD, parse_nothing},
    {'s', REPLY_IS_SKIP, parse_nothing},
    {'p', REPLY_IS_PROGRESS, parse_nothing},
    {'4', REPLY_IS_SHUTDOWN, parse_nothing},
    {'f', REPLY_IS_CONNECTION_FAILURE, parse_nothing},
    {'y', REPLY_IS_CODE, parse_text},
    {'h', REPLY_IS_ADD_HEADER, parse_header},
    {'i', REPLY_IS_INSERT_HEADER, parse_indexed_header},
    {'m', REPLY_IS_CHANGE_HEADER, parse_indexed_header},
    {'b', REPLY_IS_BODY, parse_body},
    {'+', REPLY_IS_ADD_RECIPIENT, parse_address},
    {'2', REPLY_IS_ADD_RECIPIENT, parse_address_with_parameters},
    {'-', REPLY_IS_DELETE_RECIPIENT, parse_address},
    {'e', REPLY_IS_CHANGE_SENDER, parse_address_with_parameters},
    {'q', REPLY_IS_QUARANTINE, parse_reason},
};

void milter_parse_reply(char code, struct slice data, struct milter_reply *reply)
{
    memset(reply, 0, sizeof(*reply));
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        if (rows[i].code != code)
            continue;
        if (rows[i].parse(data, reply))
            reply->kind = rows[i].kind;
        return;
    }
}

/* ---- "y" ---- */

/* append_unescaped - "%%" stands for "%"; a "%" alone was meant to be one and is dropped, as the reference does. */
static void append_unescaped(struct buffer *out, struct slice text)
{
    for (size_t i = 0; i < text.len; i++) {
        char byte = text.data[i];
        if (byte == '%') {
            if (i + 1 == text.len || text.data[i + 1] != '%')
                continue;
            i++;
        }
        buffer_append_byte(out, (unsigned char)byte < ' ' || byte == 127 ? ' ' : byte);
    }
}

static bool take_line(struct slice line, int *code, char status[12], struct buffer *text, bool first)
{
    struct status_code line_status;
    struct slice rest;
    int line_code;

    if (line.len < 3 || (line.len > 3 && line.data[3] != ' ' && line.data[3] != '-'))
        return false;
    if (line.len > 3 && line.data[3] == '-') { /* "550-5.7.1 text" */
        char code_text[4] = {line.data[0], line.data[1], line.data[2], '\0'};
        struct buffer again = BUFFER_INIT;
        buffer_printf(&again, "%s " SLICE_FORMAT, code_text, SLICE_ARGS(slice_from(line, 4)));
        bool good = take_line(buffer_slice(&again), code, status, text, first);
        buffer_release(&again);
        return good;
    }
    if (!smtp_reply_split(line, &line_code, &line_status, &rest) || (!first && line_code != *code))
        return false;
    *code = line_code;
    if (line_status.class)
        status_code_format(line_status, status);
    if (!first)
        buffer_append_byte(text, '\n');
    append_unescaped(text, rest);
    return true;
}

bool milter_reply_text(struct slice reply, int *code, char status[12], struct buffer *text)
{
    struct slice line;
    bool first = true;

    status[0] = '\0';
    while (slice_next_line(&reply, &line)) {
        if (slice_ends(line, SLICE("\r")))
            line = slice_first(line, line.len - 1);
        if (!take_line(line, code, status, text, first))
            return false;
        first = false;
    }
    return !first;
}
