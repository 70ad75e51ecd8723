/* pgsql.c - pgsql: tables, PostgreSQL's libpq (compat.md c.1) */
#include "table/client.h"
#include "table/library.h"

#if __has_include(<postgresql/libpq-fe.h>)
#include <postgresql/libpq-fe.h>

#define FUNCTIONS(X) X(PQconnectdbParams) X(PQsetClientEncoding) X(PQfinish) X(PQexec) X(PQclear) X(PQstatus) X(PQerrorMessage) \
    X(PQresultStatus) X(PQntuples) X(PQnfields) X(PQgetvalue) X(PQgetlength) X(PQgetisnull) X(PQescapeStringConn)
static struct { FUNCTIONS(LIBRARY_MEMBER) } pq;
#define SYMBOL(name) {#name, &pq.name},
static const struct library_symbol symbols[] = {FUNCTIONS(SYMBOL) {0}};
static const struct library library = {"libpq.so.5", "libpq5", symbols};

struct pgsql_table {
    struct client_settings *settings;
    struct query query;
    struct hosts hosts;
    const char *user, *password, *dbname, *encoding;
};

static void close_connection(void *connection)
{
    pq.PQfinish(connection);
}

static void close_table(void *state)
{
    struct pgsql_table *p = state;
    hosts_release(&p->hosts);
    query_release(&p->query);
    client_settings_free(p->settings);
    free(p);
}

static bool open_table(struct table *table)
{
    struct pgsql_table *p = memory_zalloc(1, sizeof(*p));
    bool ok = library_load(table, &library) && (p->settings = client_settings_open(table)) != NULL;
    if (ok) {
        p->user = client_string(p->settings, "user", "");
        p->password = client_string(p->settings, "password", "");
        p->dbname = client_string(p->settings, "dbname", "");
        p->encoding = client_string(p->settings, "encoding", "UTF8");
        query_sql(&p->query, p->settings, true);
        query_open(&p->query, table, p->settings, "%s");
        hosts_open(&p->hosts, p->settings, "localhost", close_connection);
        ok = client_settings_good(p->settings, table);
    }
    if (ok)
        table->state = p;
    else
        close_table(p);
    return ok;
}

/* ---- connecting --------------------------------------------------------------------------------------------------- */

struct parameters { const char *names[10], *values[10]; int count; };

static void add(struct parameters *parameters, const char *name, const char *value)
{
    if (!value || !*value)
        return;
    parameters->names[parameters->count] = name;
    parameters->values[parameters->count++] = value;
}

/* socket_directory - libpq wants the directory of a socket, and the port in its name; Postfix's users write either. */
static void socket_directory(struct slice path, struct buffer *directory, struct buffer *port)
{
    size_t name = slice_search(path, SLICE("/.s.PGSQL."));
    buffer_append_slice(directory, slice_first(path, name));
    if (name < path.len)
        buffer_append_slice(port, slice_from(path, name + strlen("/.s.PGSQL.")));
}

static PGconn *connect_to(const struct pgsql_table *p, const struct host *host)
{
    struct buffer name = BUFFER_INIT, port = BUFFER_INIT;
    struct slice text = slice_of(host->name);
    struct parameters parameters = {0};
    bool is_uri = slice_starts(text, SLICE("postgresql://")) || slice_starts(text, SLICE("postgres://"));
    size_t colon = slice_find_last(text, ':');
    if (host->local)
        socket_directory(text, &name, &port);
    else if (is_uri || colon == text.len || slice_find(text, ':') != colon)
        buffer_append_slice(&name, text);
    else {
        buffer_append_slice(&name, slice_first(text, colon));
        buffer_append_slice(&port, slice_from(text, colon + 1));
    }
    add(&parameters, "connect_timeout", "10");
    add(&parameters, "user", p->user);
    add(&parameters, "password", p->password);
    if (!is_uri) {
        add(&parameters, "host", buffer_string(&name));
        add(&parameters, "port", buffer_string(&port));
    }
    add(&parameters, "dbname", is_uri ? host->name : p->dbname);
    PGconn *connection = pq.PQconnectdbParams(parameters.names, parameters.values, is_uri);
    buffer_release(&name);
    buffer_release(&port);
    return connection;
}

/* complain - libpq's texts have several lines. */
static void complain(const char *what, const struct host *host, const char *text)
{
    struct buffer line = BUFFER_INIT;
    buffer_append_slice(&line, slice_trim(slice_of(text)));
    for (size_t i = 0; i < line.len; i++)
        if (line.data[i] == '\n' || line.data[i] == '\t')
            line.data[i] = ' ';
    log_warning("%s %s: %s", what, host->name, buffer_string(&line));
    buffer_release(&line);
}

/* ready - connected, in the right encoding.  False: the host is down, and the log says so. */
static bool ready(struct pgsql_table *p, struct host *host)
{
    if (host->connection)
        return true;
    PGconn *connection = host->connection = connect_to(p, host);
    if (pq.PQstatus(connection) != CONNECTION_OK)
        complain("connect to pgsql server", host, connection ? pq.PQerrorMessage(connection) : "out of memory");
    else if (pq.PQsetClientEncoding(connection, p->encoding) != 0)
        log_warning("pgsql: cannot set the encoding to %s, skipping %s", p->encoding, host->name);
    else
        return true;
    hosts_down(&p->hosts, host);
    return false;
}

/* ---- asking ------------------------------------------------------------------------------------------------------- */

struct quoting { PGconn *connection; bool failed; };

static void quote(void *context, struct slice text, struct buffer *out)
{
    struct quoting *quoting = context;
    int error = 0;
    char *to = buffer_reserve(out, 2 * text.len + 1);
    if (!to) {
        quoting->failed = true;
        return;
    }
    buffer_commit(out, pq.PQescapeStringConn(quoting->connection, to, text.data, text.len, &error));
    quoting->failed |= error != 0;
}

static enum table_result take_rows(struct table *table, const struct query *query, const PGresult *rows, struct slice key, struct buffer *value)
{
    int64_t count = 0;
    for (int row = 0; row < pq.PQntuples(rows); row++)
        for (int column = 0; column < pq.PQnfields(rows); column++) {
            if (pq.PQgetisnull(rows, row, column))
                continue;
            struct slice field = slice_make(pq.PQgetvalue(rows, row, column), (size_t)pq.PQgetlength(rows, row, column));
            if (!query_add_result(query, table, key, field, &count, value))
                return TABLE_TRY_AGAIN;
        }
    return value->len > 0 ? TABLE_FOUND : TABLE_NOT_FOUND;
}

/* run_query - on one host; true when *result is final. */
static bool run_query(struct table *table, struct host *host, struct slice key, struct buffer *value, enum table_result *result)
{
    struct pgsql_table *p = table->state;
    struct quoting quoting = {.connection = host->connection};
    struct buffer sql = BUFFER_INIT;
    bool is_query = query_expand(p->query.template, key, quote, &quoting, &sql);
    if (!is_query || quoting.failed) {
        /* A key that cannot be text in the database's encoding is in no table of it. */
        buffer_release(&sql);
        *result = TABLE_NOT_FOUND;
        return true;
    }
    PGresult *rows = pq.PQexec(host->connection, buffer_string(&sql));
    ExecStatusType status = pq.PQresultStatus(rows);
    bool ok = status == PGRES_TUPLES_OK || status == PGRES_SINGLE_TUPLE;
    if (ok)
        *result = take_rows(table, &p->query, rows, key, value);
    else if (status == PGRES_COMMAND_OK || status == PGRES_EMPTY_QUERY)
        log_warning("pgsql query failed: %s: the query gives no rows", host->name);
    else
        complain("pgsql query failed:", host, pq.PQerrorMessage(host->connection));
    pq.PQclear(rows);
    buffer_release(&sql);
    return ok;
}

static enum table_result lookup(struct table *table, struct slice key, struct buffer *value)
{
    struct pgsql_table *p = table->state;
    enum table_result result = query_wanted(&p->query, table, key);
    struct host *host;
    if (result != TABLE_FOUND)
        return result;
    while ((host = hosts_next(&p->hosts)) != NULL) {
        bool is_old = host->connection != NULL;
        if (!ready(p, host))
            continue;
        if (run_query(table, host, key, value, &result))
            return result;
        if (pq.PQstatus(host->connection) == CONNECTION_OK)
            return table_fail(table, "%s: query failed", table->name); /* this one query; the server is well */
        /* A connection that ended while nobody used it says nothing about the server. */
        if (is_old)
            hosts_disconnect(&p->hosts, host);
        else
            hosts_down(&p->hosts, host);
    }
    return table_fail(table, "%s: no server answers", table->name);
}

const struct table_driver table_driver_pgsql = {"pgsql", DRIVER_AS_IS | DRIVER_BLOCKS, open_table, close_table, lookup, NULL, NULL, NULL};

#else

static bool open_table(struct table *table)
{
    return library_not_built(table, "libpq-dev");
}

const struct table_driver table_driver_pgsql = {"pgsql", DRIVER_AS_IS | DRIVER_HIDDEN, open_table, NULL, NULL, NULL, NULL, NULL};
#endif
