/* dns_parse.c - a DNS answer from the wire to records (RFC 1035); every byte of it is hostile */
#include "base/cursor.h"
#include "dns/dns.h"

#define NAME_MAX_TEXT 255
#define POINTER_LIMIT 32   /* compression pointers followed for one name */
#define CNAME_LIMIT 16     /* links of a CNAME chain */
#define RECORD_LIMIT 256   /* records looked at in one answer */
#define TYPE_SOA 6

struct raw_record {
    char owner[NAME_MAX_TEXT + 1];
    uint16_t type;
    uint32_t ttl;
    size_t data_at; /* offset of the data in the packet */
    uint16_t data_length;
};

/* Characters that may stand in a name that we use; "_" and "/" occur in SRV, TLSA and RFC 2317 names. */
static bool name_byte_ok(unsigned char byte)
{
    return isalnum(byte) || byte == '-' || byte == '_' || byte == '/';
}

/* read_label - append one label in lower case; false when it does not fit or holds a byte no host name has. */
static bool read_label(const uint8_t *label, size_t len, char *text, size_t *used)
{
    if (*used + len + 1 > NAME_MAX_TEXT)
        return false;
    if (*used > 0)
        text[(*used)++] = '.';
    for (size_t i = 0; i < len; i++) {
        if (!name_byte_ok(label[i]))
            return false;
        text[(*used)++] = (char)tolower(label[i]);
    }
    return true;
}

/* read_name - a name at *at, pointers followed; *at moves behind it.  text gets it without the final dot. */
static bool read_name(struct slice packet, size_t *at, char text[NAME_MAX_TEXT + 1])
{
    const uint8_t *bytes = (const uint8_t *)packet.data;
    size_t position = *at, used = 0;
    int pointers = 0;
    bool jumped = false;

    while (position < packet.len) {
        uint8_t length = bytes[position];
        if ((length & 0xC0) == 0xC0) {
            if (position + 1 >= packet.len || ++pointers > POINTER_LIMIT)
                return false;
            if (!jumped)
                *at = position + 2;
            jumped = true;
            position = (size_t)(length & 0x3F) << 8 | bytes[position + 1];
            continue;
        }
        if (length > 63 || position + 1 + length > packet.len)
            return false;
        if (length == 0) {
            if (!jumped)
                *at = position + 1;
            text[used] = '\0';
            return true;
        }
        if (!read_label(bytes + position + 1, length, text, &used))
            return false;
        position += 1 + (size_t)length;
    }
    return false;
}

static uint16_t big16(struct slice packet, size_t at)
{
    const uint8_t *p = (const uint8_t *)packet.data + at;
    return (uint16_t)(p[0] << 8 | p[1]);
}

static uint32_t big32(struct slice packet, size_t at)
{
    return (uint32_t)big16(packet, at) << 16 | big16(packet, at + 2);
}

/* read_raw - the frame of one record; false when malformed. */
static bool read_raw(struct slice packet, size_t *at, struct raw_record *record)
{
    size_t name_end = *at;

    if (!read_name(packet, &name_end, record->owner) || name_end + 10 > packet.len)
        return false;
    record->type = big16(packet, name_end);
    record->ttl = big32(packet, name_end + 4);
    record->data_length = big16(packet, name_end + 8);
    record->data_at = name_end + 10;
    if (record->data_at + record->data_length > packet.len)
        return false;
    if (record->ttl > INT32_MAX)
        record->ttl = 0;
    *at = record->data_at + record->data_length;
    return true;
}

static bool parse_name_data(struct slice packet, const struct raw_record *raw, size_t skip, struct arena *arena, struct slice *name)
{
    char text[NAME_MAX_TEXT + 1];
    size_t at = raw->data_at + skip;

    if (raw->data_length < skip + 1 || !read_name(packet, &at, text) || at > raw->data_at + raw->data_length)
        return false;
    *name = arena_slice(arena, slice_of(text));
    return true;
}

static bool parse_text(struct slice packet, const struct raw_record *raw, struct arena *arena, struct slice *text)
{
    struct buffer joined = BUFFER_INIT_MAX(65536);
    struct cursor c = cursor_of(slice_make(packet.data + raw->data_at, raw->data_length));

    while (cursor_left(&c) > 0 && !c.failed) {
        uint8_t length = cursor_u8(&c);
        buffer_append_slice(&joined, cursor_bytes(&c, length));
    }
    *text = arena_slice(arena, buffer_slice(&joined));
    buffer_release(&joined);
    return !c.failed;
}

static bool parse_address(struct slice packet, const struct raw_record *raw, struct net_address *address)
{
    const char *data = packet.data + raw->data_at;

    memset(address, 0, sizeof(*address));
    if (raw->type == DNS_A && raw->data_length == 4) {
        address->u.v4.sin_family = AF_INET;
        memcpy(&address->u.v4.sin_addr, data, 4);
        address->len = sizeof(address->u.v4);
        return true;
    }
    if (raw->type == DNS_AAAA && raw->data_length == 16) {
        address->u.v6.sin6_family = AF_INET6;
        memcpy(&address->u.v6.sin6_addr, data, 16);
        address->len = sizeof(address->u.v6);
        return true;
    }
    return false;
}

static bool parse_tlsa(struct slice packet, const struct raw_record *raw, struct arena *arena, struct dns_record *record)
{
    const uint8_t *data = (const uint8_t *)packet.data + raw->data_at;

    if (raw->data_length < 4)
        return false;
    record->usage = data[0];
    record->selector = data[1];
    record->matching = data[2];
    record->data = arena_slice(arena, slice_make(data + 3, (size_t)raw->data_length - 3));
    return true;
}

static bool parse_record(struct slice packet, const struct raw_record *raw, struct arena *arena, struct dns_record *record)
{
    record->type = (enum dns_type)raw->type;
    record->ttl = raw->ttl;
    record->owner = arena_slice(arena, slice_of(raw->owner));
    switch (raw->type) {
    case DNS_A:
    case DNS_AAAA:
        return parse_address(packet, raw, &record->address);
    case DNS_MX:
        record->preference = raw->data_length >= 2 ? big16(packet, raw->data_at) : 0;
        return parse_name_data(packet, raw, 2, arena, &record->name);
    case DNS_SRV:
        if (raw->data_length < 7)
            return false;
        record->preference = big16(packet, raw->data_at);
        record->weight = big16(packet, raw->data_at + 2);
        record->port = big16(packet, raw->data_at + 4);
        return parse_name_data(packet, raw, 6, arena, &record->name);
    case DNS_PTR:
    case DNS_NS:
    case DNS_CNAME:
        return parse_name_data(packet, raw, 0, arena, &record->name);
    case DNS_TXT:
        return parse_text(packet, raw, arena, &record->text);
    case DNS_TLSA:
        return parse_tlsa(packet, raw, arena, record);
    default:
        return false;
    }
}

static enum dns_status status_of_code(unsigned code)
{
    switch (code) {
    case 0:
        return DNS_FOUND;
    case 3:
        return DNS_NO_DOMAIN;
    case 1: /* FORMERR */
    case 4: /* NOTIMP */
        return DNS_MALFORMED;
    default:
        return DNS_TRY_AGAIN;
    }
}

/* follow_chain - the owner at the end of the CNAME chain that starts at the question's name (RFC 1034 3.6.2).  Returns the number of links, CNAME_LIMIT
   when it does not end. */
static int follow_chain(struct slice packet, const struct raw_record *raws, size_t count, char owner[NAME_MAX_TEXT + 1])
{
    for (int links = 0; links < CNAME_LIMIT; links++) {
        size_t i = 0;
        while (i < count && !(raws[i].type == DNS_CNAME && strcmp(raws[i].owner, owner) == 0))
            i++;
        size_t at = i < count ? raws[i].data_at : 0;
        if (i == count || !read_name(packet, &at, owner))
            return links;
    }
    return CNAME_LIMIT;
}

/* collect - records of the wanted type whose owner is the end of the chain. */
static void collect(struct slice packet, const struct raw_record *raws, size_t count, enum dns_type type, const char *owner,
                    struct arena *arena, struct dns_answer *answer, bool *dropped)
{
    answer->records = arena_alloc(arena, (count + 1) * sizeof(*answer->records));
    for (size_t i = 0; i < count; i++) {
        if (raws[i].type != type || strcmp(raws[i].owner, owner) != 0)
            continue;
        if (parse_record(packet, &raws[i], arena, &answer->records[answer->count]))
            answer->count++;
        else
            *dropped = true;
    }
}

/* negative_seconds - how long "there is none" holds: the SOA in the authority section, which begins at at (RFC 2308 5). */
static uint32_t negative_seconds(struct slice packet, size_t at)
{
    struct raw_record raw;

    for (unsigned left = big16(packet, 8); left > 0 && read_raw(packet, &at, &raw); left--) {
        if (raw.type != TYPE_SOA || raw.data_length < 20)
            continue;
        uint32_t minimum = big32(packet, raw.data_at + raw.data_length - 4);
        return minimum < raw.ttl ? minimum : raw.ttl;
    }
    return 0;
}

static uint32_t least_ttl(const struct dns_answer *answer)
{
    uint32_t least = UINT32_MAX;

    for (size_t i = 0; i < answer->count; i++)
        if (answer->records[i].ttl < least)
            least = answer->records[i].ttl;
    return least;
}

enum dns_status dns_parse(struct slice packet, enum dns_type type, struct arena *arena, struct dns_answer *answer)
{
    char owner[NAME_MAX_TEXT + 1];
    size_t at = 12, count = 0;
    bool dropped = false;

    memset(answer, 0, sizeof(*answer));
    answer->status = DNS_MALFORMED;
    if (packet.len < 12 || big16(packet, 4) != 1 || !read_name(packet, &at, owner) || at + 4 > packet.len)
        return answer->status;
    at += 4;
    answer->authentic = (big16(packet, 2) & 0x0020) != 0;
    answer->status = status_of_code(big16(packet, 2) & 0xF);
    if (answer->status == DNS_NO_DOMAIN && big16(packet, 6) == 0)
        answer->seconds = negative_seconds(packet, at);
    if (answer->status != DNS_FOUND)
        return answer->status;

    size_t total = big16(packet, 6);
    if (total > RECORD_LIMIT)
        total = RECORD_LIMIT;
    struct raw_record *raws = memory_alloc((total + 1) * sizeof(*raws));
    while (count < total && read_raw(packet, &at, &raws[count]))
        count++;
    dropped = count < total;
    int links = type == DNS_CNAME ? 0 : follow_chain(packet, raws, count, owner);
    collect(packet, raws, count, type, owner, arena, answer, &dropped);
    free(raws);
    if (answer->count == 0)
        answer->status = dropped ? DNS_MALFORMED : DNS_NO_DATA;
    answer->endless = answer->status == DNS_NO_DATA && links == CNAME_LIMIT;
    if (answer->status == DNS_NO_DATA && links > 0 && links < CNAME_LIMIT)
        answer->alias = arena_slice(arena, slice_of(owner));
    answer->seconds = answer->count ? least_ttl(answer) : dropped ? 0 : negative_seconds(packet, at);
    return answer->status;
}
