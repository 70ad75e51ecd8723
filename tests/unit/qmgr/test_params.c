/* test_params.c - the limits of transports, and how long mail is tried (compat.md f.2, f.3) */
#include "testing.h"

#include "../../../qmgr/qmgr/params.h"
#include "base/clock.h"
#include "base/log.h"

static struct qmgr_params params;
static char said[500];

static void watch_log(enum log_severity severity UNUSED, const char *text, void *context UNUSED)
{
    snprintf(said, sizeof(said), "%s", text);
}

static struct config *config;

static void forget(void)
{
    qmgr_params_release(&params);
    config_free(config);
    config = NULL;
}

static void fill(const char *text)
{
    forget();
    config = config_empty();
    ck_assert(config_parse(config, slice_of(text), "main.cf"));
    log_set_watcher(watch_log, NULL);
    qmgr_params_fill(&params, config);
}

static int64_t delay(int64_t age)
{
    return qmgr_params_retry_delay(&params, age * MICROSECONDS, 0) / MICROSECONDS;
}

START_TEST(attempts_follow_the_age)
{
    fill("");
    ck_assert_int_eq(delay(0), 300);
    ck_assert_int_eq(delay(1234), 1234);
    ck_assert_int_eq(delay(100000), 4000);
    ck_assert_int_eq(qmgr_params_retry_delay(&params, 1000 * MICROSECONDS, UINT32_MAX) / MICROSECONDS, 1100); /* what came together does not come back together */
    fill("minimal_backoff_time = 10s\nmaximal_backoff_time = 1m\n");
    ck_assert_int_eq(delay(-5), 10);
    ck_assert_int_eq(delay(30), 30);
    ck_assert_int_eq(delay(100), 60);
    forget();
}
END_TEST

/* Deferred mail is tried when it is due, not at the next look at the queue; but who asks for fewer looks gets them. */
START_TEST(queue_run_delay_is_a_lower_bound_when_set)
{
    fill("minimal_backoff_time = 10s\nmaximal_backoff_time = 20s\n");
    ck_assert_int_eq(delay(0), 10);
    fill("minimal_backoff_time = 10s\nmaximal_backoff_time = 20s\nqueue_run_delay = 15s\n");
    ck_assert_int_eq(delay(0), 15);
    ck_assert_int_eq(delay(17), 17);
    fill("minimal_backoff_time = 10s\nmaximal_backoff_time = 20s\nqueue_run_delay = 1h\n");
    ck_assert_int_eq(delay(0), 3600);
    fill("minimal_backoff_time = 10s\nmaximal_backoff_time = 20s\nqueue_run_delay = 1s\n");
    ck_assert_int_eq(delay(0), 10);
    forget();
}
END_TEST

START_TEST(lifetimes)
{
    fill("maximal_queue_lifetime = 2d\nbounce_queue_lifetime = 0\n");
    ck_assert_int_eq(qmgr_params_lifetime(&params, SLICE("a@b.test")), 2 * 86400 * MICROSECONDS);
    ck_assert_int_eq(qmgr_params_lifetime(&params, SLICE("")), 0);
    forget();
}
END_TEST

static struct transport_limits limits(const char *transport)
{
    struct transport_limits out;
    qmgr_params_limits(&params, slice_of(transport), &out);
    return out;
}

START_TEST(limits_of_transports)
{
    fill("");
    struct transport_limits smtp = limits("smtp"), local = limits("local");
    ck_assert(smtp.initial_concurrency == 5 && smtp.concurrency_limit == 20 && smtp.recipient_limit == 50 && smtp.failed_cohort_limit == 1);
    ck_assert(smtp.destination_rate_delay == 0 && smtp.transport_rate_delay == 0 && smtp.retry_time == 60 * MICROSECONDS);
    ck_assert(smtp.positive.amount == 1 && smtp.negative.amount == 1 && smtp.dead_time == 300 * MICROSECONDS && !smtp.deferred);
    ck_assert(local.concurrency_limit == 2 && local.recipient_limit == 1);
    fill("default_destination_concurrency_limit = 7\nslow_destination_concurrency_limit = 1\nslow_destination_rate_delay = 2s\n"
         "slow_initial_destination_concurrency = 3\nslow_transport_rate_delay = 4s\nslow_destination_concurrency_failed_cohort_limit = 10\n"
         "slow_destination_concurrency_positive_feedback = 1/concurrency\nslow_destination_concurrency_negative_feedback = 1/4\n"
         "transport_retry_time = 5s\ndefer_transports = hold, slow\nslow_destination_recipient_limit = 0\n");
    struct transport_limits slow = limits("slow");
    smtp = limits("smtp");
    ck_assert(smtp.concurrency_limit == 7 && !smtp.deferred);
    ck_assert(slow.concurrency_limit == 1 && slow.destination_rate_delay == 2 * MICROSECONDS && slow.initial_concurrency == 3 &&
              slow.transport_rate_delay == 4 * MICROSECONDS && slow.failed_cohort_limit == 10 && slow.recipient_limit == 0 && slow.deferred &&
              slow.retry_time == 5 * MICROSECONDS);
    ck_assert(slow.positive.form == FEEDBACK_BY_CONCURRENCY && slow.negative.form == FEEDBACK_FIXED && slow.negative.amount == 0.25);
    forget();
}
END_TEST

START_TEST(malformed_feedback_is_told)
{
    fill("bad_destination_concurrency_positive_feedback = lots\n");
    ck_assert(limits("bad").positive.amount == 1);
    ck_assert_str_eq(said, "warning: bad_destination_concurrency_positive_feedback: malformed value \"lots\": using 1");
    forget();
}
END_TEST

TEST_MAIN("qmgr/params", attempts_follow_the_age, queue_run_delay_is_a_lower_bound_when_set, lifetimes, limits_of_transports,
          malformed_feedback_is_told)
