/* checks.c - header_checks, body_checks and their relatives: the actions (compat.md e.4) */
#include "base/log.h"
#include "base/verdict.h"
#include "transaction.h"

enum { LOGGED_CONTENT = 200 /* bytes */ };

/* One hit. */
struct check {
    struct transaction *t;
    const char *parameter; /* the table's: for warnings */
    const char *what;      /* "header", "body" */
    struct slice content;  /* what was looked up, lines end in LF */
    struct slice text;     /* behind the action word; memory of the arena */
    struct slice *replace; /* REPLACE puts its text here */
};

/* ---- log lines ---- */

static void append_origin(struct transaction *t, struct buffer *line)
{
    const struct envelope *e = &t->envelope;
    struct slice origin = e->log_message_origin.len ? e->log_message_origin : SLICE("unknown");
    buffer_printf(line, " from " SLICE_FORMAT "; from=<" SLICE_FORMAT ">", SLICE_ARGS(origin), SLICE_ARGS(e->sender));
    if (t->last_recipient.len)
        buffer_printf(line, " to=<" SLICE_FORMAT ">", SLICE_ARGS(t->last_recipient));
    if (e->log_protocol_name.len)
        buffer_printf(line, " proto=" SLICE_FORMAT, SLICE_ARGS(e->log_protocol_name));
    if (e->log_helo_name.len)
        buffer_printf(line, " helo=<" SLICE_FORMAT ">", SLICE_ARGS(e->log_helo_name));
}

/* append_content - the first bytes, CRLF as one byte. */
static void append_content(struct buffer *line, struct slice content)
{
    for (size_t i = 0, shown = 0; i < content.len && shown < LOGGED_CONTENT; i++) {
        if (content.data[i] == '\r' && i + 1 < content.len && content.data[i + 1] == '\n')
            continue;
        buffer_append_byte(line, content.data[i]);
        shown++;
    }
}

void log_content_action(struct transaction *t, const char *verb, const char *what, struct slice content, struct slice text)
{
    struct buffer line = BUFFER_INIT;
    buffer_printf(&line, SLICE_FORMAT ": %s: %s ", SLICE_ARGS(t->queue_id), verb, what);
    append_content(&line, content);
    append_origin(t, &line);
    if (text.len)
        buffer_printf(&line, ": " SLICE_FORMAT, SLICE_ARGS(text));
    log_info("%s", buffer_string(&line));
    buffer_release(&line);
}

void log_mime_error(struct transaction *t, const char *error, struct slice content)
{
    struct buffer line = BUFFER_INIT;
    buffer_printf(&line, SLICE_FORMAT ": reject: mime-error %s: ", SLICE_ARGS(t->queue_id), error);
    append_content(&line, content);
    append_origin(t, &line);
    log_info("%s", buffer_string(&line));
    buffer_release(&line);
}

static void log_check(const struct check *check, const char *verb)
{
    log_content_action(check->t, verb, check->what, check->content, check->text);
}

/* ---- actions ---- */

static bool is_header_check(const struct check *check)
{
    return strcmp(check->what, "header") == 0;
}

/* refuse - REJECT and DEFER: optional status code and text. */
static enum check_outcome refuse(struct check *check, const char *verb, struct status_code status, struct slice default_text)
{
    struct transaction *t = check->t;
    struct slice text = check->text;
    char code[STATUS_CODE_TEXT];
    struct status_code given;
    if (status_code_parse(text, &given, &text) && given.class != 2)
        status = given;
    if (text.len == 0)
        text = default_text;
    check->text = arena_format(t->arena, "%s " SLICE_FORMAT, status_code_format(status, code), SLICE_ARGS(text));
    log_check(check, verb);
    if (status.class == 4)
        transaction_refuse(t, SUBMIT_STATUS_TEMPORARY, 451, check->text);
    else
        transaction_refuse(t, SUBMIT_STATUS_REFUSED, 550, check->text);
    return CHECK_KEEP;
}

static enum check_outcome do_reject(struct check *check)
{
    return refuse(check, "reject", (struct status_code){5, 7, 1}, SLICE("message content rejected"));
}

static enum check_outcome do_defer(struct check *check)
{
    return refuse(check, "defer", (struct status_code){4, 7, 1}, SLICE("service unavailable"));
}

static enum check_outcome do_discard(struct check *check)
{
    log_check(check, "discard");
    check->t->discarded = true;
    return CHECK_DROP;
}

static enum check_outcome do_hold(struct check *check)
{
    log_check(check, "hold");
    check->t->envelope.hold = true;
    return CHECK_KEEP;
}

static enum check_outcome do_filter(struct check *check)
{
    size_t colon = slice_find(check->text, ':');
    if (colon == 0 || colon == check->text.len) {
        log_warning("bad FILTER command in %s -- need transport:destination, not \"" SLICE_FORMAT "\"", check->parameter,
                    SLICE_ARGS(check->text));
        return CHECK_KEEP;
    }
    log_check(check, "filter");
    check->t->envelope.content_filter = check->text;
    return CHECK_KEEP;
}

static enum check_outcome do_redirect(struct check *check)
{
    if (slice_find(check->text, '@') == check->text.len) {
        log_warning("bad REDIRECT target \"" SLICE_FORMAT "\" in %s map -- need user@domain", SLICE_ARGS(check->text), check->parameter);
        return CHECK_KEEP;
    }
    log_check(check, "redirect");
    check->t->envelope.redirect = route_rewrite(check->t->cleanup->route, SLICE("local"), check->text, check->t->arena);
    return CHECK_KEEP;
}

static enum check_outcome do_bcc(struct check *check)
{
    if (slice_find(check->text, '@') == check->text.len) {
        log_warning("bad BCC address \"" SLICE_FORMAT "\" in %s map -- need user@domain", SLICE_ARGS(check->text), check->parameter);
        return CHECK_KEEP;
    }
    log_check(check, "bcc");
    recipients_add_bcc(check->t, check->text);
    return CHECK_KEEP;
}

/* has_good_text - PREPEND and REPLACE need text, and a header field where one stands. */
static bool has_good_text(const struct check *check, const char *action)
{
    struct slice name, value;
    if (check->text.len == 0) {
        log_warning("%s action without text in %s map", action, check->parameter);
        return false;
    }
    if (!is_header_check(check) || header_parse(check->text, &name, &value))
        return true;
    log_warning("bad %s header text \"" SLICE_FORMAT "\" in %s map -- need \"headername: headervalue\"", action, SLICE_ARGS(check->text),
                check->parameter);
    return false;
}

static enum check_outcome do_prepend(struct check *check)
{
    if (has_good_text(check, "PREPEND")) {
        log_check(check, "prepend");
        content_write_text(check->t, check->text);
    }
    return CHECK_KEEP;
}

static enum check_outcome do_replace(struct check *check)
{
    if (has_good_text(check, "REPLACE")) {
        log_check(check, "replace");
        *check->replace = check->text;
    }
    return CHECK_KEEP;
}

static enum check_outcome do_ignore(struct check *check UNUSED)
{
    return CHECK_DROP;
}

static enum check_outcome do_strip(struct check *check)
{
    log_check(check, "strip");
    return CHECK_DROP;
}

static enum check_outcome do_pass(struct check *check)
{
    log_check(check, "pass");
    check->t->checks_passed = true;
    return CHECK_KEEP;
}

static enum check_outcome do_warn(struct check *check)
{
    log_check(check, "warning");
    return CHECK_KEEP;
}

static enum check_outcome do_info(struct check *check)
{
    log_check(check, "info");
    return CHECK_KEEP;
}

static enum check_outcome do_nothing(struct check *check UNUSED)
{
    return CHECK_KEEP;
}

static const struct action {
    const char *word;
    enum check_outcome (*run)(struct check *check);
} actions[] = {{"REJECT", do_reject}, {"DEFER", do_defer}, {"DISCARD", do_discard}, {"HOLD", do_hold}, {"FILTER", do_filter},
               {"REDIRECT", do_redirect}, {"BCC", do_bcc}, {"PREPEND", do_prepend}, {"REPLACE", do_replace}, {"IGNORE", do_ignore},
               {"STRIP", do_strip}, {"PASS", do_pass}, {"WARN", do_warn}, {"INFO", do_info}, {"DUNNO", do_nothing}, {"OK", do_nothing}};

static enum check_outcome run_action(struct check *check, struct slice result)
{
    size_t word = slice_find_any(result, " \t");
    check->text = slice_trim(slice_from(result, word));
    for (size_t i = 0; i < COUNT_OF(actions); i++) {
        if (slice_equal_case(slice_first(result, word), slice_of(actions[i].word)))
            return actions[i].run(check);
    }
    log_warning("unknown command in %s map: " SLICE_FORMAT, check->parameter, SLICE_ARGS(result));
    return CHECK_KEEP;
}

enum check_outcome check_text(struct transaction *t, struct table_list *maps, const char *parameter, const char *what, struct slice *text)
{
    if (t->checks_passed || t->refused || (t->options & SUBMIT_NO_HEADER_BODY_CHECKS) || table_list_is_empty(maps))
        return CHECK_KEEP;
    struct buffer subject = BUFFER_INIT, result = BUFFER_INIT;
    struct check check = {.t = t, .parameter = parameter, .what = what, .content = header_with_lf(*text, &subject), .replace = text};
    enum check_outcome outcome = CHECK_KEEP;
    enum table_result found = table_list_lookup(maps, check.content, true, &result);
    if (found == TABLE_TRY_AGAIN)
        transaction_map_failed(t, parameter, slice_first(check.content, LOGGED_CONTENT));
    if (found == TABLE_FOUND)
        outcome = run_action(&check, arena_slice(t->arena, slice_trim(buffer_slice(&result))));
    buffer_release(&subject);
    buffer_release(&result);
    return outcome;
}
