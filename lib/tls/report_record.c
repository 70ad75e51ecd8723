/* report_record.c - see report_record.h */
#include "tls/report_record.h"

enum { URI_MAX = 2000, ADDRESS_MAX = 320 };

/* is_printable - a URI has no blanks, controls, or bytes above 126. */
static bool is_printable(struct slice text)
{
    for (size_t i = 0; i < text.len; i++)
        if (text.data[i] <= ' ' || text.data[i] > '~')
            return false;
    return text.len > 0;
}

/* decode - percent escapes; false when one is none or hides what no address has. */
static bool decode(struct slice text, struct arena *arena, struct slice *out)
{
    char *room = arena_bytes(arena, text.len + 1);
    size_t len = 0;

    for (size_t i = 0; i < text.len; i++) {
        uint64_t byte = (unsigned char)text.data[i];
        if (byte == '%') {
            if (text.len - i < 3 || !slice_to_u64_hex(slice_make(text.data + i + 1, 2), &byte))
                return false;
            i += 2;
        }
        if (byte <= ' ' || byte > '~' || strchr("<>()[]\\\",;:", (int)byte))
            return false;
        room[len++] = (char)byte;
    }
    *out = slice_make(room, len);
    return true;
}

/* take_address - "user@domain"; header fields after "?" are not looked at. */
static bool take_address(struct slice text, struct arena *arena, struct slice *address)
{
    struct slice local, domain;

    text = slice_first(text, slice_find(text, '?'));
    if (text.len > ADDRESS_MAX || !decode(text, arena, address))
        return false;
    size_t at = slice_find_last(*address, '@');
    local = slice_first(*address, at);
    domain = slice_from(*address, at + 1);
    return at < address->len && local.len > 0 && domain.len > 0 && slice_find(local, '@') == local.len;
}

static bool take_target(struct slice uri, struct arena *arena, struct tls_report_target *target)
{
    static const struct slice mailto = {"mailto:", 7}, https = {"https://", 8};

    if (uri.len > URI_MAX || !is_printable(uri))
        return false;
    target->web = slice_starts_case(uri, https);
    if (target->web) {
        target->address = arena_slice(arena, uri);
        return uri.len > https.len;
    }
    return slice_starts_case(uri, mailto) && take_address(slice_from(uri, mailto.len), arena, &target->address);
}

/* take_targets - of one rua: separated by commas. */
static int take_targets(struct slice list, struct arena *arena, struct tls_report_target *targets)
{
    struct slice uri;
    int count = 0;

    while (count < TLS_REPORT_TARGETS_MAX && slice_next_token(&list, ",", &uri))
        count += take_target(slice_trim(uri), arena, &targets[count]);
    return count;
}

int tls_report_record(struct slice text, struct arena *arena, struct tls_report_target *targets)
{
    struct slice field, rest = text;
    int count = -1;
    bool first = true;

    while (count < 0 && slice_next_token(&rest, ";", &field)) {
        field = slice_trim(field);
        if (first && !slice_equal(field, SLICE("v=TLSRPTv1")))
            return -1;
        first = false;
        if (slice_starts(field, SLICE("rua=")))
            count = take_targets(slice_from(field, 4), arena, targets);
    }
    return count;
}
