/* memcache.c - memcache: tables: memcached's text protocol, with a persistent table behind it if wished (compat.md c.1)

   The cache is asked between fibers like other servers, so no helper is needed.  What the cache cannot hold, or cannot be asked, is looked up
   in the backup; what only the backup has is put into the cache. */
#include "table/client.h"
#include "table/server.h"

#define TTL_RELATIVE_MAX (30 * 86400) /* above, memcached reads a date */
enum { KEY_MAX = 250 };

struct memcache {
    struct client_settings *settings;
    struct query query; /* key_format, domain */
    struct server server;
    const char *endpoint;
    struct table *backup;
    int64_t flags, ttl, data_limit, line_limit, tries, pause, timeout;
};

static void close_table(void *state)
{
    struct memcache *m = state;
    server_close(&m->server);
    table_free(m->backup);
    query_release(&m->query);
    client_settings_free(m->settings);
    free(m);
}

static void read_settings(struct memcache *m, struct table *table)
{
    struct client_settings *settings = m->settings;
    const char *backup = client_string(settings, "backup", "");
    m->endpoint = client_string(settings, "memcache", "inet:localhost:11211");
    m->flags = client_number(settings, "flags", 0, 0, UINT32_MAX);
    m->ttl = client_number(settings, "ttl", 3600, 0, INT32_MAX);
    m->data_limit = client_number(settings, "data_size_limit", 10240, 1, 1 << 20);
    m->line_limit = client_number(settings, "line_size_limit", 1024, 1, 1 << 20);
    m->tries = client_number(settings, "max_try", 2, 1, 100);
    m->pause = client_time(settings, "retry_pause", 1);
    m->timeout = client_time(settings, "timeout", 2);
    m->query.template = client_string(settings, "key_format", "%s");
    if (*backup)
        m->backup = table_open(slice_of(backup), table->flags & ~TABLE_FATAL, table->config);
}

static bool open_table(struct table *table)
{
    struct memcache *m = memory_zalloc(1, sizeof(*m));
    bool ok = (m->settings = client_settings_open(table)) != NULL;
    if (ok) {
        read_settings(m, table);
        query_open(&m->query, table, m->settings, "%s");
        ok = client_settings_good(m->settings, table);
    }
    if (ok && !server_parse(&m->server, slice_of(m->endpoint), false)) {
        table_fail(table, "%s: memcache: bad syntax: \"%s\"; need \"inet:host:port\" or \"unix:path\"", table->name, m->endpoint);
        ok = false;
    }
    if (ok)
        table->state = m;
    else
        close_table(m);
    return ok;
}

/* ---- the dialogue ------------------------------------------------------------------------------------------------- */

struct dialogue {
    struct memcache *m;
    struct slice key, data; /* data: what set stores */
    struct buffer *value;
};

enum reply { REPLY_BROKEN, REPLY_YES, REPLY_NO };

static bool read_line(struct memcache *m, struct slice *line)
{
    enum line_end end = stream_read_line(m->server.stream, (size_t)m->line_limit, line);
    return end == LINE_CRLF || end == LINE_LF;
}

/* read_value - after "VALUE key flags bytes": the bytes, and END. */
static enum reply read_value(struct dialogue *d, struct slice line)
{
    struct slice word;
    uint64_t length = 0;
    for (int i = 0; i < 4; i++)
        if (!slice_next_token(&line, " ", &word))
            return REPLY_BROKEN;
    if (!slice_to_u64(word, &length) || length > (uint64_t)d->m->data_limit)
        return REPLY_BROKEN;
    char *room = buffer_reserve(d->value, length + 1);
    if (!room || !stream_read(d->m->server.stream, room, length))
        return REPLY_BROKEN;
    buffer_commit(d->value, length);
    return read_line(d->m, &line) && line.len == 0 && read_line(d->m, &line) && slice_equal(line, SLICE("END")) ? REPLY_YES : REPLY_BROKEN;
}

static enum reply get(struct dialogue *d)
{
    struct stream *stream = d->m->server.stream;
    struct slice line;
    buffer_clear(d->value);
    stream_printf(stream, "get " SLICE_FORMAT "\r\n", SLICE_ARGS(d->key));
    if (!stream_flush(stream) || !read_line(d->m, &line))
        return REPLY_BROKEN;
    if (slice_equal(line, SLICE("END")))
        return REPLY_NO;
    return slice_starts(line, SLICE("VALUE ")) ? read_value(d, line) : REPLY_BROKEN;
}

static enum reply set(struct dialogue *d)
{
    struct stream *stream = d->m->server.stream;
    struct slice line;
    int64_t ttl = d->m->ttl > TTL_RELATIVE_MAX ? clock_wall() / MICROSECONDS + d->m->ttl : d->m->ttl;
    stream_printf(stream, "set " SLICE_FORMAT " %lld %lld %zu\r\n", SLICE_ARGS(d->key), (long long)d->m->flags, (long long)ttl, d->data.len);
    stream_write_slice(stream, d->data);
    stream_write_slice(stream, SLICE("\r\n"));
    if (!stream_flush(stream) || !read_line(d->m, &line))
        return REPLY_BROKEN;
    return slice_equal(line, SLICE("STORED")) ? REPLY_YES : REPLY_BROKEN;
}

static enum reply delete(struct dialogue *d)
{
    struct stream *stream = d->m->server.stream;
    struct slice line;
    stream_printf(stream, "delete " SLICE_FORMAT "\r\n", SLICE_ARGS(d->key));
    if (!stream_flush(stream) || !read_line(d->m, &line))
        return REPLY_BROKEN;
    return slice_equal(line, SLICE("DELETED")) ? REPLY_YES : slice_equal(line, SLICE("NOT_FOUND")) ? REPLY_NO : REPLY_BROKEN;
}

/* converse - as often as max_try says. */
static enum reply converse(struct table *table, struct dialogue *d, enum reply (*talk)(struct dialogue *d))
{
    struct memcache *m = d->m;
    const char *why = "";
    for (int64_t i = 0; i < m->tries; i++) {
        if (i > 0 && fiber_current())
            fiber_sleep(m->pause);
        if (!server_begin(&m->server, m->timeout, &why))
            continue;
        enum reply reply = talk(d);
        if (reply == REPLY_BROKEN)
            why = stream_error(m->server.stream) == STREAM_TIMEOUT ? "timed out"
                  : stream_error(m->server.stream) != STREAM_OK    ? "lost connection"
                                                                   : "unexpected reply";
        server_end(&m->server, reply == REPLY_BROKEN);
        if (reply != REPLY_BROKEN)
            return reply;
    }
    log_warning("%s: memcache server %s: %s", table->name, m->endpoint, why);
    return REPLY_BROKEN;
}

/* ---- the table ---------------------------------------------------------------------------------------------------- */

/* is_possible - a key that the protocol can say. */
static bool is_possible(struct slice key)
{
    return key.len > 0 && key.len <= KEY_MAX && slice_find(key, ' ') == key.len && !slice_has_control(key);
}

static enum table_result from_backup(struct table *table, enum table_result result)
{
    const struct memcache *m = table->state;
    if (result == TABLE_TRY_AGAIN) {
        table->config_error = table_is_misconfigured(m->backup);
        table_fail(table, "%s", table_why(m->backup));
    }
    return result;
}

/* prepare - the cache's key.  TABLE_FOUND: it may be there; TABLE_NOT_FOUND: this key is not for the cache. */
static enum table_result prepare(struct table *table, struct slice key, struct buffer *cache_key)
{
    struct memcache *m = table->state;
    enum table_result result = query_wanted(&m->query, table, key);
    if (result == TABLE_FOUND && (!query_expand(m->query.template, key, NULL, NULL, cache_key) || !is_possible(buffer_slice(cache_key))))
        result = TABLE_NOT_FOUND;
    return result;
}

static enum table_result lookup(struct table *table, struct slice key, struct buffer *value)
{
    struct memcache *m = table->state;
    struct buffer cache_key = BUFFER_INIT;
    enum reply reply = REPLY_NO;
    enum table_result result = prepare(table, key, &cache_key);
    bool cached = result == TABLE_FOUND;
    struct dialogue d = {.m = m, .key = buffer_slice(&cache_key), .value = value};
    if (cached)
        reply = converse(table, &d, get);
    if (cached && reply == REPLY_YES) {
        result = TABLE_FOUND;
    } else if (result != TABLE_TRY_AGAIN && m->backup) {
        result = from_backup(table, table_lookup(m->backup, key, value));
        d.data = buffer_slice(value);
        if (result == TABLE_FOUND && reply == REPLY_NO && cached && value->len <= (size_t)m->data_limit)
            (void)converse(table, &d, set);
    } else if (result != TABLE_TRY_AGAIN) {
        result = reply == REPLY_BROKEN ? table_fail(table, "%s", server_not_now()) : TABLE_NOT_FOUND;
    }
    buffer_release(&cache_key);
    return result;
}

static enum table_result update(struct table *table, struct slice key, struct slice value)
{
    struct memcache *m = table->state;
    struct buffer cache_key = BUFFER_INIT;
    enum table_result result = prepare(table, key, &cache_key);
    struct dialogue d = {.m = m, .key = buffer_slice(&cache_key), .data = value};
    bool cached = result == TABLE_FOUND;
    enum reply reply = REPLY_NO;
    if (cached && value.len > (size_t)m->data_limit) {
        /* Too large for the cache: an old value there must not stand in front of the backup's. */
        reply = converse(table, &d, delete) == REPLY_BROKEN ? REPLY_BROKEN : REPLY_NO;
    } else if (cached) {
        reply = converse(table, &d, set);
    }
    if (m->backup)
        result = from_backup(table, table_update(m->backup, key, value));
    else
        result = reply == REPLY_YES ? TABLE_FOUND : table_fail(table, "%s: not stored", table->name);
    buffer_release(&cache_key);
    return result;
}

static enum table_result remove_key(struct table *table, struct slice key)
{
    struct memcache *m = table->state;
    struct buffer cache_key = BUFFER_INIT;
    enum table_result result = prepare(table, key, &cache_key);
    struct dialogue d = {.m = m, .key = buffer_slice(&cache_key)};
    enum reply reply = result == TABLE_FOUND ? converse(table, &d, delete) : REPLY_NO;
    if (m->backup)
        result = from_backup(table, table_delete(m->backup, key));
    else
        result = reply == REPLY_YES ? TABLE_FOUND : reply == REPLY_NO ? TABLE_NOT_FOUND : table_fail(table, "%s", server_not_now());
    buffer_release(&cache_key);
    return result;
}

static enum table_result next(struct table *table, bool first, struct buffer *key, struct buffer *value)
{
    struct memcache *m = table->state;
    if (!m->backup)
        return table_fail(table, "table %s: can't walk through a cache: there is no backup", table->name);
    return from_backup(table, table_next(m->backup, first, key, value));
}

const struct table_driver table_driver_memcache = {"memcache", DRIVER_NETWORK, open_table, close_table, lookup, update, remove_key, next};
