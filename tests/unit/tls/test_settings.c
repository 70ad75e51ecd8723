/* test_settings.c - versions, ciphers, policies, what a hello asks for */
#include "testing.h"

#include "base/log.h"
#include "tls/fingerprints.h"
#include "tls/hello.h"
#include "tls/policy.h"
#include "tls/settings.h"
#include "tls/client.h"

START_TEST(test_versions)
{
    static const struct { const char *list; int want; } rows[] = {
        {"", TLS_10 | TLS_11 | TLS_12 | TLS_13}, {">=TLSv1", TLS_10 | TLS_11 | TLS_12 | TLS_13}, {">=TLSv1.2", TLS_12 | TLS_13},
        {"!SSLv2, !SSLv3", TLS_10 | TLS_11 | TLS_12 | TLS_13}, {"!SSLv2:!SSLv3:!TLSv1:!TLSv1.1", TLS_12 | TLS_13}, {"TLSv1.2", TLS_12},
        {"tlsv1.2 TLSv1.3 !TLSv1.2", TLS_13}, {"<=TLSv1.1", TLS_10 | TLS_11}, {">=TLSv1.1 <=0x0303", TLS_11 | TLS_12}, {"0303", TLS_12},
        {"SSLv3", -1}, {"TLSv1.2 !TLSv1.2", -1}, {"TLSv1.4", -1}, {">TLSv1", -1}, {"!", -1}, {"5", -1},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        ck_assert_msg(tls_versions_parse(slice_of(rows[i].list)) == rows[i].want, "\"%s\": got %d want %d", rows[i].list,
                      tls_versions_parse(slice_of(rows[i].list)), rows[i].want);
}
END_TEST

START_TEST(test_ciphers)
{
    struct config *config = config_empty();
    struct tls_params params;
    struct buffer list = BUFFER_INIT;
    tls_params_load(config, "smtpd", &params);
    ck_assert(tls_cipher_list(&params, SLICE("HIGH"), SLICE("RC4, !DES"), SLICE("kRSA:aNULL"), &list));
    ck_assert(slice_starts(buffer_slice(&list), slice_of(params.tls_high_cipherlist)));
    ck_assert(slice_ends(buffer_slice(&list), SLICE(":!RC4:!DES:!kRSA:!aNULL")));
    ck_assert(!tls_cipher_list(&params, SLICE("strong"), SLICE(""), SLICE(""), &list));
    static const char *const prefixes[] = {"smtp", "lmtp", "smtpd"}; /* a row that is missing ends the process */
    for (size_t i = 0; i < COUNT_OF(prefixes); i++)
        tls_params_load(config, prefixes[i], &params);
    ck_assert_int_eq(tls_log_bits("summary, peercert", "x"), TLS_LOG_SUMMARY | TLS_LOG_PEERCERT);
    buffer_release(&list);
    config_free(config);
}
END_TEST

START_TEST(test_policies)
{
    static const struct { const char *text; int level; const char *protocols, *ciphers, *match, *why; } rows[] = {
        {"none", TLS_NONE, "", "", "", ""},
        {"  may  ", TLS_MAY, "", "", "", ""},
        {"encrypt protocols=!SSLv2:!SSLv3 ciphers=High", TLS_ENCRYPT, "!SSLv2:!SSLv3", "High", "", ""},
        {"secure match=a.test:.b.test, match=nexthop", TLS_SECURE, "", "", "a.test:.b.test:nexthop", ""},
        {"fingerprint match=AA:BB match=CC:DD|EE", TLS_FINGERPRINT, "", "", "AA:BB|CC:DD|EE", ""},
        {"dane-only {policy_string = a b} policy_type=sts", TLS_DANE_ONLY, "", "", "", ""},
        {"", -1, "", "", "", "invalid empty policy"},
        {"very", -1, "", "", "", "invalid security level \"very\""},
        {"none ciphers=high", TLS_NONE, "", "", "", "ignoring attribute \"ciphers=high\" with TLS disabled"},
        {"may protocols= exclude=", TLS_MAY, "", "", "", ""},
        {"may match=x", -1, "", "", "", "attribute \"match\" invalid at security level \"may\""},
        {"dane match=x", -1, "", "", "", "attribute \"match\" invalid at security level \"dane\""},
        {"encrypt ciphers=best", -1, "", "", "", "invalid ciphers value \"best\""},
        {"encrypt protocols=TLSv9", -1, "", "", "", "invalid protocols value \"TLSv9\""},
        {"encrypt ciphers=", -1, "", "", "", "attribute \"ciphers\" has empty value"},
        {"encrypt nonsense", -1, "", "", "", "malformed attribute/value pair \"nonsense\": missing '=' after attribute name"},
        {"encrypt a=b", -1, "", "", "", "invalid attribute name: \"a\""},
        {"encrypt servername=a/b", -1, "", "", "", "\"servername=a/b\" specifies an invalid hostname"},
        {"encrypt servername=", -1, "", "", "", "\"servername=\" specifies an invalid hostname"},
        {"encrypt servername=a..b", -1, "", "", "", "\"servername=a..b\" specifies an invalid hostname"},
        {"encrypt servername=a-.b", -1, "", "", "", "\"servername=a-.b\" specifies an invalid hostname"},
        {"encrypt servername=a-b.c", TLS_ENCRYPT, "", "", "", ""},
        {"encrypt ciphers=high ciphers=low", -1, "", "", "", "attribute \"ciphers\" is specified multiple times"},
        {"encrypt connection_reuse=maybe", -1, "", "", "", "attribute \"connection_reuse\" has bad value: \"maybe\""},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct arena *arena = arena_new(0);
        struct buffer why = BUFFER_INIT;
        struct tls_policy policy;
        bool good = tls_policy_parse(slice_of(rows[i].text), arena, &policy, &why);
        ck_assert_str_eq(buffer_string(&why), rows[i].why);
        ck_assert_int_eq(good, rows[i].level >= 0);
        if (good) {
            ck_assert_int_eq((int)policy.level, rows[i].level);
            ASSERT_SLICE(policy.protocols, rows[i].protocols);
            ASSERT_SLICE(policy.ciphers, rows[i].ciphers);
            ASSERT_SLICE(policy.match, rows[i].match);
        }
        buffer_release(&why);
        arena_free(arena);
    }
}
END_TEST

START_TEST(test_hellos)
{
    static const char good[] = "\0\013\0\0\010mx.a.TST", cut[] = "\0\013\0\0\011mx.a.TST", bad[] = "\0\013\0\0\010mx/a.tst";
    char name[TLS_NAME_MAX];
    struct slice chosen;
    tls_hello_name(slice_make(good, sizeof(good) - 1), name);
    ck_assert_str_eq(name, "mx.a.tst");
    tls_hello_name(slice_make(cut, sizeof(cut) - 1), name);
    ck_assert_str_eq(name, "");
    tls_hello_name(slice_make(bad, sizeof(bad) - 1), name);
    ck_assert_str_eq(name, "");
    ck_assert_int_eq(tls_hello_protocol(SLICE("\002h2\004smtp"), &chosen), TLS_PROTOCOL_SMTP);
    ASSERT_SLICE(chosen, "smtp");
    ck_assert_int_eq(tls_hello_protocol(SLICE("\002h2\010http/1.1"), &chosen), TLS_PROTOCOL_FOREIGN);
    ck_assert_int_eq(tls_hello_protocol(SLICE("\003xyz"), &chosen), TLS_PROTOCOL_UNKNOWN);
    ck_assert_int_eq(tls_hello_protocol(SLICE("\005smtp"), &chosen), TLS_PROTOCOL_UNKNOWN);
}
END_TEST

START_TEST(test_anchors)
{
    static const char bytes[64];
    static const struct { uint8_t usage, selector, matching; size_t len; bool want; } rows[] = {
        {3, 1, 1, 32, true}, {3, 1, 2, 64, true}, {2, 0, 1, 32, true}, {3, 0, 0, 10, true}, {2, 1, 0, 0, false}, {0, 1, 1, 32, false},
        {1, 1, 1, 32, false}, {3, 2, 1, 32, false}, {3, 1, 3, 32, false}, {3, 1, 1, 31, false}, {3, 1, 2, 32, false}, {255, 1, 1, 32, false},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct tls_anchor anchor = {rows[i].usage, rows[i].selector, rows[i].matching, slice_make(bytes, rows[i].len)};
        ck_assert_msg(tls_anchor_is_usable(&anchor) == rows[i].want, "row %zu", i);
    }
}
END_TEST

START_TEST(test_fingerprints)
{
    static const struct { const char *text, *want; } words[] = {{"aa:BB", "AABB"}, {"aabb", "AABB"}, {"a", NULL}, {"aa:b", NULL}, {"aa:", NULL},
                                                                {":aa", NULL}, {"a:a", NULL}, {"hello", NULL}, {"", NULL}};
    static const struct { const char *list; enum fingerprints_found want; } lists[] = {
        {"AA:BB:CC", FINGERPRINTS_UNUSABLE}, {"AA:CC", FINGERPRINTS_DIFFER}, {"AA:BB:CC, aabb", FINGERPRINTS_MATCH}, {"0102", FINGERPRINTS_MATCH},
        {"", FINGERPRINTS_UNUSABLE}, {"zz,AA:CC", FINGERPRINTS_DIFFER}};
    const struct tls_facts facts = {.fingerprint = "AA:BB", .key_fingerprint = "01:02"};

    for (size_t i = 0; i < COUNT_OF(words); i++) {
        struct buffer text = BUFFER_INIT;
        ck_assert_msg(fingerprint_parse(slice_of(words[i].text), &text) == (words[i].want != NULL), "\"%s\"", words[i].text);
        if (words[i].want)
            ck_assert_str_eq(buffer_string(&text), words[i].want);
        buffer_release(&text);
    }
    for (size_t i = 0; i < COUNT_OF(lists); i++)
        ck_assert_msg(fingerprints_compare(slice_of(lists[i].list), ", ", &facts, "x") == lists[i].want, "\"%s\"", lists[i].list);
    ck_assert_uint_eq(fingerprints_count(SLICE("AA|zz|BB"), "|"), 2);
}
END_TEST

TEST_MAIN("tls/settings", test_versions, test_ciphers, test_policies, test_fingerprints, test_hellos, test_anchors)
