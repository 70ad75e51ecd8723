/* test_delivery_log.c - the delivery status record and its numbers */
#include "testing.h"

#include "base/log.h"
#include "service/agent.h"

START_TEST(delays_have_two_digits)
{
    static const struct {
        int64_t microseconds, digits;
        const char *want;
    } cases[] = {
        {0, 2, "0"},           {-5, 2, "0"},          {4000, 2, "0"},         {5000, 2, "0.01"},      {20000, 2, "0.02"},
        {123000, 2, "0.12"},   {125000, 2, "0.13"},   {500000, 2, "0.5"},     {999000, 2, "1"},       {1000000, 2, "1"},
        {1500000, 2, "1.5"},   {1540000, 2, "1.5"},   {9960000, 2, "10"},     {10400000, 2, "10"},    {10500000, 2, "11"},
        {598000000, 2, "598"}, {1234, 6, "0.0012"},   {1234567, 6, "1.2"},    {1500000, 0, "2"},      {123456, 0, "0"},
        {12, 6, "0.000012"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct buffer text = BUFFER_INIT;
        delivery_log_digits(cases[i].digits);
        delivery_delay_text(&text, cases[i].microseconds);
        ASSERT_SLICE(buffer_slice(&text), cases[i].want);
        buffer_release(&text);
    }
    delivery_log_digits(2);
}
END_TEST

static char line[3000];

static void watch(enum log_severity severity UNUSED, const char *text, void *context UNUSED)
{
    snprintf(line, sizeof(line), "%s", text);
}

static void check(const struct recipient *recipient, const struct delivery_times *times, unsigned use, const struct delivery_status *status,
                  const char *want)
{
    log_set_watcher(watch, NULL);
    delivery_log(SLICE("4F2A"), recipient, times, use, status);
    log_set_watcher(NULL, NULL);
    ck_assert_str_eq(line, want);
}

START_TEST(lines_have_their_shapes)
{
    int64_t t = INT64_C(1700000000) * MICROSECONDS;
    struct recipient plain = {.address = SLICE("a@x.example")}, alias = {.address = SLICE("u@h"), .original = SLICE("alias")},
                     same = {.address = SLICE("u@h"), .original = SLICE("U@H")};
    struct delivery_times smtp = {t, t + 50000, t + 60000, t + 860000, t + 1160000};
    struct delivery_times local = {t, t + 80000, t + 90000, 0, t + 100000};
    struct delivery_times no_agent = {t, t + 1000, 0, 0, t + 30 * MICROSECONDS};
    struct delivery_times failed = {t, t, t, t + 30 * MICROSECONDS, t + 30 * MICROSECONDS};
    check(&plain, &smtp, 1, &(struct delivery_status){OUTCOME_SENT, "2.0.0", "mx.x.example[192.0.2.1]:25", .reason = SLICE("250 Ok")},
          "4F2A: to=<a@x.example>, relay=mx.x.example[192.0.2.1]:25, delay=1.2, delays=0.05/0.01/0.8/0.3, dsn=2.0.0, status=sent (250 Ok)");
    check(&alias, &local, 1, &(struct delivery_status){OUTCOME_BOUNCED, "5.1.1", "local", .reason = SLICE("unknown user: \"u\"")},
          "4F2A: to=<u@h>, orig_to=<alias>, relay=local, delay=0.1, delays=0.08/0.01/0/0.01, dsn=5.1.1, status=bounced (unknown user: \"u\")");
    check(&same, &no_agent, 1, &(struct delivery_status){OUTCOME_DEFERRED, "4.3.0", NULL, .reason = SLICE("x")},
          "4F2A: to=<u@h>, relay=none, delay=30, delays=0/30/0/0, dsn=4.3.0, status=deferred (x)");
    check(&same, &no_agent, 1, &(struct delivery_status){OUTCOME_DEFERRED, "4.1.1", NULL, .reason = SLICE("x"), .soft_bounced = true},
          "4F2A: to=<u@h>, relay=none, delay=30, delays=0/30/0/0, dsn=4.1.1, status=SOFTBOUNCE (x)");
    check(&plain, &failed, 3, &(struct delivery_status){OUTCOME_UNDELIVERABLE, "4.4.1", "none", .reason = SLICE("no")},
          "4F2A: to=<a@x.example>, relay=none, conn_use=3, delay=30, delays=0/0/30/0, dsn=4.4.1, status=undeliverable (no)");
}
END_TEST

TEST_MAIN("service/delivery_log", delays_have_two_digits, lines_have_their_shapes)
