/* forward.c - see forward.h */
#include "forward.h"

#include "smtp/xtext.h"

enum { VALUE_MAX = 255 /* bytes of a value; a longer one is not told */ };

enum attribute { NAME, ADDR, PORT, PROTO, HELO, IDENT, SOURCE, ATTRIBUTE_COUNT };

static const struct { const char *word; enum forward_command command; } attributes[ATTRIBUTE_COUNT] = {
    [NAME] = {"NAME", FORWARD_NAME_ADDRESS},    [ADDR] = {"ADDR", FORWARD_NAME_ADDRESS},    [PORT] = {"PORT", FORWARD_NAME_ADDRESS},
    [PROTO] = {"PROTO", FORWARD_PROTOCOL_HELO}, [HELO] = {"HELO", FORWARD_PROTOCOL_HELO}, [IDENT] = {"IDENT", FORWARD_PROTOCOL_HELO},
    [SOURCE] = {"SOURCE", FORWARD_PROTOCOL_HELO}};

int forward_attributes(struct slice words)
{
    struct slice word;
    int bits = 0;

    while (slice_next_token(&words, " \t", &word))
        for (size_t i = 0; i < COUNT_OF(attributes); i++)
            if (slice_equal_case(word, slice_of(attributes[i].word)))
                bits |= 1 << i;
    return bits;
}

static struct slice value_of(enum attribute attribute, const struct envelope *e)
{
    switch (attribute) {
    case NAME: return e->log_client_name;
    case ADDR: return e->log_client_address;
    case PORT: return e->log_client_port;
    case PROTO: return e->log_protocol_name;
    case HELO: return e->log_helo_name;
    case IDENT: return e->log_ident.len > 0 ? e->log_ident : e->queue_id;
    default: return slice_equal(e->rewrite_context, SLICE("local")) ? SLICE("LOCAL") : SLICE("REMOTE");
    }
}

/* append_value - xtext; what is not known, or too long to be told, is "[UNAVAILABLE]". */
static void append_value(enum attribute attribute, struct slice value, struct buffer *out)
{
    struct buffer coded = BUFFER_INIT;

    if (attribute == ADDR && slice_find(value, ':') < value.len && !slice_starts_case(value, SLICE("IPV6:")))
        buffer_append_string(&coded, "IPV6:");
    xtext_encode(&coded, value);
    bool known = value.len > 0 && coded.len <= VALUE_MAX && !slice_equal(value, SLICE("unknown"));
    buffer_append_slice(out, known ? buffer_slice(&coded) : SLICE("[UNAVAILABLE]"));
    buffer_release(&coded);
}

bool forward_build(enum forward_command command, int taken, const struct envelope *envelope, struct buffer *out)
{
    bool any = false;

    for (size_t i = 0; i < COUNT_OF(attributes); i++) {
        if (attributes[i].command != command || !(taken & 1 << i))
            continue;
        buffer_printf(out, "%s %s=", any ? "" : "XFORWARD", attributes[i].word);
        append_value((enum attribute)i, value_of((enum attribute)i, envelope), out);
        any = true;
    }
    if (any)
        buffer_append_string(out, "\r\n");
    return any;
}
