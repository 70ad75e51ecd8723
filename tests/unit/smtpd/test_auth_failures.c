/* test_auth_failures.c - who a response says to be, and how long the next attempt waits */
#include "testing.h"

#include "../../../smtpd/auth_failures.h"
#include "base/clock.h"
#include "sasl/base64.h"

START_TEST(users)
{
#define TEXT(literal) literal, sizeof(literal) - 1
    static const struct { const char *mechanism, *text; size_t len; const char *want; } cases[] = {
        {"PLAIN", TEXT("\0Ann@Example.com\0secret"), "ann@example.com"},
        {"PLAIN", TEXT("other\0ann\0secret"), "ann"},
        {"PLAIN", TEXT("ann\0secret"), ""},
        {"PLAIN", TEXT("ann"), ""},
        {"PLAIN", TEXT("\0\0\0"), ""},
        {"LOGIN", TEXT("Ann"), "ann"},
        {"CRAM-MD5", TEXT("ann smith 0123456789abcdef"), "ann smith"},
        {"CRAM-MD5", TEXT(""), ""},
        {"SCRAM-SHA-256", TEXT("n,,n=ann,r=nonce"), "ann"},
        {"SCRAM-SHA-256-PLUS", TEXT("p=tls-unique,a=boss,n=ann,r=n=x"), "ann"},
        {"SCRAM-SHA-1", TEXT("n,,r=x"), ""},
        {"XOAUTH2", TEXT("user=ann@x\001auth=Bearer token\001\001"), "ann@x"},
        {"OAUTHBEARER", TEXT("n,a=ann@x,\001host=h\001auth=Bearer token\001\001"), "ann@x"},
        {"GSSAPI", TEXT("ann"), ""},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct buffer response = BUFFER_INIT, user = BUFFER_INIT;
        base64_encode(&response, slice_make(cases[i].text, cases[i].len));
        auth_failures_user(slice_of(cases[i].mechanism), buffer_slice(&response), &user);
        ASSERT_SLICE(buffer_slice(&user), cases[i].want);
        buffer_release(&response);
        buffer_release(&user);
    }
    struct buffer user = BUFFER_INIT;
    auth_failures_user(SLICE("LOGIN"), SLICE("!!!"), &user);
    auth_failures_user(SLICE("PLAIN"), SLICE("="), &user);
    auth_failures_user(SLICE("PLAIN"), SLICE(""), &user);
    ck_assert_uint_eq(user.len, 0);
    buffer_release(&user);
}
END_TEST

START_TEST(pauses)
{
    static const struct { int64_t address, network, account, unit, longest, want; } cases[] = {
        {0, 0, 0, 1, 30, 0}, {1, 1, 1, 1, 30, 1}, {2, 2, 2, 1, 30, 2}, {3, 0, 0, 1, 30, 4}, {5, 0, 0, 1, 30, 16}, {6, 0, 0, 1, 30, 30}, {1000000000, 0, 0, 1, 30, 30},
        {0, 3, 0, 1, 30, 0}, {0, 4, 0, 1, 30, 1}, {0, 12, 8, 1, 30, 4}, {0, 0, 12, 1, 30, 4}, {-3, -3, -3, 1, 30, 0}, {5, 0, 0, 0, 30, 0}, {1, 0, 0, 60, 30, 30},
        {INT64_MAX, INT64_MAX, INT64_MAX, 1, INT64_MAX / 1000000, INT64_MAX / 1000000},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        int64_t got = auth_failures_pause(cases[i].address, cases[i].network, cases[i].account, cases[i].unit * MICROSECONDS, cases[i].longest * MICROSECONDS);
        ck_assert_msg(got == cases[i].want * MICROSECONDS, "%zu: got %lld", i, (long long)got);
    }
}
END_TEST

TEST_MAIN("smtpd/auth_failures", users, pauses)
