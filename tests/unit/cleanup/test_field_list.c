/* test_field_list.c - the header of a message while mail filters change it */
#include "testing.h"

#include "../../../qmgr/cleanup/field_list.h"

static struct field_list list;

static void parse(const char *header, uint64_t own)
{
    field_list_init(&list);
    buffer_append_string(&list.text, header);
    ck_assert(field_list_parse(&list, own));
}

/* All fields, each followed by "|"; own ones in brackets. */
static struct slice all(void)
{
    static struct buffer out;
    buffer_clear(&out);
    for (size_t i = 0; i < list.count; i++) {
        struct slice text = field_text(&list, i);
        buffer_printf(&out, list.fields[i].own ? "[" SLICE_FORMAT "]|" : SLICE_FORMAT "|", SLICE_ARGS(text));
    }
    return buffer_slice(&out);
}

START_TEST(parsed)
{
    parse("X-Pre: a\r\nReceived: by us\r\n\tid 1\r\nReceived: older\r\nSubject : s\r\n", 10);
    ASSERT_SLICE(all(), "X-Pre: a|[Received: by us\r\n\tid 1]|Received: older|Subject : s|");
    ASSERT_SLICE(field_name(&list, 3), "Subject");
    ASSERT_SLICE(field_value(&list, 3), " s");
    ASSERT_SLICE(field_value(&list, 1), " by us\r\n\tid 1");
    ck_assert_uint_eq(field_list_find(&list, SLICE("received"), 1), 2);
    ck_assert_uint_eq(field_list_find(&list, SLICE("Received"), 0), 2);
    ck_assert_uint_eq(field_list_find(&list, SLICE("Received"), 2), list.count);
    field_list_release(&list);
    parse("", UINT64_MAX);
    ck_assert_uint_eq(list.count, 0);
    field_list_release(&list);
    parse("no field\r\nA:\r\nlast: without end", UINT64_MAX);
    ASSERT_SLICE(all(), "no field|A:|last: without end|");
    ck_assert_uint_eq(list.fields[0].name_len, 0);
    ASSERT_SLICE(field_value(&list, 1), "");
    field_list_release(&list);
}
END_TEST

START_TEST(changed)
{
    parse("Received: by us\r\nA: 1\r\nB: 2\r\na: 3\r\n", 0);
    ck_assert(field_list_insert(&list, 0, SLICE("Top: t")));
    ck_assert(field_list_insert(&list, 99, SLICE("End: e")));
    ck_assert(field_list_replace(&list, field_list_find(&list, SLICE("A"), 2), SLICE("A: new\n folded")));
    field_list_delete(&list, field_list_find(&list, SLICE("b"), 1));
    ASSERT_SLICE(all(), "Top: t|[Received: by us]|A: 1|A: new\r\n folded|End: e|");
    /* several at once, any line end */
    ck_assert(field_list_replace(&list, 2, SLICE("X: 1\r\n\tmore\nY: 2\n")));
    ASSERT_SLICE(all(), "Top: t|[Received: by us]|X: 1\r\n\tmore|Y: 2|A: new\r\n folded|End: e|");
    while (list.count)
        field_list_delete(&list, 0);
    ck_assert(field_list_insert(&list, 5, SLICE("only: one")));
    ASSERT_SLICE(all(), "only: one|");
    field_list_release(&list);
}
END_TEST

START_TEST(values_stay_values)
{
    static const struct {
        const char *value, *want;
    } rows[] = {{" plain", "N: plain"}, {"", "N:"}, {" a\n b", "N: a\r\n b"}, {" a\r\n\tb", "N: a\r\n\tb"}, {" a\nEvil: yes", "N: a\r\n\tEvil: yes"},
                {" a\n\nbody", "N: a\r\n\t\r\n\tbody"}, {" a\n", "N: a"}, {" a\rb", "N: a b"}, {" a\r", "N: a "}, {" a\n\n", "N: a\r\n\t"}};
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct buffer out = BUFFER_INIT;
        field_text_make(&out, SLICE("N"), slice_of(rows[i].value), ' ');
        ASSERT_SLICE(buffer_slice(&out), rows[i].want);
        buffer_release(&out);
    }
}
END_TEST

START_TEST(bounded)
{
    static char large[1 << 20];
    size_t count = 0;
    memset(large, 'x', sizeof(large));
    large[0] = ':';
    field_list_init(&list);
    while (field_list_insert(&list, 0, slice_make(large, sizeof(large))))
        count++;
    ck_assert_uint_ge(count, 30);
    ck_assert_uint_le(list.text.len, FIELD_LIST_TEXT_MAX);
    field_list_release(&list);
    field_list_init(&list);
    for (count = 0; field_list_insert(&list, SIZE_MAX, SLICE("a:")); count++)
        ;
    ck_assert_uint_eq(count, FIELD_LIST_FIELDS_MAX);
    field_list_release(&list);
}
END_TEST

TEST_MAIN("cleanup/field_list", parsed, changed, values_stay_values, bounded)
