/* test_dns_filter.c - records as text, and what a filter leaves of an answer */
#include "testing.h"

#include "base/log.h"
#include "dns/dns_filter.h"

static char logged[1000];

static void on_log(enum log_severity severity UNUSED, const char *text, void *context UNUSED)
{
    snprintf(logged + strlen(logged), sizeof(logged) - strlen(logged), "%s\n", text);
}

static struct dns_record address_record(const char *text)
{
    struct dns_record record = {.owner = SLICE("h.test"), .ttl = 300};

    ck_assert(net_address_parse(&record.address, slice_of(text), 0));
    record.type = record.address.u.any.sa_family == AF_INET6 ? DNS_AAAA : DNS_A;
    return record;
}

START_TEST(texts)
{
    struct dns_record rows[] = {address_record("192.0.2.1"), address_record("2001:db8::1"),
                                {.type = DNS_MX, .owner = SLICE("d.test"), .ttl = 5, .preference = 10, .name = SLICE("mx.test")},
                                {.type = DNS_PTR, .owner = SLICE("1.in-addr.arpa"), .ttl = 5, .name = SLICE("h.test")},
                                {.type = DNS_TXT, .owner = SLICE("t.test"), .ttl = 5, .text = SLICE("some text")},
                                {.type = DNS_TLSA, .owner = SLICE("_25._tcp.h.test"), .ttl = 5, .usage = 3, .selector = 1, .matching = 1, .data = SLICE("\xab\x01")},
                                {.type = DNS_SRV, .owner = SLICE("s.test"), .ttl = 5, .preference = 1, .weight = 2, .port = 25, .name = SLICE("h.test")}};
    static const char *const want[] = {"h.test. 300 IN A 192.0.2.1", "h.test. 300 IN AAAA 2001:db8::1", "d.test. 5 IN MX 10 mx.test.",
                                       "1.in-addr.arpa. 5 IN PTR h.test.", "t.test. 5 IN TXT some text", "_25._tcp.h.test. 5 IN TLSA 3 1 1 AB01",
                                       "s.test. 5 IN SRV 1 2 25 h.test."};
    struct buffer text = BUFFER_INIT;

    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        buffer_clear(&text);
        dns_record_text(&rows[i], &text);
        ck_assert_str_eq(buffer_string(&text), want[i]);
    }
    buffer_release(&text);
}
END_TEST

/* drops - what holds the context's text; fails at "192.0.2.66". */
static enum dns_filter_result drops(void *context, struct slice record)
{
    if (slice_ends(record, SLICE("192.0.2.66")))
        return DNS_FILTER_FAILED;
    return slice_search(record, slice_of(context)) < record.len ? DNS_FILTER_DROP : DNS_FILTER_KEEP;
}

static enum dns_status filter(const char *addresses, const char *dropped, size_t *count)
{
    struct slice rest = slice_of(addresses), word;
    struct dns_record records[10];
    struct dns_answer answer = {.status = DNS_FOUND, .records = records};
    char text[64];

    while (slice_next_token(&rest, " ", &word)) {
        snprintf(text, sizeof(text), SLICE_FORMAT, SLICE_ARGS(word));
        records[answer.count++] = address_record(text);
    }
    dns_filter_answer(dropped ? drops : NULL, (void *)(uintptr_t)dropped, &answer);
    *count = answer.count;
    return answer.status;
}

START_TEST(answers)
{
    size_t count;

    log_set_watcher(on_log, NULL);
    ck_assert_int_eq(filter("192.0.2.1 2001:db8::1", NULL, &count), DNS_FOUND);
    ck_assert_uint_eq(count, 2);
    ck_assert_int_eq(filter("192.0.2.1 2001:db8::1", " AAAA ", &count), DNS_FOUND);
    ck_assert_uint_eq(count, 1);
    ck_assert_str_eq(logged, "ignoring DNS RR: h.test. 300 IN AAAA 2001:db8::1\n");
    ck_assert_int_eq(filter("192.0.2.1 192.0.2.2", " A ", &count), DNS_FILTERED);
    ck_assert_uint_eq(count, 0);
    ck_assert_int_eq(filter("192.0.2.1 192.0.2.66", "nothing", &count), DNS_FILTER_FAULT);
    ck_assert_uint_eq(count, 0);
}
END_TEST

TEST_MAIN("dns/filter", texts, answers)
