/* socketmap.c - socketmap protocol: netstring "name key" out, netstring "STATUS text" back (compat.md h.4) */
#include "table/server.h"
#include "table/server_reply.h"

#define TIME_LIMIT (100 * MICROSECONDS)
#define TRIES 2 /* a dropped idle connection is no failure */

struct socketmap {
    struct server server;
    struct slice endpoint; /* as messages have it: without the type */
    struct slice name;
    size_t request_max, reply_max; /* bytes */
};

static bool open_table(struct table *table)
{
    struct socketmap *map = memory_zalloc(1, sizeof(*map));
    struct slice text = slice_of(table->argument);
    size_t colon = slice_find_last(text, ':');

    table->state = map;
    map->request_max = (size_t)config_int(table->config, "socketmap_max_query_size");
    map->reply_max = (size_t)config_int(table->config, "socketmap_max_reply_size");
    if (colon < text.len && server_parse(&map->server, slice_first(text, colon), false)) {
        map->endpoint = slice_from(slice_first(text, colon), strlen("inet:"));
        map->name = slice_from(text, colon + 1);
        return true;
    }
    table_fail(table, "bad syntax: \"%s\"; need \"socketmap:inet:host:port:name\" or \"socketmap:unix:path:name\"", table->name);
    free(map);
    table->state = NULL;
    return false;
}

static void close_table(void *state)
{
    struct socketmap *map = state;

    server_close(&map->server);
    free(map);
}

enum server_status socketmap_parse(struct slice reply, struct slice *text)
{
    static const struct { struct slice word; enum server_status status; } words[] = {
        {{"OK", 2}, SERVER_FOUND}, {{"NOTFOUND", 8}, SERVER_NOT_FOUND}, {{"TEMP", 4}, SERVER_TEMPORARY}, {{"TIMEOUT", 7}, SERVER_TIMEOUT},
        {{"PERM", 4}, SERVER_PERMANENT}};
    struct slice status = reply;

    *text = (struct slice){0};
    slice_cut(reply, ' ', &status, text);
    for (size_t i = 0; i < COUNT_OF(words); i++)
        if (slice_equal(status, words[i].word))
            return words[i].status;
    return SERVER_BROKEN;
}

/* read_netstring - "length:bytes,". */
static bool read_netstring(struct stream *stream, size_t max, struct buffer *out)
{
    struct slice digits;
    uint64_t length;
    char comma;

    if (!stream_read_until(stream, ':', 10, &digits) || !slice_to_u64(digits, &length) || length > max)
        return false;
    char *room = buffer_reserve(out, length + 1);
    if (room == NULL || !stream_read(stream, room, length))
        return false;
    buffer_commit(out, length);
    return stream_read(stream, &comma, 1) && comma == ',';
}

static bool ask(struct socketmap *map, struct slice key, struct buffer *reply)
{
    struct stream *stream = map->server.stream;

    stream_printf(stream, "%zu:" SLICE_FORMAT " ", map->name.len + 1 + key.len, SLICE_ARGS(map->name));
    stream_write_slice(stream, key);
    stream_write_slice(stream, SLICE(","));
    buffer_clear(reply);
    return stream_flush(stream) && read_netstring(stream, map->reply_max, reply);
}

static enum table_result take_reply(struct table *table, struct slice reply, struct buffer *value)
{
    struct slice text;
    enum server_status status = socketmap_parse(reply, &text);

    switch (status) {
    case SERVER_FOUND:
        buffer_append_slice(value, text);
        return TABLE_FOUND;
    case SERVER_NOT_FOUND:
        return TABLE_NOT_FOUND;
    case SERVER_TEMPORARY:
    case SERVER_TIMEOUT:
        log_warning("%s socketmap server %s error: " SLICE_FORMAT, table->name, status == SERVER_TIMEOUT ? "timeout" : "temporary",
                    SLICE_ARGS(text));
        return table_fail(table, "%s", server_not_now());
    case SERVER_PERMANENT:
        log_warning("%s socketmap server permanent error: " SLICE_FORMAT, table->name, SLICE_ARGS(text));
        table->config_error = true;
        return table_fail(table, SLICE_FORMAT, SLICE_ARGS(text));
    default:
        log_warning("%s socketmap server unrecognized reply: " SLICE_FORMAT, table->name, SLICE_ARGS(slice_first(reply, 100)));
        return table_fail(table, "%s", server_not_now());
    }
}

static enum table_result lookup(struct table *table, struct slice key, struct buffer *value)
{
    struct socketmap *map = table->state;
    struct buffer reply = BUFFER_INIT_MAX(map->reply_max + 1);
    enum table_result result = TABLE_TRY_AGAIN;
    const char *why = "lost connection";
    bool good = false;

    if (map->name.len + 1 + key.len > map->request_max) {
        log_warning("%s: request is too long: ignoring this lookup", table->name);
        return TABLE_NOT_FOUND;
    }
    for (int i = 0; i < TRIES && !good; i++) {
        if (!server_begin(&map->server, TIME_LIMIT, &why)) {
            log_warning("connect to " SLICE_FORMAT ": %s", SLICE_ARGS(map->endpoint), why);
            break;
        }
        good = ask(map, key, &reply);
        if (good)
            result = take_reply(table, buffer_slice(&reply), value);
        server_end(&map->server, !good);
    }
    if (!good) {
        log_warning("table %s lookup error: %s", table->name, why);
        result = table_fail(table, "%s", why);
    }
    buffer_release(&reply);
    return result;
}

const struct table_driver table_driver_socketmap = {"socketmap", DRIVER_PATTERN | DRIVER_NETWORK, open_table, close_table, lookup, NULL, NULL, NULL};
