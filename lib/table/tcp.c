/* tcp.c - tcp_table protocol: "get key" out, "200 value" back, %XX encoded (compat.md h.4) */
#include "table/server.h"
#include "table/server_reply.h"

#define LINE_MAX_BYTES 4096
#define TIME_LIMIT (100 * MICROSECONDS)
#define TRIES 10

static bool open_table(struct table *table)
{
    struct server *server = memory_zalloc(1, sizeof(*server));

    table->state = server;
    if (server_parse(server, slice_of(table->argument), true))
        return true;
    table_fail(table, "bad syntax: \"%s\"; need \"tcp:host:port\"", table->name);
    free(server);
    table->state = NULL;
    return false;
}

static void close_table(void *state)
{
    server_close(state);
    free(state);
}

static void append_encoded(struct buffer *out, struct slice text)
{
    for (size_t i = 0; i < text.len; i++) {
        unsigned char byte = (unsigned char)text.data[i];
        if (byte == '%' || byte <= 32 || byte >= 127)
            buffer_printf(out, "%%%02X", byte);
        else
            buffer_append_byte(out, (char)byte);
    }
}

static int hex_value(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static bool decode(struct slice text, struct buffer *out)
{
    for (size_t i = 0; i < text.len; i++) {
        if (text.data[i] != '%') {
            buffer_append_byte(out, text.data[i]);
            continue;
        }
        if (i + 2 >= text.len)
            return false;
        int high = hex_value(text.data[i + 1]), low = hex_value(text.data[i + 2]);
        if (high < 0 || low < 0)
            return false;
        buffer_append_byte(out, (char)(high << 4 | low));
        i += 2;
    }
    return true;
}

enum server_status tcp_parse(struct slice line, struct buffer *text)
{
    struct slice rest = slice_from(line, 4);

    buffer_clear(text);
    if (line.len < 4 || line.data[3] != ' ' || !decode(rest, text))
        return SERVER_BROKEN;
    if (slice_starts(line, SLICE("200")))
        return SERVER_FOUND;
    if (slice_starts(line, SLICE("500")))
        return SERVER_NOT_FOUND;
    return slice_starts(line, SLICE("400")) ? SERVER_TEMPORARY : SERVER_BROKEN;
}

static bool ask(struct server *server, struct slice key, struct slice *line)
{
    struct buffer request = BUFFER_INIT;

    buffer_append_string(&request, "get ");
    append_encoded(&request, key);
    buffer_append_byte(&request, '\n');
    stream_write_slice(server->stream, buffer_slice(&request));
    buffer_release(&request);
    if (!stream_flush(server->stream))
        return false;
    enum line_end end = stream_read_line(server->stream, LINE_MAX_BYTES, line);
    return end == LINE_LF || end == LINE_CRLF;
}

static enum table_result take_reply(struct table *table, struct slice line, struct buffer *value, bool *broken)
{
    struct buffer text = BUFFER_INIT_MAX(LINE_MAX_BYTES);
    enum server_status status = tcp_parse(line, &text);
    enum table_result result = TABLE_NOT_FOUND;

    if (status == SERVER_FOUND) {
        buffer_append_slice(value, buffer_slice(&text));
        result = TABLE_FOUND;
    } else if (status != SERVER_NOT_FOUND) {
        *broken = status == SERVER_BROKEN;
        if (*broken)
            log_warning("read TCP map reply from %s: malformed reply: " SLICE_FORMAT, table->argument, SLICE_ARGS(slice_first(line, 100)));
        result = table_fail(table, "%s", server_not_now());
    }
    buffer_release(&text);
    return result;
}

static enum table_result lookup(struct table *table, struct slice key, struct buffer *value)
{
    struct server *server = table->state;
    const char *why = server_not_now();

    for (int i = 0; i < TRIES; i++) {
        struct slice line;
        if (i > 0 && fiber_current() != NULL)
            fiber_sleep(MICROSECONDS);
        if (!server_begin(server, TIME_LIMIT, &why)) {
            log_warning("connect to TCP map %s: %s", table->argument, why);
            if (fiber_current() == NULL)
                break;
            continue;
        }
        bool good = ask(server, key, &line), broken = !good;
        enum table_result result = good ? take_reply(table, line, value, &broken) : TABLE_TRY_AGAIN;
        server_end(server, broken);
        if (good)
            return result;
        why = server_not_now();
        log_warning("read TCP map reply from %s: lost connection", table->argument);
    }
    return table_fail(table, "%s", why);
}

const struct table_driver table_driver_tcp = {"tcp", DRIVER_PATTERN | DRIVER_NETWORK, open_table, close_table, lookup, NULL, NULL, NULL};
