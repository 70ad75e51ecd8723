/* test_verify.c - reject_unverified_sender and _recipient, with a store and a queue that are made up */
#include "testing.h"

#include "dialogue.h"
#include "run/run.h"

/* ---- the store ---- */

static bool away;
static const char *present_key, *present_value; /* one entry from the start */
static const char *answer_of_probes;            /* what a lookup gives once a probe was submitted; NULL: nothing yet */
static struct buffer stored;                    /* "key=value\n" of each put */

struct shared_store *store_new(const char *path UNUSED) { return (struct shared_store *)&stored; }
void store_free(struct shared_store *store UNUSED) {}

enum store_outcome store_get(struct shared_store *store UNUSED, const char *cache UNUSED, struct slice key, struct arena *arena UNUSED, struct slice *value,
                             int64_t *expires UNUSED)
{
    *value = (struct slice){0};
    if (away)
        return STORE_OUTCOME_FAILED;
    if (cleanup.finished && answer_of_probes)
        *value = slice_of(answer_of_probes);
    else if (present_key && slice_equal(key, slice_of(present_key)))
        *value = slice_of(present_value);
    return value->len ? STORE_OUTCOME_FOUND : STORE_OUTCOME_MISSING;
}

bool store_put(struct shared_store *store UNUSED, const char *cache UNUSED, struct slice key, struct slice value, int64_t lifetime UNUSED)
{
    buffer_printf(&stored, SLICE_FORMAT "=" SLICE_FORMAT "\n", SLICE_ARGS(key), SLICE_ARGS(value));
    return !away;
}

bool store_delete(struct shared_store *store UNUSED, const char *cache UNUSED, struct slice key UNUSED) { return !away; }

bool store_add(struct shared_store *store UNUSED, const char *cache UNUSED, struct slice key UNUSED, int64_t amount UNUSED, int64_t lifetime UNUSED,
               int64_t *sum UNUSED, int64_t *expires UNUSED)
{
    return false;
}

/* ---- sessions ---- */

static struct script script;
static const char *settings;

static void talk_fiber(void *arg UNUSED)
{
    struct server *server = dialogue_server(settings);

    dialogue_run(server, &script, "192.0.2.1");
    dialogue_server_free(server);
    run_stop();
}

/* ask - the reply to RCPT TO of that address, after MAIL FROM of a@example.test. */
static const char *ask(const char *main_cf, const char *recipient)
{
    static char lines[500];

    cleanup_forget();
    buffer_release(&script.output);
    snprintf(lines, sizeof(lines), "EHLO x\r\nMAIL FROM:<a@example.test>\r\nRCPT TO:<%s>\r\nQUIT\r\n", recipient);
    script = (struct script){.input = slice_of(lines), .steps = true};
    settings = main_cf;
    run_main(talk_fiber, NULL);
    return buffer_string(&script.output);
}

#define RECIPIENT "smtpd_relay_restrictions = permit_auth_destination reject\nrelay_domains = far.test\naddress_verify_poll_delay = 1\n" \
                  "smtpd_recipient_restrictions = reject_unverified_recipient\n"
#define SENDER "smtpd_sender_restrictions = reject_unverified_sender\naddress_verify_poll_delay = 1\n"
#define ASSERT_HAS(text, part) ck_assert_msg(strstr((text), (part)) != NULL, "got \"%s\" want \"%s\" in it", (text), (part))

/* entry - of now, in static memory. */
static const char *entry(int status, int64_t age, const char *text)
{
    static char value[200];
    int64_t now = clock_wall() / MICROSECONDS;

    snprintf(value, sizeof(value), "%d:%lld:%lld:%s", status, 0LL, (long long)(now - age), text);
    return value;
}

START_TEST(unknown_address_is_probed)
{
    answer_of_probes = entry(0, 0, "250 fine");
    ASSERT_HAS(ask(RECIPIENT, "b@far.test"), "250 2.1.5 Ok\r\n");
    ck_assert_uint_eq(cleanup.finished, 1);
    ck_assert_str_eq(cleanup.sender, "double-bounce@mail.lab.test");
    ck_assert_str_eq(cleanup.recipients, "b@far.test");
    ASSERT_HAS(buffer_string(&stored), "b@far.test=3:");
    ASSERT_HAS(buffer_string(&stored), ":0:Address verification in progress\n");
}
END_TEST

START_TEST(known_address_is_not_probed)
{
    present_key = "b@far.test";
    present_value = entry(0, 3600, "250 fine");
    ASSERT_HAS(ask(RECIPIENT, "b@far.test"), "250 2.1.5 Ok\r\n");
    ck_assert_uint_eq(cleanup.finished, 0);
}
END_TEST

START_TEST(bad_address_is_refused)
{
    present_key = "b@far.test";
    present_value = entry(2, 60, "host said: 550 no: really");
    ASSERT_HAS(ask(RECIPIENT, "b@far.test"), "450 4.1.1 <b@far.test>: Recipient address rejected: unverified address: host said: 550 no: really\r\n");
    ASSERT_HAS(ask(RECIPIENT "unverified_recipient_reject_code = 550\n", "b@far.test"),
               "550 5.1.1 <b@far.test>: Recipient address rejected: undeliverable address: host said: 550 no: really\r\n");
    ASSERT_HAS(ask(RECIPIENT "unverified_recipient_reject_code = 550\nunverified_recipient_reject_reason = go away\n", "b@far.test"),
               "550 5.1.1 <b@far.test>: Recipient address rejected: undeliverable address: go away\r\n");
    ASSERT_HAS(ask(RECIPIENT "unverified_recipient_reject_code = 250\n", "b@far.test"), "250 2.1.5 Ok\r\n");
    ck_assert_uint_eq(cleanup.finished, 0);
}
END_TEST

START_TEST(deferred_address_waits)
{
    present_key = "b@far.test";
    present_value = entry(1, 60, "come back");
    ASSERT_HAS(ask(RECIPIENT "unverified_recipient_reject_code = 550\nunverified_recipient_defer_code = 451\n", "b@far.test"),
               "451 4.1.1 <b@far.test>: Recipient address rejected: unverified address: come back\r\n");
    ASSERT_HAS(ask(RECIPIENT "unverified_recipient_defer_code = 250\n", "b@far.test"), "250 2.1.5 Ok\r\n");
}
END_TEST

START_TEST(old_entries_are_probed_again)
{
    present_key = "b@far.test";
    present_value = entry(0, 8 * 86400, "250 fine"); /* refresh */
    ASSERT_HAS(ask(RECIPIENT, "b@far.test"), "250 2.1.5 Ok\r\n");
    ck_assert_uint_eq(cleanup.finished, 1);
    present_value = entry(2, 4 * 3600, "no");
    ASSERT_HAS(ask(RECIPIENT, "b@far.test"), "unverified address: no\r\n");
    ck_assert_uint_eq(cleanup.finished, 1);
    present_value = entry(2, 4 * 86400, "no"); /* expired */
    ASSERT_HAS(ask(RECIPIENT "address_verify_poll_count = 1\n", "b@far.test"), "unverified address: Address verification in progress\r\n");
    ck_assert_uint_eq(cleanup.finished, 1);
}
END_TEST

START_TEST(probe_under_way_is_waited_for)
{
    char value[100];

    snprintf(value, sizeof(value), "3:%lld:0:Address verification in progress", (long long)(clock_wall() / MICROSECONDS - 5));
    present_key = "b@far.test";
    present_value = value;
    int64_t before = clock_monotonic();
    ASSERT_HAS(ask(RECIPIENT "address_verify_poll_count = 2\n", "b@far.test"), "unverified address: Address verification in progress\r\n");
    ck_assert_int_ge(clock_monotonic() - before, MICROSECONDS * 9 / 10);
    ck_assert_uint_eq(cleanup.finished, 0);
}
END_TEST

START_TEST(store_is_away)
{
    away = true;
    ASSERT_HAS(ask(RECIPIENT, "b@far.test"), "450 4.1.1 <b@far.test>: Recipient address rejected: address verification problem\r\n");
    ck_assert_uint_eq(cleanup.finished, 0);
}
END_TEST

START_TEST(nonsense_in_the_store)
{
    present_key = "b@far.test";
    present_value = "what is this";
    answer_of_probes = entry(0, 0, "250 fine");
    ASSERT_HAS(ask(RECIPIENT, "b@far.test"), "250 2.1.5 Ok\r\n");
    ck_assert_uint_eq(cleanup.finished, 1);
}
END_TEST

START_TEST(senders)
{
    present_key = "a@example.test";
    present_value = entry(2, 60, "no");
    ASSERT_HAS(ask(SENDER "unverified_sender_reject_code = 550\n", "alice@lab.test"),
               "550 5.1.7 <a@example.test>: Sender address rejected: undeliverable address: no\r\n");
    present_value = entry(0, 60, "yes");
    ASSERT_HAS(ask(SENDER, "alice@lab.test"), "250 2.1.5 Ok\r\n");
}
END_TEST

START_TEST(sender_of_probes)
{
    answer_of_probes = entry(0, 0, "250 fine");
    ask(RECIPIENT "address_verify_sender = <>\n", "b@far.test");
    ck_assert_uint_eq(cleanup.finished, 1);
    ck_assert_str_eq(cleanup.sender, "");
    ask(RECIPIENT "address_verify_sender = postmaster\n", "b@far.test");
    ck_assert_str_eq(cleanup.sender, "postmaster@mail.lab.test");
    ask(RECIPIENT "address_verify_sender_ttl = 1h\n", "b@far.test");
    ASSERT_HAS(cleanup.sender, "double-bounce");
    ck_assert_uint_eq(strcspn(cleanup.sender, "@"), strlen("double-bounceXXXX"));
    char changing[sizeof(cleanup.sender)];
    snprintf(changing, sizeof(changing), "%s", cleanup.sender);
    ASSERT_HAS(ask("mydestination = $myhostname\naddress_verify_sender_ttl = 1h\n", changing), "250 2.1.5 Ok\r\n");
    changing[strlen("double-bounce")]++;
    ASSERT_HAS(ask("mydestination = $myhostname\naddress_verify_sender_ttl = 1h\n", changing), "550 5.1.1");
}
END_TEST

TEST_MAIN("smtpd/verify", unknown_address_is_probed, known_address_is_not_probed, bad_address_is_refused, deferred_address_waits,
          old_entries_are_probed_again, probe_under_way_is_waited_for, store_is_away, nonsense_in_the_store, senders, sender_of_probes)
