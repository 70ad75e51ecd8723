/* test_qmgr.c - the queue manager on a real queue directory, with fake delivery agents and bounce services */
#include "world.h"

QMGR_TEST(delivered_and_removed, "")
{
    start();
    send_mail("a@h.test", "ok@x.test also@x.test third@y.test", true, (struct envelope){0});
    wait_for(": removed", 2000);
    ck_assert(happened("from=<a@h.test>, size=10, nrcpt=3 (queue active)"));
    ck_assert(happened("deliver smtp:x.test also@x.test\ndeliver smtp:x.test ok@x.test"));
    ck_assert(happened("deliver smtp:y.test third@y.test"));
    ck_assert_uint_eq(qmgr.active_count, 0);
    ck_assert_uint_eq(index_count(qmgr.index, INDEX_DEFERRED), 0);
    core_end(&qmgr);
}

QMGR_TEST(deferred_and_tried_again, "")
{
    start();
    send_mail("a@h.test", "later@x.test ok@x.test", true, (struct envelope){0});
    wait_for("deliver smtp:x.test later@x.test", 2000);
    fiber_sleep(50000);
    ck_assert_uint_eq(qmgr.active_count, 0);
    ck_assert_uint_eq(index_count(qmgr.index, INDEX_DEFERRED), 1);
    fiber_sleep(1800000);
    ck_assert_uint_ge(times("deliver smtp:x.test later@x.test"), 2);
    ck_assert_uint_eq(times("deliver smtp:x.test ok@x.test"), 1);
    core_end(&qmgr);
}

QMGR_TEST(flush_tries_at_once, "minimal_backoff_time = 1000s\nmaximal_backoff_time = 1000s\n")
{
    start();
    send_mail("a@h.test", "later@x.test", true, (struct envelope){0});
    wait_for("deliver smtp:x.test later@x.test", 2000);
    fiber_sleep(50000);
    pull_flush(&qmgr);
    fiber_sleep(300000);
    ck_assert_uint_eq(times("deliver smtp:x.test later@x.test"), 2);
    ck_assert_uint_eq(index_count(qmgr.index, INDEX_DEFERRED), 1);
    core_end(&qmgr);
}

QMGR_TEST(failure_is_reported, "")
{
    start();
    send_mail("a@h.test", "no@x.test ok@x.test", true, (struct envelope){0});
    wait_for(": removed", 2000);
    ck_assert(happened("notice 1 a@h.test\nabout no@x.test failed 5.1.1\nlog"));
    core_end(&qmgr);
}

QMGR_TEST(owed_notice_is_sent_later, "")
{
    start();
    refuse_notices = 1;
    send_mail("a@h.test", "no@x.test ok@y.test", true, (struct envelope){0});
    wait_for("notice 1 refused a@h.test\nabout no@x.test failed 5.1.1", 2000);
    wait_for(": removed", 4000);
    ck_assert_uint_eq(times("notice 1 a@h.test\nabout no@x.test failed 5.1.1"), 1);
    ck_assert_uint_eq(times("deliver smtp:x.test no@x.test"), 1);
    ck_assert_uint_eq(times("deliver smtp:y.test ok@y.test"), 1);
    core_end(&qmgr);
}

QMGR_TEST(success_is_reported_when_asked_for, "")
{
    start();
    send_mail("a@h.test", "ok@x.test", true, (struct envelope){.ret = NOTIFY_SUCCESS});
    wait_for(": removed", 2000);
    ck_assert(happened("notice 3 a@h.test\nabout ok@x.test relayed 2.0.0"));
    core_end(&qmgr);
}

QMGR_TEST(verify_only_reports_all, "")
{
    start();
    send_mail("a@h.test", "ok@x.test no@x.test later@x.test", true, (struct envelope){.trace = TRACE_VERIFY_ONLY});
    wait_for(": removed", 2000);
    ck_assert(happened("notice 4 a@h.test\nabout ok@x.test relayed 2.0.0\nabout no@x.test failed 5.1.1\nabout later@x.test delayed 4.2.1"));
    ck_assert(!happened("notice 1"));
    core_end(&qmgr);
}

QMGR_TEST(expired_is_returned, "maximal_queue_lifetime = 1s\n")
{
    start();
    send_mail("a@h.test", "later@x.test", true, (struct envelope){.arrival_time = clock_wall() - 5 * MICROSECONDS});
    wait_for(": removed", 2000);
    ck_assert(happened("from=<a@h.test>, status=expired, returned to sender\nnotice 1 a@h.test\nabout later@x.test failed 4.2.1"));
    core_end(&qmgr);
}

QMGR_TEST(delay_is_reported_once, "delay_warning_time = 1s\n")
{
    start();
    send_mail("a@h.test", "later@x.test", true, (struct envelope){.arrival_time = clock_wall() - 5 * MICROSECONDS});
    wait_for("notice 2 a@h.test\nabout later@x.test delayed 4.2.1", 2000);
    fiber_sleep(2500000);
    ck_assert_uint_ge(times("deliver smtp:x.test later@x.test"), 2);
    ck_assert_uint_eq(times("notice 2"), 1);
    core_end(&qmgr);
}

QMGR_TEST(dead_destination_is_suspended, "initial_destination_concurrency = 1\nminimal_backoff_time = 300s\n")
{
    start();
    send_mail("a@h.test", "one@dead.test", true, (struct envelope){0});
    wait_for("deliver smtp:dead.test one@dead.test", 2000);
    fiber_sleep(50000);
    send_mail("a@h.test", "two@dead.test", true, (struct envelope){0});
    wait_for("to=<two@dead.test>, relay=none, delay=0", 2000);
    ck_assert(happened("dsn=4.4.1, status=deferred (delivery temporarily suspended: connect to dead.test: refused)"));
    fiber_sleep(50000);
    ck_assert_uint_eq(index_count(qmgr.index, INDEX_DEFERRED), 2);
    core_end(&qmgr);
}

QMGR_TEST(transport_that_is_not_there, "default_transport = nowhere\n")
{
    start();
    send_mail("a@h.test", "one@x.test", true, (struct envelope){0});
    wait_for("dsn=4.3.0, status=deferred (mail transport unavailable)", 2000);
    ck_assert(happened("log warning: connect to transport private/nowhere: No such file or directory"));
    core_end(&qmgr);
}

QMGR_TEST(transport_that_comes_back, "default_transport = late\ntransport_retry_time = 1s\nminimal_backoff_time = 300s\n")
{
    start();
    send_mail("a@h.test", "one@x.test", true, (struct envelope){0});
    wait_for("to=<one@x.test>, relay=none,", 2000);
    start_service("late");
    send_mail("a@h.test", "two@x.test", true, (struct envelope){0});
    wait_for("to=<two@x.test>, relay=none,", 500);
    ck_assert_uint_eq(times("status=deferred (mail transport unavailable)"), 2);
    fiber_sleep(1100000);
    send_mail("a@h.test", "three@x.test", true, (struct envelope){0});
    wait_for("deliver late:x.test three@x.test", 500);
    core_end(&qmgr);
}

/* With one recipient a delivery the mailbox is the destination: extensions do not matter, other mailboxes do. */
QMGR_TEST(concurrency_per_recipient, "recipient_delimiter = +\nsmtp_destination_recipient_limit = 1\nsmtp_destination_concurrency_limit = 1\n")
{
    start();
    delay_ms = 150;
    send_mail("a@h.test", "User@x.test user+ext@x.test other@x.test", true, (struct envelope){0});
    send_mail("a@h.test", "user@x.test", true, (struct envelope){0});
    fiber_sleep(100000);
    ck_assert(happened("deliver smtp:x.test other@x.test"));
    ck_assert_uint_eq(times("deliver smtp:x.test "), 2);
    fiber_sleep(150000);
    ck_assert_uint_eq(times("deliver smtp:x.test "), 3);
    wait_for(": removed", 2000);
    ck_assert_uint_eq(times("deliver smtp:x.test "), 4);
    core_end(&qmgr);
}

QMGR_TEST(notices_have_their_own_lifetime, "bounce_queue_lifetime = 0\n")
{
    start();
    send_mail("", "later@x.test", true, (struct envelope){0});
    wait_for("from=<>, status=expired, returned to sender", 1000);
    wait_for(": removed", 1000);
    ck_assert_uint_eq(times("deliver smtp:x.test later@x.test"), 1);
    core_end(&qmgr);
}

QMGR_TEST(pause_between_deliveries_of_a_transport, "smtp_transport_rate_delay = 1s\n")
{
    start();
    send_mail("a@h.test", "one@x.test", true, (struct envelope){0});
    send_mail("a@h.test", "two@y.test", true, (struct envelope){0});
    fiber_sleep(500000);
    ck_assert_uint_eq(times("deliver smtp:"), 1);
    wait_for("deliver smtp:y.test two@y.test", 1000);
    core_end(&qmgr);
}

QMGR_TEST(pause_between_deliveries_to_a_destination, "smtp_destination_rate_delay = 1s\n")
{
    start();
    send_mail("a@h.test", "one@x.test", true, (struct envelope){0});
    send_mail("a@h.test", "two@x.test", true, (struct envelope){0});
    send_mail("a@h.test", "three@y.test", true, (struct envelope){0});
    fiber_sleep(500000);
    ck_assert(happened("deliver smtp:x.test one@x.test") && happened("deliver smtp:y.test three@y.test") && !happened("two@x.test"));
    wait_for("deliver smtp:x.test two@x.test", 1000);
    core_end(&qmgr);
}

QMGR_TEST(retry_takes_no_codes_of_another_kind, "default_transport = retry:5.1.1 under repair\n")
{
    start();
    send_mail("a@h.test", "one@x.test", true, (struct envelope){0});
    wait_for("dsn=4.0.0, status=deferred (under repair)", 1000);
    ck_assert(happened("log warning: defer_append: ignoring dsn code \"5.1.1\""));
    core_end(&qmgr);
}

QMGR_TEST(deferred_transports, "defer_transports = smtp\nminimal_backoff_time = 300s\n")
{
    start();
    send_mail("a@h.test", "one@x.test", true, (struct envelope){0});
    wait_for("dsn=4.3.2, status=deferred (deferred transport)", 2000);
    fiber_sleep(50000);
    pull_flush(&qmgr);
    wait_for("deliver smtp:x.test one@x.test", 2000);
    core_end(&qmgr);
}

QMGR_TEST(held_mail_waits, "")
{
    start();
    send_mail("a@h.test", "one@x.test", true, (struct envelope){.hold = true});
    fiber_sleep(100000);
    ck_assert_uint_eq(index_count(qmgr.index, INDEX_HOLD), 1);
    ck_assert(!happened("deliver"));
    core_end(&qmgr);
}

QMGR_TEST(held_mail_waits_for_an_index_that_can_be_written, "")
{
    start();
    index_test_fail(qmgr.index, true);
    send_mail("a@h.test", "one@x.test", true, (struct envelope){.hold = true});
    send_mail("a@h.test", "two@x.test", false, (struct envelope){.hold = true});
    arrive_scan();
    fiber_sleep(100000);
    ck_assert(happened("log warning: cannot write to the queue index: messages wait in their segments"));
    ck_assert_uint_eq(qmgr.active_count, 0); /* what waits takes little memory */
    index_test_fail(qmgr.index, false);
    for (int i = 0; i < 300 && index_count(qmgr.index, INDEX_HOLD) < 2; i++)
        fiber_sleep(10000);
    ck_assert_uint_eq(index_count(qmgr.index, INDEX_HOLD), 2);
    ck_assert(!happened("deliver"));
    core_end(&qmgr);
}

QMGR_TEST(memory_is_bounded_without_an_index, "qmgr_message_active_limit = 20\nsmtp_destination_concurrency_limit = 2\n")
{
    start();
    delay_ms = 20;
    index_test_fail(qmgr.index, true);
    for (int i = 0; i < 150; i++)
        send_mail("a@h.test", "ok@slow.test", true, (struct envelope){0});
    for (int i = 0; i < 150; i++)
        send_mail("a@h.test", "ok@slow.test", false, (struct envelope){0});
    arrive_scan();
    fiber_sleep(200000);
    ck_assert_uint_le(qmgr.active_count, 82); /* four times the limit */
    index_test_fail(qmgr.index, false);
    for (int i = 0; i < 1000 && times(": removed") < 300; i++)
        fiber_sleep(10000);
    ck_assert_uint_eq(times("deliver smtp:slow.test ok@slow.test"), 300);
    ck_assert_uint_eq(qmgr.active_count, 0);
    core_end(&qmgr);
}

QMGR_TEST(unannounced_mail_is_found, "")
{
    start();
    send_mail("a@h.test", "one@x.test", false, (struct envelope){0});
    arrive_scan();
    wait_for("deliver smtp:x.test one@x.test", 2000);
    wait_for(": removed", 2000);
    core_end(&qmgr);
}

QMGR_TEST(backlog_is_spilled_and_fetched, "qmgr_message_active_limit = 150\n")
{
    start();
    delay_ms = 400; /* however slow the disk is */
    for (int i = 0; i < 1000; i++)
        send_mail("a@h.test", "ok@slow.test", true, (struct envelope){0});
    ck_assert_uint_gt(index_count(qmgr.index, INDEX_INCOMING), 100);
    ck_assert_uint_lt(qmgr.active_count, 700);
    send_mail("a@h.test", "ok@fast.test", true, (struct envelope){0});
    wait_for("deliver smtp:fast.test ok@fast.test", 200);
    delay_ms = 20;
    for (int i = 0; i < 1000 && (qmgr.active_count || index_count(qmgr.index, INDEX_INCOMING)); i++)
        fiber_sleep(10000);
    ck_assert_uint_eq(times("deliver smtp:slow.test ok@slow.test"), 1000);
    ck_assert_uint_eq(times(": removed"), 1001);
    ck_assert_uint_eq(qmgr.active_count, 0);
    core_end(&qmgr);
}

/* Recipients count, not only messages. */
QMGR_TEST(recipients_in_memory_are_bounded, "qmgr_message_recipient_limit = 100\nsmtp_destination_recipient_limit = 10\nsmtp_destination_concurrency_limit = 2\n")
{
    static const char ten[] = "ok0@slow.test ok1@slow.test ok2@slow.test ok3@slow.test ok4@slow.test ok5@slow.test ok6@slow.test ok7@slow.test "
                              "ok8@slow.test ok9@slow.test";
    size_t most = 0;
    start();
    delay_ms = 100;
    for (int i = 0; i < 300; i++) {
        send_mail("a@h.test", ten, true, (struct envelope){0});
        most = qmgr.recipient_count > most ? qmgr.recipient_count : most;
    }
    ck_assert_uint_gt(index_count(qmgr.index, INDEX_INCOMING), 100);
    send_mail("a@h.test", "ok@fast.test", true, (struct envelope){0});
    wait_for("deliver smtp:fast.test ok@fast.test", 1000);
    delay_ms = 5;
    for (int i = 0; i < 2000 && times(": removed") < 301; i++) {
        fiber_sleep(10000);
        most = qmgr.recipient_count > most ? qmgr.recipient_count : most;
    }
    ck_assert_uint_eq(times("deliver smtp:slow.test"), 3000);
    ck_assert_uint_le(most, 420); /* four times the limit, and what is read at once for a destination that has nothing to do */
    ck_assert_uint_eq(qmgr.recipient_count, 0);
    core_end(&qmgr);
}

/* Memory is full of what slow destinations have to do: deferred mail for another is tried when it is due. */
QMGR_TEST(full_memory_does_not_delay_deferred_mail, "qmgr_message_active_limit = 5\n")
{
    char recipient[40];
    start();
    send_mail("a@h.test", "later@x.test", true, (struct envelope){0});
    send_mail("a@h.test", "later2@x.test", true, (struct envelope){0});
    wait_for("deliver smtp:x.test later2@x.test", 1000);
    fiber_sleep(50000);
    delay_ms = 9000;
    for (int i = 0; i < 30; i++) { /* full, not overfull */
        snprintf(recipient, sizeof(recipient), "ok@slow%d.test", i);
        send_mail("a@h.test", recipient, true, (struct envelope){0});
    }
    for (int i = 0; i < 800 && times("deliver smtp:x.test later@x.test") < 2; i++)
        fiber_sleep(10000);
    ck_assert_uint_gt(qmgr.active_count, 20);
    ck_assert_uint_eq(times("deliver smtp:x.test later@x.test"), 2);
    core_end(&qmgr);
}

QMGR_TEST(redirect_replaces_all, "")
{
    start();
    send_mail("a@h.test", "one@x.test two@y.test", true, (struct envelope){.redirect = SLICE("ok@z.test")});
    wait_for(": removed", 2000);
    ck_assert_uint_eq(times("deliver "), 1);
    ck_assert(happened("deliver smtp:z.test ok@z.test"));
    core_end(&qmgr);
}

QMGR_TEST(filter_overrides_routing, "")
{
    start();
    send_mail("a@h.test", "one@x.test two@y.test", true, (struct envelope){.content_filter = SLICE("local:[127.0.0.1]:10025")});
    wait_for(": removed", 2000);
    ck_assert(happened("deliver local:[127.0.0.1]:10025 one@x.test"));
    core_end(&qmgr);
}

QMGR_TEST(verp_delivers_one_by_one, "")
{
    start();
    send_mail("list@h.test", "one@x.test no@x.test", true, (struct envelope){.verp_delimiters = SLICE("+=")});
    wait_for(": removed", 2000);
    ck_assert(happened("notice 1 list+no=x.test@h.test\nabout no@x.test"));
    core_end(&qmgr);
}

QMGR_TEST(feedback_is_told, "destination_concurrency_feedback_debug = yes\ninitial_destination_concurrency = 2\n")
{
    start();
    send_mail("a@x.test", "b@far.test", true, (struct envelope){0});
    wait_for(": removed", 2000);
    ck_assert(happened("log smtp: default_destination_concurrency_positive_feedback feedback type 0 value at 2: 1\n"));
    ck_assert(happened("log qmgr_queue_unthrottle: feedback 1\nlog qmgr_queue_unthrottle: queue far.test: limit 20 window 3 success 0 failure 0 fail_cohorts 0\n"));
    send_mail("a@x.test", "b@dead.test", true, (struct envelope){0});
    wait_for("log qmgr_queue_throttle: queue dead.test: limit 20 window 1 success 0 failure 0 fail_cohorts 0.5\n", 2000);
    core_end(&qmgr);
}

TEST_MAIN("qmgr/qmgr", feedback_is_told, delivered_and_removed, deferred_and_tried_again, flush_tries_at_once, failure_is_reported, owed_notice_is_sent_later,
          success_is_reported_when_asked_for, verify_only_reports_all, expired_is_returned, delay_is_reported_once,
          dead_destination_is_suspended, transport_that_is_not_there, transport_that_comes_back,
          concurrency_per_recipient, notices_have_their_own_lifetime, pause_between_deliveries_of_a_transport,
          pause_between_deliveries_to_a_destination, retry_takes_no_codes_of_another_kind, deferred_transports, held_mail_waits,
          held_mail_waits_for_an_index_that_can_be_written, memory_is_bounded_without_an_index, unannounced_mail_is_found,
          backlog_is_spilled_and_fetched, recipients_in_memory_are_bounded, full_memory_does_not_delay_deferred_mail, redirect_replaces_all, filter_overrides_routing,
          verp_delivers_one_by_one)
