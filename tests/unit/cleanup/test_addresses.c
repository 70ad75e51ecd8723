/* test_addresses.c - envelope addresses: canonical maps, masquerading, aliases and their limits, copies, duplicates */
#include "cleanup_testing.h"

#define BODY "Subject: x\nMessage-Id: <fixed@x>\nDate: d\nFrom: f@x.test\n\nbody\n"

START_TEST(plain)
{
    struct outcome *o = submit("", "alice@lab.test", "bob@lab.test carol", BODY);
    ASSERT_STORED(o);
    ASSERT_RECIPIENTS(o, "bob@lab.test carol@lab.test(carol)");
    ASSERT_SLICE(o->content, BODY);
    ASSERT_SLICE(o->envelope.sender, "alice@lab.test");
    ASSERT_SLICE(o->envelope.queue_id, "ABCDE123456");
    ASSERT_SLICE(o->envelope.message_id, "<fixed@x>");
    ck_assert_str_eq(buffer_string(&o->log), "ABCDE123456: message-id=<fixed@x>\n");
    ck_assert_int_eq(o->envelope.message_size, (int64_t)strlen(BODY) + 6);
}
END_TEST

START_TEST(null_sender_and_empty_recipient)
{
    struct outcome *o = submit("", "", "MAILER-DAEMON", BODY);
    ASSERT_STORED(o);
    ASSERT_SLICE(o->envelope.sender, "");
    o = submit("", "MAILER-DAEMON", "x@y.test", BODY);
    ASSERT_SLICE(o->envelope.sender, "");
    o = submit("", "a@b.test", "", BODY);
    ck_assert_str_eq(o->reply, "550 5.1.0 Error: no recipients specified");
    ck_assert(!o->stored);
}
END_TEST

static const char canonical[] = "canonical_maps = inline:{ {old@lab.test=alice@lab.test}, {old.name=bob}, {@whole.test=carol@lab.test} }\n"
                                "sender_canonical_maps = inline:{ {alice@lab.test=Alice.Lab@lab.test} }\n"
                                "recipient_canonical_maps = inline:{ {alice.rcpt@lab.test=alice@lab.test} }\n"
                                "masquerade_domains = lab.test\nmasquerade_exceptions = root\n";

START_TEST(canonical_and_masquerade)
{
    struct outcome *o = submit(canonical, "old@lab.test", "alice.rcpt@lab.test old.name@lab.test x@whole.test", BODY);
    ASSERT_STORED(o);
    ASSERT_SLICE(o->envelope.sender, "alice@lab.test");
    ASSERT_RECIPIENTS(o, "alice@lab.test(alice.rcpt@lab.test) bob@lab.test(old.name@lab.test) carol@lab.test(x@whole.test)");
    o = submit(canonical, "alice@host.lab.test", "u@host.lab.test", BODY);
    ASSERT_SLICE(o->envelope.sender, "alice@lab.test");
    ASSERT_RECIPIENTS(o, "u@host.lab.test");
    o = submit(canonical, "root@host.lab.test", "u@host.lab.test", BODY);
    ASSERT_SLICE(o->envelope.sender, "root@host.lab.test");
    static const char nested[] = "canonical_maps = inline:{ {one@lab.test=two@lab.test}, {two@lab.test=three@lab.test}, {ping@lab.test=pong@lab.test}, "
                                 "{pong@lab.test=ping@lab.test}, {same@lab.test=same@lab.test}, {gone@lab.test=<>} }\n";
    o = submit(nested, "one@lab.test", "two@lab.test same@lab.test", BODY);
    ASSERT_SLICE(o->envelope.sender, "three@lab.test");
    ASSERT_RECIPIENTS(o, "three@lab.test(two@lab.test) same@lab.test");
    o = submit(nested, "ping@lab.test", "u@lab.test", BODY);
    ASSERT_STORED(o);
    ASSERT_SLICE(o->envelope.sender, "ping@lab.test");
    ASSERT_LOGGED(o, "unreasonable canonical_maps map nesting for ping@lab.test");
    o = submit(nested, "gone@lab.test", "u@lab.test", BODY);
    ASSERT_SLICE(o->envelope.sender, "");
    struct job job = {.config = canonical, .content = BODY, .submitted = {.options = SUBMIT_NO_ADDRESS_MAPPING}};
    o = submit_job(&job, "old@lab.test", "x@whole.test");
    ASSERT_SLICE(o->envelope.sender, "old@lab.test");
    ASSERT_RECIPIENTS(o, "x@whole.test");
}
END_TEST

static const char aliases[] = "virtual_alias_domains = virtual.test, other.virtual.test\n"
    "virtual_alias_maps = inline:{ {one@virtual.test=alice}, {two@virtual.test=alice bob@lab.test}, {three@virtual.test=two@virtual.test carol},"
    " {@other.virtual.test=alice+catchall@lab.test}, {same@other.virtual.test=@lab.test}, {loop@virtual.test=loop@virtual.test},"
    " {bob@lab.test=carol@lab.test bob@lab.test}, {grow@virtual.test=grow@virtual.test alice}, {ping@virtual.test=pong@virtual.test},"
    " {pong@virtual.test=ping@virtual.test}, {self@virtual.test=self@virtual.test other@virtual.test},"
    " {other@virtual.test=self@virtual.test alice}, {big@virtual.test=big@virtual.test.2 b1 b2 b3 b4 b5 b6} }\n";

START_TEST(virtual_aliases)
{
    static const struct { const char *recipient, *want; } cases[] = {
        {"one@virtual.test", "alice@lab.test(one@virtual.test)"},
        {"ONE@VIRTUAL.TEST", "alice@lab.test(ONE@VIRTUAL.TEST)"},
        {"one+ext@virtual.test", "alice+ext@lab.test(one+ext@virtual.test)"},
        {"two@virtual.test", "alice@lab.test(two@virtual.test) carol@lab.test(two@virtual.test) bob@lab.test(two@virtual.test)"},
        {"three@virtual.test", "alice@lab.test(three@virtual.test) carol@lab.test(three@virtual.test) bob@lab.test(three@virtual.test)"},
        {"any@other.virtual.test", "alice+catchall@lab.test(any@other.virtual.test)"},
        {"same@other.virtual.test", "same@lab.test(same@other.virtual.test)"},
        {"bob@lab.test", "carol@lab.test(bob@lab.test) bob@lab.test"},
        {"loop@virtual.test", "loop@virtual.test"},
        {"self@virtual.test", "self@virtual.test alice@lab.test(self@virtual.test)"},
        {"other@virtual.test", "self@virtual.test(other@virtual.test) alice@lab.test(other@virtual.test)"},
        {"grow@virtual.test", "grow@virtual.test alice@lab.test(grow@virtual.test)"},
        {"alice@lab.test alice@lab.test Alice@Lab.test", "alice@lab.test"},
        {"alice@lab.test one@virtual.test", "alice@lab.test alice@lab.test(one@virtual.test)"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct outcome *o = submit(aliases, "a@b.test", cases[i].recipient, BODY);
        ASSERT_STORED(o);
        ck_assert_msg(strcmp(buffer_string(&o->recipients), cases[i].want) == 0, "%s: got %s want %s", cases[i].recipient,
                      buffer_string(&o->recipients), cases[i].want);
    }
}
END_TEST

START_TEST(alias_limits)
{
    struct outcome *o = submit(aliases, "a@b.test", "ping@virtual.test", BODY);
    ck_assert_str_eq(o->reply, "451 4.6.0 Alias expansion error");
    ASSERT_LOGGED(o, "warning: ABCDE123456: unreasonable virtual_alias_maps map nesting for ping@virtual.test -- message not accepted, try again later");
    struct job job = {.content = BODY};
    struct buffer config = BUFFER_INIT;
    buffer_printf(&config, "%svirtual_alias_expansion_limit = 5\n", aliases);
    job.config = buffer_string(&config);
    o = submit_job(&job, "a@b.test", "big@virtual.test");
    ck_assert_str_eq(o->reply, "451 4.6.0 Alias expansion error");
    ASSERT_LOGGED(o, "map expansion size for big@virtual.test");
    buffer_release(&config);
    o = submit("virtual_alias_maps = fail:x\n", "a@b.test", "x@y.test", BODY);
    ck_assert_str_eq(o->reply, "451 4.3.0 Error: queue file write error");
    ASSERT_LOGGED(o, "virtual_alias_maps map lookup problem for x@y.test");
    ck_assert(!o->stored);
}
END_TEST

START_TEST(blind_copies)
{
    static const char config[] = "always_bcc = carol@lab.test\nsender_bcc_maps = inline:{ {alice@lab.test=s@lab.test} }\n"
                                 "recipient_bcc_maps = inline:{ {@lab.test=r@other.test} }\n";
    struct outcome *o = submit(config, "alice@lab.test", "bob@lab.test dave@lab.test", BODY);
    ASSERT_STORED(o);
    ASSERT_RECIPIENTS(o, "s@lab.test[1] r@other.test[1] bob@lab.test dave@lab.test carol@lab.test[1]");
    struct job job = {.config = config, .content = BODY, .submitted = {.options = SUBMIT_NO_BCC}};
    o = submit_job(&job, "alice@lab.test", "bob@lab.test");
    ASSERT_RECIPIENTS(o, "bob@lab.test");
}
END_TEST

START_TEST(decided_at_the_end)
{
    struct recipient copies[] = {{.address = SLICE("watch")}, {.address = SLICE("bob@lab.test")}};
    struct job job = {.config = "", .content = BODY, .end = {.options = SUBMIT_HOLD, .content_filter = SLICE("scan:here"), .redirect = SLICE("trap"),
                                                            .copies = copies, .copies_count = 2}};
    struct outcome *o = submit_job(&job, "a@b.test", "bob@lab.test");
    ASSERT_STORED(o);
    ASSERT_RECIPIENTS(o, "bob@lab.test watch@lab.test[1] bob@lab.test[1]");
    ASSERT_SLICE(o->envelope.content_filter, "scan:here");
    ASSERT_SLICE(o->envelope.redirect, "trap@lab.test");
    ck_assert(o->envelope.hold);
    job.end.options = SUBMIT_DISCARD;
    o = submit_job(&job, "a@b.test", "bob@lab.test");
    ck_assert(!o->stored);
    ck_assert_int_eq(o->refusal.status, SUBMIT_STATUS_ACCEPTED);
}
END_TEST

START_TEST(original_recipient_off)
{
    struct outcome *o = submit("enable_original_recipient = no\ncanonical_maps = inline:{ {a@lab.test=b@lab.test} }\n", "", "a@lab.test b@lab.test", BODY);
    ASSERT_RECIPIENTS(o, "b@lab.test(a@lab.test)");
}
END_TEST

START_TEST(many_aliases_with_success_notices)
{
    struct buffer recipients = BUFFER_INIT;
    for (int i = 0; i < 3000; i++)
        buffer_printf(&recipients, "r%d@other.virtual.test ", i);
    struct job job = {.config = aliases, .content = BODY, .submitted.envelope.ret = 1};
    struct outcome *o = submit_job(&job, "a@b.test", buffer_string(&recipients));
    ASSERT_STORED(o);
    ck_assert_uint_eq(o->envelope.expanded_count, 3000);
    ASSERT_SLICE(o->envelope.expanded[2999].address, "r2999@other.virtual.test");
    ck_assert_msg(o->memory < 8 << 20, "got %zu bytes", o->memory);
    buffer_release(&recipients);
}
END_TEST

TEST_MAIN("cleanup/addresses", plain, null_sender_and_empty_recipient, canonical_and_masquerade, virtual_aliases, alias_limits, blind_copies, decided_at_the_end,
          original_recipient_off, many_aliases_with_success_notices)
