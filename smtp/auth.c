/* auth.c - logging in at servers */
#include "auth.h"

#include <openssl/crypto.h>

#include "auth_cache.h"
#include "base/log.h"
#include "sasl/base64.h"
#include "sasl/client.h"
#include "service/transcript.h"
#include "table/address_lookup.h"
#include "table/match.h"

enum { MECHANISMS_MAX = 1024, COMMAND_MAX = 12288 /* bytes of "AUTH name response" (RFC 4954 4) */ };

struct auth_rules {
    struct table_list *passwords;
    struct match_list *mechanisms; /* smtp_sasl_mechanism_filter */
    struct sasl_security clear, encrypted, verified;
    struct address_keys keys;
    struct auth_cache *refused;    /* NULL: smtp_sasl_auth_cache_name is empty */
};

/* ---- the rules ---- */

static const char *named(const struct client_params *params, const char *suffix, char name[64])
{
    snprintf(name, 64, "%s_%s", params->name, suffix);
    return name;
}

struct auth_rules *auth_open(struct config *config, const struct client_params *params)
{
    char name[64];

    if (!params->sasl_auth_enable)
        return NULL;
    if (params->sasl_password_maps[0] == '\0')
        log_fatal("specify a password table via the `%s' configuration parameter", named(params, "sasl_password_maps", name));
    if (strcasecmp(params->sasl_type, "cyrus") != 0)
        log_fatal("bad configuration: %s = %s: there is cyrus", named(params, "sasl_type", name), params->sasl_type);
    struct auth_rules *rules = memory_zalloc(1, sizeof(*rules));
    rules->passwords = table_list_new(named(params, "sasl_password_maps", name), params->sasl_password_maps, TABLE_FOLD, config);
    rules->mechanisms = match_list_new(named(params, "sasl_mechanism_filter", name), params->sasl_mechanism_filter, MATCH_STRING_LIST, config);
    rules->clear = sasl_security_parse(params->sasl_security_options, named(params, "sasl_security_options", name));
    rules->encrypted = sasl_security_parse(params->sasl_tls_security_options, named(params, "sasl_tls_security_options", name));
    rules->verified = sasl_security_parse(params->sasl_tls_verified_security_options, named(params, "sasl_tls_verified_security_options", name));
    if (params->sasl_auth_cache_name[0] && params->sasl_auth_cache_time > 0)
        rules->refused = auth_cache_new(params->sasl_auth_cache_time);
    rules->keys.delimiters = slice_of(config_string(config, "recipient_delimiter"));
    return rules;
}

void auth_close(struct auth_rules *rules)
{
    if (!rules)
        return;
    table_list_free(rules->passwords);
    match_list_free(rules->mechanisms);
    auth_cache_free(rules->refused);
    free(rules);
}

bool auth_may_keep(const struct client_params *params)
{
    return !params->auth || !params->sender_dependent_authentication;
}

/* ---- what the server offers ---- */

void auth_take_mechanisms(struct session *session, struct slice line)
{
    struct slice word;

    while (slice_next_token(&line, " \t=", &word))
        if (sasl_mechanism_is_name(word) && session->mechanisms.len < MECHANISMS_MAX)
            session->mechanisms = arena_format(session->arena, SLICE_FORMAT "%s" SLICE_FORMAT, SLICE_ARGS(session->mechanisms),
                                               session->mechanisms.len ? " " : "", SLICE_ARGS(word));
}

void auth_forget_mechanisms(struct session *session)
{
    session->mechanisms = (struct slice){0};
}

/* usable - those that smtp_sasl_mechanism_filter lets through. */
static struct slice usable(const struct auth_rules *rules, struct slice offered, struct arena *arena)
{
    struct slice word, result = {0};

    if (match_list_is_empty(rules->mechanisms))
        return offered;
    while (slice_next_token(&offered, " ", &word))
        if (match_string(rules->mechanisms, word) == MATCH_YES)
            result = arena_format(arena, SLICE_FORMAT "%s" SLICE_FORMAT, SLICE_ARGS(result), result.len ? " " : "", SLICE_ARGS(word));
    return result;
}

static struct sasl_security security_of(const struct auth_rules *rules, const struct session *session)
{
    return !session->tls ? rules->clear : session->tls->matched ? rules->verified : rules->encrypted;
}

/* ---- passwords ---- */

/* find_password - "user:password" by sender, by host, by next hop. */
static enum table_result find_password(const struct client_params *params, const struct session *session, struct slice sender, struct buffer *value)
{
    const struct auth_rules *rules = params->auth;
    enum table_result found = TABLE_NOT_FOUND;

    if (params->sender_dependent_authentication && sender.len)
        found = address_lookup(rules->passwords, &rules->keys, sender, ADDRESS_KEY_FULL | ADDRESS_KEY_NO_EXTENSION | ADDRESS_KEY_DOMAIN, value, NULL, NULL);
    if (found == TABLE_NOT_FOUND)
        found = table_list_lookup(rules->passwords, slice_of(session->host), true, value);
    if (found == TABLE_NOT_FOUND && session->destination)
        found = table_list_lookup(rules->passwords, slice_of(session->destination), true, value);
    return found;
}

/* ---- the dialogue ---- */

struct login {
    const struct client_params *params;
    struct session *session;
    struct arena *arena;
    struct failure *failure;
    struct sasl_client *client;
    struct slice value; /* "user:password" */
};

static bool fail(const struct login *l, const char *status, struct slice reason)
{
    *l->failure = (struct failure){.temporary = true, .handshake = true, .status = status, .reason = reason};
    return false;
}

/* refused - 4xx or 5xx; smtp_sasl_auth_soft_bounce: mail waits, since the password may be mended. */
static void soften(const struct login *l)
{
    if (!l->params->sasl_auth_soft_bounce || l->failure->temporary)
        return;
    l->failure->temporary = true;
    l->failure->status = arena_format(l->arena, "4%s", l->failure->status + 1).data;
}

static bool refused(const struct login *l, const struct reply *reply)
{
    const struct session *s = l->session;

    session_said(l->session, reply, "AUTH command", l->arena, l->failure);
    if (reply->code == 535 && l->params->auth->refused)
        auth_cache_add(l->params->auth->refused, slice_of(s->host), l->value, reply->text, l->failure->status);
    soften(l);
    l->failure->reason = arena_format(l->arena, "SASL authentication failed; server %s[%s] said: " SLICE_FORMAT, s->host, s->address, SLICE_ARGS(reply->text));
    return false;
}

/* is_known_to_fail - this server has refused this password before. */
static bool is_known_to_fail(const struct login *l)
{
    const struct session *s = l->session;
    struct slice reply;
    const char *status;

    if (!l->params->auth->refused || !auth_cache_find(l->params->auth->refused, slice_of(s->host), l->value, l->arena, &reply, &status))
        return false;
    *l->failure = (struct failure){.status = status, .remote_mta = arena_strdup(l->arena, s->host), .diagnostic = reply};
    soften(l);
    l->failure->reason = arena_format(l->arena, "SASL [CACHED] authentication failed; server %s said: " SLICE_FORMAT, s->host, SLICE_ARGS(reply));
    return true;
}

static bool cannot(const struct login *l, const char *why)
{
    return fail(l, "4.7.0", arena_format(l->arena, "SASL authentication failed; cannot authenticate to server %s[%s]: %s", l->session->host, l->session->address, why));
}

/* say - a line that holds a secret. */
static void say(struct session *session, struct buffer *line)
{
    transcript_out(session->transcript, slice_starts(buffer_slice(line), SLICE("AUTH ")) ? buffer_slice(line) : SLICE("[response]"));
    buffer_append_string(line, "\r\n");
    stream_write_slice(session->stream, buffer_slice(line));
    stream_flush(session->stream);
    OPENSSL_cleanse(line->data, line->len);
    buffer_clear(line);
}

static void open_dialogue(const struct login *l, struct slice mechanism, struct buffer *line)
{
    struct buffer response = BUFFER_INIT;

    buffer_printf(line, "AUTH " SLICE_FORMAT, SLICE_ARGS(mechanism));
    if (sasl_client_begin(l->client, &response) && line->len + response.len < COMMAND_MAX)
        buffer_printf(line, " %s", buffer_string(&response));
    if (response.data)
        OPENSSL_cleanse(response.data, response.len);
    buffer_release(&response);
    say(l->session, line);
}

/* give_up - "*" ends the exchange; what the server says to that does not matter. */
static bool give_up(const struct login *l, struct buffer *line, const char *why)
{
    struct reply reply;

    buffer_clear(line);
    buffer_append_byte(line, '*');
    say(l->session, line);
    if (session_reply(l->session, l->params->helo_timeout, &reply) && reply.code / 100 == 2)
        l->session->unusable = true;
    return cannot(l, why);
}

static bool converse(const struct login *l, struct buffer *line)
{
    struct reply reply;

    for (;;) {
        if (!session_reply(l->session, l->params->helo_timeout, &reply)) {
            session_lost(l->session, "performing the EHLO handshake", l->arena, l->failure);
            return false;
        }
        if (reply.code / 100 == 2)
            return sasl_client_is_satisfied(l->client) || cannot(l, "it did not prove that it knows the password");
        if (reply.code / 100 != 3)
            return refused(l, &reply);
        if (!sasl_client_step(l->client, slice_trim(slice_from(reply.text, 4)), line))
            return give_up(l, line, "malformed challenge");
        say(l->session, line);
    }
}

/* log_in - with "user:password" as the table has it. */
static bool log_in(struct login *l, struct slice mechanism)
{
    struct sasl_credentials credentials = {.send_authorization = l->params->send_cyrus_sasl_authzid, .host = l->session->host, .port = l->session->port};
    struct buffer line = BUFFER_INIT;

    slice_cut(l->value, l->params->sasl_password_result_delimiter[0], &credentials.user, &credentials.password);
    if (credentials.user.len == l->value.len)
        credentials.password = (struct slice){0};
    l->client = sasl_client_new(mechanism, &credentials);
    open_dialogue(l, mechanism, &line);
    bool good = converse(l, &line);
    sasl_client_free(l->client);
    if (line.data)
        OPENSSL_cleanse(line.data, line.capacity);
    buffer_release(&line);
    return good;
}

static bool choose_and_log_in(struct login *l)
{
    const struct auth_rules *rules = l->params->auth;
    struct slice offered = usable(rules, l->session->mechanisms, l->arena);

    if (offered.len == 0) {
        log_warning("%s offered no supported AUTH mechanisms: '" SLICE_FORMAT "'", l->session->relay, SLICE_ARGS(l->session->mechanisms));
        return fail(l, "4.7.0", arena_format(l->arena, "SASL authentication failed: server %s[%s] offered no compatible authentication mechanisms for "
                                             "this type of connection security", l->session->host, l->session->address));
    }
    struct slice mechanism = sasl_client_choose(offered, security_of(rules, l->session), !match_list_is_empty(rules->mechanisms));
    if (mechanism.len == 0) {
        log_warning("SASL authentication failure: No worthy mechs found");
        return cannot(l, "no mechanism available");
    }
    return !is_known_to_fail(l) && log_in(l, mechanism);
}

bool auth_begin(const struct client_params *params, struct session *session, const struct delivery *delivery, struct failure *failure)
{
    struct login l = {params, session, delivery->arena, failure, NULL, {0}};
    struct buffer value = BUFFER_INIT;
    bool good = true;

    if (!params->auth || !(session->features & EHLO_AUTH) || session->mechanisms.len == 0)
        return true;
    enum table_result found = find_password(params, session, delivery->request->envelope.sender, &value);
    if (found == TABLE_TRY_AGAIN) {
        log_warning(SLICE_FORMAT ": %s_sasl_password_maps lookup error", SLICE_ARGS(delivery->request->envelope.queue_id), params->name);
        good = fail(&l, "4.3.0", arena_format(l.arena, "local data error while talking to %s[%s]", session->host, session->address));
    } else if (found == TABLE_FOUND) {
        l.value = buffer_slice(&value);
        session->logged_in = good = choose_and_log_in(&l);
    }
    if (value.data)
        OPENSSL_cleanse(value.data, value.len);
    buffer_release(&value);
    return good;
}
