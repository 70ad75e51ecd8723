/* test_path.c - addresses of MAIL FROM and RCPT TO; the good and bad ones are what Postfix 3.7 accepts and refuses */
#include "testing.h"

#include "address/mail_address.h"

static const struct {
    const char *text;
    bool strict;
    const char *external; /* NULL: refused */
    const char *rest;
} cases[] = {
    {"<a@example.test>", true, "a@example.test", ""},
    {"<a@example.test> SIZE=10 BODY=8BITMIME", true, "a@example.test", "SIZE=10 BODY=8BITMIME"},
    {" <a@example.test>", false, "a@example.test", ""},
    {"a@example.test", false, "a@example.test", ""},
    {"a@example.test", true, NULL, ""},
    {"a@example.test FOO", false, "a@example.test", "FOO"},
    {"<>", true, "", ""},
    {"<> RET=HDRS", true, "", "RET=HDRS"},
    {"", false, NULL, ""},
    {"   ", false, NULL, ""},
    {"<a@example.test", false, NULL, ""},
    {"a@example.test>", false, "a@example.test", ""},
    {"<<a@example.test>>", false, "a@example.test", ""},
    {"<<a@example.test>>", true, NULL, ""},
    {"<a b@example.test>", false, NULL, ""},
    {"<\"a b\"@example.test>", true, "\"a b\"@example.test", ""},
    {"<\"alice\"@lab.test>", true, "alice@lab.test", ""},
    {"<a@example..test>", false, NULL, ""},
    {"<a@[10.9.0.1]>", true, "a@[10.9.0.1]", ""},
    {"<a@[300.1.1.1]>", false, NULL, ""},
    {"<a@[IPv6:2001:db8::1]>", true, "a@[IPv6:2001:db8::1]", ""},
    {"<a@[2001:db8::1]>", true, NULL, ""},
    {"<@example.test>", true, "@example.test", ""},
    {"<a@>", true, NULL, ""},
    {"<alice>", true, "alice", ""},
    {"<alice@lab.test.>", true, "alice@lab.test.", ""},
    {"<elsewhere.test!bob@lab.test>", true, "elsewhere.test!bob@lab.test", ""},
    {"<bob@elsewhere.test@lab.test>", true, "bob@elsewhere.test@lab.test", ""},
    {"<@a.test,@b.test:user@c.test>", true, "user@c.test", ""},
    {"<@[IPv6:::1]:user@c.test>", true, "user@c.test", ""},
    {"<a..b@c.test>", true, "\"a..b\"@c.test", ""},
    {"<.a@c.test>", true, "\".a\"@c.test", ""},
    {"<\"a\\\"b\"@c.test>", true, "\"a\\\"b\"@c.test", ""},
    {"<\"a>b\"@c.test> X=1", true, "\"a>b\"@c.test", "X=1"},
    {"<\"a@c.test>", false, NULL, ""},
    {"(comment)<a@c.test>", false, "a@c.test", ""},
    {"<a(comment)@c.test>", false, "a@c.test", ""},
    {"<a(comment)@c.test>", true, NULL, ""},
    {"<a,b@c.test>", false, NULL, ""},
    {"<\"us er\"+tag@c.test>", true, NULL, ""},
    {"<a\"b c\"@c.test>", true, NULL, ""},
    {"<\"a b\"\"c\"@c.test>", true, NULL, ""},
    {"<a.\"b c\".d@c.test>", true, "\"a.b c.d\"@c.test", ""},
    {"<a\\b@c.test>", true, "ab@c.test", ""},
    {"<a\\ b@c.test> X=1", false, "\"a b\"@c.test", "X=1"},
    {"<a\\@b@c.test>", true, "\"a@b\"@c.test", ""},
    {"<a@c.te\\st>", true, NULL, ""},
    {"<a@\"c.test\">", false, NULL, ""},
    {"<a\x01@c.test>", false, NULL, ""},
    {"<\"a\rb\"@c.test>", false, NULL, ""},
    {"<a@c.test>junk", true, NULL, ""},
    {"<a@under_score.test>", true, "a@under_score.test", ""},
    {"<a@-c.test>", true, NULL, ""},
    {"<a:b@c.test> X=1", true, "\"a:b\"@c.test", "X=1"},
    {"<a:b@c.test>", false, "\"a:b\"@c.test", ""},
    {"<a:b>", false, "\"a:b\"", ""},
    {"<a@c.test:25>", false, NULL, ""},
    {"<a;b@c.test>", false, NULL, ""},
    {"<a@c.test>;", false, "a@c.test", ""},
    {"<a@c.test>; X=1", false, "a@c.test", "X=1"},
    {"<a@c.test>;", true, NULL, ""},
    {"<a@c.test>;<b@c.test>", false, NULL, ""},
    {"<a@c.test>;b@c.test", false, NULL, ""},
    {"<a@c.test(unclosed>", false, "a@c.test", ""},
    {"<a@c.test(unclosed> X=1", false, "a@c.test", "X=1"},
    {"<a@c.test(unclosed>", true, NULL, ""},
    {"(unclosed <a@c.test>", false, NULL, ""},
    {">", false, "", ""},
    {"> X=1", false, "", "X=1"},
    {">", true, NULL, ""},
    {">>", false, NULL, ""},
    {"<a@c.test@>", false, NULL, ""}, /* Postfix takes it: an address with an empty domain */
    {"<a@123>", false, NULL, ""},
    {"<a@123.456>", true, NULL, ""},
    {"<a@10.9.0.1>", false, NULL, ""},
    {"<a@123.456.test>", true, "a@123.456.test", ""},
};

START_TEST(paths)
{
    struct arena *arena = arena_new(0);
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct slice external, rest;
        bool good = mail_address_parse_path(slice_of(cases[i].text), cases[i].strict, false, arena, &external, &rest);
        ck_assert_msg(good == (cases[i].external != NULL), "%s (strict %d): got %s \"" SLICE_FORMAT "\"", cases[i].text, cases[i].strict,
                      good ? "accepted" : "refused", SLICE_ARGS(external));
        if (good) {
            ASSERT_SLICE(external, cases[i].external);
            ASSERT_SLICE(rest, cases[i].rest);
        }
    }
    arena_free(arena);
}
END_TEST

START_TEST(utf8_only_where_allowed)
{
    struct arena *arena = arena_new(0);
    struct slice external, rest;
    struct slice text = slice_of("<j\xc3\xb6rg@m\xc3\xbcller.test>");
    ck_assert(!mail_address_parse_path(text, true, false, arena, &external, &rest));
    ck_assert(mail_address_parse_path(text, true, true, arena, &external, &rest));
    ASSERT_SLICE(external, "j\xc3\xb6rg@m\xc3\xbcller.test");
    ck_assert(!mail_address_parse_path(slice_of("<\xe9@example.test>"), false, true, arena, &external, &rest));
    arena_free(arena);
}
END_TEST

START_TEST(split_and_join)
{
    struct arena *arena = arena_new(0);
    struct mail_address parts;
    mail_address_split(SLICE("\"a@ \\\"b\"@c.test"), arena, &parts);
    ASSERT_SLICE(parts.local_part, "a@ \"b");
    ASSERT_SLICE(parts.domain, "c.test");
    ASSERT_SLICE(mail_address_join(parts.local_part, parts.domain, arena), "\"a@ \\\"b\"@c.test");
    ASSERT_SLICE(mail_address_internal(SLICE("\"a b\"@c.test"), arena), "a b@c.test");
    ASSERT_SLICE(mail_address_internal(SLICE("\"a b\""), arena), "a b");
    ASSERT_SLICE(mail_address_domain(SLICE("alice")), "");
    ASSERT_SLICE(mail_address_local(SLICE("alice")), "alice");
    ASSERT_SLICE(mail_address_domain(SLICE("a@b@c")), "c");
    ASSERT_SLICE(mail_address_local(SLICE("a@b@c")), "a@b");
    ASSERT_SLICE(mail_address_join(SLICE("a@b"), SLICE("c"), arena), "\"a@b\"@c");
    ASSERT_SLICE(mail_address_domain(SLICE("")), "");
    arena_free(arena);
}
END_TEST

START_TEST(domains)
{
    const char *why;
    ck_assert(domain_is_valid(SLICE("a.example"), &why));
    ck_assert(domain_is_valid(SLICE("[127.0.0.1]"), &why));
    ck_assert(domain_is_valid(slice_of("m\xc3\xbcller.test"), &why));
    ck_assert(!domain_is_valid(SLICE(""), &why));
    ck_assert_str_eq(why, "empty hostname");
    ck_assert(!domain_is_valid(SLICE("1.2.3.4"), &why));
    ck_assert_str_eq(why, "numeric hostname");
    ck_assert(!domain_is_valid(SLICE("a..b"), &why));
    ck_assert_str_eq(why, "misplaced delimiter");
    ck_assert(!domain_is_valid(SLICE("a b"), &why));
    ck_assert(!domain_is_valid(SLICE("[]"), &why));
    ck_assert(!domain_is_valid(SLICE("[1.2.3.4"), &why));
    ck_assert(domain_is_literal(SLICE("[IPv6:::1]")));
    ck_assert(!domain_is_literal(SLICE("[::1]")));
    struct buffer out = BUFFER_INIT;
    ck_assert(domain_to_ascii(slice_of("m\xc3\xbcller.test"), &out));
    ck_assert_str_eq(buffer_string(&out), "xn--mller-kva.test");
    buffer_clear(&out);
    ck_assert(domain_to_utf8(SLICE("xn--mller-kva.test"), &out));
    ck_assert_str_eq(buffer_string(&out), "m\xc3\xbcller.test");
    buffer_release(&out);
}
END_TEST

TEST_MAIN("address/path", paths, utf8_only_where_allowed, split_and_join, domains)
