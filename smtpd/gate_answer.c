/* gate_answer.c - the gate's replies */
#include "gate_private.h"

#include "base/log.h"
#include "smtp/reply.h"

enum { TEXT_MAX = 4096 };

/* ---- the footer ---- */

struct expansion {
    const struct gate_client *client;
    struct buffer value; /* the last one looked up */
};

static const char *look_up(void *context, struct slice name)
{
    struct expansion *e = context;
    const struct gate_client *c = e->client;

    buffer_clear(&e->value);
    if (slice_equal(name, SLICE("client_address")))
        buffer_append_string(&e->value, c->address);
    else if (slice_equal(name, SLICE("client_port")))
        buffer_printf(&e->value, "%u", net_address_port(&c->connection->peer));
    else if (slice_equal(name, SLICE("localtime")))
        clock_syslog(&e->value, clock_wall());
    else if (slice_equal(name, SLICE("server_name")))
        buffer_append_string(&e->value, c->gate->params.myhostname);
    else
        gate_warn("unknown macro name \"" SLICE_FORMAT "\" in expansion request", SLICE_ARGS(name));
    for (size_t i = 0; i < e->value.len; i++)
        if (!c->gate->filter_allowed[(unsigned char)e->value.data[i]])
            e->value.data[i] = '_';
    return buffer_string(&e->value);
}

/* append_footer - "\c" in front: on the last line; else lines of their own.  "\n" separates lines. */
static void append_footer(const struct gate_client *c, struct slice template, struct buffer *text)
{
    struct expansion e = {.client = c};
    struct buffer footer = BUFFER_INIT_MAX(TEXT_MAX), error = BUFFER_INIT;
    bool same_line = slice_starts(template, SLICE("\\c"));

    if (config_expand_with(slice_from(template, same_line ? 2 : 0), look_up, &e, &footer, &error)) {
        struct slice rest = buffer_slice(&footer);
        if (!same_line)
            buffer_append_byte(text, '\n');
        for (size_t at; (at = slice_search(rest, SLICE("\\n"))) < rest.len; rest = slice_from(rest, at + 2)) {
            buffer_append_slice(text, slice_first(rest, at));
            buffer_append_byte(text, '\n');
        }
        buffer_append_slice(text, rest);
    } else {
        gate_warn("bad reply footer: %s", buffer_string(&error));
    }
    buffer_release(&e.value);
    buffer_release(&footer);
    buffer_release(&error);
}

/* add_footer - of postscreen_reject_footer_maps for this reply, or postscreen_reject_footer. */
static void add_footer(const struct gate_client *c, int code, const char *status, struct buffer *text)
{
    struct buffer value = BUFFER_INIT, line = BUFFER_INIT;
    struct slice template = slice_of(c->gate->params.postscreen_reject_footer);

    if (!table_list_is_empty(c->gate->footer_maps)) {
        buffer_printf(&line, "%d %s%s%s", code, status, status[0] ? " " : "", buffer_string(text));
        if (table_list_lookup(c->gate->footer_maps, buffer_slice(&line), true, &value) == TABLE_FOUND)
            template = buffer_slice(&value);
    }
    if (template.len)
        append_footer(c, template, text);
    buffer_release(&value);
    buffer_release(&line);
}

/* ---- replies ---- */

void gate_answer(struct gate_client *c, int code, const char *status, struct slice text)
{
    struct buffer lines = BUFFER_INIT_MAX(TEXT_MAX), *out;
    struct slice rest, line;

    buffer_append_slice(&lines, text);
    if (code >= 400)
        add_footer(c, code, status, &lines);
    rest = buffer_slice(&lines);
    while ((out = stream_output(c->connection->stream)) != NULL && slice_cut(rest, '\n', &line, &rest))
        smtp_reply_line(out, code, true, status, line);
    if (out)
        smtp_reply_line(out, code, false, status, line);
    buffer_release(&lines);
}

void gate_refuse(struct gate_client *c, int code)
{
    struct slice status, text;
    char status_text[12];

    slice_cut(slice_of(c->refusal), ' ', &status, &text);
    snprintf(status_text, sizeof(status_text), SLICE_FORMAT, SLICE_ARGS(status));
    gate_answer(c, code, status_text, text);
}
