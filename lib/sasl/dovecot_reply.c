/* dovecot_reply.c - parsing what Dovecot's authentication service says */
#include "sasl/dovecot_reply.h"

#include "base/buffer.h"
#include "sasl/mechanism.h"

static const char escaped[] = "\001\t\r\n", letters[] = "1trn"; /* byte 0 is "\0010" */

void dovecot_escape(struct buffer *out, struct slice value)
{
    for (size_t i = 0; i < value.len; i++) {
        const char *at = value.data[i] ? strchr(escaped, value.data[i]) : NULL;
        if (!at && value.data[i]) {
            buffer_append_byte(out, value.data[i]);
            continue;
        }
        buffer_append_byte(out, '\001');
        buffer_append_byte(out, at ? letters[at - escaped] : '0');
    }
}

static struct slice unescape(struct slice value, struct arena *arena)
{
    if (slice_find(value, '\001') == value.len)
        return value;
    char *out = arena_bytes(arena, value.len + 1);
    size_t len = 0;
    for (size_t i = 0; i < value.len; i++) {
        char byte = value.data[i];
        if (byte == '\001' && i + 1 < value.len) {
            const char *at = strchr(letters, value.data[++i]);
            byte = value.data[i] == '0' ? '\0' : at && *at ? escaped[at - letters] : value.data[i];
        }
        out[len++] = byte;
    }
    out[len] = '\0';
    return slice_make(out, len);
}

/* take_field - cut the next value off the front; false at the end of the line. */
static bool take_field(struct slice *rest, struct slice *field)
{
    if (!rest->data)
        return false;
    if (!slice_cut(*rest, '\t', field, rest))
        *rest = (struct slice){0};
    return true;
}

/* take_code - newer Dovecots tell the cause by a word. */
static void take_code(struct slice code, struct dovecot_reply *reply)
{
    reply->code = code;
    reply->temporary |= slice_equal(code, SLICE("temp_fail"));
    reply->disabled |= slice_equal(code, SLICE("user_disabled")) || slice_equal(code, SLICE("login_disabled"));
    reply->expired |= slice_equal(code, SLICE("pass_expired"));
    reply->authorization |= slice_equal(code, SLICE("authz_fail"));
}

static void take_attribute(struct slice field, struct arena *arena, struct dovecot_reply *reply)
{
    struct slice name, value = {0};

    if (!slice_cut(field, '=', &name, &value)) {
        reply->temporary |= slice_equal(name, SLICE("temp"));
        reply->disabled |= slice_equal(name, SLICE("user_disabled"));
        reply->expired |= slice_equal(name, SLICE("pass_expired"));
        reply->authorization |= slice_equal(name, SLICE("authz"));
        return;
    }
    value = unescape(value, arena);
    if (slice_equal(name, SLICE("user")))
        reply->user = value;
    else if (slice_equal(name, SLICE("reason")))
        reply->reason = value;
    else if (slice_equal(name, SLICE("code")))
        take_code(value, reply);
}

static enum dovecot_verb find_verb(struct slice word)
{
    static const struct { const char *name; enum dovecot_verb verb; } verbs[] = {
        {"VERSION", DOVECOT_VERSION}, {"MECH", DOVECOT_MECH}, {"SPID", DOVECOT_SPID}, {"DONE", DOVECOT_DONE},
        {"CONT", DOVECOT_CONT}, {"OK", DOVECOT_OK}, {"FAIL", DOVECOT_FAIL}};

    for (size_t i = 0; i < COUNT_OF(verbs); i++)
        if (slice_equal(word, slice_of(verbs[i].name)))
            return verbs[i].verb;
    return DOVECOT_UNKNOWN;
}

/* parse_mechanism - what cannot be the name of one is passed over: the others can be used all the same. */
static void parse_mechanism(struct slice rest, struct dovecot_reply *reply)
{
    struct slice field;

    if (!take_field(&rest, &reply->mechanism) || !sasl_mechanism_is_name(reply->mechanism)) {
        reply->verb = DOVECOT_UNKNOWN;
        return;
    }
    while (take_field(&rest, &field))
        reply->properties |= sasl_property(field);
}

bool dovecot_reply_parse(struct slice line, struct arena *arena, struct dovecot_reply *reply)
{
    struct slice rest = line, field;

    memset(reply, 0, sizeof(*reply));
    if (!take_field(&rest, &field))
        return true;
    reply->verb = find_verb(field);
    switch (reply->verb) {
    case DOVECOT_MECH:
        parse_mechanism(rest, reply);
        return true;
    case DOVECOT_VERSION:
        return take_field(&rest, &field) && slice_to_u64(field, &reply->id);
    case DOVECOT_CONT:
        if (!take_field(&rest, &field) || !slice_to_u64(field, &reply->id))
            return false;
        if (!take_field(&rest, &reply->challenge))
            reply->challenge = (struct slice){0};
        return true;
    case DOVECOT_OK:
    case DOVECOT_FAIL:
        if (!take_field(&rest, &field) || !slice_to_u64(field, &reply->id))
            return false;
        while (take_field(&rest, &field))
            take_attribute(field, arena, reply);
        return true;
    default:
        return true;
    }
}
