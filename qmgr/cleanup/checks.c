/* checks.c - header_checks, body_checks and their relatives: the actions (compat.md e.4) */
#include "base/log.h"
#include "base/verdict.h"
#include "message/checks.h"
#include "service/address_log.h"
#include "transaction.h"


/* One hit. */
struct check {
    struct transaction *t;
    const struct check_place *place;
    const char *prefix;    /* of the verb in the log: "milter-header-" */
    const char *verb;      /* for the log */
    struct slice content;  /* what was looked up, lines end in LF */
    struct slice text;     /* behind the action word; memory of the arena */
    struct slice *replace; /* REPLACE puts its text here */
    struct buffer *prepended; /* PREPEND its own; NULL: into the content, where it is now */
    bool *passed;
};

/* ---- log lines ---- */

static void append_session(struct transaction *t, struct buffer *line)
{
    const struct envelope *e = &t->envelope;
    if (e->log_protocol_name.len)
        buffer_printf(line, " proto=" SLICE_FORMAT, SLICE_ARGS(e->log_protocol_name));
    if (e->log_helo_name.len)
        buffer_printf(line, " helo=<" SLICE_FORMAT ">", SLICE_ARGS(e->log_helo_name));
}

static void append_envelope(struct transaction *t, struct buffer *line)
{
    const struct envelope *e = &t->envelope;
    struct slice origin = e->log_message_origin.len ? e->log_message_origin : SLICE("unknown");
    buffer_printf(line, " from " SLICE_FORMAT ";", SLICE_ARGS(origin));
    address_log_append(line, "from", e->sender);
    if (t->last_recipient.len)
        address_log_append(line, "to", t->last_recipient);
}

void log_content_action(struct transaction *t, const char *verb, const char *what, struct slice content, struct slice text)
{
    struct buffer line = BUFFER_INIT;
    check_log_begin(&line, t->queue_id, verb, what, content);
    append_envelope(t, &line);
    append_session(t, &line);
    if (text.len)
        buffer_printf(&line, ": " SLICE_FORMAT, SLICE_ARGS(text));
    log_info("%s", buffer_string(&line));
    buffer_release(&line);
}

void log_mime_error(struct transaction *t, const char *error, struct slice content)
{
    struct buffer line = BUFFER_INIT, what = BUFFER_INIT;
    buffer_printf(&what, "mime-error %s:", error);
    check_log_begin(&line, t->queue_id, "reject", buffer_string(&what), content);
    append_envelope(t, &line);
    log_info("%s", buffer_string(&line));
    buffer_release(&line);
    buffer_release(&what);
}

void log_milter_action(struct transaction *t, const char *verb, const char *event, struct slice recipient, struct slice text)
{
    const struct envelope *e = &t->envelope;
    struct buffer line = BUFFER_INIT;
    struct slice name = e->client_name.len ? e->client_name : SLICE("localhost");
    struct slice address = e->client_address.len ? e->client_address : SLICE("127.0.0.1");
    buffer_printf(&line, SLICE_FORMAT ": milter-%s: %s from " SLICE_FORMAT "[" SLICE_FORMAT "]: " SLICE_FORMAT ";", SLICE_ARGS(t->queue_id), verb,
                  event, SLICE_ARGS(name), SLICE_ARGS(address), SLICE_ARGS(text));
    address_log_append(&line, "from", e->sender);
    if (recipient.len)
        address_log_append(&line, "to", recipient);
    append_session(t, &line);
    log_info("%s", buffer_string(&line));
    buffer_release(&line);
}

static void log_check(const struct check *check)
{
    char verb[32];
    snprintf(verb, sizeof(verb), "%s%s", check->prefix, check->verb);
    log_content_action(check->t, verb, check->place->what, check->content, check->text);
}

/* ---- actions ---- */

/* refuse - REJECT and DEFER: optional status code and text. */
static enum check_outcome refuse(struct check *check, struct status_code status, struct slice default_text)
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
    log_check(check);
    if (status.class == 4)
        transaction_refuse(t, SUBMIT_STATUS_TEMPORARY, 451, check->text);
    else
        transaction_refuse_content(t, SUBMIT_STATUS_REFUSED, 550, check->text);
    return CHECK_KEEP;
}

static enum check_outcome do_reject(struct check *check)
{
    return refuse(check, (struct status_code){5, 7, 1}, SLICE("message content rejected"));
}

static enum check_outcome do_defer(struct check *check)
{
    return refuse(check, (struct status_code){4, 7, 1}, SLICE("service unavailable"));
}

static enum check_outcome do_discard(struct check *check)
{
    log_check(check);
    check->t->discarded = true;
    return CHECK_DROP;
}

static enum check_outcome do_hold(struct check *check)
{
    log_check(check);
    check->t->envelope.hold = true;
    return CHECK_KEEP;
}

static enum check_outcome do_filter(struct check *check)
{
    log_check(check);
    check->t->envelope.content_filter = check->text;
    check->t->filter_checked = true;
    return CHECK_KEEP;
}

static enum check_outcome do_redirect(struct check *check)
{
    if (check->t->envelope.redirect.len) /* the first one counts */
        return CHECK_KEEP;
    log_check(check);
    check->t->envelope.redirect = route_rewrite(check->t->cleanup->route, SLICE("local"), check->text, check->t->arena);
    return CHECK_KEEP;
}

static enum check_outcome do_bcc(struct check *check)
{
    log_check(check);
    recipients_add_bcc(check->t, check->text);
    return CHECK_KEEP;
}

static enum check_outcome do_prepend(struct check *check)
{
    log_check(check);
    if (check->prepended)
        buffer_append_slice(check->prepended, check->text);
    else
        content_write_text(check->t, check->text);
    return CHECK_KEEP;
}

static enum check_outcome do_replace(struct check *check)
{
    log_check(check);
    *check->replace = check->text;
    return CHECK_KEEP;
}

static enum check_outcome do_ignore(struct check *check UNUSED)
{
    return CHECK_DROP;
}

static enum check_outcome do_strip(struct check *check)
{
    log_check(check);
    return CHECK_DROP;
}

static enum check_outcome do_pass(struct check *check)
{
    log_check(check);
    *check->passed = true;
    return CHECK_KEEP;
}

/* do_note - WARN and INFO. */
static enum check_outcome do_note(struct check *check)
{
    log_check(check);
    return CHECK_KEEP;
}

static enum check_outcome do_nothing(struct check *check UNUSED)
{
    return CHECK_KEEP;
}

static enum check_outcome (*const run[CHECK_ACTION_COUNT])(struct check *check) = {
    [CHECK_ACTION_NONE] = do_nothing, [CHECK_ACTION_REJECT] = do_reject, [CHECK_ACTION_DEFER] = do_defer, [CHECK_ACTION_DISCARD] = do_discard,
    [CHECK_ACTION_HOLD] = do_hold, [CHECK_ACTION_FILTER] = do_filter, [CHECK_ACTION_REDIRECT] = do_redirect, [CHECK_ACTION_BCC] = do_bcc,
    [CHECK_ACTION_PREPEND] = do_prepend, [CHECK_ACTION_REPLACE] = do_replace, [CHECK_ACTION_IGNORE] = do_ignore, [CHECK_ACTION_STRIP] = do_strip,
    [CHECK_ACTION_PASS] = do_pass, [CHECK_ACTION_WARN] = do_note, [CHECK_ACTION_INFO] = do_note};

static enum check_outcome run_action(struct check *check, struct slice result)
{
    enum check_action action = check_action_parse(check->place, result, &check->text);
    check->verb = check_action_verb(action);
    return run[action](check);
}

/* look_up - the text in the tables, and what they say. */
static enum check_outcome look_up(struct check *check, struct table_list *maps, struct slice *text)
{
    struct transaction *t = check->t;
    struct buffer subject = BUFFER_INIT, result = BUFFER_INIT;
    enum check_outcome outcome = CHECK_KEEP;
    check->content = header_with_lf(*text, &subject);
    check->replace = text;
    enum table_result found = table_list_lookup(maps, check->content, true, &result);
    if (found == TABLE_TRY_AGAIN)
        transaction_map_failed(t, check->place->parameter, (struct slice){0});
    if (found == TABLE_FOUND)
        outcome = run_action(check, arena_slice(t->arena, slice_trim(buffer_slice(&result))));
    buffer_release(&subject);
    buffer_release(&result);
    return outcome;
}

enum check_outcome check_text(struct transaction *t, struct table_list *maps, const char *parameter, const char *what, struct slice *text)
{
    if (t->checks_passed || t->refused || (t->options & SUBMIT_NO_HEADER_BODY_CHECKS) || table_list_is_empty(maps))
        return CHECK_KEEP;
    struct check_place place = {.parameter = parameter, .what = what};
    struct check check = {.t = t, .place = &place, .prefix = "", .passed = &t->checks_passed};
    return look_up(&check, maps, text);
}

enum check_outcome check_milter_header(struct transaction *t, struct slice *text, struct buffer *prepended)
{
    if (t->milter_checks_passed || table_list_is_empty(t->cleanup->milter_header_checks))
        return CHECK_KEEP;
    struct check_place place = {.parameter = "milter_header_checks", .what = "header"};
    struct check check = {.t = t, .place = &place, .prefix = "milter-header-", .prepended = prepended, .passed = &t->milter_checks_passed};
    return look_up(&check, t->cleanup->milter_header_checks, text);
}
