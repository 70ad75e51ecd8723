/* test_gate.c - the gate's pure parts: texts of the cache, weights of DNS lists, the access list */
#include "testing.h"

#include "base/log.h"
#include "../../../smtpd/gate_access.h"
#include "../../../smtpd/gate_lists.h"
#include "../../../smtpd/gate_memory.h"

static char logged[1000];

static void on_log(enum log_severity severity UNUSED, const char *text, void *context UNUSED)
{
    snprintf(logged + strlen(logged), sizeof(logged) - strlen(logged), "%s\n", text);
}

/* ---- the cache ---- */

START_TEST(cache_texts)
{
    struct gate_memory memory;
    struct buffer text = BUFFER_INIT;

    ck_assert(gate_memory_parse(SLICE("100;0;1;300;1"), &memory));
    gate_memory_text(&memory, &text);
    ck_assert_str_eq(buffer_string(&text), "100;0;1;300;1");
    ck_assert_int_eq(gate_memory_last(&memory), 300);
    unsigned all = GATE_EARLY | GATE_DEEP;
    ck_assert_uint_eq(gate_memory_due(&memory, all, 99), 1U << GATE_DNSBL | 1U << GATE_PIPELINING | 1U << GATE_BARE_NEWLINE);
    ck_assert_uint_eq(gate_memory_due(&memory, 1U << GATE_GREET, 99), 0);
    ck_assert_uint_eq(gate_memory_due(&memory, 1U << GATE_GREET, 100), 1U << GATE_GREET);
    static const char *const bad[] = {"", "1", "1;2;3;4", "1;2;3;4;5;6", "1;2;3;4;", "1;2;x;4;5", "1;2;-3;4;5", ";;;;", "1;2;9223372036854775807;4;5"};
    for (size_t i = 0; i < COUNT_OF(bad); i++)
        ck_assert_msg(!gate_memory_parse(slice_of(bad[i]), &memory), "%s was taken", bad[i]);
    buffer_release(&text);
}
END_TEST

/* ---- DNS lists ---- */

static struct dns_answer answer_of(const char *addresses, struct dns_record records[4])
{
    struct dns_answer answer = {.status = *addresses ? DNS_FOUND : DNS_NO_DOMAIN, .records = records, .seconds = 300};
    struct slice rest = slice_of(addresses), word;

    while (slice_next_token(&rest, " ", &word)) {
        records[answer.count] = (struct dns_record){.type = DNS_A};
        ck_assert(net_address_parse(&records[answer.count++].address, word, 0));
    }
    return answer;
}

START_TEST(weights)
{
    struct gate_lists *lists = gate_lists_new(SLICE("a.test, b.test=127.0.0.[2..4]*3 b.test=127.0.0.4*2\tW.test*-5"));
    static const struct { size_t domain; const char *addresses; int64_t rank; const char *by; } rows[] = {
        {0, "127.0.0.2", 1, "a.test"}, {0, "", 1, "a.test"}, {1, "127.0.0.9", 1, "a.test"}, {1, "127.0.0.3 127.0.0.2", 4, "b.test"},
        {1, "127.0.0.4", 9, "b.test"}, {2, "127.0.0.1", 4, "b.test"}, {0, "127.0.0.1 127.0.0.2", 5, "b.test"},
    };
    struct gate_score score = {.seconds = -1};
    struct dns_record records[4];

    ck_assert_uint_eq(gate_lists_count(lists), 3);
    ck_assert(slice_equal(gate_lists_domain(lists, 1), SLICE("b.test")));
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct dns_answer answer = answer_of(rows[i].addresses, records);
        gate_lists_weigh(lists, rows[i].domain, &answer, &score);
        ck_assert_msg(score.rank == rows[i].rank, "row %zu: got %lld want %lld", i, (long long)score.rank, (long long)rows[i].rank);
        ck_assert(slice_equal(score.listed_by, slice_of(rows[i].by)));
    }
    ck_assert_int_eq(score.seconds, 300);
    struct dns_answer failed = {.status = DNS_TRY_AGAIN, .seconds = 900};
    gate_lists_weigh(lists, 0, &failed, &score);
    ck_assert_int_eq(score.seconds, 0); /* nothing is known: look again soon */
    ck_assert_int_eq(score.rank, 5);
    gate_lists_free(lists);
}
END_TEST

START_TEST(sites_that_are_wrong)
{
    static const char *const bad[] = {"", " , ", "a..test", "a.test*", "a.test*x", "a.test*9999999999", "a.test=127.0.0*2", "*3", "a.test=127.0.0.2*2*x"};

    log_set_watcher(on_log, NULL);
    for (size_t i = 0; i < COUNT_OF(bad); i++)
        ck_assert_msg(gate_lists_new(slice_of(bad[i])) == NULL, "%s was taken", bad[i]);
    logged[0] = '\0';
    struct gate_lists *lists = gate_lists_new(SLICE("a.test*x b.test*+2 c.test*-1"));
    log_set_watcher(NULL, NULL);
    ck_assert_ptr_nonnull(lists);
    ck_assert_str_eq(logged, "warning: bad DNSBL weight factor in \"a.test*x\"\nwarning: bad DNSBL weight factor in \"b.test*+2\"\n");
    ck_assert_uint_eq(gate_lists_count(lists), 1);
    gate_lists_free(lists);
}
END_TEST

/* ---- the access list ---- */

static enum gate_verdict decide(const char *list, const char *client)
{
    struct config *config = config_empty();
    struct gate_access *access = gate_access_new(list, "10.0.0.0/8 [2001:db8::]/32", config);
    struct net_address address;

    ck_assert(net_address_parse(&address, slice_of(client), 25));
    enum gate_verdict verdict = gate_access_decide(access, &address);
    gate_access_free(access);
    config_free(config);
    return verdict;
}

START_TEST(access_lists)
{
    static const struct { const char *list, *client; enum gate_verdict verdict; } rows[] = {
        {"", "10.1.1.1", GATE_DUNNO}, {"permit_mynetworks", "10.1.1.1", GATE_PERMIT}, {"permit_mynetworks", "2001:db8::1", GATE_PERMIT},
        {"permit_mynetworks", "192.0.2.1", GATE_DUNNO}, {"permit_mynetworks, reject", "192.0.2.1", GATE_REJECT},
        {"dunno permit", "192.0.2.1", GATE_PERMIT},
        {"inline:{{192.0.2.1=reject},{192.0.2.2=Permit},{192.0.2.3=dunno},{192.0.2.4=what}} permit_mynetworks reject", "192.0.2.1", GATE_REJECT},
        {"inline:{{192.0.2.1=reject},{192.0.2.2=Permit}} reject", "192.0.2.2", GATE_PERMIT},
        {"inline:{{192.0.2.3=dunno}} permit", "192.0.2.3", GATE_PERMIT},
        {"inline:{{192.0.2.4=what}} permit", "192.0.2.4", GATE_DUNNO}, {"what permit", "192.0.2.4", GATE_DUNNO},
        {"cidr:/nonexistent/file permit", "192.0.2.4", GATE_DUNNO},
    };

    log_set_watcher(on_log, NULL);
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        logged[0] = '\0';
        ck_assert_msg(decide(rows[i].list, rows[i].client) == rows[i].verdict, "%s for %s", rows[i].list, rows[i].client);
        if (strstr(rows[i].list, "what} "))
            ck_assert_ptr_nonnull(strstr(logged, "unknown command: what -- ignoring the remainder of this access list"));
    }
    log_set_watcher(NULL, NULL);
}
END_TEST

TEST_MAIN("smtpd/gate", cache_texts, weights, sites_that_are_wrong, access_lists)
