/* test_checks.c - what results of header and body checks ask for, good and bad */
#include "testing.h"

#include "base/log.h"
#include "message/checks.h"

static struct buffer warnings;

static void keep_warning(enum log_severity severity UNUSED, const char *text, void *context UNUSED)
{
    buffer_append_string(&warnings, text);
}

START_TEST(actions)
{
    static const struct { bool header, output; const char *result; enum check_action action; const char *text, *warning; } rows[] = {
        {true, false, "REJECT", CHECK_ACTION_REJECT, "", ""},
        {true, false, "reject 5.7.9  no such thing ", CHECK_ACTION_REJECT, "5.7.9  no such thing", ""},
        {true, false, "OK", CHECK_ACTION_NONE, "", ""},
        {true, false, "dunno whatever", CHECK_ACTION_NONE, "whatever", ""},
        {true, true, "  IGNORE", CHECK_ACTION_IGNORE, "", ""},
        {true, true, "STRIP gone", CHECK_ACTION_STRIP, "gone", ""},
        {true, true, "REPLACE Subject: x", CHECK_ACTION_REPLACE, "Subject: x", ""},
        {true, true, "REPLACE no header", CHECK_ACTION_NONE, "no header", "bad REPLACE header text \"no header\" in m map -- need \"headername: headervalue\""},
        {false, true, "REPLACE no header", CHECK_ACTION_REPLACE, "no header", ""},
        {false, true, "PREPEND", CHECK_ACTION_NONE, "", "PREPEND action without text in m map"},
        {true, false, "FILTER smtp:[x]", CHECK_ACTION_FILTER, "smtp:[x]", ""},
        {true, false, "FILTER smtp", CHECK_ACTION_NONE, "smtp", "bad FILTER command smtp in m -- need transport:destination"},
        {true, false, "REDIRECT me", CHECK_ACTION_NONE, "me", "bad REDIRECT target \"me\" in m map -- need user@domain"},
        {true, false, "BCC me", CHECK_ACTION_NONE, "me", "bad BCC address \"me\" in m map -- need user@domain"},
        {true, false, "FROBNICATE it", CHECK_ACTION_NONE, "it", "unknown command in m map: FROBNICATE it"},
        {true, true, "REJECT it", CHECK_ACTION_NONE, "it", "unsupported command in m map: REJECT it"},
        {true, true, "HOLD", CHECK_ACTION_NONE, "", "unsupported command in m map: HOLD"},
        {true, false, "", CHECK_ACTION_NONE, "", "unknown command in m map: "},
    };

    log_set_watcher(keep_warning, NULL);
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct check_place place = {"m", rows[i].header ? "header" : "body", rows[i].output};
        struct slice text;
        buffer_clear(&warnings);
        enum check_action action = check_action_parse(&place, slice_of(rows[i].result), &text);
        ck_assert_msg(action == rows[i].action, "\"%s\": got %d want %d", rows[i].result, action, rows[i].action);
        ASSERT_SLICE(text, rows[i].text);
        ck_assert_msg(strstr(buffer_string(&warnings), rows[i].warning) && (rows[i].warning[0] != '\0') == (warnings.len > 0), "\"%s\": got \"%s\"",
                      rows[i].result, buffer_string(&warnings));
    }
    buffer_release(&warnings);
}
END_TEST

START_TEST(log_lines)
{
    struct buffer line = BUFFER_INIT, long_text = BUFFER_INIT;

    check_log_begin(&line, SLICE("ABC"), check_action_verb(CHECK_ACTION_WARN), "header", SLICE("a: b\r\n c"));
    ck_assert_str_eq(buffer_string(&line), "ABC: warning: header a: b\n c");
    for (int i = 0; i < 1000; i++)
        buffer_append_byte(&long_text, 'x');
    buffer_clear(&line);
    check_log_begin(&line, SLICE("A"), "info", "body", buffer_slice(&long_text));
    ck_assert_uint_eq(line.len, strlen("A: info: body ") + 200);
    ck_assert_ptr_null(check_action_verb(CHECK_ACTION_IGNORE));
    ck_assert_ptr_null(check_action_verb(CHECK_ACTION_NONE));
    buffer_release(&line);
    buffer_release(&long_text);
}
END_TEST

TEST_MAIN("message/checks", actions, log_lines)
