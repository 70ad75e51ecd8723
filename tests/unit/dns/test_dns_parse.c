/* test_dns_parse.c - answers from the wire, good and hostile */
#include "testing.h"

#include "dns/dns.h"

/* Header with one question "a.test" of the given type, answers, flags. */
static void start_packet(struct buffer *b, unsigned flags, unsigned answers, unsigned type)
{
    const char header[] = {0, 1, (char)(flags >> 8), (char)flags, 0, 1, 0, (char)answers, 0, 0, 0, 0};
    const char question[] = {1, 'a', 4, 't', 'e', 's', 't', 0, 0, (char)type, 0, 1};

    buffer_append(b, header, sizeof(header));
    buffer_append(b, question, sizeof(question));
}

static void add_record(struct buffer *b, unsigned type, const char *data, size_t len)
{
    const char frame[] = {(char)0xC0, 12, 0, (char)type, 0, 1, 0, 0, 1, 0, (char)(len >> 8), (char)len};

    buffer_append(b, frame, sizeof(frame));
    buffer_append(b, data, len);
}

START_TEST(address_record)
{
    struct buffer b = BUFFER_INIT, text = BUFFER_INIT;
    struct arena *arena = arena_new(0);
    struct dns_answer answer;

    start_packet(&b, 0x81A0, 1, DNS_A);
    add_record(&b, DNS_A, "\x0a\x09\x00\x01", 4);
    ck_assert_int_eq(dns_parse(buffer_slice(&b), DNS_A, arena, &answer), DNS_FOUND);
    ck_assert_uint_eq(answer.count, 1);
    ck_assert(answer.authentic);
    net_address_text(&answer.records[0].address, &text);
    ASSERT_SLICE(buffer_slice(&text), "10.9.0.1");
    ck_assert_uint_eq(answer.records[0].ttl, 256);
    buffer_release(&b);
    buffer_release(&text);
    arena_free(arena);
}
END_TEST

START_TEST(null_mx)
{
    struct buffer b = BUFFER_INIT;
    struct arena *arena = arena_new(0);
    struct dns_answer answer;

    start_packet(&b, 0x8180, 1, DNS_MX);
    add_record(&b, DNS_MX, "\0\0\0", 3);
    ck_assert_int_eq(dns_parse(buffer_slice(&b), DNS_MX, arena, &answer), DNS_FOUND);
    ck_assert_uint_eq(answer.records[0].name.len, 0);
    buffer_release(&b);
    arena_free(arena);
}
END_TEST

START_TEST(alias_chain)
{
    struct buffer b = BUFFER_INIT;
    struct arena *arena = arena_new(0);
    struct dns_answer answer;
    const char target[] = {1, 'b', (char)0xC0, 14};
    const char frame[] = {1, 'b', (char)0xC0, 14, 0, DNS_A, 0, 1, 0, 0, 0, 9, 0, 4, 127, 0, 0, 1};

    start_packet(&b, 0x8180, 2, DNS_A);
    add_record(&b, DNS_CNAME, target, sizeof(target));
    buffer_append(&b, frame, sizeof(frame));
    ck_assert_int_eq(dns_parse(buffer_slice(&b), DNS_A, arena, &answer), DNS_FOUND);
    ASSERT_SLICE(answer.records[0].owner, "b.test");
    buffer_release(&b);
    arena_free(arena);
}
END_TEST

START_TEST(aliases_without_an_address)
{
    static const struct { const char *target; size_t len; bool endless; const char *alias; } rows[] = {
        {"\1b\xC0\x0E", 4, false, "b.test"}, {"\xC0\x0C", 2, true, ""}};

    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct buffer b = BUFFER_INIT;
        struct arena *arena = arena_new(0);
        struct dns_answer answer;
        start_packet(&b, 0x8180, 1, DNS_A);
        add_record(&b, DNS_CNAME, rows[i].target, rows[i].len);
        ck_assert_int_eq(dns_parse(buffer_slice(&b), DNS_A, arena, &answer), DNS_NO_DATA);
        ck_assert_int_eq(answer.endless, rows[i].endless);
        ASSERT_SLICE(answer.alias, rows[i].alias);
        buffer_release(&b);
        arena_free(arena);
    }
}
END_TEST

START_TEST(negative_answers)
{
    static const struct { unsigned flags; enum dns_status want; } rows[] = {
        {0x8183, DNS_NO_DOMAIN}, {0x8180, DNS_NO_DATA}, {0x8182, DNS_TRY_AGAIN}, {0x8185, DNS_TRY_AGAIN}, {0x8181, DNS_MALFORMED}};

    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct buffer b = BUFFER_INIT;
        struct arena *arena = arena_new(0);
        struct dns_answer answer;
        start_packet(&b, rows[i].flags, 0, DNS_A);
        enum dns_status got = dns_parse(buffer_slice(&b), DNS_A, arena, &answer);
        ck_assert_msg(got == rows[i].want, "flags %x: got %d want %d", rows[i].flags, (int)got, (int)rows[i].want);
        buffer_release(&b);
        arena_free(arena);
    }
}
END_TEST

START_TEST(hostile)
{
    struct buffer b = BUFFER_INIT;
    struct arena *arena = arena_new(0);
    struct dns_answer answer;
    const char loop[] = {0, 10, (char)0xC0, 38}; /* the exchange points at itself */

    start_packet(&b, 0x8180, 1, DNS_MX);
    add_record(&b, DNS_MX, loop, sizeof(loop));
    ck_assert_int_eq(dns_parse(buffer_slice(&b), DNS_MX, arena, &answer), DNS_MALFORMED);
    for (size_t cut = 0; cut < b.len; cut++) {
        ck_assert_int_ne(dns_parse(slice_first(buffer_slice(&b), cut), DNS_MX, arena, &answer), DNS_FOUND);
    }
    buffer_clear(&b);
    start_packet(&b, 0x8180, 1, DNS_PTR);
    add_record(&b, DNS_PTR, "\3a\nb\0", 5); /* no host name has a line feed */
    ck_assert_int_eq(dns_parse(buffer_slice(&b), DNS_PTR, arena, &answer), DNS_MALFORMED);
    buffer_release(&b);
    arena_free(arena);
}
END_TEST

START_TEST(reverse_names)
{
    struct net_address address;
    struct buffer out = BUFFER_INIT;

    ck_assert(net_address_parse(&address, SLICE("192.0.2.1"), 0));
    dns_reverse_name(&address, ".in-addr.arpa", ".ip6.arpa", &out);
    ASSERT_SLICE(buffer_slice(&out), "1.2.0.192.in-addr.arpa");
    buffer_clear(&out);
    ck_assert(net_address_parse(&address, SLICE("2001:db8::1"), 0));
    dns_reverse_name(&address, ".x", ".x", &out);
    ASSERT_SLICE(buffer_slice(&out), "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.x");
    buffer_release(&out);
}
END_TEST

TEST_MAIN("dns/parse", address_record, null_mx, alias_chain, aliases_without_an_address, negative_answers, hostile, reverse_names)
