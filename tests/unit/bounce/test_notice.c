/* test_notice.c - the text of notifications: folding, cleaning, what is copied of the original */
#include "testing.h"

#include <sys/mman.h>

#include "../../../qmgr/bounce/notice.h"
#include "base/clock.h"

static struct buffer got;
static struct bounce_params params;
static struct bounce_request request;
static struct bounce_recipient told;

static void setup(int64_t kind)
{
    params = (struct bounce_params){.myhostname = "h.test", .mail_name = "Postfix", .header_from_format = "standard", .empty_address_recipient = "MAILER-DAEMON",
                                    .bounce_size_limit = 50000, .maximal_queue_lifetime = 5 * 86400 * MICROSECONDS, .config = config_empty()};
    ck_assert(config_parse(params.config, SLICE("myhostname = h.test\nmydomain = h.test\n"), "main.cf"));
    for (int i = 0; i < BOUNCE_TEMPLATE_COUNT; i++)
        params.templates[i] = *bounce_template_builtin(i);
    told = (struct bounce_recipient){.recipient = {.address = SLICE("r@x.test")},
                                     .result = {.status = SLICE("5.1.1"), .action = SLICE("failed"), .reason = SLICE("no such user")}};
    request = (struct bounce_request){.kind = kind, .recipients = &told, .recipients_count = 1,
                                      .envelope = {.queue_id = SLICE("ORIGINAL"), .sender = SLICE("s@x.test"), .encoding = SLICE("7bit")}};
    buffer_clear(&got);
}

static void keep(void *context UNUSED, struct slice data)
{
    buffer_append_slice(&got, data);
}

static const char *written(const char *content)
{
    const struct bounce_recipient *recipients[] = {&told};
    struct notice notice = {.params = &params, .request = &request, .recipients = recipients, .recipient_count = 1, .queue_id = SLICE("NOTICE"),
                            .to = "s@x.test", .content_fd = -1};
    if (content) {
        notice.content_fd = memfd_create("content", MFD_CLOEXEC);
        ck_assert_int_eq(write(notice.content_fd, content, strlen(content)), (ssize_t)strlen(content));
        request.content_length = (int64_t)strlen(content);
    }
    notice_write(&notice, keep, NULL);
    if (content)
        close(notice.content_fd);
    config_free(params.config);
    return buffer_string(&got);
}

#define CONTAINS(text, what) ck_assert_msg(strstr((text), (what)) != NULL, "wanted \"%s\" in:\n%s", (what), (text))
#define LACKS(text, what) ck_assert_msg(strstr((text), (what)) == NULL, "did not want \"%s\" in:\n%s", (what), (text))

START_TEST(three_parts)
{
    setup(NOTICE_FAILURE);
    const char *text = written("Subject: x\r\n\r\nbody\r\n");
    CONTAINS(text, "\r\nTo: s@x.test\r\n");
    CONTAINS(text, "Content-Type: multipart/report; report-type=delivery-status;\r\n\tboundary=\"ORIGINAL.");
    CONTAINS(text, "\r\n<r@x.test>: no such user\r\n");
    CONTAINS(text, "\r\nFinal-Recipient: rfc822; r@x.test\r\nOriginal-Recipient: rfc822;r@x.test\r\nAction: failed\r\nStatus: 5.1.1\r\n"
                   "Diagnostic-Code: X-Postfix; no such user\r\n");
    CONTAINS(text, "Content-Type: message/rfc822\r\nContent-Transfer-Encoding: 7bit\r\n\r\nReturn-Path: <s@x.test>\r\nSubject: x\r\n\r\nbody\r\n\r\n--ORIGINAL.");
    buffer_release(&got);
}
END_TEST

START_TEST(encodings_and_templates)
{
    setup(NOTICE_FAILURE);
    request.envelope.encoding = (struct slice){0};
    LACKS(written("Subject: x\r\n\r\n"), "Content-Transfer-Encoding");
    CONTAINS(buffer_string(&got), "charset=us-ascii\r\n");
    setup(NOTICE_FAILURE);
    params.smtputf8_enable = true; /* then 7bit is never promised */
    CONTAINS(written("Subject: x\r\n\r\n"), "\r\nMIME-Version: 1.0\r\nContent-Type: multipart/report; report-type=delivery-status;\r\n");
    CONTAINS(buffer_string(&got), "\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n");
    CONTAINS(buffer_string(&got), "\r\nContent-Type: message/delivery-status\r\n\r\n");
    CONTAINS(buffer_string(&got), "\r\nContent-Type: message/rfc822\r\nContent-Transfer-Encoding: 8bit\r\n\r\n");
    CONTAINS(buffer_string(&got), "\r\nFrom: Mail Delivery System <MAILER-DAEMON>\r\n");
    setup(NOTICE_FAILURE);
    params.smtputf8_enable = params.templates[BOUNCE_TEMPLATE_FAILURE].from_file = true;
    params.templates[BOUNCE_TEMPLATE_FAILURE].charset = "iso-8859-1";
    CONTAINS(written("Subject: x\r\n\r\n"), "charset=iso-8859-1\r\n");
    CONTAINS(buffer_string(&got), "\r\nFrom: MAILER-DAEMON (Mail Delivery System)\r\n");
    buffer_release(&got);
}
END_TEST

START_TEST(threads)
{
    setup(NOTICE_FAILURE);
    LACKS(written("Message-Id: <a@x>\r\n\r\n"), "In-Reply-To");
    setup(NOTICE_FAILURE);
    params.enable_threaded_bounces = true;
    CONTAINS(written("References: <b@x>\r\nMessage-ID: <a@x>\r\n\r\n"), "\r\nTo: s@x.test\r\nReferences: <a@x>\r\nIn-Reply-To: <a@x>\r\nAuto-Submitted:");
    static const char *const without[] = {"Message-Id: a b\r\n\r\n", "Message-Id: <a@x> (comment)\r\n\r\n", "Message-Id:\r\n <a@x>\r\n\r\n", "X: y\r\n\r\nMessage-Id: <a@x>\r\n"};
    for (size_t i = 0; i < COUNT_OF(without); i++) {
        setup(NOTICE_FAILURE);
        params.enable_threaded_bounces = true;
        LACKS(written(without[i]), "In-Reply-To");
    }
    buffer_release(&got);
}
END_TEST

START_TEST(relay_none_is_not_named)
{
    setup(NOTICE_SUCCESS);
    told.result = (struct delivery_result){.status = SLICE("2.0.0"), .action = SLICE("expanded"), .reason = SLICE("alias expanded"), .relay = SLICE("local")};
    CONTAINS(written("Subject: x\r\n\r\n"), "\r\n<r@x.test>: delivery via local: alias expanded\r\n");
    CONTAINS(buffer_string(&got), "\r\nAction: expanded\r\nStatus: 2.0.0\r\nDiagnostic-Code: X-Postfix; delivery via local: alias expanded\r\n");
    setup(NOTICE_SUCCESS);
    told.result.relay = SLICE("none");
    LACKS(written("Subject: x\r\n\r\n"), "delivery via");
    buffer_release(&got);
}
END_TEST

/* Every line of the explanation and of the fields is short, and nothing is lost by folding. */
START_TEST(long_reasons_are_folded)
{
    for (size_t word = 1; word < 120; word += 7) {
        struct buffer reason = BUFFER_INIT, plain = BUFFER_INIT;
        for (size_t i = 0; i < 400; i++)
            buffer_append_byte(&reason, i % (word + 1) == word ? ' ' : 'w');
        buffer_append_string(&reason, "end");
        setup(NOTICE_FAILURE);
        told.result.reason = buffer_slice(&reason);
        struct slice rest = slice_of(written("\r\n")), line;
        while (slice_next_line(&rest, &line) && !slice_starts(line, SLICE("<r@x.test>:")))
            ;
        do {
            line = slice_trim_right(line);
            ck_assert_msg(line.len <= 79 || slice_find(slice_from(slice_trim(line), 12), ' ') == slice_trim(line).len - 12,
                          "word %zu: \"" SLICE_FORMAT "\"", word, SLICE_ARGS(line));
            buffer_append_slice(&plain, slice_starts(line, SLICE("    ")) ? slice_from(line, 3) : line);
        } while (slice_next_line(&rest, &line) && line.len > 1);
        ASSERT_SLICE(slice_from(buffer_slice(&plain), 12), buffer_string(&reason));
        buffer_release(&reason);
        buffer_release(&plain);
    }
    buffer_release(&got);
}
END_TEST

START_TEST(hostile_text_starts_no_line)
{
    setup(NOTICE_FAILURE);
    told.result.reason = SLICE("no\r\nX-Evil: 1\r\n\r\n--boundary\x1b[2J");
    told.result.diagnostic_type = SLICE("smtp");
    told.result.diagnostic = SLICE("550 no\nX-Evil: 2");
    told.result.remote_mta = SLICE("mx\r\nX-Evil: 3");
    told.recipient.address = SLICE("r\r\nX-Evil: 4@x.test");
    told.recipient.orcpt = SLICE("rfc822;o\nX-Evil: 5");
    request.envelope.sender = SLICE("s\r\nX-Evil: 6@x.test");
    request.envelope.envelope_id = SLICE("id\r\nX-Evil: 7");
    const char *text = written("Subject: x\r\n\r\n");
    LACKS(text, "\nX-Evil");
    LACKS(text, "\x1b");
    LACKS(text, "\n--boundary");
    for (const char *at = text; (at = strchr(at, '\n')); at++)
        ck_assert(at[-1] == '\r');
    buffer_release(&got);
}
END_TEST

START_TEST(what_is_copied_of_the_original)
{
    static const char content[] = "Subject: x\r\n\r\nsecret body\r\n";
    setup(NOTICE_FAILURE);
    request.envelope.ret = 2; /* RET=HDRS */
    CONTAINS(written(content), "Content-Description: Undelivered Message Headers\r\nContent-Type: text/rfc822-headers\r\n"
                               "Content-Transfer-Encoding: 7bit\r\n\r\n"
                               "Return-Path: <s@x.test>\r\nSubject: x\r\n\r\n--ORIGINAL.");
    LACKS(buffer_string(&got), "secret");
    setup(NOTICE_FAILURE);
    params.bounce_size_limit = 10;
    LACKS(written(content), "secret");
    setup(NOTICE_DELAY);
    LACKS(written(content), "secret");
    CONTAINS(buffer_string(&got), "\r\nAction: delayed\r\n");
    CONTAINS(buffer_string(&got), "\r\nWill-Retry-Until: ");
    setup(NOTICE_FAILURE);
    CONTAINS(written(NULL), "The original message is no longer available.\r\n");
    setup(NOTICE_FAILURE);
    request.content_length = 1000; /* cut off in the queue: the notice is sent all the same */
    CONTAINS(written("\r\nbody without header"), "body without header");
    buffer_release(&got);
}
END_TEST

START_TEST(success_names_the_agent)
{
    setup(NOTICE_SUCCESS);
    told.result.relay = SLICE("mx.test[192.0.2.1]:25");
    told.result.action = SLICE("relayed");
    told.result.reason = SLICE("250 ok");
    told.recipient.original = SLICE("o@x.test");
    const char *text = written("S: x\r\n\r\n");
    CONTAINS(text, "<r@x.test> (expanded from <o@x.test>): delivery via mx.test[192.0.2.1]:25: 250\r\n    ok\r\n");
    CONTAINS(text, "\r\nOriginal-Recipient: rfc822;o@x.test\r\nAction: relayed\r\n");
    buffer_release(&got);
}
END_TEST

START_TEST(mail_that_required_tls)
{
    static const char content[] = "Subject: secret\r\nReceived: by x\r\nMessage-Id:\r\n\t<id@x.test>\r\nDate: today\r\n\r\nsecret body\r\n";
    setup(NOTICE_FAILURE);
    params.requiretls_enable = params.requiretls_redact_dsn = true;
    request.envelope.send_options = SEND_REQUIRE_TLS;
    request.envelope.ret = 1;
    CONTAINS(written(content), "Return-Path: <s@x.test>\r\nMessage-Id:\r\n\t<id@x.test>\r\nDate: today\r\n\r\n--ORIGINAL.");
    LACKS(buffer_string(&got), "secret");
    setup(NOTICE_FAILURE);
    params.requiretls_enable = true;
    request.envelope.send_options = SEND_REQUIRE_TLS;
    LACKS(written(content), "secret body");
    CONTAINS(buffer_string(&got), "\r\nSubject: secret\r\n");
    setup(NOTICE_FAILURE);
    params.tls_required_enable = true;
    request.envelope.send_options = SEND_TLS_NOT_REQUIRED;
    CONTAINS(written(content), "\r\nTLS-Required: no\r\nAuto-Submitted: auto-replied\r\n");
    CONTAINS(buffer_string(&got), "secret body");
    buffer_release(&got);
}
END_TEST

TEST_MAIN("bounce/notice", threads, mail_that_required_tls, three_parts, encodings_and_templates, relay_none_is_not_named, long_reasons_are_folded, hostile_text_starts_no_line, what_is_copied_of_the_original, success_names_the_agent)
