/* client.h - what tables of servers share: their definition, the templates of queries and results, hosts that may be down
   (private to this room) */
#ifndef POSTERN_TABLE_CLIENT_H
#define POSTERN_TABLE_CLIENT_H

#include "table/driver.h"
#include "table/match.h"

/* ---- the definition: a file of "name = value" lines, or main.cf parameters PREFIX_name (client_settings.c) ---- */

struct client_settings;

/* client_settings_open - a name that starts with "/" or "." is a file, any other the prefix of main.cf parameters.  NULL after table_fail. */
struct client_settings *client_settings_open(struct table *table);
void client_settings_free(struct client_settings *settings);
/* Reading: strings live as long as the settings.  A number that is none, or out of range, is kept as a failure: client_settings_good
   is false then, after table_fail. */
const char *client_string(struct client_settings *settings, const char *name, const char *standard);
int64_t client_number(struct client_settings *settings, const char *name, int64_t standard, int64_t minimum, int64_t maximum);
int64_t client_time(struct client_settings *settings, const char *name, int64_t seconds); /* microseconds */
bool client_bool(struct client_settings *settings, const char *name, bool standard);
/* client_need - as client_string, but an empty value is a failure. */
const char *client_need(struct client_settings *settings, const char *name);
bool client_settings_good(struct client_settings *settings, struct table *table);

/* ---- templates: %s %u %d %1-9 %S %U %D %% (query.c) ---- */

struct query {
    const char *template;
    char *built; /* the memory of a template that was put together */
    const char *result_format;
    struct match_list *domains; /* NULL: keys of every domain are looked up */
    int64_t expansion_limit;    /* result elements; 0: any number */
};

/* query_quote - append text in a form that is only data in the query. */
typedef void query_quote(void *context, struct slice text, struct buffer *out);

/* query_sql - the template of an SQL query: the setting query, or put together from select_function (where allowed) or table,
   select_field, where_field, additional_conditions. */
void query_sql(struct query *query, struct client_settings *settings, bool may_be_function);
/* query_open - domain, result_format, expansion_limit from the settings; the template is the caller's.  query_release. */
void query_open(struct query *query, struct table *table, struct client_settings *settings, const char *result_format);
void query_release(struct query *query);
/* query_wanted - is this key looked up at all?  TABLE_FOUND: yes. */
enum table_result query_wanted(struct query *query, struct table *table, struct slice key);
/* query_expand - the template with the key's parts; false: the key lacks one of them, so there is no query.
   quote NULL: as they are. */
bool query_expand(const char *template, struct slice key, query_quote *quote, void *context, struct buffer *out);
/* query_add_result - one element of the result in result_format, with a comma between elements; *count counts them.  False after
   table_fail: more than expansion_limit. */
bool query_add_result(const struct query *query, struct table *table, struct slice key, struct slice element, int64_t *count, struct buffer *value);

/* ---- hosts of a database (hosts.c) ---- */

struct host {
    char *name;        /* as written, without "unix:" and "inet:" */
    bool local;        /* a Unix socket: tried before others */
    void *connection;  /* NULL: none */
    int64_t down_until, used; /* clock_monotonic */
};

struct hosts {
    struct host *list;
    size_t count;
    int64_t retry, idle; /* microseconds */
    void (*close)(void *connection);
};

/* hosts_open - the settings hosts, retry_interval, idle_interval. */
void hosts_open(struct hosts *hosts, struct client_settings *settings, const char *standard, void (*close)(void *connection));
void hosts_release(struct hosts *hosts);
/* hosts_next - the host to ask now: one with a connection before others, local ones before others, else by chance; never one that is known
   to be down.  NULL: none is left.  hosts_down - close the connection, and no more of this host for retry_interval.
   hosts_disconnect - only close it. */
struct host *hosts_next(struct hosts *hosts);
void hosts_down(struct hosts *hosts, struct host *host);
void hosts_disconnect(struct hosts *hosts, struct host *host);

/* struct backoff - one server that is down is tried again after 1, 2, 4, ... 60 seconds. */
struct backoff { int64_t until, pause; };
static inline bool backoff_may_try(const struct backoff *b) { return clock_monotonic() >= b->until; }
static inline void backoff_worked(struct backoff *b) { *b = (struct backoff){0}; }
static inline void backoff_failed(struct backoff *b)
{
    b->pause = b->pause == 0 ? MICROSECONDS : b->pause < 30 * MICROSECONDS ? 2 * b->pause : 60 * MICROSECONDS;
    b->until = clock_after(b->pause);
}

#endif
