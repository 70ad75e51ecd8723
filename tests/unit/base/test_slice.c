/* test_slice.c - slices: comparing, searching, splitting, numbers, UTF-8 */
#include "testing.h"

START_TEST(compares)
{
    ck_assert(slice_equal(slice_of(NULL), SLICE("")));
    ck_assert(slice_equal(SLICE("abc"), SLICE("abc")));
    ck_assert(!slice_equal(SLICE("abc"), SLICE("abC")));
    ck_assert(!slice_equal(SLICE("abc"), SLICE("ab")));
    ck_assert(slice_equal_case(SLICE("aBc[@`{"), SLICE("AbC[@`{")));
    ck_assert(!slice_equal_case(SLICE("@"), SLICE("`"))); /* differ in the case bit but are no letters */
    ck_assert(!slice_equal_case(SLICE("\xc4"), SLICE("\xe4")));
    ck_assert_int_lt(slice_compare(SLICE("ab"), SLICE("abc")), 0);
    ck_assert_int_gt(slice_compare(SLICE("b"), SLICE("abc")), 0);
    ck_assert_int_gt(slice_compare(SLICE("\xff"), SLICE("a")), 0);
    ck_assert_int_eq(slice_compare(slice_of(NULL), SLICE("")), 0);
    ck_assert(slice_starts(SLICE("MAIL FROM"), SLICE("MAIL")));
    ck_assert(!slice_starts(SLICE("MAI"), SLICE("MAIL")));
    ck_assert(slice_starts_case(SLICE("mail from"), SLICE("MAIL")));
    ck_assert(slice_ends(SLICE("a.example"), SLICE(".example")));
    ck_assert(!slice_ends(SLICE("example"), SLICE(".example")));
    ck_assert(slice_ends_case(SLICE("a.EXAMPLE"), SLICE(".example")));
}
END_TEST

START_TEST(searches)
{
    struct slice s = SLICE("user@sub@example");
    ck_assert_uint_eq(slice_find(s, '@'), 4);
    ck_assert_uint_eq(slice_find_last(s, '@'), 8);
    ck_assert_uint_eq(slice_find(s, '!'), s.len);
    ck_assert_uint_eq(slice_find(slice_of(NULL), 'x'), 0);
    ck_assert_uint_eq(slice_find_last(slice_of(NULL), 'x'), 0);
    ck_assert_uint_eq(slice_find_any(s, "!b@"), 4);
    ck_assert_uint_eq(slice_find_any(slice_make("a\0b", 3), "b"), 2); /* NUL is in no set */
    ck_assert_uint_eq(slice_search(s, SLICE("sub")), 5);
    ck_assert_uint_eq(slice_search(s, SLICE("")), 0);
    ck_assert_uint_eq(slice_search(s, SLICE("nothing")), s.len);
}
END_TEST

START_TEST(cuts)
{
    struct slice head, tail, token, rest = SLICE("  a, b,,c  ");
    const char *const want[] = {"a", "b", "c"};
    ASSERT_SLICE(slice_from(SLICE("abc"), 1), "bc");
    ASSERT_SLICE(slice_from(SLICE("abc"), 9), "");
    ASSERT_SLICE(slice_first(SLICE("abc"), 2), "ab");
    ASSERT_SLICE(slice_first(SLICE("abc"), 9), "abc");
    ASSERT_SLICE(slice_trim(SLICE(" \t\r\n\v\fa b ")), "a b");
    ASSERT_SLICE(slice_trim(SLICE(" \t")), "");
    ASSERT_SLICE(slice_trim(slice_of(NULL)), "");
    ASSERT_SLICE(slice_trim_left(SLICE(" a ")), "a ");
    ASSERT_SLICE(slice_trim_right(SLICE(" a ")), " a");
    ck_assert(slice_cut(SLICE("a=b=c"), '=', &head, &tail));
    ASSERT_SLICE(head, "a");
    ASSERT_SLICE(tail, "b=c");
    ck_assert(!slice_cut(SLICE("abc"), '=', &head, &tail));
    ASSERT_SLICE(head, "abc");
    ASSERT_SLICE(tail, "");
    for (size_t i = 0; i < COUNT_OF(want); i++) {
        ck_assert(slice_next_token(&rest, " ,", &token));
        ASSERT_SLICE(token, want[i]);
    }
    ck_assert(!slice_next_token(&rest, " ,", &token));
}
END_TEST

START_TEST(splits_lines)
{
    struct slice line, rest = SLICE("one\n\ntwo");
    const char *const want[] = {"one", "", "two"};
    for (size_t i = 0; i < COUNT_OF(want); i++) {
        ck_assert(slice_next_line(&rest, &line));
        ASSERT_SLICE(line, want[i]);
    }
    ck_assert(!slice_next_line(&rest, &line));
    rest = SLICE("one\n");
    ck_assert(slice_next_line(&rest, &line));
    ck_assert(!slice_next_line(&rest, &line));
}
END_TEST

START_TEST(reads_numbers)
{
    uint64_t u;
    int64_t i;
    static const char *const bad[] = {"", " 1", "1 ", "+1", "-", "0x1", "18446744073709551616", "99999999999999999999", "1-", "--1"};
    for (size_t n = 0; n < COUNT_OF(bad); n++) {
        ck_assert_msg(!slice_to_u64(slice_of(bad[n]), &u), "\"%s\"", bad[n]);
        ck_assert_msg(!slice_to_i64(slice_of(bad[n]), &i), "\"%s\"", bad[n]);
    }
    ck_assert(slice_to_u64(SLICE("18446744073709551615"), &u) && u == UINT64_MAX);
    ck_assert(slice_to_u64(SLICE("007"), &u) && u == 7);
    ck_assert(!slice_to_u64(SLICE("-1"), &u));
    ck_assert(slice_to_i64(SLICE("-9223372036854775808"), &i) && i == INT64_MIN);
    ck_assert(slice_to_i64(SLICE("9223372036854775807"), &i) && i == INT64_MAX);
    ck_assert(!slice_to_i64(SLICE("9223372036854775808"), &i));
    ck_assert(!slice_to_i64(SLICE("-9223372036854775809"), &i));
    ck_assert(slice_to_u64_hex(SLICE("fFfFfFfFfFfFfFfF"), &u) && u == UINT64_MAX);
    ck_assert(!slice_to_u64_hex(SLICE("10000000000000000"), &u));
    ck_assert(!slice_to_u64_hex(SLICE("fg"), &u));
    ck_assert(!slice_to_u64_hex(SLICE(""), &u));
}
END_TEST

static const struct {
    const char *bytes;
    bool want;
} utf8[] = {
    {"", true},
    {"plain", true},
    {"gr\xc3\xbc\xc3\x9f", true},
    {"\xe2\x82\xac", true},
    {"\xf0\x9f\x98\x80", true},
    {"\xf4\x8f\xbf\xbf", true},
    {"\xc3", false},             /* cut off */
    {"\xe2\x82", false},
    {"\xbc", false},             /* continuation alone */
    {"\xc0\xaf", false},         /* overlong */
    {"\xc1\xbf", false},
    {"\xe0\x9f\xbf", false},
    {"\xf0\x8f\xbf\xbf", false},
    {"\xed\xa0\x80", false},     /* surrogate */
    {"\xf4\x90\x80\x80", false}, /* above U+10FFFF */
    {"\xf5\x80\x80\x80", false},
    {"\xff", false},
    {"\xc3(", false},
};

START_TEST(knows_character_sets)
{
    for (size_t i = 0; i < COUNT_OF(utf8); i++)
        ck_assert_msg(slice_is_utf8(slice_of(utf8[i].bytes)) == utf8[i].want, "row %zu: want %d", i, utf8[i].want);
    ck_assert(slice_is_ascii(SLICE("a\x7f")));
    ck_assert(!slice_is_ascii(SLICE("a\x80")));
    ck_assert(slice_has_control(SLICE("a\x7f")));
    ck_assert(slice_has_control(slice_make("a\0", 2)));
    ck_assert(!slice_has_control(SLICE("a \xc3\xbc")));
}
END_TEST

START_TEST(hashes_depend_on_every_byte)
{
    char a[40] = {0}, b[40] = {0};
    for (size_t len = 1; len <= sizeof(a); len++) {
        for (size_t i = 0; i < len; i++) {
            b[i] = 1;
            ck_assert(slice_hash(slice_make(a, len)) != slice_hash(slice_make(b, len)));
            b[i] = 0;
        }
        ck_assert(slice_hash(slice_make(a, len)) == slice_hash(slice_make(b, len)));
        ck_assert(slice_hash(slice_make(a, len)) != slice_hash(slice_make(a, len - 1)));
    }
}
END_TEST

START_TEST(copies)
{
    char *text = slice_string(SLICE("abc"));
    ck_assert_str_eq(text, "abc");
    free(text);
    text = slice_string(slice_of(NULL));
    ck_assert_str_eq(text, "");
    free(text);
}
END_TEST

TEST_MAIN("base/slice", compares, searches, cuts, splits_lines, reads_numbers, knows_character_sets, hashes_depend_on_every_byte, copies)
