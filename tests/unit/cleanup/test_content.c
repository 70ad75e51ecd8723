/* test_content.c - headers, checks, content on its way */
#include "cleanup_testing.h"

static const char canonical[] = "canonical_maps = inline:{ {old@lab.test=alice@lab.test}, {old.name=bob}, {@whole.test=carol@lab.test} }\n"
                                "sender_canonical_maps = inline:{ {alice@lab.test=Alice.Lab@lab.test} }\n"
                                "recipient_canonical_maps = regexp:{ {/^(.*)\\.rcpt@lab\\.test$$/ $$1@lab.test} }\n"
                                "masquerade_domains = lab.test\nmasquerade_exceptions = root\nremote_header_rewrite_domain = domain.invalid\n";

static const char headers[] = "From: old@lab.test (a comment), \"Quoted, Name\" <old.name@lab.test>\nSender: user@host.lab.test\n"
    "To: old, alice.rcpt@lab.test, Group: alice@lab.test, bob+ext@lab.test;, x@whole.test,\n"
    "  folded@other.lab.test, <root@host.lab.test>, bare, user%remote.test@lab.test, host!user\nCc: unknown@elsewhere.test\n"
    "Bcc: secret@lab.test\nReply-To: <alice@lab.test>\nResent-To: old@lab.test\nErrors-To: old@lab.test\n"
    "Return-Path: <forged@example.test>\nSubject: old@lab.test is not rewritten here\n\nbody old@lab.test\n";

/* What Postfix 3.7 makes of it (lab scenario canonical_maps), but for the parts that name this test's message. */
START_TEST(headers_are_rewritten_locally)
{
    struct outcome *o = submit(canonical, "old@lab.test", "alice.rcpt@lab.test", headers);
    ASSERT_STORED(o);
    const char *want = "From: alice@lab.test (a comment), \"Quoted, Name\" <bob@lab.test>\nSender: user@lab.test\n"
        "To: alice@lab.test, alice@lab.test, Group: alice@lab.test,\n\tbob+ext@lab.test;, carol@lab.test, folded@lab.test,\n"
        "\t<root@host.lab.test>, bare@lab.test, user%remote.test@lab.test,\n\tuser@host\nCc: unknown@elsewhere.test\n"
        "Reply-To: <Alice.Lab@lab.test>\nResent-To: alice@lab.test\nErrors-To: alice@lab.test\n"
        "Subject: old@lab.test is not rewritten here\nResent-Message-Id: <20251124160000.ABCDE123456@mail.lab.test>\n"
        "Resent-Date: Mon, 24 Nov 2025 16:00:00 +0000 (UTC)\nResent-From: alice@lab.test\n\nbody old@lab.test\n";
    ASSERT_SLICE(o->content, want);
}
END_TEST

START_TEST(headers_of_strangers)
{
    struct job job = {.config = canonical, .content = headers, .submitted = {.envelope = {.rewrite_context = SLICE("remote")}}};
    struct outcome *o = submit_job(&job, "alice@lab.test", "old.name@lab.test");
    ASSERT_STORED(o);
    ck_assert_ptr_nonnull(memmem(o->content.data, o->content.len, "To: old@domain.invalid, alice@lab.test, Group: alice@lab.test,\n\tbob", 65));
    ck_assert_ptr_nonnull(memmem(o->content.data, o->content.len, "\t<root@host.lab.test>, bare@domain.invalid, user%remote.test@lab.test,\n\tuser@host\n", 81));
    ck_assert_ptr_nonnull(memmem(o->content.data, o->content.len, "Resent-From: Alice.Lab@lab.test\n\n", 33));
    job.config = "";
    o = submit_job(&job, "alice@lab.test", "bob@lab.test");
    ck_assert_ptr_nonnull(memmem(o->content.data, o->content.len, "To: old, alice.rcpt@lab.test, Group:", 36));
    ck_assert_ptr_null(memmem(o->content.data, o->content.len, "Resent-Date", 11));
    ck_assert_ptr_null(memmem(o->content.data, o->content.len, "secret", 6));
    ASSERT_LOGGED(o, "ABCDE123456: message-id=<>\n");
}
END_TEST

START_TEST(missing_headers)
{
    struct outcome *o = submit("", "alice@lab.test", "bob@lab.test", "To: x\n\nno From\n");
    ASSERT_SLICE(o->content, "To: x@lab.test\nMessage-Id: <20251124160000.ABCDE123456@mail.lab.test>\nDate: Mon, 24 Nov 2025 16:00:00 +0000 (UTC)\n"
                             "From: alice@lab.test\n\nno From\n");
    ASSERT_LOGGED(o, "message-id=<20251124160000.ABCDE123456@mail.lab.test>");
    struct job job = {.config = "enable_long_queue_ids = yes\nundisclosed_recipients_header = To: undisclosed-recipients:;\n", .content = "X: y\n",
                      .submitted = {.envelope = {.sender_full_name = SLICE("A. \"B\" C")}}};
    o = submit_job(&job, "alice@lab.test", "bob@lab.test");
    ASSERT_SLICE(o->content, "X: y\nMessage-Id: <ABCDE123456@mail.lab.test>\nDate: Mon, 24 Nov 2025 16:00:00 +0000 (UTC)\n"
                             "From: \"A. \\\"B\\\" C\" <alice@lab.test>\nTo: undisclosed-recipients:;\n");
    o = submit_job(&job, "", "bob@lab.test"); /* a full name is that of the sender */
    ASSERT_SLICE(o->content, "X: y\nMessage-Id: <ABCDE123456@mail.lab.test>\nDate: Mon, 24 Nov 2025 16:00:00 +0000 (UTC)\n"
                             "From: MAILER-DAEMON\nTo: undisclosed-recipients:;\n");
}
END_TEST

static const char checks[] = "header_checks = regexp:{ {/^Subject: reject/ REJECT no such thing}, {/^Subject: reply code/ REJECT 5.7.9 with a code},"
    " {/^Subject: plain reject/ REJECT}, {/^Subject: later/ REJECT 4.7.9 not now}, {/^Subject: discard/ DISCARD because}, {/^Subject: hold/ HOLD look at it},"
    " {/^Subject: redirect/ REDIRECT bob@lab.test}, {/^Subject: bcc/ BCC bob@lab.test}, {/^Subject: filter/ FILTER smtp:[10.9.0.11]:10025},"
    " {/^Subject: prepend/ PREPEND X-Prepended: yes}, {/^Subject: replace (.*)/ REPLACE Subject: replaced <$$1>}, {/^Subject: warn/ WARN careful},"
    " {/^Subject: strip/ STRIP gone}, {/^Subject: bad action/ FROBNICATE}, {/^X-Ignore:/ IGNORE}, {/fold. ed/ INFO} }\n"
    "mime_header_checks = regexp:{ {/name=\"?bad\\.exe/ REJECT executable attachment}, {/^Content-Description:/ IGNORE} }\n"
    "nested_header_checks = regexp:{ {/^Subject: nested bad/ REJECT nested} }\n"
    "body_checks = regexp:{ {/forbidden (.*)/ REJECT forbidden $$1}, {/^drop this line/ IGNORE}, {/^(change) me/ REPLACE $${1}d} }\n";

static struct outcome *check_subject(const char *subject)
{
    static char content[300];
    snprintf(content, sizeof(content), "X-Ignore: 1\nSubject: %s\nMessage-Id: <m@x>\nDate: d\nFrom: f@x.test\n\nbody\n", subject);
    return submit(checks, "sender@lab.test", "alice@lab.test", content);
}

#define FROM " from localhost[127.0.0.1]; from=<sender@lab.test> to=<alice@lab.test> proto=ESMTP helo=<client.example.test>"
#define REST "\nMessage-Id: <m@x>\nDate: d\nFrom: f@x.test\n\nbody\n"

START_TEST(header_actions)
{
    struct outcome *o = check_subject("reject");
    ck_assert_str_eq(o->reply, "550 5.7.1 no such thing");
    ASSERT_LOGGED(o, "ABCDE123456: reject: header Subject: reject" FROM ": 5.7.1 no such thing\n");
    ck_assert_str_eq(check_subject("reply code")->reply, "550 5.7.9 with a code");
    ck_assert_str_eq(check_subject("plain reject")->reply, "550 5.7.1 message content rejected");
    ck_assert_str_eq(check_subject("later")->reply, "451 4.7.9 not now");
    o = check_subject("discard");
    ck_assert(!o->stored && o->refusal.status == SUBMIT_STATUS_ACCEPTED);
    ASSERT_LOGGED(o, "discard: header Subject: discard" FROM ": because\n");
    o = check_subject("hold");
    ck_assert(o->stored && o->envelope.hold);
    ASSERT_LOGGED(o, "hold: header Subject: hold" FROM ": look at it\n");
    ASSERT_SLICE(check_subject("redirect")->envelope.redirect, "bob@lab.test");
    ASSERT_RECIPIENTS(check_subject("bcc"), "alice@lab.test bob@lab.test[1]");
    ASSERT_SLICE(check_subject("filter")->envelope.content_filter, "smtp:[10.9.0.11]:10025");
    ASSERT_SLICE(check_subject("prepend")->content, "X-Prepended: yes\nSubject: prepend" REST);
    o = check_subject("replace this one");
    ASSERT_SLICE(o->content, "Subject: replaced <this one>" REST);
    ASSERT_LOGGED(o, "replace: header Subject: replace this one" FROM ": Subject: replaced <this one>\n");
    ASSERT_LOGGED(check_subject("warn"), "ABCDE123456: warning: header Subject: warn" FROM ": careful\n");
    ASSERT_SLICE(check_subject("strip")->content, "Message-Id: <m@x>\nDate: d\nFrom: f@x.test\n\nbody\n");
    o = check_subject("bad action");
    ASSERT_STORED(o);
    ASSERT_LOGGED(o, "warning: unknown command in header_checks map: FROBNICATE\n");
    ASSERT_LOGGED(check_subject("fold\n ed"), "info: header Subject: fold? ed" FROM "\n");
}
END_TEST

#define MULTIPART(type, subject, word)                                                                                                  \
    "Subject: multipart\nMessage-Id: <m@x>\nDate: d\nFrom: f@x.test\nMIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=\"x\"\n\n"  \
    "preamble " word "preamble is not a body part\n--x\nContent-Type: text/plain\nContent-Description: dropped\n\ndrop this line\nchange me\n"  \
    "kept\n--x\nContent-Type: " type "\n\nSubject: " subject "\n\ninner\n--x--\n"

START_TEST(body_and_mime_actions)
{
    struct outcome *o = submit(checks, "sender@lab.test", "alice@lab.test", MULTIPART("text/plain", "x", "forbidden "));
    ck_assert_str_eq(o->reply, "550 5.7.1 forbidden preamble is not a body part");
    ASSERT_LOGGED(o, "reject: body preamble forbidden preamble is not a body part" FROM ": 5.7.1 forbidden preamble is not a body part\n");
    o = submit(checks, "sender@lab.test", "alice@lab.test", MULTIPART("application/octet-stream;\n name=\"bad.exe\"", "x", ""));
    ck_assert_str_eq(o->reply, "550 5.7.1 executable attachment");
    ASSERT_LOGGED(o, "reject: header Content-Type: application/octet-stream;? name=\"bad.exe\"" FROM);
    ck_assert_str_eq(submit(checks, "sender@lab.test", "alice@lab.test", MULTIPART("message/rfc822", "nested bad", ""))->reply, "550 5.7.1 nested");
    o = submit(checks, "sender@lab.test", "alice@lab.test", MULTIPART("message/rfc822", "nested good", ""));
    ASSERT_STORED(o);
    const char *body = memmem(o->content.data, o->content.len, "\n\n", 2);
    ASSERT_SLICE(slice_from(o->content, (size_t)(body - o->content.data) + 2),
                 "preamble preamble is not a body part\n--x\nContent-Type: text/plain\n\nchanged\nkept\n--x\nContent-Type: message/rfc822\n\n"
                 "Subject: nested good\n\ninner\n--x--\n");
    struct job job = {.config = checks, .content = MULTIPART("message/rfc822", "nested bad", "forbidden "),
                      .submitted = {.options = SUBMIT_NO_HEADER_BODY_CHECKS}};
    ASSERT_STORED(submit_job(&job, "sender@lab.test", "alice@lab.test"));
}
END_TEST

START_TEST(limits)
{
    struct buffer content = BUFFER_INIT;
    for (int i = 0; i < 50; i++)
        buffer_append_string(&content, "Received: from x by y; date\n");
    buffer_append_string(&content, "\nbody\n");
    struct outcome *o = submit("", "a@b.test", "x@y.test", buffer_string(&content));
    ck_assert_str_eq(o->reply, "554 5.4.0 Error: too many hops");
    ASSERT_LOGGED(o, "ABCDE123456: message rejected: hopcount exceeded\n");
    o = submit("message_size_limit = 1000\n", "a@b.test", "x@y.test", buffer_string(&content));
    ck_assert_str_eq(o->reply, "552 5.3.4 Error: message file too big");
    ck_assert(!o->stored);
    buffer_clear(&content);
    for (int i = 0; i < 4; i++)
        buffer_append_string(&content, "Content-Type: multipart/mixed; boundary=b\n\n--b\n");
    o = submit("mime_nesting_limit = 1\n", "a@b.test", "x@y.test", buffer_string(&content));
    ASSERT_STORED(o);
    o = submit("mime_nesting_limit = 1\nstrict_7bit_headers = yes\n", "a@b.test", "x@y.test", buffer_string(&content));
    ck_assert_str_eq(o->reply, "550 5.6.0 MIME nesting exceeds safety limit");
    ASSERT_LOGGED(o, "ABCDE123456: reject: mime-error MIME nesting exceeds safety limit: Content-Type: multipart/mixed; boundary=b from ");
    buffer_release(&content);
    o = submit("non_empty_end_of_header_action = reject\n", "a@b.test", "x@y.test", "A: b\nno header\n");
    ck_assert_str_eq(o->reply, "550 5.6.0 primary header was terminated with non-empty line");
    o = submit("non_empty_end_of_header_action = add_header\n", "a@b.test", "x@y.test", "Message-Id: a\nDate: d\nFrom: f@a.test\nno header\n");
    ASSERT_SLICE(o->content, "Message-Id: a\nDate: d\nFrom: f@a.test\nMIME-Error: primary header was terminated with non-empty line\n\nno header\n");
    o = submit("strict_7bit_headers = yes\n", "a@b.test", "x@y.test", "Subject: \xe9\n\n");
    ck_assert_str_eq(o->reply, "550 5.6.0 improper use of 8-bit data in message header");
    o = submit("strict_mime_encoding_domain = yes\n", "a@b.test", "x@y.test", "Content-Type: message/rfc822\nContent-Transfer-Encoding: base64\n\nx\n");
    ASSERT_LOGGED(o, "ABCDE123456: reject: mime-error invalid message/* or multipart/* encoding domain: base64 from ");
}
END_TEST

START_TEST(only_crlf_gets_through)
{
    static const char wire[] = "A: b\r\n\r\nlone\rcr\r\nlone\nlf\r\nend\r";
    struct job job = {.config = "", .submitted = {.options = 0}};
    for (size_t piece = 1; piece < sizeof(wire); piece++) {
        /* The helper turns LF into CRLF: only the lone CRs are left to it. */
        job.content = "A: b\n\nlone\rcr\nlone\nlf\nend\r";
        job.piece = piece;
        struct outcome *o = submit_job(&job, "a@b.test", "x@y.test");
        ASSERT_STORED(o);
        const char *body = memmem(o->content.data, o->content.len, "\n\n", 2);
        ASSERT_SLICE(slice_from(o->content, (size_t)(body - o->content.data) + 2), "lone cr\nlone\nlf\nend\n");
    }
}
END_TEST

START_TEST(byte_filters)
{
    struct outcome *o = submit("message_strip_characters = \\001x\n", "a@b.test", "x@y.test", "Message-Id: a\nDate: d\nFrom: f@a.test\n\nax\001b\n");
    ASSERT_SLICE(o->content, "Message-Id: a\nDate: d\nFrom: f@a.test\n\nab\n");
    o = submit("message_reject_characters = \\002\n", "a@b.test", "x@y.test", "A: b\n\na\002b\n");
    ck_assert_str_eq(o->reply, "550 5.7.1 disallowed character");
    ASSERT_LOGGED(o, "ABCDE123456: reject: content a?b from ");
}
END_TEST

START_TEST(content_flags)
{
    struct outcome *o = submit("", "a@b.test", "x@y.test", "Subject: \xc3\xa9\nContent-Transfer-Encoding: 8bit\n\n.dot\nplain\n");
    ck_assert_int_eq(o->envelope.content_flags, CONTENT_8BIT_HEADER | CONTENT_DOT_LINES);
    ASSERT_SLICE(o->envelope.encoding, "8bit");
    o = submit("", "a@b.test", "x@y.test", "Subject: a\n\n\xc3\xa9\n");
    ck_assert_int_eq(o->envelope.content_flags, CONTENT_8BIT_BODY);
}
END_TEST

TEST_MAIN("cleanup/content", headers_are_rewritten_locally, headers_of_strangers, missing_headers, header_actions, body_and_mime_actions, limits,
          only_crlf_gets_through, byte_filters, content_flags)
