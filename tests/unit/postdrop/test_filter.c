/* test_filter.c - what a user may put into maildrop */
#include "testing.h"

#include "../../../tools/postdrop/filter.h"
#include "../../../tools/postdrop/sender_check.h"

START_TEST(passes_a_message)
{
    struct filter f;
    filter_init(&f, 100);
    ck_assert(filter_record(&f, 'A', SLICE("rewrite_context=local")));
    ck_assert(filter_record(&f, 'F', SLICE("Bob")));
    ck_assert(filter_record(&f, 'S', SLICE("bob")));
    ck_assert(filter_record(&f, 'R', SLICE("alice")));
    ck_assert(filter_record(&f, 'M', slice_of("")));
    ck_assert(filter_record(&f, 'N', SLICE("Subject: x")));
    ck_assert(filter_record(&f, 'X', slice_of("")));
    ck_assert(filter_record(&f, 'E', slice_of("")));
    ck_assert_int_eq(f.status, FILTER_OK);
    ck_assert_uint_eq(f.recipients, 1);
    filter_release(&f);
}
END_TEST

START_TEST(drops_foreign_attributes)
{
    static const struct {
        struct slice record;
        bool passes;
    } cases[] = {{SLICE("client_name=evil"), false}, {SLICE("encoding=8bit"), true}, {SLICE("encoding=16bit"), false}, {SLICE("encoding="), true},
                 {SLICE("rewrite_context=other"), false}, {SLICE("trace_flags=512"), true}, {SLICE("trace_flags=1"), false},
                 {SLICE("notify_flags=2"), true}, {SLICE("nonsense"), false}, {SLICE("log_ident=1"), false}, {SLICE("sasl_username=root"), false}};
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct filter f;
        filter_init(&f, 0);
        ck_assert_msg(filter_record(&f, 'A', cases[i].record) == cases[i].passes, "case %zu", i);
        ck_assert_int_eq(f.status, FILTER_OK);
        filter_release(&f);
    }
}
END_TEST

START_TEST(refuses_types_and_sizes)
{
    struct filter f;
    filter_init(&f, 10);
    ck_assert(!filter_record(&f, 'T', SLICE("1")));
    ck_assert_int_eq(f.status, FILTER_BAD);
    filter_release(&f);
    filter_init(&f, 10);
    filter_record(&f, 'M', slice_of(""));
    ck_assert(filter_record(&f, 'N', SLICE("12345")));
    ck_assert(!filter_record(&f, 'N', SLICE("12345")));
    ck_assert_int_eq(f.status, FILTER_SIZE);
    ck_assert_str_eq(filter_reason(&f), "message file too big");
    filter_release(&f);
}
END_TEST

START_TEST(matches_senders)
{
    ck_assert(sender_matches(SLICE("*"), SLICE("x@y"), "<>"));
    ck_assert(sender_matches(SLICE("a@b, @y"), SLICE("x@Y"), "<>"));
    ck_assert(sender_matches(SLICE("bob <>"), slice_of(""), "<>"));
    ck_assert(!sender_matches(SLICE("bob"), slice_of(""), "<>"));
    ck_assert(!sender_matches(SLICE("@y @"), SLICE("x@sub.y"), "<>"));
    ck_assert(!sender_matches(slice_of(""), SLICE("x"), "<>"));
}
END_TEST

TEST_MAIN("postdrop/filter", passes_a_message, drops_foreign_attributes, refuses_types_and_sizes, matches_senders)
