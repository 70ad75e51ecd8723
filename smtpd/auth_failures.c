/* auth_failures.c - see auth_failures.h */
#include "auth_failures.h"

#include "base/log.h"
#include "network.h"
#include "run/run.h"
#include "sasl/base64.h"
#include "text.h"

#define CACHE "auth_failures"
#define OFFENDERS "auth_offenders"
enum { IPV4_PREFIX = 24, IPV6_PREFIX = 64, OTHERS_SHARE = 4 /* of failures of a network or an account, one in so many */, NAME_MAX_BYTES = 1024, HASH_BYTES = 16 };

/* What is counted of one attempt. */
struct counted {
    struct slice address, network, account, pair; /* keys; the last two are empty when the account is not known */
};

static bool is_active(struct session *s)
{
    const struct smtpd_params *p = &s->server->params;

    return (p->smtpd_auth_failure_delay > 0 || p->smtpd_auth_failure_offender_limit > 0) && s->client.has_address &&
           !client_is_in(&s->client, s->server->auth_failure_exceptions);
}

/* ---- who it says to be ---- */

/* plain_user - "authorization NUL name NUL password". */
static struct slice plain_user(struct slice text)
{
    struct slice authorization, rest, name, password;

    if (slice_cut(text, '\0', &authorization, &rest) && slice_cut(rest, '\0', &name, &password))
        return name;
    return slice_of(NULL);
}

/* scram_user - "n,a=other,n=name,r=nonce". */
static struct slice scram_user(struct slice text)
{
    struct slice word;

    while (slice_next_token(&text, ",", &word))
        if (slice_starts(word, SLICE("n=")))
            return slice_from(word, 2);
    return slice_of(NULL);
}

/* token_user - XOAUTH2: "user=name ^A auth=..."; OAUTHBEARER: "n,a=name,^A...". */
static struct slice token_user(struct slice text)
{
    struct slice word;

    while (slice_next_token(&text, ",\001", &word)) {
        if (slice_starts(word, SLICE("user=")))
            return slice_from(word, 5);
        if (slice_starts(word, SLICE("a=")))
            return slice_from(word, 2);
    }
    return slice_of(NULL);
}

static struct slice named_user(struct slice mechanism, struct slice text)
{
    if (slice_equal(mechanism, SLICE("PLAIN")))
        return plain_user(text);
    if (slice_equal(mechanism, SLICE("LOGIN")))
        return text;
    if (slice_equal(mechanism, SLICE("CRAM-MD5")))
        return slice_first(text, slice_find_last(text, ' '));
    if (slice_starts(mechanism, SLICE("SCRAM-")))
        return scram_user(text);
    if (slice_equal(mechanism, SLICE("XOAUTH2")) || slice_equal(mechanism, SLICE("OAUTHBEARER")))
        return token_user(text);
    return slice_of(NULL);
}

void auth_failures_user(struct slice mechanism, struct slice response, struct buffer *out)
{
    struct buffer text = BUFFER_INIT_MAX(16 * 1024);

    if (base64_decode(response, &text)) {
        struct slice user = named_user(mechanism, buffer_slice(&text));
        if (user.len <= NAME_MAX_BYTES)
            buffer_append_lower(out, user);
    }
    buffer_release(&text);
}

/* ---- counting ---- */

static struct slice finish_key(struct session *s, struct buffer *key)
{
    struct slice copy = arena_slice(s->scratch, buffer_slice(key));

    buffer_release(key);
    return copy;
}

/* what_counts - accounts by a hash: what is typed into the field of the name is not always a name. */
static struct counted what_counts(struct session *s, const struct auth_guess *guess)
{
    struct counted counted = {.address = arena_format(s->scratch, "a:%s", s->client.address)};
    struct buffer key = BUFFER_INIT;

    buffer_append_string(&key, "n:");
    network_text(&s->client.peer, IPV4_PREFIX, IPV6_PREFIX, &key);
    counted.network = finish_key(s, &key);
    if (guess->user.len == 0)
        return counted;
    text_hash(&key, guess->user, HASH_BYTES);
    struct slice user = finish_key(s, &key);
    counted.account = arena_format(s->scratch, "u:" SLICE_FORMAT, SLICE_ARGS(user));
    counted.pair = arena_format(s->scratch, "p:%s " SLICE_FORMAT, s->client.address, SLICE_ARGS(user));
    return counted;
}

/* add - to one of the counts, and what it is then; 0 when the store does not answer.  lifetime 0: only when there is one already. */
static int64_t add(struct session *s, struct slice key, int64_t amount, int64_t lifetime)
{
    int64_t sum = 0;

    if (key.len == 0 || !store_add(s->server->store, CACHE, key, amount, lifetime, &sum, NULL))
        return 0;
    return sum;
}

int64_t auth_failures_pause(int64_t address, int64_t network, int64_t account, int64_t unit, int64_t longest)
{
    int64_t count = address, pause = unit;

    if (network / OTHERS_SHARE > count)
        count = network / OTHERS_SHARE;
    if (account / OTHERS_SHARE > count)
        count = account / OTHERS_SHARE;
    if (count <= 0 || unit <= 0)
        return 0;
    while (--count > 0 && pause < longest)
        pause = pause > longest / 2 ? longest : 2 * pause;
    return pause < longest ? pause : longest;
}

void auth_failures_delay(struct session *s, struct auth_guess *guess, struct slice mechanism, struct slice response)
{
    const struct smtpd_params *p = &s->server->params;
    struct buffer user = BUFFER_INIT;

    if (guess->seen)
        return;
    guess->seen = true;
    if (!is_active(s))
        return;
    auth_failures_user(mechanism, response, &user);
    guess->user = finish_key(s, &user);
    if (p->smtpd_auth_failure_delay <= 0)
        return;
    struct counted counted = what_counts(s, guess);
    int64_t address = add(s, counted.address, 0, 0), network = add(s, counted.network, 0, 0), account = add(s, counted.account, 0, 0);
    int64_t pause = auth_failures_pause(address, network, account, p->smtpd_auth_failure_delay, p->smtpd_auth_failure_max_delay);
    if (pause > 0)
        fiber_sleep(pause);
}

/* list_offender - the firewall is told, by anvil; the first time the log, too. */
static void list_offender(struct session *s, int64_t failures)
{
    const struct smtpd_params *p = &s->server->params;
    struct slice address = slice_of(s->client.address), value;
    struct buffer until = BUFFER_INIT;
    enum store_outcome known = store_get(s->server->store, OFFENDERS, address, s->scratch, &value, NULL);

    if (!store_put(s->server->store, OFFENDERS, address, SLICE("1"), p->smtpd_auth_failure_offender_time) || known != STORE_OUTCOME_MISSING)
        return;
    clock_syslog(&until, clock_wall() + p->smtpd_auth_failure_offender_time);
    log_warning("auth-offender: client=%s: %lld failed logins: more than smtpd_auth_failure_offender_limit = %lld, listed until %s", s->client.text,
                (long long)failures, (long long)p->smtpd_auth_failure_offender_limit, buffer_string(&until));
    buffer_release(&until);
}

/* is_guess - refused for who the client says to be, or the proof of it; it makes no difference which, or it would show which accounts there are. */
static bool is_guess(enum sasl_layer layer)
{
    switch (layer) {
    case SASL_LAYER_UNKNOWN_USER:
    case SASL_LAYER_WRONG_PASSWORD:
    case SASL_LAYER_CREDENTIALS:
    case SASL_LAYER_DISABLED:
    case SASL_LAYER_EXPIRED:
    case SASL_LAYER_AUTHORIZATION:
    case SASL_LAYER_VERIFIER:
    case SASL_LAYER_NO_SCRAM:
        return true;
    default:
        return false;
    }
}

void auth_failures_note(struct session *s, const struct auth_guess *guess, enum sasl_layer layer)
{
    const struct smtpd_params *p = &s->server->params;

    if (!is_guess(layer) || !is_active(s))
        return;
    struct counted counted = what_counts(s, guess);
    int64_t failures = add(s, counted.address, 1, p->smtpd_auth_failure_window);
    add(s, counted.network, 1, p->smtpd_auth_failure_window);
    add(s, counted.account, 1, p->smtpd_auth_failure_window);
    add(s, counted.pair, 1, p->smtpd_auth_failure_window);
    if (p->smtpd_auth_failure_offender_limit > 0 && failures > p->smtpd_auth_failure_offender_limit)
        list_offender(s, failures);
}

/* take_back - what was counted in a window that has ended since cannot be taken back: nobody gets credit for guesses to come. */
static void take_back(struct session *s, struct slice key, int64_t own)
{
    int64_t left = add(s, key, -own, 0);
    if (left < 0)
        add(s, key, -left, 0);
}

void auth_failures_forgive(struct session *s, const struct auth_guess *guess)
{
    if (guess->user.len == 0 || !is_active(s))
        return;
    struct counted counted = what_counts(s, guess);
    int64_t own = add(s, counted.pair, 0, 0);
    if (own <= 0)
        return;
    take_back(s, counted.address, own);
    take_back(s, counted.network, own);
    take_back(s, counted.account, own);
    (void)store_delete(s->server->store, CACHE, counted.pair);
}
