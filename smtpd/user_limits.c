/* user_limits.c - see user_limits.h */
#include "user_limits.h"

#include "answer.h"
#include "auth.h"
#include "base/log.h"
#include "intake.h"
#include "text.h"

#define CACHE "user_limits"
#define HOUR (3600 * MICROSECONDS)
enum { HASH_BYTES = 32 };

/* The limits, in the order in which they are looked at. */
static const struct limit_row {
    const char *name, *key;
    bool recipients;
    int64_t window;
} rows[USER_LIMITS] = {
    {"messages_per_hour", "mh:", false, HOUR},
    {"messages_per_day", "md:", false, 24 * HOUR},
    {"recipients_per_hour", "rh:", true, HOUR},
    {"recipients_per_day", "rd:", true, 24 * HOUR},
};

/* What a message has been counted as, until it is accepted; memory of its arena. */
struct user_claim {
    struct shared_store *store;
    struct slice keys[USER_LIMITS]; /* empty: not counted there */
    int64_t amounts[USER_LIMITS];
};

/* What is exceeded. */
struct excess {
    const struct limit_row *row; /* NULL: nothing */
    int64_t limit, sum, expires;
};

/* ---- what a user may ---- */

static bool parse_one(struct slice word, int64_t values[USER_LIMITS])
{
    struct slice name, number;
    int64_t value;

    if (!slice_cut(word, '=', &name, &number) || !slice_to_i64(slice_trim(number), &value) || value < 0)
        return false;
    for (size_t i = 0; i < USER_LIMITS; i++) {
        if (slice_equal_case(slice_trim(name), slice_of(rows[i].name))) {
            values[i] = value;
            return true;
        }
    }
    return false;
}

bool user_limits_parse(struct slice text, int64_t values[USER_LIMITS])
{
    int64_t found[USER_LIMITS];
    struct slice word;
    bool any = false;

    memcpy(found, values, sizeof(found));
    if (slice_equal_case(slice_trim(text), SLICE("none"))) {
        memset(values, 0, sizeof(found));
        return true;
    }
    while (slice_next_token(&text, ", \t\r\n", &word)) {
        any = true;
        if (!parse_one(word, found))
            return false;
    }
    if (any)
        memcpy(values, found, sizeof(found));
    return any;
}

/* look_up_exception - the user's entry, or that of its domain.  A table that cannot answer, or makes no sense, changes nothing. */
static void look_up_exception(struct session *s, struct slice user, int64_t values[USER_LIMITS])
{
    struct table_list *tables = s->server->user_limit_exceptions;
    struct buffer value = BUFFER_INIT_MAX(4096);

    if (table_list_is_empty(tables))
        return;
    enum table_result result = table_list_lookup(tables, user, true, &value);
    struct slice domain = slice_from(user, slice_find_last(user, '@'));
    if (result == TABLE_NOT_FOUND && domain.len > 1)
        result = table_list_lookup(tables, domain, false, &value);
    if (result == TABLE_TRY_AGAIN)
        log_warning("smtpd_user_limit_exception_maps: lookup of " SLICE_FORMAT " failed: the limits of everybody apply", SLICE_ARGS(user));
    else if (result == TABLE_FOUND && !user_limits_parse(buffer_slice(&value), values))
        log_warning("smtpd_user_limit_exception_maps: " SLICE_FORMAT ": \"%s\": expecting \"none\" or NAME=NUMBER, ... with messages_per_hour, messages_per_day, "
                    "recipients_per_hour, recipients_per_day", SLICE_ARGS(user), buffer_string(&value));
    buffer_release(&value);
}

/* find_limits - false: there is none. */
static bool find_limits(struct session *s, struct slice user, int64_t values[USER_LIMITS])
{
    const struct smtpd_params *p = &s->server->params;
    const int64_t usual[USER_LIMITS] = {p->smtpd_user_limit_messages_per_hour, p->smtpd_user_limit_messages_per_day, p->smtpd_user_limit_recipients_per_hour,
                                        p->smtpd_user_limit_recipients_per_day};
    bool any = false;

    memcpy(values, usual, sizeof(usual));
    look_up_exception(s, user, values);
    for (size_t i = 0; i < USER_LIMITS; i++)
        any |= values[i] > 0;
    return any;
}

/* ---- counting ---- */

/* key_of - names that differ in case only are one user. */
static struct slice key_of(struct arena *arena, const struct limit_row *row, struct slice user)
{
    struct slice lower = arena_lower(arena, user);
    struct buffer key = BUFFER_INIT;

    buffer_append_string(&key, row->key);
    if (lower.len <= STORE_KEY_MAX - 16)
        buffer_append_slice(&key, lower);
    else
        text_hash(&key, lower, HASH_BYTES);
    struct slice copy = arena_slice(arena, buffer_slice(&key));
    buffer_release(&key);
    return copy;
}

/* count - false: the store does not answer. */
static bool count(struct session *s, struct slice user, const int64_t limits[USER_LIMITS], struct user_claim *claim, struct excess *excess)
{
    struct transaction *t = s->mail;
    int64_t sum, expires;

    for (size_t i = 0; i < USER_LIMITS; i++) {
        if (limits[i] <= 0)
            continue;
        struct slice key = key_of(t->arena, &rows[i], user);
        int64_t amount = rows[i].recipients ? (int64_t)t->recipient_count : 1;
        if (!store_add(claim->store, CACHE, key, amount, rows[i].window, &sum, &expires))
            return false;
        claim->keys[i] = key;
        claim->amounts[i] = amount;
        if (!excess->row && sum > limits[i])
            *excess = (struct excess){&rows[i], limits[i], sum, expires};
    }
    return true;
}

void user_limits_return(struct user_claim *claim)
{
    int64_t sum;

    /* Without a lifetime: a window that has ended meanwhile is not opened again. */
    for (size_t i = 0; claim && i < USER_LIMITS; i++)
        if (claim->keys[i].len && !store_add(claim->store, CACHE, claim->keys[i], -claim->amounts[i], 0, &sum, NULL))
            return;
}

void user_limits_keep(struct transaction *t)
{
    t->user_claim = NULL;
}

/* ---- what is done ---- */

/* text_of - which limit, its value, and when it begins anew: for the log, and for the user when that is who is refused. */
static struct slice text_of(struct session *s, const struct excess *excess)
{
    struct buffer when = BUFFER_INIT;

    clock_syslog(&when, excess->expires);
    struct slice text = arena_format(s->scratch, "user limit: smtpd_user_limit_%s = %lld exceeded: %lld for sasl_username=%s, resets at %s", excess->row->name,
                                     (long long)excess->limit, (long long)excess->sum, s->login->user, buffer_string(&when));
    buffer_release(&when);
    return text;
}

static bool refuse(struct rejection *rejection, bool for_good, struct slice text)
{
    *rejection = (struct rejection){.code = for_good ? 550 : 450, .text = text, .trouble = TROUBLE_POLICY};
    snprintf(rejection->status, sizeof(rejection->status), "%s", for_good ? "5.7.1" : "4.7.1");
    return false;
}

/* act - a content filter in front of the queue cannot hold a message: then it is deferred. */
static bool act(struct session *s, const struct excess *excess, struct rejection *rejection)
{
    const struct smtpd_params *p = &s->server->params;
    struct slice text = text_of(s, excess);

    if (p->smtpd_user_limit_report_only) {
        log_action(s, "limit_warning", (struct slice){0}, SLICE_FORMAT, SLICE_ARGS(text));
        return true;
    }
    if (strcasecmp(p->smtpd_user_limit_action, "reject") == 0)
        return refuse(rejection, true, text);
    if (strcasecmp(p->smtpd_user_limit_action, "defer") == 0 || intake_is_filter(s->mail->intake))
        return refuse(rejection, false, text);
    log_action(s, "hold", (struct slice){0}, SLICE_FORMAT, SLICE_ARGS(text));
    s->mail->hold = true;
    return true;
}

bool user_limits_allow(struct session *s, struct rejection *rejection)
{
    struct transaction *t = s->mail;
    int64_t limits[USER_LIMITS];
    struct excess excess = {0};

    user_limits_return(t->user_claim); /* of a DATA before, which was refused */
    t->user_claim = NULL;
    if (!auth_is_user(s) || t->sender.len == 0 || t->discard || !find_limits(s, slice_of(s->login->user), limits))
        return true;
    struct user_claim *claim = arena_alloc(t->arena, sizeof(*claim));
    claim->store = s->server->store;
    t->user_claim = claim;
    if (!count(s, slice_of(s->login->user), limits, claim, &excess) && !excess.row)
        return true; /* the store's stub has said so */
    return !excess.row || act(s, &excess, rejection);
}
