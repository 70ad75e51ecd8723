/* test_session.c - whole dialogues: what goes in, the replies, the mail, the log */
#include "testing.h"

#include "dialogue.h"

static struct buffer logged;

static void watch(enum log_severity severity, const char *text, void *context UNUSED)
{
    buffer_printf(&logged, "%s%s\n", severity == LOG_SEVERITY_WARNING ? "warning: " : "", text);
}

/* talk - the replies to a script of lines (separated by LF in C, sent with CRLF), a line at a time. */
static const char *talk_with(const char *main_cf, const char *from, const char *lines, bool steps)
{
    static struct script script;
    struct buffer sent = BUFFER_INIT;

    cleanup_forget();
    buffer_release(&logged);
    buffer_release(&script.output);
    log_set_watcher(watch, NULL);
    for (const char *at = lines; *at; at++) {
        if (*at == '\n')
            buffer_append_byte(&sent, '\r');
        buffer_append_byte(&sent, *at);
    }
    script = (struct script){.input = buffer_slice(&sent), .steps = steps};
    struct server *server = dialogue_server(main_cf);
    dialogue_run(server, &script, from);
    dialogue_server_free(server);
    buffer_release(&sent);
    return buffer_string(&script.output);
}

static const char *talk(const char *main_cf, const char *lines)
{
    return talk_with(main_cf, "192.0.2.1", lines, true);
}

#define ASSERT_HAS(text, part) ck_assert_msg(strstr((text), (part)) != NULL, "got \"%s\" want \"%s\" in it", (text), (part))
#define ASSERT_LOGGED(part) ASSERT_HAS(buffer_string(&logged), part)
#define ASSERT_NOT(text, part) ck_assert_msg(strstr((text), (part)) == NULL, "got \"%s\" in \"%s\"", (part), (text))

#define MAIL "EHLO x\nMAIL FROM:<a@example.test>\nRCPT TO:<alice@lab.test>\n"

START_TEST(domains_beyond_ascii_are_announced)
{
#define STRANGE "l\xc3\xa4" "b.test"
    ASSERT_HAS(talk("", "EHLO x\nMAIL FROM:<a@" STRANGE ">\n"), "501 5.1.7 Bad sender address syntax\r\n");
    ASSERT_LOGGED("warning: Illegal address syntax from unknown[192.0.2.1] in MAIL command: <a@");
    ASSERT_HAS(talk("", "EHLO x\nMAIL FROM:<a@" STRANGE "> SMTPUTF8\n"), "250 2.1.0 Ok\r\n");
    ASSERT_HAS(talk("", "EHLO x\nMAIL FROM:<\xc3\xa4@lab.test>\nRCPT TO:<a@" STRANGE ">\n"), "250 2.1.0 Ok\r\n501 5.1.3 Bad recipient address syntax\r\n");
    ASSERT_HAS(talk("smtputf8_enable = no\n", "EHLO x\nMAIL FROM:<a@" STRANGE ">\n"), "250 2.1.0 Ok\r\n");
#undef STRANGE
}
END_TEST

START_TEST(old_names_of_restrictions)
{
    const char *got = talk("smtpd_relay_restrictions =\nsmtpd_recipient_restrictions = check_relay_domains\n",
                           "EHLO x\nMAIL FROM:<>\nRCPT TO:<x@far.test>\nRCPT TO:<alice@lab.test>\n");
    ASSERT_HAS(got, "554 5.7.1 <x@far.test>: Recipient address rejected: Relay access denied\r\n250 2.1.5 Ok\r\n");
    ASSERT_LOGGED("warning: support for restriction \"check_relay_domains\" will be removed from Postfix; use \"reject_unauth_destination\" instead\n");
    got = talk("smtpd_recipient_restrictions = permit_naked_ip_address, reject\n",
               "EHLO [192.0.2.1]\nMAIL FROM:<>\nRCPT TO:<alice@lab.test>\nEHLO 192.0.2.1\nMAIL FROM:<>\nRCPT TO:<alice@lab.test>\n");
    ASSERT_HAS(got, "554 5.7.1 <alice@lab.test>: Recipient address rejected: Access denied\r\n250-");
    ASSERT_HAS(got, "250 2.1.0 Ok\r\n250 2.1.5 Ok\r\n");
}
END_TEST

START_TEST(one_message)
{
    const char *got = talk("", MAIL "DATA\nSubject: x\n\n..dot\n.\nQUIT\n");

    ASSERT_HAS(got, "220 mail.lab.test ESMTP Postfix\r\n250-mail.lab.test\r\n250-PIPELINING\r\n250-SIZE 10240000\r\n250-VRFY\r\n");
    ASSERT_HAS(got, "250 CHUNKING\r\n250 2.1.0 Ok\r\n250 2.1.5 Ok\r\n354 End data with <CR><LF>.<CR><LF>\r\n"
                    "250 2.0.0 Ok: queued as ABC00001\r\n221 2.0.0 Bye\r\n");
    const char *content = buffer_string(&cleanup.content);
    ASSERT_HAS(content, "Received: from x (unknown [192.0.2.1])\r\n\tby mail.lab.test (Postfix) with ESMTP id ABC00001\r\n"
                        "\tfor <alice@lab.test>; ");
    ASSERT_HAS(content, "Subject: x\r\n\r\n.dot\r\n");
    ck_assert_str_eq(cleanup.sender, "a@example.test");
    ck_assert_str_eq(cleanup.recipients, "alice@lab.test");
    ASSERT_LOGGED("connect from unknown[192.0.2.1]\nABC00001: client=unknown[192.0.2.1]\n"
                  "disconnect from unknown[192.0.2.1] ehlo=1 mail=1 rcpt=1 data=1 quit=1 commands=5\n");
}
END_TEST

START_TEST(order_of_commands)
{
    const char *got = talk("", "RCPT TO:<alice@lab.test>\nDATA\nMAIL FROM:<a@b.test>\nMAIL FROM:<a@b.test>\nDATA\nBDAT 0\nRSET x\nRSET\nFOO\n\nVRFY\n");

    ASSERT_HAS(got, "503 5.5.1 Error: need MAIL command\r\n503 5.5.1 Error: need RCPT command\r\n250 2.1.0 Ok\r\n503 5.5.1 Error: nested MAIL command\r\n"
                    "554 5.5.1 Error: no valid recipients\r\n551 5.7.1 Null BDAT request\r\n501 5.5.4 Syntax: RSET\r\n250 2.0.0 Ok\r\n"
                    "500 5.5.2 Error: command not recognized\r\n500 5.5.2 Error: bad syntax\r\n501 5.5.4 Syntax: VRFY address [SMTPUTF8]\r\n");
    ASSERT_LOGGED("lost connection after VRFY from unknown[192.0.2.1]\n");
}
END_TEST

START_TEST(relaying)
{
    const char *got = talk("", "EHLO x\nMAIL FROM:<a@b.test>\nRCPT TO:<x@elsewhere.test>\nRCPT TO:<x%elsewhere.test@lab.test>\n"
                               "RCPT TO:<nobody@lab.test>\nRCPT TO:<postmaster>\nQUIT\n");

    ASSERT_HAS(got, "454 4.7.1 <x@elsewhere.test>: Relay access denied\r\n454 4.7.1 <x%elsewhere.test@lab.test>: Relay access denied\r\n"
                    "550 5.1.1 <nobody@lab.test>: Recipient address rejected: User unknown in local recipient table\r\n250 2.1.5 Ok\r\n");
    ASSERT_LOGGED("NOQUEUE: reject: RCPT from unknown[192.0.2.1]: 454 4.7.1 <x@elsewhere.test>: Relay access denied; "
                  "from=<a@b.test> to=<x@elsewhere.test> proto=ESMTP helo=<x>\n");
    ASSERT_HAS(talk_with("", "127.0.0.1", "EHLO x\nMAIL FROM:<a@b.test>\nRCPT TO:<x@elsewhere.test>\nQUIT\n", true), "250 2.1.5 Ok");
}
END_TEST

START_TEST(access_actions)
{
    static const struct { const char *action, *reply; } rows[] = {
        {"OK", "250 2.1.5 Ok"}, {"12345", "250 2.1.5 Ok"}, {"DUNNO", "250 2.1.5 Ok"},
        {"REJECT", "554 5.7.1 <alice@lab.test>: Recipient address rejected: Access denied"},
        {"REJECT 5.1.6 moved", "554 5.1.6 <alice@lab.test>: Recipient address rejected: moved"},
        {"REJECT 4.1.1 x", "554 5.1.1 <alice@lab.test>: Recipient address rejected: x"},
        {"DEFER", "450 4.7.1 <alice@lab.test>: Recipient address rejected: Access denied"},
        {"450 later", "450 4.7.1 <alice@lab.test>: Recipient address rejected: later"},
        {"521 5.7.0 go", "521 5.7.0 <alice@lab.test>: Recipient address rejected: go"},
        {"DEFER_IF_PERMIT", "450 4.7.1 <alice@lab.test>: Recipient address rejected: Service unavailable"},
        {"DEFER_IF_REJECT x", "250 2.1.5 Ok"}, {"reject_foo", "451 4.3.5 Server configuration error"},
        {"warn_if_reject reject", "250 2.1.5 Ok"}, {"permit", "250 2.1.5 Ok"}, {"strict", "554 5.7.1 <alice@lab.test>: Recipient address rejected: Access denied"},
        {"loop", "451 4.3.5 Server configuration error"}, {"undefined", "451 4.3.5 Server configuration error"}, {"check_policy_service inet:x:1", "451 4.3.5 Server configuration error"},
        {"defer_if_permit", "450 4.7.1"}, {"HOLD", "250 2.1.5 Ok"}, {"DISCARD", "250 2.1.5 Ok"}, {"check_client_access hash:/not/open", "451 4.3.5"},
    };

    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        char main_cf[512];
        snprintf(main_cf, sizeof(main_cf), "smtpd_recipient_restrictions = check_recipient_access inline:{ { alice@lab.test = %s } }\n"
                 "smtpd_restriction_classes = strict, loop, undefined\nstrict = reject\nloop = loop\n", rows[i].action);
        const char *got = talk(main_cf, MAIL);
        ck_assert_msg(strstr(got, rows[i].reply) != NULL, "%s: got \"%s\" want \"%s\"", rows[i].action, got, rows[i].reply);
    }
}
END_TEST

START_TEST(side_effects)
{
    talk("smtpd_recipient_restrictions = check_recipient_access inline:{ { alice@lab.test = PREPEND X-A: b } }\n"
         "smtpd_sender_restrictions = check_sender_access inline:{ { a@example.test = REDIRECT bob@lab.test } }\n"
         "smtpd_end_of_data_restrictions = check_sender_access inline:{ { a@example.test = HOLD } }\n"
         "smtpd_data_restrictions = check_sender_access inline:{ { a@example.test = BCC carol@lab.test } }\n",
         MAIL "DATA\nFrom x\n\nbody\n.\nQUIT\n");
    ck_assert_str_eq(cleanup.redirect, "bob@lab.test");
    ck_assert_str_eq(cleanup.recipients, "alice@lab.test carol@lab.test");
    ck_assert(cleanup.options & SUBMIT_HOLD);
    const char *content = buffer_string(&cleanup.content);
    ck_assert(slice_starts(slice_of(content), SLICE("X-A: b\r\nReceived: ")));
    ASSERT_HAS(content, "X-Mailbox-Line: From x\r\n\r\nbody\r\n");
    ASSERT_LOGGED("ABC00001: hold: END-OF-MESSAGE from unknown[192.0.2.1]: <a@example.test>: Sender address triggers HOLD action; "
                  "from=<a@example.test> to=<alice@lab.test> proto=ESMTP helo=<x>");
}
END_TEST

START_TEST(side_effects_after_much_content)
{
    static const char *const actions[] = {"HOLD", "DISCARD", "REDIRECT bob@lab.test", "FILTER scan:here", "BCC carol@lab.test"};
    struct buffer input = BUFFER_INIT;
    char main_cf[256];

    buffer_append_string(&input, MAIL "DATA\nSubject: long\n\n");
    for (int i = 0; i < 1000; i++)
        buffer_append_string(&input, "This line has some fifty characters, as lines have.\n");
    buffer_append_string(&input, ".\nQUIT\n");
    for (size_t i = 0; i < COUNT_OF(actions); i++) {
        snprintf(main_cf, sizeof(main_cf), "smtpd_end_of_data_restrictions = check_sender_access inline:{ { a@example.test = %s } }\n", actions[i]);
        ASSERT_HAS(talk(main_cf, buffer_string(&input)), "250 2.0.0 Ok: queued as ABC00001\r\n221");
        ck_assert_int_eq(cleanup.options, 0); /* the envelope had gone before */
        ck_assert_int_eq(cleanup.late.options, i == 0 ? SUBMIT_HOLD : i == 1 ? SUBMIT_DISCARD : 0);
    }
    ck_assert_uint_eq(cleanup.late.copies_count, 1);
    ck_assert_str_eq(cleanup.recipients, "alice@lab.test");
    buffer_release(&input);
}
END_TEST

/* What Postfix's users have seen it answer. */
START_TEST(odd_commands)
{
    static const struct { const char *said, *reply; } rows[] = {
        {"MAIL FROM:<a@b.test>SIZE=1\n", "501 5.1.7 Bad sender address syntax"}, {"MAIL FROM:<a@b.test>,<c@d.test>\n", "501 5.1.7"},
        {"MAIL FROM:<<a@b.test>>\n", "250 2.1.0 Ok"}, {"MAIL FROM:<-a@b.test>\n", "501 5.1.7 Bad sender address syntax"},
        {"MAIL FROM:<a@b.test> ENVID=\n", "501 5.5.4 Bad ENVID parameter syntax"},
        {"MAIL FROM:<>\nRCPT TO:<-alice@lab.test>\n", "501 5.1.3 Bad recipient address syntax"},
        {"MAIL FROM:<>\nRCPT TO:<alice@lab.test> NOTIFY=SUCCESS,,DELAY\n", "250 2.1.5 Ok"},
        {"MAIL FROM:<>\nRCPT TO:<alice@lab.test> NOTIFY=,\n", "501 5.5.4 Error: Bad NOTIFY parameter syntax"},
        {"XCLIENT\n", "501 5.5.4 Syntax: XCLIENT attribute=value..."}, {"XFORWARD NAME=x\n", "550 5.7.0 Error: insufficient authorization"},
        {"BDAT 0\n", "551 5.7.1 Null BDAT request"}, {"BDAT 3\nabcMAIL FROM:<>\n", "503 5.5.1 Error: MAIL after BDAT"},
        {"BDAT 3\nabcBDAT 2\nxx", "551 5.0.0 Discarded 2 bytes after earlier error"}, {"BDAT 3 LAST\nabcMAIL FROM:<>\n", "250 2.1.0 Ok"},
        {"BDAT 3\nabcRSET\nMAIL FROM:<>\n", "250 2.1.0 Ok"}, {"BDAT 3\nabcDATA\n", "503 5.5.1 Error: DATA after BDAT"},
        {"MAILFROM:<a@b.test>\n", "221 2.7.0 Error: I can break rules, too. Goodbye."}, {"Subject : x\n", "221 2.7.0"}, {"CONNECT x\n", "221 2.7.0"}, {"FOO x:\n", "500 5.5.2"},
    };
    char said[200];

    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        snprintf(said, sizeof(said), "EHLO x\n%s", rows[i].said);
        const char *got = talk("", said);
        ck_assert_msg(strstr(got, rows[i].reply) != NULL, "%s: got \"%s\" want \"%s\"", rows[i].said, got, rows[i].reply);
    }
}
END_TEST

START_TEST(words_about_access_tables)
{
#define FROM_TABLE(action) "smtpd_sender_restrictions = check_sender_access inline:{ { a@example.test = " action " } }\n"
    static const struct { const char *main_cf, *logged; } rows[] = {
        {FROM_TABLE("FILTER"), "entry \"a@example.test\" has FILTER entry without value"}, {FROM_TABLE("FILTER x"), "requires transport:destination"},
        {FROM_TABLE("BCC x"), "requires user@domain target"}, {FROM_TABLE("PREPEND x"), "requires header: text"},
        {FROM_TABLE("check_client_access hash:/x"), "define a restriction class and specify its name instead."},
        {"smtpd_sender_restrictions = permit, reject\n", "restriction `reject' after `permit' is ignored"},
        {"smtpd_sender_restrictions = check_sender_access inline:{ { a@example.test = HOLD } }\nsmtpd_helo_restrictions = $smtpd_sender_restrictions\n",
         "triggers HOLD action"},
    };

    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        talk(rows[i].main_cf, MAIL "QUIT\n");
        ASSERT_LOGGED(rows[i].logged);
    }
    const char *first = strstr(buffer_string(&logged), "triggers HOLD action");
    ck_assert(first && !strstr(first + 1, "triggers HOLD action"));
}
END_TEST

START_TEST(stages_without_delay)
{
    const char *main_cf = "smtpd_delay_reject = no\nsmtpd_helo_restrictions = reject_non_fqdn_helo_hostname\n"
                          "smtpd_client_restrictions = check_client_access inline:{ 192.0.2.9=REJECT, 192.0.2.8=DEFER_IF_PERMIT }\n";

    ASSERT_HAS(talk(main_cf, "HELO x\nHELO x.test\nQUIT\n"), "504 5.5.2 <x>: Helo command rejected: need fully-qualified hostname\r\n250 mail.lab.test");
    ASSERT_LOGGED("NOQUEUE: reject: HELO from unknown[192.0.2.1]: 504 5.5.2 <x>: Helo command rejected: need fully-qualified hostname; proto=SMTP helo=<x>");
    ASSERT_HAS(talk(main_cf, "HELO [1.2.3]\nQUIT\n"), "501 5.5.2 <[1.2.3]>: Helo command rejected: invalid ip address\r\n");
    ASSERT_HAS(talk(main_cf, "HELO a  b@c>;(d\nQUIT\n"), "504 5.5.2 <a?b?c???d>: Helo command rejected: need fully-qualified hostname\r\n");
    ASSERT_HAS(talk_with(main_cf, "192.0.2.9", "EHLO x.test\nQUIT\n", true),
               "554 5.7.1 <unknown[192.0.2.9]>: Client host rejected: Access denied\r\n503 5.7.0 Error: access denied for unknown[192.0.2.9]\r\n221 2.0.0 Bye");
    ASSERT_HAS(talk_with(main_cf, "192.0.2.8", "EHLO x.test\nMAIL FROM:<a@b.test>\nRCPT TO:<alice@lab.test>\nQUIT\n", true),
               "450 4.7.1 <unknown[192.0.2.8]>: Client host rejected: Service unavailable");
}
END_TEST

START_TEST(limits)
{
    const char *got = talk("smtpd_hard_error_limit = 3\nsmtpd_soft_error_limit = 2\n", "FOO\nFOO\nFOO\nNOOP\n");

    ASSERT_HAS(got, "421 4.7.0 mail.lab.test Error: too many errors\r\n");
    ASSERT_LOGGED("too many errors after UNKNOWN from unknown[192.0.2.1]\n");
    got = talk("smtpd_recipient_limit = 1\nsmtpd_recipient_overshoot_limit = 1\n", MAIL "RCPT TO:<bob@lab.test>\nRCPT TO:<bob@lab.test>\nQUIT\n");
    ASSERT_LOGGED("rcpt=2/3");
    got = talk("message_size_limit = 100\n", MAIL "DATA\nxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\n"
               "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\n.\nNOOP\nMAIL FROM:<a@b.test> SIZE=101\nQUIT\n");
    ASSERT_HAS(got, "552 5.3.4 Error: message file too big\r\n250 2.0.0 Ok\r\n552 5.3.4 Message size exceeds fixed limit\r\n");
    ck_assert_uint_eq(cleanup.finished, 0);
    ck_assert_uint_eq(cleanup.cancelled, 1);
    got = talk("", "NOOP xxxxxxxxxxxxx\nGET / HTTP/1.0\nNOOP\n");
    ASSERT_HAS(got, "221 2.7.0 Error: I can break rules, too. Goodbye.\r\n");
    ASSERT_LOGGED("warning: non-SMTP command from unknown[192.0.2.1]: GET / HTTP/1.0\n");
}
END_TEST

START_TEST(early_talkers)
{
    const char *got = talk_with("smtpd_forbid_unauth_pipelining = yes\n", "192.0.2.1", "EHLO x\nMAIL FROM:<a@b.test>\n", false);

    ASSERT_HAS(got, "554 5.5.0 Error: SMTP protocol synchronization\r\n");
    ASSERT_NOT(got, "250-");
    ASSERT_LOGGED("improper command pipelining after EHLO from unknown[192.0.2.1]: MAIL FROM:<a@b.test>\\r\\n\n");
    got = talk_with("smtpd_forbid_unauth_pipelining = no\nsmtpd_data_restrictions = reject_unauth_pipelining\n", "192.0.2.1", MAIL "DATA\nQUIT\n", false);
    ASSERT_HAS(got, "503 5.5.0 <DATA>: Data command rejected: Improper use of SMTP command pipelining\r\n221 2.0.0 Bye\r\n");
}
END_TEST

START_TEST(chunks)
{
    const char *got = talk("", MAIL "BDAT 5\nabc\nBDAT 4 LAST\nde\nBDAT 0 LAST\nMAIL FROM:<a@b.test>\nRCPT TO:<alice@lab.test>\nBDAT 0\nDATA\nBDAT 3\nx\n"
                               "RSET\nBDAT x\nNOOP\n");

    ASSERT_HAS(got, "250 2.0.0 Ok: 5 bytes\r\n250 2.0.0 Ok: 9 bytes queued as ABC00001\r\n503 5.5.1 Error: need RCPT command\r\n");
    ASSERT_HAS(buffer_string(&cleanup.content), "\r\nabc\r\nde\r\n");
    ASSERT_HAS(got, "551 5.7.1 Null BDAT request\r\n503 5.5.1 Error: DATA after BDAT\r\n551 5.0.0 Discarded 3 bytes after earlier error\r\n"
                    "250 2.0.0 Ok\r\n521 5.5.4 Syntax: BDAT count [LAST]\r\n");
}
END_TEST

START_TEST(bare_newlines)
{
    static struct script script;
    static const char sent[] = "EHLO x\r\nMAIL FROM:<a@b.test>\r\nRCPT TO:<alice@lab.test>\r\nDATA\r\na\n.\r\nb\r\n.\r\nQUIT\r\n";
    static const struct { const char *mode, *reply, *content; } rows[] = {
        {"normalize", "250 2.0.0 Ok: queued", "a\r\nb\r\n"}, {"note", "250 2.0.0 Ok: queued", "a\r\nb\r\n"},
        {"reject", "550 5.5.2 mail.lab.test Error: bare <LF> received", NULL}, {"no", "250 2.0.0 Ok: queued", "a\r\n"},
    };

    log_set_watcher(watch, NULL);
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        char main_cf[100];
        snprintf(main_cf, sizeof(main_cf), "smtpd_forbid_bare_newline = %s\n", rows[i].mode);
        cleanup_forget();
        buffer_release(&script.output);
        buffer_release(&logged);
        script = (struct script){.input = slice_of(sent), .steps = true};
        struct server *server = dialogue_server(main_cf);
        dialogue_run(server, &script, "192.0.2.1");
        dialogue_server_free(server);
        ASSERT_HAS(buffer_string(&script.output), rows[i].reply);
        if (rows[i].content)
            ck_assert(slice_ends(buffer_slice(&cleanup.content), slice_of(rows[i].content)));
        else
            ck_assert_uint_eq(cleanup.content.len, 0);
        ck_assert_int_eq(strstr(buffer_string(&logged), "notes=bare_lf") != NULL, strcmp(rows[i].mode, "note") == 0);
    }
}
END_TEST

START_TEST(silence)
{
    static struct script script = {.steps = true, .silent_at_end = true};

    log_set_watcher(watch, NULL);
    script.input = SLICE("EHLO x\r\nMAIL FROM:<a@b.test>\r\nRCPT TO:<alice@lab.test>\r\nDATA\r\nabc\r\nde");
    struct server *server = dialogue_server("smtpd_timeout = 1s\n");
    dialogue_run(server, &script, "192.0.2.1");
    dialogue_server_free(server);
    ASSERT_HAS(buffer_string(&script.output), "421 4.4.2 mail.lab.test Error: timeout exceeded\r\n");
    ASSERT_LOGGED("timeout after DATA (5 bytes) from unknown[192.0.2.1]\n");
    ck_assert_uint_eq(cleanup.cancelled, 1);
}
END_TEST

START_TEST(refused_by_cleanup)
{
    static const struct { int code; const char *text, *reply; } rows[] = {
        {550, "5.7.1 message content rejected", "550 5.7.1 message content rejected\r\n"}, {451, "4.3.0 try again", "451 4.3.0 try again\r\n"},
        {0, NULL, "250 2.0.0 Ok: queued"}, {554, "554 5.7.0 whole reply", "554 5.7.0 whole reply\r\n"}, {550, "no status", "550 no status\r\n"},
    };

    log_set_watcher(watch, NULL);
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        static struct script script;
        cleanup_forget();
        cleanup.refuse_code = rows[i].code;
        cleanup.refuse_text = rows[i].text;
        buffer_release(&script.output);
        script = (struct script){.input = SLICE("EHLO x\r\nMAIL FROM:<a@b.test>\r\nRCPT TO:<alice@lab.test>\r\nDATA\r\nx\r\n.\r\nQUIT\r\n"), .steps = true};
        struct server *server = dialogue_server("");
        dialogue_run(server, &script, "192.0.2.1");
        dialogue_server_free(server);
        ASSERT_HAS(buffer_string(&script.output), rows[i].reply);
    }
}
END_TEST

START_TEST(words_of_others)
{
    const char *got = talk_with("smtpd_authorized_xclient_hosts = 127.0.0.1\nsmtpd_authorized_xforward_hosts = 127.0.0.1\n", "127.0.0.1",
                                "EHLO x\nXFORWARD NAME=orig.test ADDR=10.7.7.7 IDENT=A1 SOURCE=REMOTE\nMAIL FROM:<a@b.test>\nRCPT TO:<alice@lab.test>\n"
                                "RSET\nXCLIENT NAME=[UNAVAILABLE] ADDR=192.0.2.7\nEHLO y\nMAIL FROM:<a@b.test>\nRCPT TO:<x@elsewhere.test>\nXCLIENT NAME=x\nQUIT\n", true);

    ASSERT_LOGGED("ABC00001: client=unknown[127.0.0.1], orig_queue_id=A1, orig_client=orig.test[10.7.7.7]\n");
    ASSERT_HAS(got, "220 mail.lab.test");
    ASSERT_LOGGED("reject: RCPT from unknown[192.0.2.7]: 454 4.7.1 <x@elsewhere.test>");
    ASSERT_HAS(got, "503 5.5.1 Error: MAIL transaction in progress\r\n221 2.0.0 Bye\r\n");
}
END_TEST

START_TEST(soft_bounce_and_footer)
{
    const char *got = talk("soft_bounce = yes\nsmtpd_reject_footer = \\c. See $client_address\n", "FOO\nEHLO x\nMAIL FROM:<a@b.test>\nRCPT TO:<no@lab.test>\nQUIT\n");

    ASSERT_HAS(got, "400 4.5.2 Error: command not recognized. See 192.0.2.1\r\n");
    ASSERT_HAS(got, "450 4.1.1 <no@lab.test>: Recipient address rejected: User unknown in local recipient table. See 192.0.2.1\r\n");
    ASSERT_LOGGED("reject: RCPT from unknown[192.0.2.1]: 450 4.1.1 <no@lab.test>");
    got = talk("smtpd_reject_footer = one\\ntwo\n", "FOO\nQUIT\n");
    ASSERT_HAS(got, "500-5.5.2 Error: command not recognized\r\n500-5.5.2 one\r\n500 5.5.2 two\r\n");
}
END_TEST

TEST_MAIN("smtpd/session", domains_beyond_ascii_are_announced, old_names_of_restrictions, one_message, order_of_commands, relaying, access_actions, side_effects, side_effects_after_much_content, odd_commands, words_about_access_tables, stages_without_delay, limits, early_talkers, chunks,
          bare_newlines, silence, refused_by_cleanup, words_of_others, soft_bounce_and_footer)
