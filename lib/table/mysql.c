/* mysql.c - mysql: tables, MariaDB's client library (compat.md c.1) */
#include "table/client.h"
#include "table/library.h"

#if __has_include(<mariadb/mysql.h>)
#include <mariadb/mysql.h>

#define FUNCTIONS(X) X(mysql_init) X(mysql_options) X(mysql_ssl_set) X(mysql_real_connect) X(mysql_close) X(mysql_set_character_set) \
    X(mysql_real_query) X(mysql_store_result) X(mysql_free_result) X(mysql_fetch_row) X(mysql_fetch_lengths) X(mysql_num_fields) \
    X(mysql_field_count) X(mysql_next_result) X(mysql_real_escape_string) X(mysql_error) X(mysql_errno)
static struct { FUNCTIONS(LIBRARY_MEMBER) } my;
#define SYMBOL(name) {#name, &my.name},
static const struct library_symbol symbols[] = {FUNCTIONS(SYMBOL) {0}};
static const struct library library = {"libmariadb.so.3", "libmariadb3", symbols};

/* Seconds until a server that says nothing counts as dead. */
static const unsigned connect_limit = 10, answer_limit = 30;
/* Errors of the client library itself: the connection is gone. */
enum { CLIENT_ERRORS = 2000, SERVER_GONE = 2006, SERVER_LOST = 2013 };

struct mysql_table {
    struct client_settings *settings;
    struct query query;
    struct hosts hosts;
    const char *user, *password, *dbname, *charset, *option_file, *option_group;
    const char *key_file, *cert_file, *ca_file, *ca_path, *ciphers;
    bool verify, require_result;
};

static void close_connection(void *connection)
{
    my.mysql_close(connection);
}

static void close_table(void *state)
{
    struct mysql_table *m = state;
    hosts_release(&m->hosts);
    query_release(&m->query);
    client_settings_free(m->settings);
    free(m);
}

static void read_settings(struct mysql_table *m)
{
    struct client_settings *settings = m->settings;
    m->user = client_string(settings, "user", "");
    m->password = client_string(settings, "password", "");
    m->dbname = client_string(settings, "dbname", "");
    m->charset = client_string(settings, "charset", "utf8mb4");
    m->option_file = client_string(settings, "option_file", "");
    m->option_group = client_string(settings, "option_group", "client");
    m->key_file = client_string(settings, "tls_key_file", "");
    m->cert_file = client_string(settings, "tls_cert_file", "");
    m->ca_file = client_string(settings, "tls_CAfile", "");
    m->ca_path = client_string(settings, "tls_CApath", "");
    m->ciphers = client_string(settings, "tls_ciphers", "");
    m->verify = client_bool(settings, "tls_verify_cert", false);
    m->require_result = client_bool(settings, "require_result_set", true);
}

static bool open_table(struct table *table)
{
    struct mysql_table *m = memory_zalloc(1, sizeof(*m));
    bool ok = library_load(table, &library) && (m->settings = client_settings_open(table)) != NULL;
    if (ok) {
        read_settings(m);
        query_sql(&m->query, m->settings, false);
        query_open(&m->query, table, m->settings, "%s");
        hosts_open(&m->hosts, m->settings, "localhost", close_connection);
        ok = client_settings_good(m->settings, table);
    }
    if (ok)
        table->state = m;
    else
        close_table(m);
    return ok;
}

/* ---- connecting --------------------------------------------------------------------------------------------------- */

static const char *or_null(const char *text)
{
    return *text ? text : NULL;
}

static void set_options(const struct mysql_table *m, MYSQL *connection)
{
    my.mysql_options(connection, MYSQL_OPT_CONNECT_TIMEOUT, &connect_limit);
    my.mysql_options(connection, MYSQL_OPT_READ_TIMEOUT, &answer_limit);
    my.mysql_options(connection, MYSQL_OPT_WRITE_TIMEOUT, &answer_limit);
    if (*m->option_file)
        my.mysql_options(connection, MYSQL_READ_DEFAULT_FILE, m->option_file);
    if (*m->option_file || *client_string(m->settings, "option_group", ""))
        my.mysql_options(connection, MYSQL_READ_DEFAULT_GROUP, m->option_group);
    if (*m->key_file || *m->cert_file || *m->ca_file || *m->ca_path || *m->ciphers || m->verify)
        my.mysql_ssl_set(connection, or_null(m->key_file), or_null(m->cert_file), or_null(m->ca_file), or_null(m->ca_path), or_null(m->ciphers));
    if (m->verify) {
        my_bool yes = 1;
        my.mysql_options(connection, MYSQL_OPT_SSL_VERIFY_SERVER_CERT, &yes);
    }
}

static bool connect_to(const struct mysql_table *m, MYSQL *connection, const struct host *host)
{
    struct slice text = slice_of(host->name), port_text;
    struct buffer name = BUFFER_INIT;
    uint64_t port = 0;
    const char *path = NULL, *server = NULL;
    if (host->local) {
        path = host->name;
    } else {
        size_t colon = slice_find_last(text, ':');
        port_text = slice_from(text, colon + 1);
        if (colon < text.len && slice_to_u64(port_text, &port))
            text = slice_first(text, colon);
        buffer_append_slice(&name, text);
        server = buffer_string(&name);
    }
    bool ok = my.mysql_real_connect(connection, server, or_null(m->user), or_null(m->password), or_null(m->dbname), (unsigned)port, path,
                                    CLIENT_MULTI_RESULTS) != NULL;
    buffer_release(&name);
    return ok;
}

static bool ready(struct mysql_table *m, struct host *host)
{
    if (host->connection)
        return true;
    MYSQL *connection = host->connection = my.mysql_init(NULL);
    if (!connection) {
        hosts_down(&m->hosts, host);
        return false;
    }
    set_options(m, connection);
    if (!connect_to(m, connection, host))
        log_warning("connect to mysql server %s: %s", host->name, my.mysql_error(connection));
    else if (*m->charset && my.mysql_set_character_set(connection, m->charset) != 0)
        log_warning("mysql_set_character_set '%s' failed: %s: %s", m->charset, host->name, my.mysql_error(connection));
    else
        return true;
    hosts_down(&m->hosts, host);
    return false;
}

/* ---- asking ------------------------------------------------------------------------------------------------------- */

static void quote(void *context, struct slice text, struct buffer *out)
{
    char *to = buffer_reserve(out, 2 * text.len + 1);
    if (to)
        buffer_commit(out, my.mysql_real_escape_string(context, to, text.data, text.len));
}

static enum table_result take_rows(struct table *table, const struct query *query, MYSQL_RES *rows, struct slice key, struct buffer *value)
{
    unsigned columns = my.mysql_num_fields(rows);
    int64_t count = 0;
    MYSQL_ROW row;
    while ((row = my.mysql_fetch_row(rows)) != NULL) {
        unsigned long *lengths = my.mysql_fetch_lengths(rows);
        for (unsigned i = 0; i < columns; i++)
            if (row[i] && !query_add_result(query, table, key, slice_make(row[i], lengths[i]), &count, value))
                return TABLE_TRY_AGAIN;
    }
    return value->len > 0 ? TABLE_FOUND : TABLE_NOT_FOUND;
}

/* take_results - a stored procedure gives several: only the first with rows counts.  False: an error of the server. */
static bool take_results(struct table *table, MYSQL *connection, struct slice key, struct buffer *value, enum table_result *result)
{
    const struct mysql_table *m = table->state;
    bool seen = false;
    int more = 0;
    *result = TABLE_NOT_FOUND;
    for (; more == 0; more = my.mysql_next_result(connection)) {
        MYSQL_RES *rows = my.mysql_store_result(connection);
        if (rows && !seen) {
            *result = take_rows(table, &m->query, rows, key, value);
            seen = true;
        }
        if (rows)
            my.mysql_free_result(rows);
        else if (my.mysql_field_count(connection) != 0)
            return false;
    }
    if (more < 0 && !seen && m->require_result)
        log_warning("%s: query returned no result set: %s", table->name, m->query.template);
    return more < 0 && (seen || !m->require_result);
}

/* run_query - on one host; true when *result is final. */
static bool run_query(struct table *table, struct host *host, struct slice key, struct buffer *value, enum table_result *result)
{
    struct mysql_table *m = table->state;
    struct buffer sql = BUFFER_INIT;
    *result = TABLE_NOT_FOUND;
    bool is_query = query_expand(m->query.template, key, quote, host->connection, &sql);
    bool ok = !is_query || (my.mysql_real_query(host->connection, buffer_string(&sql), sql.len) == 0 &&
                            take_results(table, host->connection, key, value, result));
    buffer_release(&sql);
    if (!ok)
        log_warning("mysql query failed: %s: %s", host->name, my.mysql_error(host->connection));
    return ok;
}

/* after_failure - false: the server refused this one query and is well. */
static bool after_failure(struct mysql_table *m, struct host *host, bool is_old)
{
    unsigned error = my.mysql_errno(host->connection);
    if (error > 0 && error < CLIENT_ERRORS)
        return false;
    /* A connection that ended while nobody used it says nothing about the server. */
    if (is_old && (error == SERVER_GONE || error == SERVER_LOST))
        hosts_disconnect(&m->hosts, host);
    else
        hosts_down(&m->hosts, host);
    return true;
}

static enum table_result lookup(struct table *table, struct slice key, struct buffer *value)
{
    struct mysql_table *m = table->state;
    enum table_result result = query_wanted(&m->query, table, key);
    struct host *host;
    if (result != TABLE_FOUND)
        return result;
    while ((host = hosts_next(&m->hosts)) != NULL) {
        bool is_old = host->connection != NULL;
        if (!ready(m, host))
            continue;
        if (run_query(table, host, key, value, &result))
            return result;
        buffer_clear(value);
        if (!after_failure(m, host, is_old))
            return table_fail(table, "%s: query failed", table->name);
    }
    return table_fail(table, "%s: no server answers", table->name);
}

const struct table_driver table_driver_mysql = {"mysql", DRIVER_AS_IS | DRIVER_BLOCKS, open_table, close_table, lookup, NULL, NULL, NULL};

#else

static bool open_table(struct table *table)
{
    return library_not_built(table, "libmariadb-dev");
}

const struct table_driver table_driver_mysql = {"mysql", DRIVER_AS_IS | DRIVER_HIDDEN, open_table, NULL, NULL, NULL, NULL, NULL};
#endif
