/* query.c - asking tables: one key, keys from standard input, a message's lines as keys; deleting; dumping */
#include <jansson.h>

#include "base/log.h"
#include "message/header.h"
#include "postmap.h"

#define LINE_MAX_BYTES (1 << 20)

static struct table **open_all(const struct options *o, const char *const *names, size_t count)
{
    struct table **tables = memory_zalloc(count + 1, sizeof(*tables));

    for (size_t i = 0; i < count; i++)
        tables[i] = table_open(slice_of(names[i]), o->table_flags, o->config);
    return tables;
}

static void close_all(struct table **tables, size_t count)
{
    for (size_t i = 0; i < count; i++)
        table_free(tables[i]);
    free(tables);
}

static void fail_query(const struct table *table)
{
    const char *why = table_why(table);

    if (table_is_misconfigured(table))
        log_fatal("table %s: query error", table_name(table)); /* the log has the reason */
    log_fatal("table %s: query error: %s", table_name(table), why[0] != '\0' ? why : "Application error");
}

/* fail_change - what the type cannot do at all is a sentence of its own. */
static void fail_change(const struct table *table, const char *what)
{
    const char *why = table_why(table);

    if (strncmp(why, "table ", 6) == 0)
        log_fatal("%s", why);
    log_fatal("table %s: %s error: %s", table_name(table), what, why);
}

/* first_hit - the value of the first table that has the key. */
static bool first_hit(struct table **tables, size_t count, struct slice key, struct buffer *value)
{
    for (size_t i = 0; i < count; i++) {
        enum table_result result = table_lookup(tables[i], key, value);
        if (result == TABLE_TRY_AGAIN)
            fail_query(tables[i]);
        if (result == TABLE_FOUND && value->len == 0) {
            log_warning("table %s: key " SLICE_FORMAT ": empty string result is not allowed", table_name(tables[i]), SLICE_ARGS(key));
            log_warning("table %s should return NO RESULT in case of NOT FOUND", table_name(tables[i]));
        }
        if (result == TABLE_FOUND)
            return true;
    }
    return false;
}

static void print_json(struct slice key, struct slice value)
{
    json_t *row = json_object();
    char *name = slice_string(key);

    json_object_set_new(row, name, json_stringn_nocheck(value.data != NULL ? value.data : "", value.len));
    json_dumpf(row, stdout, 0);
    putchar('\n');
    json_decref(row);
    free(name);
}

static void print_pair(const struct options *o, struct slice key, struct slice value)
{
    if (o->json)
        print_json(key, value);
    else
        printf(SLICE_FORMAT "%s\t" SLICE_FORMAT "\n", SLICE_ARGS(key), o->alias && o->dump ? ":" : "", SLICE_ARGS(value));
}

int query_key(const struct options *o, const char *const *names, size_t count)
{
    struct table **tables = open_all(o, names, count);
    struct buffer value = BUFFER_INIT;
    bool found = first_hit(tables, count, slice_of(o->query), &value);

    if (found && o->json)
        print_json(slice_of(o->query), buffer_slice(&value));
    else if (found)
        printf("%s\n", buffer_string(&value));
    buffer_release(&value);
    close_all(tables, count);
    return found ? 0 : 1;
}

/* next_line - from standard input, without its end. */
static bool next_line(struct buffer *line)
{
    int c;

    buffer_clear(line);
    while ((c = getchar()) != EOF && c != '\n')
        if (line->len < LINE_MAX_BYTES)
            buffer_append_byte(line, (char)c);
    if (c == EOF && line->len == 0)
        return false;
    return true;
}

int query_stdin(const struct options *o, const char *const *names, size_t count)
{
    struct table **tables = open_all(o, names, count);
    struct buffer line = BUFFER_INIT, value = BUFFER_INIT;
    bool found = false;

    while (next_line(&line)) {
        if (first_hit(tables, count, buffer_slice(&line), &value)) {
            print_pair(o, buffer_slice(&line), buffer_slice(&value));
            found = true;
        }
    }
    buffer_release(&line);
    buffer_release(&value);
    close_all(tables, count);
    return found ? 0 : 1;
}

/* ---- a message's headers and body lines as keys ---- */

struct message_query {
    const struct options *options;
    struct table **tables;
    size_t count;
    bool found;
};

static void ask(struct message_query *q, struct slice key)
{
    struct buffer value = BUFFER_INIT;

    if (first_hit(q->tables, q->count, key, &value)) {
        print_pair(q->options, key, buffer_slice(&value));
        q->found = true;
    }
    buffer_release(&value);
}

static void on_header(void *context, enum message_part part, struct slice text, bool truncated UNUSED)
{
    struct message_query *q = context;
    struct buffer plain = BUFFER_INIT;

    if (!q->options->headers || (part != MESSAGE_PRIMARY_HEADER && !q->options->mime))
        return;
    for (size_t i = 0; i < text.len; i++)
        if (text.data[i] != '\r')
            buffer_append_byte(&plain, text.data[i]);
    ask(q, buffer_slice(&plain));
    buffer_release(&plain);
}

static void on_header_end(void *context, enum message_part part UNUSED)
{
    struct message_query *q = context;

    if (q->options->bodies)
        ask(q, (struct slice){0}); /* the empty line counts as a body line */
}

static void on_body(void *context, struct slice line, bool more UNUSED)
{
    struct message_query *q = context;

    if (q->options->bodies)
        ask(q, line);
}

int query_message(const struct options *o, const char *const *names, size_t count)
{
    static const struct message_scanner_events events = {.header = on_header, .header_end = on_header_end, .body = on_body};
    struct message_query q = {.options = o, .tables = open_all(o, names, count), .count = count};
    struct message_limits limits = {.header_size_limit = (size_t)config_int(o->config, "header_size_limit"),
                                    .line_length_limit = (size_t)config_int(o->config, "line_length_limit"),
                                    .mime_nesting_limit = (size_t)config_int(o->config, "mime_nesting_limit"),
                                    .mime_boundary_length_limit = (size_t)config_int(o->config, "mime_boundary_length_limit"), .mime_processing = o->mime};
    struct message_scanner *scanner = message_scanner_new(&limits, &events, &q);
    struct buffer line = BUFFER_INIT;

    while (next_line(&line)) {
        buffer_append_string(&line, "\r\n");
        message_scanner_feed(scanner, buffer_slice(&line));
    }
    message_scanner_finish(scanner);
    message_scanner_free(scanner);
    buffer_release(&line);
    close_all(q.tables, count);
    return q.found ? 0 : 1;
}

/* ---- deleting, dumping ---- */

static bool delete_one(const struct options *o, const char *const *names, size_t count, struct slice key)
{
    bool found = false;

    for (size_t i = 0; i < count; i++) {
        struct table *table = table_open(slice_of(names[i]), o->table_flags | TABLE_WRITE, o->config);
        enum table_result result = table_delete(table, key);
        if (result == TABLE_TRY_AGAIN)
            fail_change(table, "delete");
        found = found || result == TABLE_FOUND;
        table_free(table);
    }
    return found;
}

int delete_key(const struct options *o, const char *const *names, size_t count)
{
    struct buffer line = BUFFER_INIT;
    bool found = false;

    if (strcmp(o->delete_key, "-") != 0)
        return delete_one(o, names, count, slice_of(o->delete_key)) ? 0 : 1;
    while (next_line(&line))
        found |= delete_one(o, names, count, buffer_slice(&line));
    buffer_release(&line);
    return found ? 0 : 1;
}

int dump_table(const struct options *o, const char *name)
{
    struct table *table = table_open(slice_of(name), o->table_flags & ~TABLE_UTF8, o->config); /* what is there is shown */
    struct buffer key = BUFFER_INIT, value = BUFFER_INIT;
    enum table_result result;

    for (result = table_next(table, true, &key, &value); result == TABLE_FOUND; result = table_next(table, false, &key, &value))
        print_pair(o, buffer_slice(&key), buffer_slice(&value));
    if (result == TABLE_TRY_AGAIN)
        fail_change(table, "sequence");
    buffer_release(&key);
    buffer_release(&value);
    table_free(table);
    return 0;
}
