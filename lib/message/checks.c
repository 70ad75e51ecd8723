/* checks.c - see checks.h */
#include "message/checks.h"

#include "base/log.h"
#include "message/header.h"

enum { LOGGED_CONTENT = 200 /* bytes */ };

/* What must stand behind the word. */
enum argument { ARGUMENT_ANY, ARGUMENT_LINE, ARGUMENT_TRANSPORT, ARGUMENT_ADDRESS };

static const struct row {
    const char *word, *verb;
    enum argument argument;
    bool output; /* known to the client's tables too */
} rows[CHECK_ACTION_COUNT] = {
    [CHECK_ACTION_NONE] = {"DUNNO", NULL, ARGUMENT_ANY, true},
    [CHECK_ACTION_REJECT] = {"REJECT", "reject", ARGUMENT_ANY, false},
    [CHECK_ACTION_DEFER] = {"DEFER", "defer", ARGUMENT_ANY, false},
    [CHECK_ACTION_DISCARD] = {"DISCARD", "discard", ARGUMENT_ANY, false},
    [CHECK_ACTION_HOLD] = {"HOLD", "hold", ARGUMENT_ANY, false},
    [CHECK_ACTION_FILTER] = {"FILTER", "filter", ARGUMENT_TRANSPORT, false},
    [CHECK_ACTION_REDIRECT] = {"REDIRECT", "redirect", ARGUMENT_ADDRESS, false},
    [CHECK_ACTION_BCC] = {"BCC", "bcc", ARGUMENT_ADDRESS, false},
    [CHECK_ACTION_PREPEND] = {"PREPEND", "prepend", ARGUMENT_LINE, true},
    [CHECK_ACTION_REPLACE] = {"REPLACE", "replace", ARGUMENT_LINE, true},
    [CHECK_ACTION_IGNORE] = {"IGNORE", NULL, ARGUMENT_ANY, true},
    [CHECK_ACTION_STRIP] = {"STRIP", "strip", ARGUMENT_ANY, true},
    [CHECK_ACTION_PASS] = {"PASS", "pass", ARGUMENT_ANY, false},
    [CHECK_ACTION_WARN] = {"WARN", "warning", ARGUMENT_ANY, true},
    [CHECK_ACTION_INFO] = {"INFO", "info", ARGUMENT_ANY, true},
};

/* find_row - the action of a word; NULL when there is none (here). */
static const struct row *find_row(const struct check_place *place, struct slice word)
{
    if (slice_equal_case(word, SLICE("OK")))
        return &rows[CHECK_ACTION_NONE];
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        if (slice_equal_case(word, slice_of(rows[i].word)))
            return rows[i].output || !place->output ? &rows[i] : NULL;
    return NULL;
}

static bool is_good_line(const struct check_place *place, const char *action, struct slice text)
{
    struct slice name, value;

    if (text.len == 0) {
        log_warning("%s action without text in %s map", action, place->parameter);
        return false;
    }
    if (strcmp(place->what, "header") != 0 || header_parse(text, &name, &value))
        return true;
    log_warning("bad %s header text \"" SLICE_FORMAT "\" in %s map -- need \"headername: headervalue\"", action, SLICE_ARGS(text), place->parameter);
    return false;
}

static bool is_good_transport(const struct check_place *place, struct slice text)
{
    size_t colon = slice_find(text, ':');

    if (colon > 0 && colon < text.len)
        return true;
    log_warning("bad FILTER command " SLICE_FORMAT " in %s -- need transport:destination", SLICE_ARGS(text), place->parameter);
    return false;
}

static bool is_good_address(const struct check_place *place, const char *action, struct slice text)
{
    if (slice_find(text, '@') < text.len)
        return true;
    log_warning("bad %s \"" SLICE_FORMAT "\" in %s map -- need user@domain", strcmp(action, "BCC") == 0 ? "BCC address" : "REDIRECT target",
                SLICE_ARGS(text), place->parameter);
    return false;
}

static bool is_good_argument(const struct check_place *place, const struct row *row, struct slice text)
{
    switch (row->argument) {
    case ARGUMENT_LINE: return is_good_line(place, row->word, text);
    case ARGUMENT_TRANSPORT: return is_good_transport(place, text);
    case ARGUMENT_ADDRESS: return is_good_address(place, row->word, text);
    default: return true;
    }
}

enum check_action check_action_parse(const struct check_place *place, struct slice result, struct slice *text)
{
    result = slice_trim(result);
    size_t length = slice_find_any(result, " \t");
    const struct row *row = find_row(place, slice_first(result, length));

    *text = slice_trim(slice_from(result, length));
    if (!row) {
        log_warning("%s command in %s map: " SLICE_FORMAT, place->output ? "unsupported" : "unknown", place->parameter, SLICE_ARGS(result));
        return CHECK_ACTION_NONE;
    }
    return is_good_argument(place, row, *text) ? (enum check_action)(row - rows) : CHECK_ACTION_NONE;
}

const char *check_action_verb(enum check_action action)
{
    return rows[action].verb;
}

void check_log_begin(struct buffer *line, struct slice queue_id, const char *verb, const char *what, struct slice content)
{
    buffer_printf(line, SLICE_FORMAT ": %s: %s ", SLICE_ARGS(queue_id), verb, what);
    for (size_t i = 0, shown = 0; i < content.len && shown < LOGGED_CONTENT; i++) {
        if (content.data[i] == '\r' && i + 1 < content.len && content.data[i + 1] == '\n')
            continue;
        buffer_append_byte(line, content.data[i]);
        shown++;
    }
}
