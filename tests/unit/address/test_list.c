/* test_list.c - address lists */
#include "testing.h"

#include "address/mail_address.h"

/* What Postfix 3.7 prints when an address changes; each address is shown as {external}. */
static const struct {
    const char *text, *tokens;
} cases[] = {
    {"alice@a.test", "{alice@a.test}"},
    {"alice", "{alice}"},
    {"", ""},
    {" ", ""},
    {"<>", "<>"},
    {"a@b.test, c@d.test", "{a@b.test}, {c@d.test}"},
    {"\"Quoted, Name\" <old.name@lab.test>", "\"Quoted, Name\" <{old.name@lab.test}>"},
    {"old@lab.test (a comment), x", "{old@lab.test} (a comment), {x}"},
    {"Group: alice@lab.test, bob+ext@lab.test;, x@whole.test", "Group: {alice@lab.test}, {bob+ext@lab.test};, {x@whole.test}"},
    {"undisclosed-recipients:;", "undisclosed-recipients: ;"},
    {"two@virtual.test carol", "{two@virtual.test}, {carol}"},
    {"a . b @ c . d", "{a.b@c.d}"},
    {"Full Name <a@b>", "Full Name <{a@b}>"},
    {"<@r.test,@s.test:a@b>, c", "<{a@b}>, {c}"},
    {"\"a b\"@c.test", "{\"a b\"@c.test}"},
    {"a@b.test,\r\n\tc@d.test", "{a@b.test}, {c@d.test}"},
    {"a(x)@b.test", "{a@b.test} (x)"},
    {"(only a comment)", "(only a comment)"},
    {"\"unterminated", "{unterminated}"},
    {"<unterminated@x", "{\"<unterminated\"@x}"},
    {"a,,b", "{a}, , {b}"},
    {"x@[127.0.0.1], y", "{x@[127.0.0.1]}, {y}"},
    {"\\", ""},
    {"joe\\", "{joe}"},
    {"j\\ oe", "{\"j oe\"}"},
    {"(a) joe (b) , (c) jim (d)", "{joe} (a) (b), {jim} (c) (d)"},
    {"Joe (x) <joe> (y)", "Joe (x) <{joe}>(y)"},
    {"\"J. D.\" <joe> tail", "\"J. D.\" <{joe}>, {tail}"},
    {"joe, jim,, jack,", "{joe}, {jim}, , {jack}, "},
    {"grp: joe, jim; jack", "grp: {joe}, {jim};, {jack}"},
    {"grp: joe, jim", "{\"grp:joe\"}, {jim}"},
    {"@a,@b:joe@c", "{@a}, {joe@c}"},
    {"\"jo\"e\"x\"@lab", "{jo}, {e}, {x@lab}"},
    {"Joe <joe", "{\"Joe <joe\"}"},
    {"Joe <joe <jim>>", "Joe <joe <{\"jim>\"}>"},
    {"Joe joe>", "{Joejoe}>"},
    {"<joe><jim>", "<{joe}> <{jim}>"},
    {"Joe <joe> Jim <jim>", "Joe <{joe}>Jim <{jim}>"},
    {"j(c)oe", "{j}, {oe} (c)"},
    {"joe(c", "{joe} (c"},
    {"joe)c", "{\"joe)c\"}"},
    {":", "{\":\"}"},
    {"[", "{\"[]\"}"},
    {"\"a\\b\" <joe>", "\"ab\" <{joe}>"},
    {"\"a\tb\" <joe>", "\"a b\" <{joe}>"},
    {"(a)(b)<joe>", "(a) (b) <{joe}>"},
    {"<(c) joe>", "<{joe} (c)>"},
    {"<joe doe>", "<{joedoe}>"},
    {"<joe, jim>", "<{\"joe, jim\"}>"},
    {"a: b: joe;", "a:b: {joe};"},
    {"a@b:joe", "{a@b:joe}"},
    {"\"a\":joe;", "\"a\": {joe};"},
    {"g: joe; , h: jim;", "g: {joe};, h: {jim};"},
    {"joe (a\r\n b)", "{joe} (a  b)"},
    {"joe@", "{joe@}"},
    {"Joe Q. Doe <joe>", "Joe Q.Doe <{joe}>"},
    {"A ) <joe>", "A) <{joe}>"},
    {"A\\B <joe>", "AB <{joe}>"},
    {"g:<joe>", "{g}: <{joe}>"},
    {"<joe> g: jim;", "<joe>g: {jim};"},
};

START_TEST(lists)
{
    struct arena *arena = arena_new(0);
    struct buffer shown = BUFFER_INIT;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct address_token *tokens;
        size_t count;
        ck_assert(address_list_parse(slice_of(cases[i].text), 0, arena, &tokens, &count));
        buffer_clear(&shown);
        for (size_t t = 0; t < count; t++) {
            if (tokens[t].kind == ADDRESS_TOKEN_ADDRESS)
                tokens[t].text = arena_format(arena, "{" SLICE_FORMAT "}", SLICE_ARGS(tokens[t].text));
        }
        address_list_print(tokens, count, &shown);
        ck_assert_msg(strcmp(buffer_string(&shown), cases[i].tokens) == 0, "\"%s\": got %s want %s", cases[i].text, buffer_string(&shown),
                      cases[i].tokens);
    }
    buffer_release(&shown);
    arena_free(arena);
}
END_TEST

START_TEST(the_limit_cuts)
{
    struct arena *arena = arena_new(0);
    struct address_token *tokens;
    size_t count;
    ck_assert(!address_list_parse(SLICE("a,b,c,d"), 4, arena, &tokens, &count));
    ck_assert_uint_eq(count, 3);
    ASSERT_SLICE(tokens[2].text, "b");
    ck_assert(!address_list_parse(SLICE("a@b.c, d@e.f"), 5, arena, &tokens, &count)); /* no half address */
    ck_assert_uint_eq(count, 1);
    ASSERT_SLICE(tokens[0].text, "a@b.c");
    struct slice *addresses;
    ck_assert_uint_eq(address_list_addresses(SLICE("a, <b@c>"), 0, arena, &addresses), 2);
    ASSERT_SLICE(addresses[1], "b@c");
    arena_free(arena);
}
END_TEST

TEST_MAIN("address/list", lists, the_limit_cuts)
