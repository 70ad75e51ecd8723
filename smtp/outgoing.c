/* outgoing.c - see outgoing.h */
#include "outgoing.h"

#include "address/mail_address.h"
#include "base/log.h"
#include "message/checks.h"
#include "message/downgrade.h"
#include "message/header.h"
#include "route/route.h"

#define OUTGOING_PARAMETERS(X)                                                                                                    \
    X(STRING, propagate_unmatched_extensions) X(BOOL, smtputf8_enable) X(INT, header_address_token_limit) X(INT, header_size_limit) \
    X(INT, line_length_limit) X(INT, mime_nesting_limit) X(INT, mime_boundary_length_limit) X(INT, body_checks_size_limit)

struct outgoing_params { CONFIG_MEMBERS(OUTGOING_PARAMETERS) };

/* Where a check looks: by enum message_part. */
enum { PART_COUNT = MESSAGE_BODY_LINE + 1 };

struct outgoing_tables {
    struct outgoing_params params;
    struct route *route; /* NULL: no generic maps */
    struct table_list *generic;
    bool propagate; /* "generic" is in propagate_unmatched_extensions */
    struct table_list *checks[PART_COUNT];
    char *check_names[PART_COUNT];
    bool any_check;
};

struct outgoing {
    const struct outgoing_tables *tables;
    struct slice queue_id;
    struct arena *arena; /* of the delivery */
    struct message_scanner *scanner;
    struct buffer *out;
    bool downgrading, failed;
    struct downgrade downgrade;
    int64_t checked_bytes; /* of the present body segment */
};

/* ---- tables ---- */

#define CONFIG_STRUCT struct outgoing_params
static const struct config_binding bindings[] = {CONFIG_BINDINGS(OUTGOING_PARAMETERS)};

struct outgoing_tables *outgoing_open(struct config *config, const struct client_params *params)
{
    struct outgoing_tables *tables = memory_zalloc(1, sizeof(*tables));
    const char *prefix = params->lmtp ? "lmtp" : "smtp";
    const struct { const char *value, *suffix; } checks[PART_COUNT] = {[MESSAGE_PRIMARY_HEADER] = {params->header_checks, "header_checks"},
        [MESSAGE_MIME_HEADER] = {params->mime_header_checks, "mime_header_checks"},
        [MESSAGE_NESTED_HEADER] = {params->nested_header_checks, "nested_header_checks"}, [MESSAGE_BODY_LINE] = {params->body_checks, "body_checks"}};

    config_fill(config, bindings, COUNT_OF(bindings), &tables->params);
    int flags = TABLE_FOLD | (tables->params.smtputf8_enable ? TABLE_UTF8 : 0);
    tables->generic = table_list_new(params->lmtp ? "lmtp_generic_maps" : "smtp_generic_maps", params->generic_maps, flags, config);
    tables->propagate = config_list_has(tables->params.propagate_unmatched_extensions, "generic");
    if (!table_list_is_empty(tables->generic))
        tables->route = route_new(config);
    for (size_t i = 0; i < PART_COUNT; i++) {
        struct buffer name = BUFFER_INIT;
        buffer_printf(&name, "%s_%s", prefix, checks[i].suffix);
        tables->check_names[i] = buffer_steal(&name);
        tables->checks[i] = table_list_new(tables->check_names[i], checks[i].value, flags, config);
        tables->any_check |= !table_list_is_empty(tables->checks[i]);
    }
    return tables;
}

void outgoing_close(struct outgoing_tables *tables)
{
    if (!tables)
        return;
    for (size_t i = 0; i < PART_COUNT; i++) {
        table_list_free(tables->checks[i]);
        free(tables->check_names[i]);
    }
    table_list_free(tables->generic);
    route_free(tables->route);
    free(tables);
}

bool outgoing_map_address(const struct outgoing_tables *tables, struct slice *address, struct arena *arena)
{
    struct slice result;

    if (!tables->route || address->len == 0)
        return true;
    if (route_map_address(tables->route, tables->generic, *address, tables->propagate, arena, &result) < 0)
        return false;
    *address = result;
    return true;
}

/* ---- writing ---- */

/* write_text - lines that end in LF, CRLF or nothing, with CRLF each. */
static void write_text(struct outgoing *o, struct slice text)
{
    struct slice line;

    while (slice_next_line(&text, &line)) {
        buffer_append_slice(o->out, slice_ends(line, SLICE("\r")) ? slice_first(line, line.len - 1) : line);
        buffer_append_string(o->out, "\r\n");
    }
}

/* ---- checks (compat.md c.7: only what changes the message or tells of it) ---- */

static void log_action(struct outgoing *o, enum check_action action, const char *what, struct slice content, struct slice text)
{
    struct buffer line = BUFFER_INIT;

    check_log_begin(&line, o->queue_id, check_action_verb(action), what, content);
    if (text.len > 0)
        buffer_printf(&line, ": " SLICE_FORMAT, SLICE_ARGS(text));
    log_info("%s", buffer_string(&line));
    buffer_release(&line);
}

/* run_action - false: the line is left out; *replacement is set by REPLACE. */
static bool run_action(struct outgoing *o, enum message_part part, struct slice content, struct slice result, struct slice *replacement)
{
    struct check_place place = {o->tables->check_names[part], part == MESSAGE_BODY_LINE ? "body" : "header", true};
    struct slice text;
    enum check_action action = check_action_parse(&place, result, &text);

    if (check_action_verb(action))
        log_action(o, action, place.what, content, text);
    if (action == CHECK_ACTION_REPLACE)
        *replacement = text;
    else if (action == CHECK_ACTION_PREPEND)
        write_text(o, text);
    return action != CHECK_ACTION_IGNORE && action != CHECK_ACTION_STRIP;
}

/* check - false: the line or header is left out; *text may be replaced. */
static bool check(struct outgoing *o, enum message_part part, struct slice *text)
{
    struct table_list *maps = o->tables->checks[part];
    struct buffer subject = BUFFER_INIT, result = BUFFER_INIT;
    bool keep = true;

    if (table_list_is_empty(maps) || o->failed)
        return true;
    struct slice content = header_with_lf(*text, &subject);
    enum table_result found = table_list_lookup(maps, content, true, &result);
    if (found == TABLE_TRY_AGAIN) {
        log_warning(SLICE_FORMAT ": %s lookup error", SLICE_ARGS(o->queue_id), o->tables->check_names[part]);
        o->failed = true;
    } else if (found == TABLE_FOUND) {
        keep = run_action(o, part, content, arena_slice(o->arena, slice_trim(buffer_slice(&result))), text);
    }
    buffer_release(&subject);
    buffer_release(&result);
    return keep;
}

/* ---- events of the scanner ---- */

static bool map_header_address(void *context, struct slice *address)
{
    struct outgoing *o = context;

    if (outgoing_map_address(o->tables, address, o->arena))
        return true;
    o->failed = true;
    return false;
}

static struct slice map_header(struct outgoing *o, struct slice text)
{
    struct slice name, value, field;

    if (!o->tables->route || !header_parse(text, &name, &value))
        return text;
    if (!(header_flags(header_known(name)) & (HEADER_SENDER_ADDRESSES | HEADER_RECIPIENT_ADDRESSES)))
        return text;
    size_t limit = (size_t)o->tables->params.header_address_token_limit;
    return address_header_map(name, value, limit, map_header_address, o, o->arena, &field) ? field : text;
}

static void on_header(void *context, enum message_part part, struct slice text, bool truncated UNUSED)
{
    struct outgoing *o = context;

    if (part == MESSAGE_PRIMARY_HEADER)
        text = map_header(o, text);
    if (!check(o, part, &text) || (o->downgrading && downgrade_header(&o->downgrade, text)))
        return;
    write_text(o, text);
}

static void on_header_end(void *context, enum message_part part UNUSED)
{
    struct outgoing *o = context;

    if (o->downgrading)
        downgrade_header_end(&o->downgrade, message_scanner_part(o->scanner));
    o->checked_bytes = 0;
    buffer_append_string(o->out, "\r\n");
}

static void write_line(struct outgoing *o, struct slice line, bool more)
{
    buffer_append_slice(o->out, line);
    if (!more)
        buffer_append_string(o->out, "\r\n");
}

static bool keep_line(struct outgoing *o, struct slice *line)
{
    if (o->checked_bytes >= o->tables->params.body_checks_size_limit)
        return true;
    o->checked_bytes += (int64_t)line->len + 1;
    return check(o, MESSAGE_BODY_LINE, line);
}

static void on_body(void *context, struct slice line, bool more)
{
    struct outgoing *o = context;
    struct slice given = line;

    if (!keep_line(o, &line))
        return;
    if (line.data != given.data)
        write_text(o, line);
    else if (o->downgrading)
        downgrade_body(&o->downgrade, line, more);
    else
        write_line(o, line, more);
}

static void on_delimiter(void *context, struct slice line, bool last UNUSED)
{
    struct outgoing *o = context;

    if (o->downgrading)
        downgrade_part_over(&o->downgrade);
    if (keep_line(o, &line))
        write_text(o, line);
}

static void on_raw(void *context, struct slice data)
{
    struct outgoing *o = context;

    buffer_append_slice(o->out, data);
}

/* ---- one message ---- */

struct outgoing *outgoing_new(const struct outgoing_tables *tables, const struct delivery *delivery, bool downgrade)
{
    const struct outgoing_params *p = &tables->params;
    bool looks_at_lines = downgrade || !table_list_is_empty(tables->checks[MESSAGE_BODY_LINE]);
    struct message_scanner_events events = {.header = on_header, .header_end = on_header_end, .raw = on_raw};
    struct message_limits limits = {.header_size_limit = (size_t)p->header_size_limit, .line_length_limit = (size_t)p->line_length_limit,
                                    .mime_nesting_limit = (size_t)p->mime_nesting_limit,
                                    .mime_boundary_length_limit = (size_t)p->mime_boundary_length_limit};

    if (!tables->route && !tables->any_check && !downgrade)
        return NULL;
    struct outgoing *o = memory_zalloc(1, sizeof(*o));
    if (looks_at_lines) {
        events.body = on_body;
        events.delimiter = on_delimiter;
    }
    limits.mime_processing = looks_at_lines || tables->any_check;
    o->tables = tables;
    o->queue_id = delivery->request->envelope.queue_id;
    o->arena = delivery->arena;
    o->downgrading = downgrade;
    o->scanner = message_scanner_new(&limits, &events, o);
    return o;
}

void outgoing_feed(struct outgoing *o, struct slice piece, struct buffer *out)
{
    o->out = o->downgrade.output = out;
    message_scanner_feed(o->scanner, piece);
}

void outgoing_finish(struct outgoing *o, struct buffer *out)
{
    o->out = o->downgrade.output = out;
    message_scanner_finish(o->scanner);
    if (o->downgrading)
        downgrade_part_over(&o->downgrade);
}

bool outgoing_failed(const struct outgoing *o)
{
    return o->failed;
}

void outgoing_free(struct outgoing *o)
{
    if (!o)
        return;
    message_scanner_free(o->scanner);
    free(o);
}
