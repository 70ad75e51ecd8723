/* redis.c - redis: tables: Redis and Valkey

   hiredis makes the requests and reads the replies; the connection is ours, so that it can be TLS whatever the library was built with.

   The setting query is a command whose words are templates ("GET mail:%s", "HGET users %s", "SMEMBERS members:%d"); each word becomes one
   argument whatever the key holds, so nothing has to be quoted. */
#include <netdb.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include "table/client.h"
#include "table/library.h"
#include "table/redis.h"

#if __has_include(<hiredis/hiredis.h>)
#include <hiredis/hiredis.h>

extern const struct table_driver table_driver_redis;

#define FUNCTIONS(X) X(redisFormatCommandArgv) X(redisFreeCommand) X(redisReaderCreate) X(redisReaderFree) X(redisReaderFeed) \
    X(redisReaderGetReply) X(freeReplyObject)
static struct { FUNCTIONS(LIBRARY_MEMBER) } redis;
#define SYMBOL(name) {#name, &redis.name},
static const struct library_symbol symbols[] = {FUNCTIONS(SYMBOL) {0}};
#define TEXT_OF(number) #number
#define VERSION_TEXT(major, minor) TEXT_OF(major) "." TEXT_OF(minor)
static const struct library library = {"libhiredis.so." VERSION_TEXT(HIREDIS_MAJOR, HIREDIS_MINOR),
                                       "libhiredis" VERSION_TEXT(HIREDIS_MAJOR, HIREDIS_MINOR), symbols};

enum { WORDS_MAX = 16, REPLY_MAX = 1 << 20, DEPTH_MAX = 7 };

struct redis_table {
    struct client_settings *settings;
    struct query query;
    struct hosts hosts;
    const char *user, *password, *ca_file, *ca_path, *cert_file, *key_file;
    int64_t database, timeout; /* microseconds */
    bool tls, verify;
};

struct connection {
    int fd;
    SSL_CTX *context;
    SSL *tls;
    redisReader *reader;
};

/* ---- the connection ----------------------------------------------------------------------------------------------- */

static void close_connection(void *state)
{
    struct connection *connection = state;
    SSL_free(connection->tls);
    SSL_CTX_free(connection->context);
    if (connection->reader)
        redis.redisReaderFree(connection->reader);
    if (connection->fd >= 0)
        close(connection->fd);
    free(connection);
}

/* connect_address - a blocking socket with the time limit on each step, or -1 with errno. */
static int connect_address(const struct redis_table *r, int family, const struct sockaddr *address, socklen_t length)
{
    struct timeval limit = {.tv_sec = r->timeout / MICROSECONDS, .tv_usec = r->timeout % MICROSECONDS};
    int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit)); /* connect too */
    if (connect(fd, address, length) == 0)
        return fd;
    int error = errno == EINPROGRESS ? ETIMEDOUT : errno;
    close(fd);
    errno = error;
    return -1;
}

static int connect_local(const struct redis_table *r, const char *path, struct buffer *why)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    size_t length = strlen(path);
    int fd = -1;
    errno = ENAMETOOLONG;
    if (length < sizeof(address.sun_path)) {
        memcpy(address.sun_path, path, length + 1);
        fd = connect_address(r, AF_UNIX, (struct sockaddr *)&address, sizeof(address));
    }
    if (fd < 0)
        buffer_append_string(why, strerror(errno));
    return fd;
}

/* split_host - "host", "host:port", "[address]:port". */
static void split_host(const char *text, struct buffer *host, struct buffer *port)
{
    struct slice name = slice_of(text);
    size_t colon = slice_find_last(name, ':');
    bool bracketed = name.len > 0 && name.data[0] == '[';
    if (colon < name.len && (bracketed ? name.data[colon - 1] == ']' : slice_find(name, ':') == colon)) {
        buffer_append_slice(port, slice_from(name, colon + 1));
        name = slice_first(name, colon);
    }
    if (bracketed)
        name = slice_from(slice_first(name, name.len - (name.data[name.len - 1] == ']')), 1);
    buffer_append_slice(host, name);
    if (port->len == 0)
        buffer_append_string(port, "6379");
}

static int connect_inet(const struct redis_table *r, const char *host, const char *port, struct buffer *why)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *found = NULL;
    int fd = -1, error = getaddrinfo(host, port, &hints, &found);
    if (error != 0) {
        buffer_append_string(why, gai_strerror(error));
        return -1;
    }
    for (const struct addrinfo *at = found; at && fd < 0; at = at->ai_next)
        fd = connect_address(r, at->ai_family, at->ai_addr, at->ai_addrlen);
    if (fd < 0)
        buffer_append_string(why, strerror(errno));
    freeaddrinfo(found);
    return fd;
}

static SSL_CTX *make_context(const struct redis_table *r)
{
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());
    bool ok = context != NULL;
    if (ok && (*r->ca_file || *r->ca_path))
        ok = SSL_CTX_load_verify_locations(context, *r->ca_file ? r->ca_file : NULL, *r->ca_path ? r->ca_path : NULL) == 1;
    else if (ok)
        ok = SSL_CTX_set_default_verify_paths(context) == 1;
    if (ok && *r->cert_file)
        ok = SSL_CTX_use_certificate_chain_file(context, r->cert_file) == 1 &&
             SSL_CTX_use_PrivateKey_file(context, *r->key_file ? r->key_file : r->cert_file, SSL_FILETYPE_PEM) == 1;
    if (ok) {
        SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
        SSL_CTX_set_verify(context, r->verify ? SSL_VERIFY_PEER : SSL_VERIFY_NONE, NULL);
        return context;
    }
    SSL_CTX_free(context);
    return NULL;
}

/* start_tls - the name in the certificate is the host's, or its address. */
static bool start_tls(const struct redis_table *r, struct connection *connection, const char *host, struct buffer *why)
{
    connection->context = make_context(r);
    connection->tls = connection->context ? SSL_new(connection->context) : NULL;
    bool ok = connection->tls != NULL && SSL_set_fd(connection->tls, connection->fd) == 1;
    if (ok && host) {
        X509_VERIFY_PARAM *wanted = SSL_get0_param(connection->tls);
        if (X509_VERIFY_PARAM_set1_ip_asc(wanted, host) != 1)
            ok = X509_VERIFY_PARAM_set1_host(wanted, host, 0) == 1 && SSL_set_tlsext_host_name(connection->tls, host) == 1;
    }
    ERR_clear_error();
    if (ok && SSL_connect(connection->tls) == 1)
        return true;
    unsigned long error = ERR_get_error();
    const char *reason = error ? ERR_reason_error_string(error) : NULL;
    buffer_printf(why, "TLS: %s", reason ? reason : "failed");
    return false;
}

static bool send_all(const struct connection *connection, const char *data, size_t length)
{
    while (length > 0) {
        ssize_t n = connection->tls ? SSL_write(connection->tls, data, length > INT_MAX ? INT_MAX : (int)length)
                                    : send(connection->fd, data, length, MSG_NOSIGNAL);
        if (n <= 0 && !(n < 0 && !connection->tls && errno == EINTR))
            return false;
        data += n > 0 ? n : 0;
        length -= n > 0 ? (size_t)n : 0;
    }
    return true;
}

/* receive_reply - NULL with *why. */
static redisReply *receive_reply(struct connection *connection, struct buffer *why)
{
    char piece[16384];
    size_t total = 0;
    void *reply = NULL;
    while (total <= REPLY_MAX) {
        if (redis.redisReaderGetReply(connection->reader, &reply) != REDIS_OK) {
            buffer_append_string(why, connection->reader->errstr);
            return NULL;
        }
        if (reply)
            return reply;
        ssize_t n = connection->tls ? SSL_read(connection->tls, piece, sizeof(piece)) : recv(connection->fd, piece, sizeof(piece), 0);
        if (n < 0 && !connection->tls && errno == EINTR)
            continue;
        if (n <= 0) {
            buffer_append_string(why, n < 0 && errno == EAGAIN ? "timed out" : "lost connection");
            return NULL;
        }
        redis.redisReaderFeed(connection->reader, piece, (size_t)n);
        total += (size_t)n;
    }
    buffer_append_string(why, "the reply is too long");
    return NULL;
}

static redisReply *call(struct connection *connection, int count, const char **words, const size_t *lengths, struct buffer *why)
{
    char *request = NULL;
    int length = (int)redis.redisFormatCommandArgv(&request, count, words, lengths);
    bool sent = length > 0 && send_all(connection, request, (size_t)length);
    redis.redisFreeCommand(request);
    if (sent)
        return receive_reply(connection, why);
    buffer_append_string(why, "lost connection");
    return NULL;
}

/* say - a command whose reply is only good or an error. */
static bool say(struct connection *connection, int count, const char **words, struct buffer *why)
{
    size_t lengths[WORDS_MAX];
    for (int i = 0; i < count; i++)
        lengths[i] = strlen(words[i]);
    redisReply *reply = call(connection, count, words, lengths, why);
    bool ok = reply && reply->type != REDIS_REPLY_ERROR;
    if (reply && !ok)
        buffer_append(why, reply->str, (size_t)reply->len);
    if (reply)
        redis.freeReplyObject(reply);
    return ok;
}

static bool log_in(const struct redis_table *r, struct connection *connection, struct buffer *why)
{
    const char *words[] = {"AUTH", r->user, r->password};
    const char *without_user[] = {"AUTH", r->password};
    char number[24];
    snprintf(number, sizeof(number), "%d", (int)r->database);
    const char *select[] = {"SELECT", number};
    if (*r->password && !(*r->user ? say(connection, 3, words, why) : say(connection, 2, without_user, why)))
        return false;
    return r->database == 0 || say(connection, 2, select, why);
}

static bool ready(struct table *table, struct redis_table *r, struct host *host)
{
    if (host->connection)
        return true;
    struct buffer name = BUFFER_INIT, port = BUFFER_INIT, why = BUFFER_INIT;
    struct connection *connection = memory_zalloc(1, sizeof(*connection));
    host->connection = connection;
    connection->reader = redis.redisReaderCreate();
    if (host->local) {
        connection->fd = connect_local(r, host->name, &why);
    } else {
        split_host(host->name, &name, &port);
        connection->fd = connect_inet(r, buffer_string(&name), buffer_string(&port), &why);
    }
    bool ok = connection->fd >= 0 && (!r->tls || start_tls(r, connection, host->local ? NULL : buffer_string(&name), &why)) &&
              log_in(r, connection, &why);
    if (!ok) {
        log_warning("%s: connect to redis server %s: %s", table->name, host->name, buffer_string(&why));
        hosts_down(&r->hosts, host);
    }
    buffer_release(&name);
    buffer_release(&port);
    buffer_release(&why);
    return ok;
}

/* ---- the table ---------------------------------------------------------------------------------------------------- */

static void close_table(void *state)
{
    struct redis_table *r = state;
    hosts_release(&r->hosts);
    query_release(&r->query);
    client_settings_free(r->settings);
    free(r);
}

static void read_settings(struct redis_table *r)
{
    struct client_settings *settings = r->settings;
    r->user = client_string(settings, "user", "");
    r->password = client_string(settings, "password", "");
    r->database = client_number(settings, "dbname", 0, 0, 1000000);
    r->timeout = client_time(settings, "timeout", 10);
    r->tls = client_bool(settings, "tls", false);
    r->verify = client_bool(settings, "tls_verify_cert", true);
    r->ca_file = client_string(settings, "tls_CAfile", "");
    r->ca_path = client_string(settings, "tls_CApath", "");
    r->cert_file = client_string(settings, "tls_cert_file", "");
    r->key_file = client_string(settings, "tls_key_file", "");
    r->query.template = client_string(settings, "query", "GET %s");
}

static bool open_table(struct table *table)
{
    struct redis_table *r = memory_zalloc(1, sizeof(*r));
    bool ok = library_load(table, &library) && (r->settings = client_settings_open(table)) != NULL;
    if (ok) {
        read_settings(r);
        query_open(&r->query, table, r->settings, "%s");
        hosts_open(&r->hosts, r->settings, "localhost", close_connection);
        ok = client_settings_good(r->settings, table);
    }
    if (ok)
        table->state = r;
    else
        close_table(r);
    return ok;
}

/* ---- asking ------------------------------------------------------------------------------------------------------- */

/* The words of one command, each expanded for itself. */
struct command { struct buffer texts[WORDS_MAX]; const char *words[WORDS_MAX]; size_t lengths[WORDS_MAX]; int count; };

static void release_command(struct command *command)
{
    for (int i = 0; i < command->count; i++)
        buffer_release(&command->texts[i]);
}

/* make_command - false: the key has no such parts. */
static bool make_command(const struct redis_table *r, struct slice key, struct command *command)
{
    struct slice rest = slice_of(r->query.template), word;
    bool ok = true;
    command->count = 0;
    while (ok && command->count < WORDS_MAX && slice_next_token(&rest, " \t", &word)) {
        int i = command->count++;
        char *template = slice_string(word);
        command->texts[i] = BUFFER_INIT;
        ok = query_expand(template, key, NULL, NULL, &command->texts[i]);
        command->words[i] = buffer_string(&command->texts[i]);
        command->lengths[i] = command->texts[i].len;
        free(template);
    }
    return ok && command->count > 0;
}

/* take - strings and numbers are elements of the result, lists hold more of them, nil is nothing.  False after table_fail. */
static bool take(struct table *table, const redisReply *reply, struct slice key, int64_t *count, struct buffer *value, int depth)
{
    struct redis_table *r = table->state;
    char number[32];
    switch (reply->type) {
    case REDIS_REPLY_STRING:
    case REDIS_REPLY_STATUS:
        return query_add_result(&r->query, table, key, slice_make(reply->str, (size_t)reply->len), count, value);
    case REDIS_REPLY_INTEGER:
        snprintf(number, sizeof(number), "%lld", reply->integer);
        return query_add_result(&r->query, table, key, slice_of(number), count, value);
    case REDIS_REPLY_NIL:
        return true;
    case REDIS_REPLY_ARRAY:
        for (size_t i = 0; i < reply->elements && depth < DEPTH_MAX; i++)
            if (!take(table, reply->element[i], key, count, value, depth + 1))
                return false;
        return true;
    default:
        log_warning("%s: redis query failed: %.*s", table->name, (int)reply->len, reply->str ? reply->str : "unknown reply");
        return table_fail(table, "%s: query failed", table->name), false;
    }
}

/* run_query - on one host; true when *result is final. */
static bool run_query(struct table *table, struct host *host, struct slice key, struct buffer *value, enum table_result *result)
{
    struct redis_table *r = table->state;
    struct command command;
    struct buffer why = BUFFER_INIT;
    int64_t count = 0;
    redisReply *reply = NULL;
    bool is_query = make_command(r, key, &command);
    if (is_query)
        reply = call(host->connection, command.count, command.words, command.lengths, &why);
    release_command(&command);
    if (!is_query) {
        *result = TABLE_NOT_FOUND;
    } else if (!reply) {
        log_warning("%s: redis query failed: %s: %s", table->name, host->name, buffer_string(&why));
    } else {
        bool ok = take(table, reply, key, &count, value, 0);
        *result = !ok ? TABLE_TRY_AGAIN : value->len > 0 ? TABLE_FOUND : TABLE_NOT_FOUND;
        redis.freeReplyObject(reply);
    }
    buffer_release(&why);
    return !is_query || reply;
}

static enum table_result lookup(struct table *table, struct slice key, struct buffer *value)
{
    struct redis_table *r = table->state;
    enum table_result result = query_wanted(&r->query, table, key);
    struct host *host;
    if (result != TABLE_FOUND)
        return result;
    while ((host = hosts_next(&r->hosts)) != NULL) {
        bool is_old = host->connection != NULL;
        if (!ready(table, r, host))
            continue;
        if (run_query(table, host, key, value, &result))
            return result;
        /* A connection that ended while nobody used it says nothing about the server. */
        if (is_old)
            hosts_disconnect(&r->hosts, host);
        else
            hosts_down(&r->hosts, host);
    }
    return table_fail(table, "%s: no server answers", table->name);
}

/* ---- commands of caches ------------------------------------------------------------------------------------------- */

static struct redis_element element_of(const redisReply *reply, struct arena *arena)
{
    if (reply->type == REDIS_REPLY_INTEGER)
        return (struct redis_element){.text = arena_format(arena, "%lld", reply->integer)};
    if (reply->type == REDIS_REPLY_STRING || reply->type == REDIS_REPLY_STATUS)
        return (struct redis_element){.text = arena_slice(arena, slice_make(reply->str, (size_t)reply->len))};
    return (struct redis_element){.is_nil = true};
}

static bool take_elements(struct table *table, const redisReply *reply, struct arena *arena, struct redis_element *elements, size_t max, size_t *count)
{
    *count = 0;
    if (reply->type == REDIS_REPLY_ERROR) {
        table_fail(table, "%s: redis command failed: %.*s", table->name, (int)reply->len, reply->str);
        log_warning("%s", buffer_string(&table->why));
        return false;
    }
    if (reply->type != REDIS_REPLY_ARRAY) {
        elements[(*count)++] = element_of(reply, arena);
        return true;
    }
    for (size_t i = 0; i < reply->elements && i < max; i++)
        elements[(*count)++] = element_of(reply->element[i], arena);
    return true;
}

bool redis_command(struct table *table, size_t word_count, const struct slice *words, struct arena *arena, struct redis_element *elements, size_t max,
                   size_t *count)
{
    const char *texts[WORDS_MAX];
    size_t lengths[WORDS_MAX];
    struct redis_table *r = table->state;
    struct host *host;

    for (size_t i = 0; i < word_count && i < WORDS_MAX; i++) {
        texts[i] = words[i].data ? words[i].data : "";
        lengths[i] = words[i].len;
    }
    while (table->driver == &table_driver_redis && word_count <= WORDS_MAX && max > 0 && (host = hosts_next(&r->hosts)) != NULL) {
        bool is_old = host->connection != NULL;
        if (!ready(table, r, host))
            continue;
        struct buffer why = BUFFER_INIT;
        redisReply *reply = call(host->connection, (int)word_count, texts, lengths, &why);
        if (!reply && !is_old)
            log_warning("%s: redis command failed: %s: %s", table->name, host->name, buffer_string(&why));
        buffer_release(&why);
        if (reply) {
            bool ok = take_elements(table, reply, arena, elements, max, count);
            redis.freeReplyObject(reply);
            return ok;
        }
        if (is_old)
            hosts_disconnect(&r->hosts, host);
        else
            hosts_down(&r->hosts, host);
    }
    table_fail(table, "%s: no server answers", table->name);
    return false;
}

const struct table_driver table_driver_redis = {"redis", DRIVER_BLOCKS | DRIVER_HIDDEN, open_table, close_table, lookup, NULL, NULL, NULL};

#else

static bool open_table(struct table *table)
{
    return library_not_built(table, "libhiredis-dev");
}

bool redis_command(struct table *table, size_t word_count UNUSED, const struct slice *words UNUSED, struct arena *arena UNUSED,
                   struct redis_element *elements UNUSED, size_t max UNUSED, size_t *count UNUSED)
{
    table_fail(table, "%s: this program was built without libhiredis-dev", table->name);
    return false;
}

const struct table_driver table_driver_redis = {"redis", DRIVER_HIDDEN, open_table, NULL, NULL, NULL, NULL, NULL};
#endif
