/* cyrus.c - smtpd_sasl_type = cyrus: what Cyrus SASL does by the file $smtpd_sasl_path.conf

   With pwcheck_method: saslauthd and no other mechanisms than PLAIN and LOGIN (the usual way on Debian) the library does no more than what is done here: one question to
   saslauthd's socket for each password, thousands of sessions in one process.  For everything else (auxprop: sasldb, SQL, LDAP) the library works in processes of its own. */
#include <openssl/crypto.h>

#include "base/log.h"
#include "net/address.h"
#include "net/stream.h"
#include "run/run.h"
#include "sasl/base64.h"
#include "sasl/cyrus_library.h"
#include "sasl/password.h"

#define DEFAULT_DIRECTORIES "/etc/postfix/sasl:/etc/sasl2:/usr/lib/sasl2"
#define DEFAULT_DATABASE "/etc/sasldb2"
#define DEFAULT_SOCKET "/var/run/saslauthd/mux"

enum {
    AT_ONCE = 20,              /* questions side by side: saslauthd has a few processes */
    TIME_LIMIT = 30 * 1000000, /* microseconds for a question */
    REPLY_MAX = 1024, FIELD_MAX = 1024
};

struct cyrus {
    struct cyrus_library *library;             /* who decides; NULL: saslauthd, by what follows */
    char *method, *mechanisms, *socket;        /* of the file */
    char *plugin, *database;                   /* of the file: auxprop_plugin, sasldb_path */
    struct semaphore turn;
    struct sasl_mechanism offered[2];
    size_t offered_count;
};

/* ---- the file ---- */

static void take_setting(struct cyrus *c, struct slice line)
{
    struct { const char *name; char **value; } rows[] = {{"pwcheck_method", &c->method}, {"mech_list", &c->mechanisms}, {"saslauthd_path", &c->socket},
        {"auxprop_plugin", &c->plugin}, {"sasldb_path", &c->database}};
    struct slice name, value;

    if (!slice_cut(line, ':', &name, &value))
        return;
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        if (slice_equal_case(slice_trim(name), slice_of(rows[i].name))) {
            free(*rows[i].value);
            *rows[i].value = slice_string(slice_trim(value));
        }
}

/* read_file - false: it is not there. */
static bool read_file(struct cyrus *c, struct slice directory, const char *name)
{
    char path[1024], line[1024];

    snprintf(path, sizeof(path), SLICE_FORMAT "/%s.conf", SLICE_ARGS(directory), name);
    FILE *file = fopen(path, "re");
    if (!file)
        return false;
    while (fgets(line, sizeof(line), file)) {
        struct slice text = slice_trim(slice_of(line));
        if (text.len && text.data[0] != '#')
            take_setting(c, text);
    }
    fclose(file);
    return true;
}

static void offer(struct cyrus *c, const char *name)
{
    struct slice rest = slice_of(c->mechanisms), word;
    bool listed = rest.len == 0;

    while (slice_next_token(&rest, " \t,", &word))
        listed |= slice_equal_case(word, slice_of(name));
    if (!listed)
        return;
    struct sasl_mechanism *m = &c->offered[c->offered_count++];
    snprintf(m->name, sizeof(m->name), "%s", name);
    m->properties = SASL_PLAINTEXT;
}

/* is_plain_saslauthd - saslauthd alone checks passwords, and only where they are sent. */
static bool is_plain_saslauthd(const struct cyrus *c)
{
    struct slice rest = slice_of(c->mechanisms), word;

    while (slice_next_token(&rest, " \t,", &word))
        if (!slice_equal_case(word, SLICE("PLAIN")) && !slice_equal_case(word, SLICE("LOGIN")))
            return false;
    return strcasecmp(c->method, "saslauthd") == 0;
}

static void *open_cyrus(struct sasl_server *server)
{
    struct cyrus *c = memory_zalloc(1, sizeof(*c));
    const char *configured = config_string(server->settings.config, "cyrus_sasl_config_path");
    const char *directories = configured[0] ? configured : DEFAULT_DIRECTORIES;
    struct slice rest = slice_of(directories), directory;
    bool found = false;

    c->method = memory_string("auxprop");
    c->socket = memory_string(DEFAULT_SOCKET);
    c->plugin = memory_string("sasldb");
    c->database = memory_string(DEFAULT_DATABASE);
    semaphore_init(&c->turn, AT_ONCE);
    while (!found && slice_next_token(&rest, ":", &directory))
        found = read_file(c, directory, server->settings.path);
    if (!found)
        log_warning("smtpd_sasl_type = cyrus: %s.conf was not found in %s: users are looked for in Cyrus SASL's own database (/etc/sasldb2)", server->settings.path, directories);
    if (is_plain_saslauthd(c)) {
        offer(c, "PLAIN");
        offer(c, "LOGIN");
    } else {
        c->library = cyrus_library_new(server, directories, strcasecmp(c->plugin, "sasldb") == 0 ? c->database : NULL, strcasecmp(c->method, "auxprop") == 0);
    }
    return c;
}

static void close_cyrus(void *state)
{
    struct cyrus *c = state;

    cyrus_library_free(c->library);
    free(c->method);
    free(c->mechanisms);
    free(c->socket);
    free(c->plugin);
    free(c->database);
    free(c);
}

static const struct sasl_mechanism *mechanisms(struct sasl_server *server, size_t *count)
{
    struct cyrus *c = server->state;

    if (c->library)
        return cyrus_library_mechanisms(c->library, count);
    *count = c->offered_count;
    return c->offered_count ? c->offered : NULL;
}

/* ---- saslauthd ---- */

static bool put_field(struct buffer *out, struct slice value)
{
    char length[2] = {(char)(value.len >> 8), (char)value.len}; /* big-endian */

    return value.len <= FIELD_MAX && buffer_append(out, length, 2) && buffer_append_slice(out, value);
}

static bool build_request(const struct sasl_exchange *x, struct slice user, struct slice password, struct buffer *out)
{
    size_t at = slice_find_last(user, '@');
    struct slice realm = at < user.len ? slice_from(user, at + 1) : slice_of(x->server->settings.local_domain);

    return put_field(out, slice_first(user, at)) && put_field(out, password) && put_field(out, slice_of(x->server->settings.service)) && put_field(out, realm);
}

/* ask - the reply "OK" or "NO reason" into *reply; false with *why. */
static bool ask(struct cyrus *c, struct slice request, struct buffer *reply, const char **why)
{
    struct net_address address;
    uint8_t length[2];

    *why = "path too long";
    if (!net_address_unix(&address, slice_of(c->socket)))
        return false;
    int64_t deadline = clock_after(TIME_LIMIT);
    int fd = net_connect(&address, NULL, deadline);
    *why = strerror(errno);
    if (fd < 0)
        return false;
    struct stream *stream = stream_new_fd(fd);
    stream_set_deadline(stream, deadline);
    stream_write_slice(stream, request);
    bool good = stream_flush(stream) && stream_read(stream, length, 2);
    size_t len = good ? (size_t)length[0] << 8 | length[1] : 0;
    if (good && len > 0 && len <= REPLY_MAX) {
        char *data = buffer_reserve(reply, len);
        good = stream_read(stream, data, len);
        if (good)
            buffer_commit(reply, len);
    } else {
        good = false;
    }
    *why = stream_error(stream) == STREAM_TIMEOUT ? "timed out" : "no answer";
    stream_free(stream);
    return good;
}

static void check_password(struct sasl_exchange *x, struct slice user, struct slice password, struct sasl_answer *answer)
{
    struct cyrus *c = x->server->state;
    struct buffer request = BUFFER_INIT, reply = BUFFER_INIT_MAX(REPLY_MAX);
    struct slice name = arena_slice(x->arena, user);
    const char *why;

    if (!build_request(x, user, password, &request)) {
        sasl_decide(answer, SASL_FAILED, SASL_LAYER_ENCODING, name);
    } else if (semaphore_take(&c->turn, clock_after(TIME_LIMIT)) != WAIT_READY) {
        sasl_decide(answer, SASL_TEMPORARY, SASL_LAYER_BACKEND_TROUBLE, name);
    } else {
        if (!ask(c, buffer_slice(&request), &reply, &why)) {
            log_warning("SASL: saslauthd at '%s': %s", c->socket, why);
            sasl_decide(answer, SASL_TEMPORARY, SASL_LAYER_BACKEND_DOWN, name);
        } else if (slice_starts(buffer_slice(&reply), SLICE("OK"))) {
            sasl_decide(answer, SASL_OK, SASL_LAYER_NONE, name);
        } else {
            sasl_decide(answer, SASL_FAILED, SASL_LAYER_CREDENTIALS, name);
        }
        semaphore_give(&c->turn);
    }
    if (request.data)
        OPENSSL_cleanse(request.data, request.capacity);
    buffer_release(&request);
    buffer_release(&reply);
}

static void step(struct sasl_exchange *x, bool has_response, struct slice response, struct sasl_answer *answer)
{
    struct cyrus *c = x->server->state;
    struct buffer message = BUFFER_INIT;

    if (!base64_decode(response, &message)) /* server.c has looked */
        log_panic("bad base64");
    if (c->library)
        cyrus_library_step(c->library, x, has_response, buffer_slice(&message), answer);
    else
        sasl_password_step(x, has_response, buffer_slice(&message), check_password, answer);
    if (message.data)
        OPENSSL_cleanse(message.data, message.capacity);
    buffer_release(&message);
}

static void end(struct sasl_exchange *x)
{
    struct cyrus *c = x->server->state;

    if (c->library)
        cyrus_library_end(c->library, x);
}

const struct sasl_driver sasl_driver_cyrus = {"cyrus", open_cyrus, close_cyrus, mechanisms, step, end, "no mechanism available"};
