/* sqlite.c - sqlite: tables (compat.md c.1) */
#include "table/client.h"
#include "table/library.h"

#if __has_include(<sqlite3.h>)
#include <sqlite3.h>

#define FUNCTIONS(X) X(sqlite3_open_v2) X(sqlite3_close) X(sqlite3_prepare_v2) X(sqlite3_step) X(sqlite3_finalize) X(sqlite3_column_count) \
    X(sqlite3_column_text) X(sqlite3_column_bytes) X(sqlite3_errmsg) X(sqlite3_busy_timeout)
static struct { FUNCTIONS(LIBRARY_MEMBER) } sqlite;
#define SYMBOL(name) {#name, &sqlite.name},
static const struct library_symbol symbols[] = {FUNCTIONS(SYMBOL) {0}};
static const struct library library = {"libsqlite3.so.0", "libsqlite3-0", symbols};

/* How long a lookup waits for a writer, in milliseconds. */
enum { BUSY_LIMIT = 10000 };

struct sqlite_table {
    struct client_settings *settings;
    struct query query;
    const char *path;
    sqlite3 *database; /* NULL until the first lookup */
};

static void close_table(void *state)
{
    struct sqlite_table *s = state;
    if (s->database)
        sqlite.sqlite3_close(s->database);
    query_release(&s->query);
    client_settings_free(s->settings);
    free(s);
}

static bool open_table(struct table *table)
{
    struct sqlite_table *s = memory_zalloc(1, sizeof(*s));
    bool ok = library_load(table, &library) && (s->settings = client_settings_open(table)) != NULL;
    if (ok) {
        s->path = client_need(s->settings, "dbpath");
        query_sql(&s->query, s->settings, false);
        query_open(&s->query, table, s->settings, "%s");
        ok = client_settings_good(s->settings, table);
    }
    if (ok)
        table->state = s;
    else
        close_table(s);
    return ok;
}

static enum table_result failed(struct table *table, struct sqlite_table *s, const char *what)
{
    log_warning("%s: %s: %s failed: %s", table->name, s->path, what, s->database ? sqlite.sqlite3_errmsg(s->database) : "out of memory");
    return table_fail(table, "%s failed: %s", what, s->database ? sqlite.sqlite3_errmsg(s->database) : "out of memory");
}

/* connect_now - false after table_fail. */
static bool connect_now(struct table *table, struct sqlite_table *s)
{
    if (s->database)
        return true;
    if (sqlite.sqlite3_open_v2(s->path, &s->database, SQLITE_OPEN_READONLY, NULL) == SQLITE_OK) {
        sqlite.sqlite3_busy_timeout(s->database, BUSY_LIMIT);
        return true;
    }
    failed(table, s, "open");
    if (s->database)
        sqlite.sqlite3_close(s->database);
    s->database = NULL;
    return false;
}

static void quote(void *context, struct slice text, struct buffer *out)
{
    for (size_t i = 0; i < text.len; i++) {
        if (text.data[i] == '\'')
            buffer_append_byte(out, '\'');
        buffer_append_byte(out, text.data[i]);
    }
}

/* take_row - every column of one row.  False after table_fail. */
static bool take_row(struct table *table, struct sqlite_table *s, sqlite3_stmt *statement, struct slice key, int64_t *count, struct buffer *value)
{
    for (int i = 0; i < sqlite.sqlite3_column_count(statement); i++) {
        const unsigned char *text = sqlite.sqlite3_column_text(statement, i);
        if (text && !query_add_result(&s->query, table, key, slice_make(text, (size_t)sqlite.sqlite3_column_bytes(statement, i)), count, value))
            return false;
    }
    return true;
}

static enum table_result ask(struct table *table, struct sqlite_table *s, struct slice sql, struct slice key, struct buffer *value)
{
    enum table_result result = TABLE_NOT_FOUND;
    const char *rest = sql.data;
    int64_t count = 0;
    while (*rest && result != TABLE_TRY_AGAIN) {
        sqlite3_stmt *statement;
        if (sqlite.sqlite3_prepare_v2(s->database, rest, -1, &statement, &rest) != SQLITE_OK)
            return failed(table, s, "query");
        int step = SQLITE_DONE;
        while (result != TABLE_TRY_AGAIN && statement && (step = sqlite.sqlite3_step(statement)) == SQLITE_ROW)
            if (!take_row(table, s, statement, key, &count, value))
                result = TABLE_TRY_AGAIN;
        if (result != TABLE_TRY_AGAIN && step != SQLITE_DONE)
            result = failed(table, s, "query");
        sqlite.sqlite3_finalize(statement);
    }
    return result == TABLE_NOT_FOUND && value->len > 0 ? TABLE_FOUND : result;
}

static enum table_result lookup(struct table *table, struct slice key, struct buffer *value)
{
    struct sqlite_table *s = table->state;
    struct buffer sql = BUFFER_INIT;
    enum table_result result = query_wanted(&s->query, table, key);
    if (result == TABLE_FOUND) {
        if (!query_expand(s->query.template, key, quote, NULL, &sql))
            result = TABLE_NOT_FOUND;
        else
            result = connect_now(table, s) ? ask(table, s, buffer_slice(&sql), key, value) : TABLE_TRY_AGAIN;
    }
    buffer_release(&sql);
    return result;
}

const struct table_driver table_driver_sqlite = {"sqlite", DRIVER_AS_IS | DRIVER_BLOCKS, open_table, close_table, lookup, NULL, NULL, NULL};

#else

static bool open_table(struct table *table)
{
    return library_not_built(table, "libsqlite3-dev");
}

const struct table_driver table_driver_sqlite = {"sqlite", DRIVER_AS_IS | DRIVER_HIDDEN, open_table, NULL, NULL, NULL, NULL, NULL};
#endif
