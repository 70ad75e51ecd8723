/* proxy_header.c - HAProxy PROXY protocol */
#include "proxy_header.h"

#include "answer.h"
#include "base/log.h"
#include "text.h"

static const char signature[12] = {'\r', '\n', '\r', '\n', '\0', '\r', '\n', 'Q', 'U', 'I', 'T', '\n'};

enum { LINE_MAX_V1 = 107, HEADER_V2 = 16, SHOWN_MAX = 100 };

/* ---- version 1: "PROXY TCP4 192.0.2.1 198.51.100.2 4711 25" CRLF ---- */

static bool parse_address(struct slice host, struct slice port_text, bool six, struct net_address *address)
{
    uint64_t port;

    return slice_to_u64(port_text, &port) && port <= 65535 && net_address_parse(address, host, (uint16_t)port) &&
           (address->u.any.sa_family == AF_INET6) == six;
}

static int parse_line(struct slice line, struct net_address *peer, struct net_address *local)
{
    struct slice word[6];
    struct net_address from, to;
    size_t count = 0;

    while (count < COUNT_OF(word) && slice_next_token(&line, " ", &word[count]))
        count++;
    if (count >= 2 && slice_equal(word[1], SLICE("UNKNOWN")))
        return 1;
    bool six = count > 1 && slice_equal(word[1], SLICE("TCP6"));
    if (count != 6 || (!six && !slice_equal(word[1], SLICE("TCP4"))) || !parse_address(word[2], word[4], six, &from) ||
        !parse_address(word[3], word[5], six, &to))
        return -1;
    *peer = from;
    *local = to;
    return 1;
}

static int parse_v1(struct slice bytes, struct net_address *peer, struct net_address *local, size_t *used)
{
    size_t lf = slice_find(bytes, '\n');

    if (lf == bytes.len)
        return bytes.len < LINE_MAX_V1 ? 0 : -1;
    *used = lf + 1;
    return parse_line(slice_trim_right(slice_first(bytes, lf)), peer, local);
}

/* ---- version 2: binary ---- */

static void set_v4(struct net_address *address, const uint8_t *host, const uint8_t *port)
{
    *address = (struct net_address){.len = sizeof(address->u.v4)};
    address->u.v4.sin_family = AF_INET;
    memcpy(&address->u.v4.sin_addr, host, 4);
    memcpy(&address->u.v4.sin_port, port, 2);
}

static void set_v6(struct net_address *address, const uint8_t *host, const uint8_t *port)
{
    *address = (struct net_address){.len = sizeof(address->u.v6)};
    address->u.v6.sin6_family = AF_INET6;
    memcpy(&address->u.v6.sin6_addr, host, 16);
    memcpy(&address->u.v6.sin6_port, port, 2);
}

static int parse_v2(struct slice bytes, struct net_address *peer, struct net_address *local, size_t *used)
{
    const uint8_t *b = (const uint8_t *)bytes.data;

    if (bytes.len < HEADER_V2)
        return 0;
    size_t length = (size_t)b[14] << 8 | b[15];
    if (b[12] >> 4 != 2 || HEADER_V2 + length > PROXY_HEADER_MAX)
        return -1;
    if (bytes.len < HEADER_V2 + length)
        return 0;
    *used = HEADER_V2 + length;
    int command = b[12] & 0xF;
    if (command == 0)
        return 1; /* LOCAL: a health check */
    if (command != 1)
        return -1;
    const uint8_t *block = b + HEADER_V2;
    if (b[13] == 0x11 && length >= 12) {
        set_v4(peer, block, block + 8);
        set_v4(local, block + 4, block + 10);
    } else if (b[13] == 0x21 && length >= 36) {
        set_v6(peer, block, block + 32);
        set_v6(local, block + 16, block + 34);
    } else if (b[13] != 0x00) {
        return -1;
    }
    return 1;
}

int proxy_header_parse(struct slice bytes, struct net_address *peer, struct net_address *local, size_t *used)
{
    struct slice magic = slice_make(signature, sizeof(signature)), word = SLICE("PROXY ");

    *used = 0;
    if (slice_starts(bytes, magic))
        return parse_v2(bytes, peer, local, used);
    if (slice_starts(bytes, word))
        return parse_v1(bytes, peer, local, used);
    return slice_starts(magic, bytes) || slice_starts(word, bytes) ? 0 : -1;
}

/* warn - with what came, as far as it is of use. */
static void warn(struct session *s, const char *what)
{
    struct buffer text = BUFFER_INIT;

    text_escape(&text, stream_peek(s->stream), SHOWN_MAX);
    log_warning("haproxy read: %s%s%s", what, text.len ? ": " : "", buffer_string(&text));
    buffer_release(&text);
}

bool proxy_header_receive(struct session *s, struct net_address *peer, struct net_address *local)
{
    const struct smtpd_params *p = &s->server->params;
    size_t used = 0;
    int result = 0;

    if (p->smtpd_upstream_proxy_protocol[0] == '\0')
        return true;
    stream_set_deadline(s->stream, clock_after(p->smtpd_upstream_proxy_timeout));
    while (result == 0 && stream_await(s->stream, stream_buffered(s->stream) + 1))
        result = proxy_header_parse(stream_peek(s->stream), peer, local, &used);
    if (result == 1) {
        stream_read_some(s->stream, used);
        return true;
    }
    warn(s, result < 0 ? "malformed protocol header" : stream_error(s->stream) == STREAM_TIMEOUT ? "timeout error" : "lost connection");
    stream_clear_timeout(s->stream);
    stream_set_deadline(s->stream, clock_after(MICROSECONDS));
    answer(s, REPLY_LOCAL_ERROR, slice_of(p->myhostname));
    stream_flush(s->stream);
    return false;
}
