/* test_reply.c - packets of mail filters taken apart */
#include "testing.h"

#include "milter/reply.h"

#define BYTES(literal) ((struct slice){"" literal, sizeof(literal) - 1})

START_TEST(test_replies)
{
    static const struct { char code; struct slice data; enum milter_reply_kind kind; uint32_t index; const char *name, *value, *parameters; } rows[] = {
        {'c', {"", 0}, REPLY_IS_CONTINUE, 0, "", "", ""},
        {'a', {"", 0}, REPLY_IS_ACCEPT, 0, "", "", ""},
        {'p', {"x", 1}, REPLY_IS_PROGRESS, 0, "", "", ""},
        {'4', {"", 0}, REPLY_IS_SHUTDOWN, 0, "", "", ""},
        {'f', {"", 0}, REPLY_IS_CONNECTION_FAILURE, 0, "", "", ""},
        {'y', {"550 5.7.1 no\0", 13}, REPLY_IS_CODE, 0, "", "550 5.7.1 no", ""},
        {'y', {"550 5.7.1 no", 12}, REPLY_IS_MALFORMED, 0, "", "", ""},
        {'h', {"X-A\0b\0", 6}, REPLY_IS_ADD_HEADER, 0, "X-A", "b", ""},
        {'h', {"X-A\0b", 5}, REPLY_IS_MALFORMED, 0, "", "", ""},
        {'h', {"X-A\0b\0c", 7}, REPLY_IS_MALFORMED, 0, "", "", ""},
        {'h', {"", 0}, REPLY_IS_MALFORMED, 0, "", "", ""},
        {'i', {"\0\0\1\2X\0y\0", 8}, REPLY_IS_INSERT_HEADER, 258, "X", "y", ""},
        {'i', {"\0\0\1", 3}, REPLY_IS_MALFORMED, 0, "", "", ""},
        {'m', {"\0\0\0\1X\0\0", 7}, REPLY_IS_CHANGE_HEADER, 1, "X", "", ""},
        {'b', {"a\0b", 3}, REPLY_IS_BODY, 0, "", NULL, ""},
        {'+', {"<a@b>\0", 6}, REPLY_IS_ADD_RECIPIENT, 0, "", "<a@b>", ""},
        {'+', {"<a@b>\0x\0", 8}, REPLY_IS_MALFORMED, 0, "", "", ""},
        {'2', {"<a@b>\0x\0", 8}, REPLY_IS_ADD_RECIPIENT, 0, "", "<a@b>", "x"},
        {'-', {"<a@b>\0", 6}, REPLY_IS_DELETE_RECIPIENT, 0, "", "<a@b>", ""},
        {'e', {"<>\0", 3}, REPLY_IS_CHANGE_SENDER, 0, "", "<>", ""},
        {'e', {"<a@b>\0SIZE=1\0", 13}, REPLY_IS_CHANGE_SENDER, 0, "", "<a@b>", "SIZE=1"},
        {'q', {"why\0", 4}, REPLY_IS_QUARANTINE, 0, "", "why", ""},
        {'z', {"", 0}, REPLY_IS_MALFORMED, 0, "", "", ""},
        {'\0', {"", 0}, REPLY_IS_MALFORMED, 0, "", "", ""},
    };

    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct milter_reply reply;
        milter_parse_reply(rows[i].code, rows[i].data, &reply);
        ck_assert_msg(reply.kind == rows[i].kind, "row %zu: got kind %d want %d", i, (int)reply.kind, (int)rows[i].kind);
        if (reply.kind == REPLY_IS_MALFORMED || !rows[i].value)
            continue;
        ck_assert_uint_eq(reply.index, rows[i].index);
        ASSERT_SLICE(reply.name, rows[i].name);
        ASSERT_SLICE(reply.value, rows[i].value);
        ASSERT_SLICE(reply.parameters, rows[i].parameters);
    }
}
END_TEST

START_TEST(test_long_values)
{
    struct buffer data = BUFFER_INIT;
    struct milter_reply reply;

    for (int i = 0; i < MILTER_REPLY_TEXT + 1; i++)
        buffer_append_byte(&data, 'x');
    buffer_append_byte(&data, '\0');
    milter_parse_reply('y', buffer_slice(&data), &reply);
    ck_assert_int_eq(reply.kind, REPLY_IS_MALFORMED);
    milter_parse_reply('q', buffer_slice(&data), &reply);
    ck_assert_int_eq(reply.kind, REPLY_IS_MALFORMED);
    milter_parse_reply('+', buffer_slice(&data), &reply);
    ck_assert_int_eq(reply.kind, REPLY_IS_ADD_RECIPIENT); /* addresses may be longer */
    buffer_release(&data);
}
END_TEST

START_TEST(test_texts)
{
    static const struct { const char *reply; bool good; int code; const char *status, *text; } rows[] = {
        {"550 5.7.1 no", true, 550, "5.7.1", "no"},
        {"550 just text", true, 550, "", "just text"},
        {"451 4.7.1 later", true, 451, "4.7.1", "later"},
        {"550-5.7.1 a\r\n550 5.7.1 b", true, 550, "5.7.1", "a\nb"},
        {"550-5.7.1 a\n550 5.7.1 b", true, 550, "5.7.1", "a\nb"},
        {"550 5.7.1 100%% sure%", true, 550, "5.7.1", "100% sure"},
        {"550 5.7.1 multi%line", true, 550, "5.7.1", "multiline"},
        {"550 5.7.1 tab\there", true, 550, "5.7.1", "tab here"},
        {"550-5.7.1 a\r\n451 4.7.1 b", false, 0, "", ""},
        {"250 ok", false, 0, "", ""}, {"hello", false, 0, "", ""}, {"", false, 0, "", ""}, {"55", false, 0, "", ""}, {"550x", false, 0, "", ""},
        {"650 6.0.0 x", false, 0, "", ""},
    };

    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct buffer text = BUFFER_INIT;
        char status[12];
        int code = 0;
        bool good = milter_reply_text(slice_of(rows[i].reply), &code, status, &text);
        ck_assert_msg(good == rows[i].good, "%s", rows[i].reply);
        if (good) {
            ck_assert_int_eq(code, rows[i].code);
            ck_assert_str_eq(status, rows[i].status);
            ck_assert_str_eq(buffer_string(&text), rows[i].text);
        }
        buffer_release(&text);
    }
}
END_TEST

START_TEST(test_options)
{
    struct milter_options o;

    ck_assert(!milter_parse_options(BYTES("\0\0\0\6\0\0\1\xff\0\0\0"), &o));
    ck_assert(milter_parse_options(BYTES("\0\0\0\6\0\0\1\xff\0\x10\0\0"), &o));
    ck_assert_uint_eq(o.version, 6);
    ck_assert_uint_eq(o.actions, 0x1ff);
    ck_assert_uint_eq(o.steps, 0x100000);
    ck_assert(!o.macros[0].data);
    ck_assert(milter_parse_options(BYTES("\0\0\0\6\0\0\0\0\0\0\0\0\0\0\0\3i {x}\0\0\0\0\x63gone\0\0\0\0\5\0"), &o));
    ASSERT_SLICE(o.macros[3], "i {x}");
    ck_assert(o.macros[5].data && o.macros[5].len == 0);
    ck_assert(!milter_parse_options(BYTES("\0\0\0\6\0\0\0\0\0\0\0\0\0\0\0\3i {x}"), &o));
}
END_TEST

START_TEST(test_commands)
{
    struct buffer out = BUFFER_INIT;

    size_t place = milter_begin(&out, 'H');
    milter_put_text(&out, BYTES("a\0b"));
    milter_finish(&out, place);
    ck_assert(slice_equal(buffer_slice(&out), BYTES("\0\0\0\5Ha b\0")));
    buffer_release(&out);
    ck_assert_str_eq(milter_command_name('E'), "SMFIC_BODYEOB");
    ck_assert_uint_eq(milter_steps_of(2), 0x7f);
    ck_assert_uint_eq(milter_steps_of(6), 0x1fffff);
    ck_assert_uint_eq(milter_actions_of(6), 0x1ff);
}
END_TEST

TEST_MAIN("milter/reply", test_replies, test_long_values, test_texts, test_options, test_commands)
