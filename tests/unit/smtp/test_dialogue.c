/* test_dialogue.c - whole conversations: what the client says, and what becomes of each recipient */
#include "testing.h"

#include "script.h"

#define CONTENT "Subject: x\r\n\r\nbody\r\n"
#define GREETING "220 mx.test ESMTP\r\n"

struct row {
    const char *config;  /* main.cf */
    const char *server;  /* what it says */
    const char *said;    /* what it is told */
    const char *outcome; /* "status status" of the recipients, or the reason of the failure */
    int64_t flags;       /* DELIVERY_ bits */
};

static void describe(const struct dialogue *d, bool good, struct buffer *out)
{
    buffer_clear(out);
    if (!good) {
        buffer_append_slice(out, d->failure.reason);
        return;
    }
    for (size_t i = 0; i < d->delivery.reply.results_count; i++)
        buffer_printf(out, "%s%lld=" SLICE_FORMAT, i ? " " : "", (long long)d->delivery.reply.results[i].index,
                      SLICE_ARGS(d->delivery.reply.results[i].status));
}

static void run_row(const struct row *row, bool lmtp, const char *content, int64_t content_flags)
{
    struct config *config = config_empty();
    struct client_params params;
    struct buffer outcome = BUFFER_INIT;
    struct dialogue d;

    log_set_watcher(script_quiet, NULL);
    script_params(config, row->config, lmtp, &params);
    for (size_t step = 1; step < 100; step += 49) {
        dialogue_start(&d, &params, row->server, strlen(row->server), step, content);
        d.request.flags = row->flags;
        d.request.envelope.content_flags = content_flags;
        bool good = dialogue_run(&d, &params);
        describe(&d, good, &outcome);
        ck_assert_msg(strcmp(buffer_string(&outcome), row->outcome) == 0, "got \"%s\" want \"%s\"\nsaid:\n%s", buffer_string(&outcome), row->outcome,
                      buffer_string(&d.script.said));
        ck_assert_str_eq(buffer_string(&d.script.said), row->said);
        dialogue_end(&d, &params);
    }
    buffer_release(&outcome);
    script_params_release(config, &params);
}

START_TEST(one_by_one)
{
    static const struct row rows[] = {
        {"", GREETING "250 mx.test\r\n250 ok\r\n250 2.1.5 ok\r\n550 5.1.1 no\r\n354 go\r\n250 2.0.0 queued\r\n",
         "EHLO client.test\r\nMAIL FROM:<a@here.test>\r\nRCPT TO:<b@remote.test>\r\nRCPT TO:<c@remote.test>\r\nDATA\r\n" CONTENT ".\r\n", "1=5.1.1 0=2.0.0"},
        {"", GREETING "502 what\r\n250 mx.test\r\n451 4.3.0 later\r\n250 reset\r\n",
         "EHLO client.test\r\nHELO client.test\r\nMAIL FROM:<a@here.test>\r\nRSET\r\n", "0=4.3.0 1=4.3.0"},
        {"smtp_never_send_ehlo = yes\n", GREETING "250 mx.test\r\n250 ok\r\n552 5.2.2 too many\r\n250 ok\r\n554 5.5.0 no\r\n250 reset\r\n",
         "HELO client.test\r\nMAIL FROM:<a@here.test>\r\nRCPT TO:<b@remote.test>\r\nRCPT TO:<c@remote.test>\r\nDATA\r\nRSET\r\n", "0=5.2.2 1=5.5.0"},
        {"", GREETING "250 mx.test\r\n250 ok\r\n250 ok\r\n", "EHLO client.test\r\nMAIL FROM:<a@here.test>\r\nRCPT TO:<b@remote.test>\r\nRCPT TO:<c@remote.test>\r\n",
         "lost connection with mx.test[192.0.2.1] while sending RCPT TO"},
        {"", "554 5.7.1 go away\r\n", "", "host mx.test[192.0.2.1] refused to talk to me: 554 5.7.1 go away"},
        {"", "what\r\n", "", "lost connection with mx.test[192.0.2.1] while receiving the initial server greeting"},
        {"", GREETING "250 client.test hello\r\n", "EHLO client.test\r\n", "mail for remote.test loops back to myself"},
    };
    run_row(&rows[_i], false, CONTENT, 0);
}
END_TEST

/* Answers that no client expects: what Postfix makes of them. */
START_TEST(odd_answers)
{
#define HELLO GREETING "250-mx.test\r\n"
#define NO_SENDER "550 5.1.0 no\r\n250 reset\r\n"
#define SENDER_SAID "MAIL FROM:<a@here.test>\r\nRSET\r\n"
    static const struct row rows[] = {
        {"", "what\r\n" GREETING "250-mx.test\r\nwhat\r\n250 DSN\r\n" NO_SENDER, "EHLO client.test\r\n" SENDER_SAID, "0=5.1.0 1=5.1.0"},
        {"", "354 what\r\n", "", "host mx.test[192.0.2.1] refused to talk to me: 354 what"},
        {"", "220\r\n250 mx.test\r\n" NO_SENDER, "HELO client.test\r\n" SENDER_SAID, "0=5.1.0 1=5.1.0"}, /* a PIX firewall */
        {"", GREETING "450 later\r\n250 mx.test\r\n" NO_SENDER, "EHLO client.test\r\nHELO client.test\r\n" SENDER_SAID, "0=5.1.0 1=5.1.0"},
        {"", GREETING "421 4.3.2 bye\r\n", "EHLO client.test\r\n", "host mx.test[192.0.2.1] refused to talk to me: 421 4.3.2 bye"},
        {"", HELLO "250 SIZE 9999\r\n354 what\r\n250 reset\r\n", "EHLO client.test\r\n" SENDER_SAID, "0=5.5.0 1=5.5.0"}, /* quoted-printable may be larger */
        {"disable_mime_output_conversion = yes\n", HELLO "250 SIZE\r\n421 4.3.2 bye\r\n", "EHLO client.test\r\nMAIL FROM:<a@here.test> SIZE=20\r\n", "0=4.3.2 1=4.3.2"},
        {"", HELLO "250-8BITMIME\r\n250 SIZE=1000\r\n421 4.3.2 bye\r\n", "EHLO client.test\r\nMAIL FROM:<a@here.test> SIZE=20\r\n", "0=4.3.2 1=4.3.2"},
        {"", HELLO "250 x\r\n250 ok\r\n999 what\r\n250 ok\r\n250 what\r\n250 reset\r\n",
         "EHLO client.test\r\nMAIL FROM:<a@here.test>\r\nRCPT TO:<b@remote.test>\r\nRCPT TO:<c@remote.test>\r\nDATA\r\nRSET\r\n", "0=5.5.0 1=5.5.0"},
        {"", HELLO "250 x\r\nwhat\r\n250 ok\r\n", "EHLO client.test\r\nMAIL FROM:<a@here.test>\r\n",
         "lost connection with mx.test[192.0.2.1] while sending MAIL FROM"},
    };
    run_row(&rows[_i], false, CONTENT, 0);
}
END_TEST

/* Keywords are the first words of lines: what a line has further on offers nothing. */
START_TEST(keywords)
{
#define PIPELINED "MAIL FROM:<a@here.test>\r\nRCPT TO:<b@remote.test>\r\nRCPT TO:<c@remote.test>\r\nDATA\r\n"
#define NO_DATA "250 ok\r\n550 5.1.1 no\r\n550 5.1.1 no\r\n554 5.5.1 none\r\n250 reset\r\n"
    static const struct row rows[] = {
        {"", GREETING "250-mx.test\r\n250-size 100\r\n250 Pipelining\r\n" NO_DATA, "EHLO client.test\r\n" PIPELINED "RSET\r\n", "0=5.1.1 1=5.1.1"},
        {"", GREETING "250-mx.test 250 DSN 250-DSN\r\n250-size 100 250 DSN\r\n250 PIPELINING 250-8BITMIME\r\n" NO_DATA,
         "EHLO client.test\r\n" PIPELINED "RSET\r\n", "0=5.1.1 1=5.1.1"},
        {"", GREETING "250-mx.test\r\n250 SIZE 19\r\n250 ok\r\n", "EHLO client.test\r\n", "0=5.3.4 1=5.3.4"},
        {"smtp_discard_ehlo_keywords = size, pipelining\n", GREETING "250-mx.test\r\n250-PIPELINING\r\n250 SIZE 19\r\n550 5.1.0 no\r\n250 reset\r\n",
         "EHLO client.test\r\nMAIL FROM:<a@here.test>\r\nRSET\r\n", "0=5.1.0 1=5.1.0"},
        {"", GREETING "250-mx.test\r\n250 DSN\r\n250 ok\r\n550 5.1.1 no\r\n550 5.1.1 no\r\n250 reset\r\n",
         "EHLO client.test\r\nMAIL FROM:<a@here.test>\r\nRCPT TO:<b@remote.test> ORCPT=rfc822;b+2Bb@remote.test NOTIFY=SUCCESS\r\n"
         "RCPT TO:<c@remote.test> ORCPT=rfc822;c@remote.test\r\nRSET\r\n", "0=5.1.1 1=5.1.1"},
    };
    run_row(&rows[_i], false, CONTENT, 0);
}
END_TEST

START_TEST(probes)
{
    static const struct row rows[] = {
        {"", GREETING "250-mx.test\r\n250 PIPELINING\r\n250 ok\r\n250 2.1.5 ok\r\n550 5.1.1 no\r\n250 reset\r\n",
         "EHLO client.test\r\nMAIL FROM:<a@here.test>\r\nRCPT TO:<b@remote.test>\r\nRCPT TO:<c@remote.test>\r\nRSET\r\n", "0=2.1.5 1=5.1.1", DELIVERY_PROBE},
        {"smtp_address_verify_target = data\n", GREETING "250 mx.test\r\n250 ok\r\n250 2.1.5 ok\r\n550 5.1.1 no\r\n354 go\r\n",
         "EHLO client.test\r\nMAIL FROM:<a@here.test>\r\nRCPT TO:<b@remote.test>\r\nRCPT TO:<c@remote.test>\r\nDATA\r\n", "1=5.1.1 0=3.0.0", DELIVERY_PROBE},
    };
    run_row(&rows[_i], false, CONTENT, 0);
}
END_TEST

START_TEST(forwarding)
{
#define FORWARD GREETING "250-mx.test\r\n250 XFORWARD NAME ADDR HELO SOURCE FUTURE\r\n"
#define FORWARD_SAID "EHLO client.test\r\nXFORWARD NAME=[UNAVAILABLE] ADDR=IPV6:2001:db8::1\r\n"
    static const struct row rows[] = {
        {"smtp_send_xforward_command = yes\n", FORWARD "250 ok\r\n250 ok\r\n550 5.1.0 no\r\n250 reset\r\n",
         FORWARD_SAID "XFORWARD HELO=a+20b SOURCE=LOCAL\r\nMAIL FROM:<a@here.test>\r\nRSET\r\n", "0=5.1.0 1=5.1.0"},
        {"smtp_send_xforward_command = yes\n", FORWARD "450 4.7.0 not now\r\n500 what\r\n550 5.1.0 no\r\n250 reset\r\n",
         FORWARD_SAID "XFORWARD HELO=a+20b SOURCE=LOCAL\r\nMAIL FROM:<a@here.test>\r\nRSET\r\n", "0=5.1.0 1=5.1.0"},
        {"smtp_send_xforward_command = yes\n", FORWARD, FORWARD_SAID, "lost connection with mx.test[192.0.2.1] while sending XFORWARD name/address"},
    };
    run_row(&rows[_i], false, CONTENT, 0);
}
END_TEST

START_TEST(lmtp)
{
    static const struct row row = {"lmtp_assume_final = yes\nlmtp_lhlo_name = lhlo.test\nsmtp_helo_name = helo.test\n", GREETING "250 mx.test\r\n250 ok\r\n250 ok\r\n250 ok\r\n354 go\r\n250 2.1.5 yes\r\n452 4.2.2 full\r\n",
                                   "LHLO lhlo.test\r\nMAIL FROM:<a@here.test>\r\nRCPT TO:<b@remote.test>\r\nRCPT TO:<c@remote.test>\r\nDATA\r\n" CONTENT ".\r\n",
                                   "0=2.1.5 1=4.2.2"};
    run_row(&row, true, CONTENT, 0);
}
END_TEST

/* All that may be changed on the way, at once: generic maps, checks, quoted-printable, dots. */
START_TEST(changed_content)
{
    static const struct row row = {
        "smtp_generic_maps = inline:{ { a@here.test = public@example.test }, { c@remote.test = d@remote.test } }\n"
        "smtp_header_checks = regexp:{ {/^X-Secret/ IGNORE}, {/^Subject: (.*)/ REPLACE Subject: out} }\n"
        "smtp_body_checks = regexp:{ {/^gone/ IGNORE}, {/^old/ REPLACE .new} }\n",
        GREETING "250 mx.test\r\n250 ok\r\n250 ok\r\n250 ok\r\n354 go\r\n250 2.0.0 queued\r\n",
        "EHLO client.test\r\nMAIL FROM:<public@example.test>\r\nRCPT TO:<b@remote.test>\r\nRCPT TO:<d@remote.test>\r\nDATA\r\n"
        "From: public@example.test\r\nSubject: out\r\nMIME-Version: 1.0\r\nContent-Type: text/plain\r\nContent-Transfer-Encoding: quoted-printable\r\n"
        "\r\ncaf=C3=A9\r\n..new\r\n..x\r\n.\r\n", "0=2.0.0 1=2.0.0"};
    run_row(&row, false,
            "From: a@here.test\r\nX-Secret: 1\r\nSubject: in\r\nMIME-Version: 1.0\r\nContent-Type: text/plain\r\nContent-Transfer-Encoding: 8bit\r\n"
            "\r\ncaf\303\251\r\ngone\r\nold\r\n.x\r\n", CONTENT_8BIT_BODY | CONTENT_DOT_LINES);
}
END_TEST

START_TEST(balanced_families)
{
    static const struct { const char *families, *want; size_t limit; bool balance; } rows[] = {
        {"666644", "666", 3, false}, {"666644", "664", 3, true}, {"6666664", "6664", 4, true}, {"66666644", "6644", 4, true}, {"44444", "444", 3, true},
        {"4644", "4644", 0, true}, {"4464", "446", 3, true}, {"64", "6", 1, false},
    };

    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct host hosts[8] = {0};
        char got[9] = "";
        size_t count = strlen(rows[i].families);
        for (size_t j = 0; j < count; j++)
            hosts[j].address.u.any.sa_family = rows[i].families[j] == '6' ? AF_INET6 : AF_INET;
        count = hosts_limit(hosts, count, rows[i].limit, rows[i].balance);
        for (size_t j = 0; j < count; j++)
            got[j] = hosts[j].address.u.any.sa_family == AF_INET6 ? '6' : '4';
        ck_assert_str_eq(got, rows[i].want);
    }
}
END_TEST

static const char *arranged(const char *preference, bool randomize)
{
    /* preference, family */
    static const char *const given[] = {"10:4a", "10:6b", "10:4c", "10:6d", "5:6e", "20:4f"};
    static char got[40];
    struct client_params params = {.address_preference = preference, .randomize_addresses = randomize};
    struct host hosts[COUNT_OF(given)] = {0};

    for (size_t i = 0; i < COUNT_OF(given); i++) {
        const char *colon = strchr(given[i], ':');
        hosts[i].preference = (unsigned)strtoul(given[i], NULL, 10);
        hosts[i].address.u.any.sa_family = colon[1] == '6' ? AF_INET6 : AF_INET;
        hosts[i].name = slice_of(colon + 2);
    }
    hosts_arrange(&params, hosts, COUNT_OF(given));
    for (size_t i = 0; i < COUNT_OF(given); i++)
        got[i] = hosts[i].name.data[0];
    return got;
}

START_TEST(order_of_hosts)
{
    bool four_first = false, six_first = false;

    ck_assert_str_eq(arranged("any", false), "eabcdf");
    ck_assert_str_eq(arranged("ipv4", false), "eacbdf");
    ck_assert_str_eq(arranged("ipv6", false), "ebdacf");
    for (int i = 0; i < 200; i++) {
        const char *got = arranged("any", true);
        ck_assert(got[0] == 'e' && got[5] == 'f');
        four_first |= strchr("ac", got[1]) != NULL;
        six_first |= strchr("bd", got[1]) != NULL;
        got = arranged("ipv6", true);
        ck_assert(strchr("bd", got[1]) && strchr("bd", got[2]) && strchr("ac", got[3]));
    }
    ck_assert(four_first && six_first);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("smtp/dialogue");
    TCase *tcase = tcase_create("smtp/dialogue");

    tcase_set_timeout(tcase, 60);
    tcase_add_loop_test(tcase, one_by_one, 0, 7);
    tcase_add_loop_test(tcase, odd_answers, 0, 10);
    tcase_add_loop_test(tcase, keywords, 0, 5);
    tcase_add_loop_test(tcase, probes, 0, 2);
    tcase_add_loop_test(tcase, forwarding, 0, 3);
    tcase_add_test(tcase, lmtp);
    tcase_add_test(tcase, changed_content);
    tcase_add_test(tcase, balanced_families);
    tcase_add_test(tcase, order_of_hosts);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
