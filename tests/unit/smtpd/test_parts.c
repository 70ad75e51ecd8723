/* test_parts.c - pure functions of smtpd: DNS list patterns, the proxy header, escaping */
#include "testing.h"

#include "base/arena.h"
#include "../../../smtpd/access_private.h"
#include "../../../smtpd/proxy_header.h"
#include "../../../smtpd/text.h"

START_TEST(dnsbl_patterns)
{
    static const struct { const char *text; uint8_t address[4]; bool matches; } rows[] = {
        {"rbl.test", {127, 0, 0, 9}, true}, {"rbl.test=127.0.0.2", {127, 0, 0, 2}, true}, {"rbl.test=127.0.0.2", {127, 0, 0, 3}, false},
        {"rbl.test=127.0.0.[2;4..8]", {127, 0, 0, 6}, true}, {"rbl.test=127.0.0.[2;4..8]", {127, 0, 0, 3}, false},
        {"rbl.test=[0..255].0.0.[1]", {9, 0, 0, 1}, true},
    };
    static const char *const bad[] = {"", "rbl..test", "rbl.test=", "rbl.test=127.0.0", "rbl.test=127.0.0.256", "rbl.test=127.0.0.[2", "rbl.test=127.0.0.[5..2]",
                                      "rbl.test=127.0.0.2.3", "rbl.test=127.0.0.[]", "rbl.test=127.0.0.[2.4]"};
    struct arena *arena = arena_new(0);

    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct dnsbl *list = dnsbl_parse(slice_of(rows[i].text), arena);
        ck_assert_ptr_nonnull(list);
        ck_assert_msg(dnsbl_pattern_matches(list, rows[i].address) == rows[i].matches, "%s", rows[i].text);
    }
    for (size_t i = 0; i < COUNT_OF(bad); i++)
        ck_assert_msg(dnsbl_parse(slice_of(bad[i]), arena) == NULL, "%s was taken", bad[i]);
    arena_free(arena);
}
END_TEST

static int parse(struct slice bytes, char peer_text[64], size_t *used)
{
    struct net_address peer = {0}, local = {0};
    struct buffer text = BUFFER_INIT;
    int result = proxy_header_parse(bytes, &peer, &local, used);

    if (peer.len)
        net_address_text(&peer, &text);
    snprintf(peer_text, 64, "%s:%u>%u", buffer_string(&text), peer.len ? net_address_port(&peer) : 0, local.len ? net_address_port(&local) : 0);
    buffer_release(&text);
    return result;
}

START_TEST(proxy_lines)
{
    char peer[64];
    size_t used;

    ck_assert_int_eq(parse(SLICE("PROXY TCP4 192.0.2.1 198.51.100.2 4711 25\r\nEHLO"), peer, &used), 1);
    ck_assert_str_eq(peer, "192.0.2.1:4711>25");
    ck_assert_uint_eq(used, 43);
    ck_assert_int_eq(parse(SLICE("PROXY TCP6 2001:db8::1 2001:db8::2 1 25\r\n"), peer, &used), 1);
    ck_assert_str_eq(peer, "2001:db8::1:1>25");
    ck_assert_int_eq(parse(SLICE("PROXY UNKNOWN\r\n"), peer, &used), 1);
    ck_assert_str_eq(peer, ":0>0");
    static const char *const bad[] = {"EHLO x\r\n", "PROXY TCP4 192.0.2.1\r\n", "PROXY TCP4 2001:db8::1 192.0.2.2 1 2\r\n",
                                      "PROXY TCP4 192.0.2.1 192.0.2.2 70000 2\r\n"};
    static const char *const lax[] = {"PROXY TCP4 192.0.2.1 192.0.2.2 1 2 3\r\n", "PROXY TCP4 192.0.2.1 192.0.2.2 1 2\n"}; /* as Postfix takes them */
    for (size_t i = 0; i < COUNT_OF(lax); i++)
        ck_assert_msg(parse(slice_of(lax[i]), peer, &used) == 1, "%s", lax[i]);
    for (size_t i = 0; i < COUNT_OF(bad); i++)
        ck_assert_msg(parse(slice_of(bad[i]), peer, &used) == -1, "%s", bad[i]);
    ck_assert_int_eq(parse(SLICE(""), peer, &used), 0);
    ck_assert_int_eq(parse(SLICE("PRO"), peer, &used), 0);
    ck_assert_int_eq(parse(SLICE("PROXY TCP4 192.0.2.1 198.51.100.2 4711 25\r"), peer, &used), 0);
}
END_TEST

START_TEST(proxy_blocks)
{
    static const char v4[] = "\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0c\xc0\x00\x02\x01\xc6\x33\x64\x02\x12\x67\x00\x19more";
    static const char health[] = "\r\n\r\n\0\r\nQUIT\n\x20\x00\x00\x00";
    static const char bad[] = "\r\n\r\n\0\r\nQUIT\n\x31\x11\x00\x0c";
    static const char large[] = "\r\n\r\n\0\r\nQUIT\n\x21\x11\xff\xff";
    char peer[64];
    size_t used;

    ck_assert_int_eq(parse(slice_make(v4, sizeof(v4) - 1), peer, &used), 1);
    ck_assert_str_eq(peer, "192.0.2.1:4711>25");
    ck_assert_uint_eq(used, 28);
    for (size_t n = 0; n < 28; n++)
        ck_assert_int_eq(parse(slice_make(v4, n), peer, &used), 0);
    ck_assert_int_eq(parse(slice_make(health, 16), peer, &used), 1);
    ck_assert_str_eq(peer, ":0>0");
    ck_assert_int_eq(parse(slice_make(bad, 16), peer, &used), -1);
    ck_assert_int_eq(parse(slice_make(large, 16), peer, &used), -1);
}
END_TEST

START_TEST(escaping)
{
    struct buffer out = BUFFER_INIT;

    text_escape(&out, slice_make("a\r\n\t\001\\\377\0z", 9), 100);
    ASSERT_SLICE(buffer_slice(&out), "a\\r\\n\\t\\001\\\\\\377\\000z");
    buffer_clear(&out);
    text_escape(&out, SLICE("abcdef"), 3);
    ASSERT_SLICE(buffer_slice(&out), "abc");
    buffer_release(&out);
}
END_TEST

TEST_MAIN("smtpd/parts", dnsbl_patterns, proxy_lines, proxy_blocks, escaping)
