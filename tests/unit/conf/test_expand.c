/* test_expand.c - $-expansion; the wanted texts are what Postfix 3.7.11 prints */
#include "testing.h"

#include "conf/config.h"

static char reported[512];

static void collect(void *context, bool fatal, const char *file, int line, const char *text)
{
    if (reported[0] == '\0')
        snprintf(reported, sizeof(reported), "%s", text);
}

static const struct {
    const char *text, *want; /* want "!...": fails with a report that starts so */
} cases[] = {
    {"$a", "A"},
    {"$a.$b", "A.B c"},
    {"$$a", "$a"},
    {"$$$a", "$A"},
    {"${a}", "A"},
    {"$(a)", "A"},
    {"${ a }", "A"},
    {"$( a )", "A"},
    {"${a?x}", "x"},
    {"${a ?x}", "x"},
    {"${a?{x}}", "x"},
    {"${a?{x}:{y}}", "x"},
    {"${e?{x}:{y}}", "y"},
    {"${e ? {x} : {y}}", "y"},
    {"${e?{x}:y}", "y"},
    {"${a?{x} : y}", "x"},
    {"${a?x:y}", "x:y"},
    {"${e?x:y}", ""},
    {"${e:x}", "x"},
    {"${e:{x y}}", "x y"},
    {"${e: {x} }", "x"},
    {"${a:x}", ""},
    {"${undef}", ""},
    {"${undef:z}", "z"},
    {"${undef?z}", ""},
    {"$undef.", "."},
    {"${se?x}", "x"}, /* not empty as written, though it expands to nothing */
    {"${se:x}", ""},
    {"${{$a} == {A} ? {yes} : {no}}", "yes"},
    {"${{$a} == {B} ? {yes} : {no}}", "no"},
    {"${{$a} == {A}}", "true"},
    {"${{$a} != {A}}", ""},
    {"${{$a}=={A}?yes}", "yes"},
    {"${{$a}=={A}:yes}", ""},
    {"${{$a}=={B}:yes}", "yes"},
    {"${{$n10} < {$n9} ? {lt} : {ge}}", "ge"},
    {"${{10x} < {9x} ? {lt} : {ge}}", "lt"},
    {"${{10} == {010}}", "true"},
    {"${{-1} < {1}}", "true"},
    {"${{10} <level {9} ? {lt} : {ge}}", "ge"},
    {"${{3.6} <level {3.11} ? {lt} : {ge}}", "lt"},
    {"${{3.6} ==level {3.6.0} ? {lt} : {ge}}", "lt"},
    {"${{03} ==level {3} ? {x}:{y}}", "x"},
    {"${{3.6} <level {3.6.1.2} ? {lt} : {ge}}", "!malformed compatibility level syntax: \"3.6.1.2\""},
    {"${{3.} <level {3} ? {lt} : {ge}}", "!malformed compatibility level syntax: \"3.\""},
    {"${{a} <=> {b}}", "!\"==\" or \"!=\""},
    {"${{a} < b}", "!\"{expression}\" expected at: \"...{a} <"},
    {"${{a} < {b} x}", "!\"?\" or \":\" expected at: \"..."},
    {"${{a}", "!truncated macro reference: \"${{a}\""},
    {"${a", "!truncated macro reference: \"${a\""},
    {"$(a}", "!truncated macro reference: \"$(a}\""},
    {"${a b}", "!attribute name syntax error at: \"...a>>> b\""},
    {"${a-b}", "!attribute name syntax error at: \"...a>>>-b\""},
    {"${}", "!empty macro name: \"${}\""},
    {"${ }", ""},
    {"$", "!empty macro name: \"$\""},
    {"$ x", "!empty macro name: \"$ x\""},
    {"x $", "!empty macro name: \"x $\""},
    {"${?x}", ""},
    {"${a?{x}y}", "!\":\" expected at: \"..."},
    {"${a?{x}:{y}z}", "!unexpected input at: \"..."},
    {"${a?{x}:}", "x"},
    {"${a?}", ""},
    {"${a?{}}", ""},
    {"$self", "!unreasonable macro call nesting"},
    {"${a?${a?${b}}}", "B c"},
    {"${a?{$b}:{$self}}", "B c"},
    {"${a?{{x}}}", "{x}"},
    {"${{ A } == {A} ? {t}:{f}}", "f"},
    {"${{} == {} ? {t} : {f}}", "t"},
    {"${{A}  ==  {A}  ?  {t}  :  {f}  }", "t"},
    {"a}b{c", "a}b{c"},
    {"${a?x}y}", "xy}"},
    {"${a??x}", "?x"},
    {"$2x", ""},
    {"$a-b", "A-b"},
    {"${a?{x$$y}}", "x$y"},
    {"${stress?{10}:{300}}s", "300s"},
    {"${domain_to_ascii{b\xc3\xbc" "cher.example}}", "xn--bcher-kva.example"},
    {"${domain_to_utf8{xn--bcher-kva.example}}", "b\xc3\xbc" "cher.example"},
};

START_TEST(expands_as_postfix_does)
{
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct config *config = config_empty_reporting(collect, NULL);
        ck_assert(config_parse(config, SLICE("a = A\nb = B c\ne =\nse = $e\nself = $self\nn10 = 10\nn9 = 9\n"), "main.cf"));
        struct buffer out = BUFFER_INIT;
        reported[0] = '\0';
        bool ok = config_expand(config, slice_of(cases[i].text), &out);
        const char *want = cases[i].want;
        ck_assert_msg(ok == (want[0] != '!'), "%s: got %s (%s)", cases[i].text, ok ? buffer_string(&out) : "failure", reported);
        if (ok)
            ck_assert_msg(strcmp(buffer_string(&out), want) == 0, "%s: got \"%s\" want \"%s\"", cases[i].text,
                          buffer_string(&out), want);
        else
            ck_assert_msg(strncmp(reported, want + 1, strlen(want + 1)) == 0, "%s: got \"%s\" want \"%s\"", cases[i].text,
                          reported, want + 1);
        buffer_release(&out);
        config_free(config);
    }
}
END_TEST

START_TEST(doubling_values_end)
{
    struct config *config = config_empty_reporting(collect, NULL);
    struct buffer text = BUFFER_INIT, out = BUFFER_INIT;
    for (int i = 0; i < 60; i++)
        buffer_printf(&text, "v%d = $v%d$v%d\n", i, i + 1, i + 1);
    ck_assert(config_parse(config, buffer_slice(&text), "main.cf"));
    ck_assert(!config_expand(config, SLICE("$v0"), &out));
    ck_assert_uint_eq(out.len, 0);
    buffer_release(&text);
    buffer_release(&out);
    config_free(config);
}
END_TEST

static const char *mailbox_macro(void *context, struct slice name)
{
    return slice_equal(name, SLICE("user")) ? "$home" : NULL;
}

START_TEST(consumers_values_are_data)
{
    struct buffer out = BUFFER_INIT, error = BUFFER_INIT;
    ck_assert(config_expand_with(SLICE("/u/$user${x?no}"), mailbox_macro, NULL, &out, &error));
    ASSERT_SLICE(buffer_slice(&out), "/u/$home");
    ck_assert(!config_expand_with(SLICE("${user"), mailbox_macro, NULL, &out, &error));
    ASSERT_SLICE(buffer_slice(&error), "truncated macro reference: \"${user\"");
    buffer_release(&out);
    buffer_release(&error);
}
END_TEST

TEST_MAIN("conf/expand", expands_as_postfix_does, doubling_values_end, consumers_values_are_data)
