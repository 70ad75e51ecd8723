/* test_counters.c - counting clients' connections and events */
#include "testing.h"

#include "base/buffer.h"
#include "base/log.h"
#include "../../../smtpd/anvil/counters.h"

#define SECOND INT64_C(1000000)

static struct anvil_reply event(struct counter_owner *owner, int verb, const char *ident, int64_t now)
{
    struct anvil_reply reply;

    counters_event(owner, verb, slice_of(ident), now, now, &reply);
    return reply;
}

START_TEST(connections)
{
    struct counters *counters = counters_new(60 * SECOND);
    struct counter_owner *one = counter_owner_new(counters), *two = counter_owner_new(counters);

    ck_assert_int_eq(event(one, ANVIL_CONNECT, "smtp:192.0.2.1", SECOND).connections, 1);
    ck_assert_int_eq(event(two, ANVIL_CONNECT, "smtp:192.0.2.1", SECOND).connections, 2);
    ck_assert_int_eq(event(two, ANVIL_CONNECT, "smtp:192.0.2.2", SECOND).connections, 1);
    ck_assert_int_eq(event(one, ANVIL_DISCONNECT, "smtp:192.0.2.1", SECOND).connections, 1);
    ck_assert_int_eq(event(one, ANVIL_DISCONNECT, "smtp:192.0.2.1", SECOND).connections, 1); /* not its own: not taken off */
    ck_assert_int_eq(event(one, ANVIL_DISCONNECT, "smtp:unheard", SECOND).connections, 0);
    counter_owner_free(two); /* an smtpd died: its connections are gone */
    ck_assert_int_eq(event(one, ANVIL_LOOKUP, "smtp:192.0.2.1", SECOND).connections, 0);
    counter_owner_free(one);
    counters_free(counters);
}
END_TEST

START_TEST(rates)
{
    struct counters *counters = counters_new(60 * SECOND);
    struct counter_owner *owner = counter_owner_new(counters);

    ck_assert_int_eq(event(owner, ANVIL_MESSAGE, "a", 1 * SECOND).rate, 1);
    ck_assert_int_eq(event(owner, ANVIL_MESSAGE, "a", 60 * SECOND).rate, 2);
    ck_assert_int_eq(event(owner, ANVIL_RECIPIENT, "a", 60 * SECOND).rate, 1);
    ck_assert_int_eq(event(owner, ANVIL_MESSAGE, "a", 61 * SECOND).rate, 1);
    ck_assert_int_eq(event(owner, ANVIL_CONNECT, "b", 61 * SECOND).rate, 1);
    ck_assert_uint_eq(counters_size(counters), 2);
    counters_expire(counters, 200 * SECOND);
    ck_assert_uint_eq(counters_size(counters), 1); /* b is still connected */
    event(owner, ANVIL_DISCONNECT, "b", 200 * SECOND);
    counters_expire(counters, 300 * SECOND);
    ck_assert_uint_eq(counters_size(counters), 0);
    counter_owner_free(owner);
    counters_free(counters);
}
END_TEST

static struct buffer logged;

static void watch(enum log_severity severity UNUSED, const char *text, void *context UNUSED)
{
    buffer_printf(&logged, "%s\n", text);
}

START_TEST(statistics)
{
    struct counters *counters = counters_new(60 * SECOND);
    struct counter_owner *owner = counter_owner_new(counters);

    log_set_watcher(watch, NULL);
    event(owner, ANVIL_CONNECT, "smtp:192.0.2.1", SECOND);
    event(owner, ANVIL_CONNECT, "smtp:192.0.2.1", SECOND);
    event(owner, ANVIL_RECIPIENT, "smtp:192.0.2.2", SECOND);
    counters_log(counters);
    const char *text = buffer_string(&logged);
    ck_assert_ptr_nonnull(strstr(text, "statistics: max connection rate 2/60s for (smtp:192.0.2.1) at "));
    ck_assert_ptr_nonnull(strstr(text, "statistics: max connection count 2 for (smtp:192.0.2.1) at "));
    ck_assert_ptr_nonnull(strstr(text, "statistics: max recipient rate 1/60s for (smtp:192.0.2.2) at "));
    ck_assert_ptr_nonnull(strstr(text, "statistics: max cache size 2 at "));
    buffer_clear(&logged);
    counters_log(counters);
    ck_assert_uint_eq(logged.len, 0);
    counter_owner_free(owner);
    counters_free(counters);
}
END_TEST

TEST_MAIN("anvil/counters", connections, rates, statistics)
