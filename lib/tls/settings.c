/* settings.c (tls) - see settings.h */
#include "tls/settings.h"

static const struct { const char *name; const char *hex; int bit; } versions[] = {
    {"SSLv2", "0x0002", TLS_SSL2}, {"SSLv3", "0x0300", TLS_SSL3}, {"TLSv1", "0x0301", TLS_10}, {"TLSv1.1", "0x0302", TLS_11},
    {"TLSv1.2", "0x0303", TLS_12}, {"TLSv1.3", "0x0304", TLS_13},
};

static int version_bit(struct slice name)
{
    struct slice digits = slice_starts_case(name, SLICE("0x")) ? slice_from(name, 2) : name;

    for (size_t i = 0; i < COUNT_OF(versions); i++) {
        uint64_t number, wanted = (uint64_t)strtoul(versions[i].hex, NULL, 16);
        if (slice_equal_case(name, slice_of(versions[i].name)))
            return versions[i].bit;
        if (isdigit((unsigned char)(name.len ? name.data[0] : 'x')) && slice_to_u64_hex(digits, &number) && number == wanted)
            return versions[i].bit;
    }
    return 0;
}

int tls_versions_parse(struct slice list)
{
    int included = 0, excluded = 0, bounds = TLS_ALL_VERSIONS;
    struct slice word;

    while (slice_next_token(&list, " \t\r\n,:", &word)) {
        bool least = slice_starts(word, SLICE(">=")), most = slice_starts(word, SLICE("<=")), not = slice_starts(word, SLICE("!"));
        int bit = version_bit(slice_from(word, least || most ? 2 : not));
        if (bit == 0)
            return -1;
        if (least)
            bounds &= ~(bit - 1);
        else if (most)
            bounds &= (bit << 1) - 1;
        else if (not)
            excluded |= bit;
        else
            included |= bit;
    }
    /* SSLv2 is in no library any more, SSLv3 in few. */
    int result = (included ? included : TLS_ALL_VERSIONS) & bounds & ~excluded & ~(TLS_SSL2 | TLS_SSL3);
    return result ? result : -1;
}

static void exclude_all(struct slice list, struct buffer *out)
{
    struct slice word;

    while (slice_next_token(&list, " \t\r\n,:", &word)) {
        buffer_append_string(out, ":!");
        buffer_append_slice(out, slice_starts(word, SLICE("!")) ? slice_from(word, 1) : word);
    }
}

bool tls_cipher_list(const struct tls_params *params, struct slice grade, struct slice exclude, struct slice exclude_more, struct buffer *out)
{
    const char *base = NULL;

    if (slice_equal_case(grade, SLICE("high")))
        base = params->tls_high_cipherlist;
    else if (slice_equal_case(grade, SLICE("medium")) || slice_equal_case(grade, SLICE("low")) || slice_equal_case(grade, SLICE("export")))
        base = params->tls_medium_cipherlist;
    else if (slice_equal_case(grade, SLICE("null")))
        base = params->tls_null_cipherlist;
    if (!base)
        return false;
    buffer_append_string(out, base);
    exclude_all(exclude, out);
    exclude_all(exclude_more, out);
    return true;
}
