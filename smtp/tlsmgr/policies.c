/* policies.c - see policies.h */
#include "policies.h"

#include "base/list.h"
#include "base/log.h"
#include "base/map.h"
#include "dns/dns.h"
#include "names.h"
#include "run/run.h"

enum { DOMAINS_MAX = 10000, TEXTS_MAX = 64 << 20 /* bytes of policies, about */, ID_SIZE = 33 };
static const int64_t absence_interval = 60 * MICROSECONDS, retry_interval = 300 * MICROSECONDS,
                     refresh_interval = 86400 * MICROSECONDS, shortest_life = 60 * MICROSECONDS;

/* One domain. Times are of the wall clock: they are kept over restarts. */
struct entry {
    struct list link;     /* policies.by_age: who was asked for last comes last */
    char *domain;
    char id[ID_SIZE];     /* of the policy; "": none is known */
    char *text;           /* the file; NULL: none */
    int64_t fetched, expires;
    char failed_id[ID_SIZE]; /* what could not be fetched last */
    int64_t next_try;
    const char *failure;  /* in words of RFC 8460 4.3 */
    char *reason;
    int64_t absent_until; /* monotonic: nothing was announced, nobody looks again before that */
    bool busy;            /* a fiber fetches, or looks into the store */
    struct condition change;
    unsigned users;
};

struct policies {
    const struct tlsmgr_params *params;
    struct web *web;
    struct shared_store *store;
    struct map *domains;
    struct list by_age;
    size_t text_bytes; /* of all */
};

static void entry_free(void *value)
{
    struct entry *entry = value;

    list_remove(&entry->link);
    free(entry->domain);
    free(entry->text);
    free(entry->reason);
    free(entry);
}

struct policies *policies_new(const struct tlsmgr_params *params, struct web *web, struct shared_store *store)
{
    struct policies *p = memory_zalloc(1, sizeof(*p));

    p->params = params;
    p->web = web;
    p->store = store;
    p->domains = map_new(entry_free);
    list_init(&p->by_age);
    return p;
}

/* set_text - NULL: none. */
static void set_text(struct policies *p, struct entry *entry, char *text)
{
    p->text_bytes -= entry->text ? strlen(entry->text) : 0;
    p->text_bytes += text ? strlen(text) : 0;
    free(entry->text);
    entry->text = text;
}

static bool is_valid(const struct entry *entry)
{
    return entry->text && entry->expires > clock_wall();
}

/* ---- the store ---- */

/* An entry: "1 ID FETCHED EXPIRES", a line, and the file. */
static void keep(struct policies *p, struct entry *entry)
{
    struct buffer value = BUFFER_INIT_MAX(STORE_VALUE_MAX);

    buffer_printf(&value, "1 %s %lld %lld\n%s", entry->id, (long long)entry->fetched, (long long)entry->expires, entry->text);
    if (!value.overflow)
        store_put(p->store, "mta_sts", slice_of(entry->domain), buffer_slice(&value), entry->expires - clock_wall());
    buffer_release(&value);
}

static bool take_kept(struct policies *p, struct slice value, struct entry *entry)
{
    struct slice line, word[4];
    int64_t fetched, expires;
    size_t count = 0;

    if (!slice_next_line(&value, &line))
        return false;
    while (count < COUNT_OF(word) && slice_next_token(&line, " ", &word[count]))
        count++;
    if (count < COUNT_OF(word) || !slice_equal(word[0], SLICE("1")) || word[1].len >= ID_SIZE || value.len > MTA_STS_TEXT_MAX
        || !slice_to_i64(word[2], &fetched) || !slice_to_i64(word[3], &expires) || fetched < 0 || expires < fetched
        || expires - fetched > MTA_STS_MAX_AGE * MICROSECONDS || expires > INT64_MAX - MTA_STS_MAX_AGE * MICROSECONDS)
        return false;
    entry->fetched = fetched;
    entry->expires = expires;
    snprintf(entry->id, ID_SIZE, SLICE_FORMAT, SLICE_ARGS(word[1]));
    set_text(p, entry, slice_string(value));
    return true;
}

static void recall(struct policies *p, struct entry *entry)
{
    struct arena *arena = arena_new(1024);
    struct slice value;

    entry->busy = true;
    if (store_get(p->store, "mta_sts", slice_of(entry->domain), arena, &value, NULL) == STORE_OUTCOME_FOUND)
        take_kept(p, value, entry);
    arena_free(arena);
    entry->busy = false;
    condition_broadcast(&entry->change);
}

/* ---- entries ---- */

static void make_room(struct policies *p)
{
    LIST_EACH(&p->by_age, link) {
        struct entry *oldest = LIST_ENTRY(link, struct entry, link);
        if (map_count(p->domains) < DOMAINS_MAX && p->text_bytes <= TEXTS_MAX)
            return;
        if (oldest->users > 0 || oldest->busy)
            continue;
        set_text(p, oldest, NULL); /* the store still has it */
        map_remove(p->domains, slice_of(oldest->domain));
    }
}

static struct entry *open_entry(struct policies *p, struct slice domain)
{
    struct entry *entry = map_get(p->domains, domain);

    if (entry) {
        entry->users++;
        list_remove(&entry->link);
        list_append(&p->by_age, &entry->link);
        return entry;
    }
    make_room(p);
    entry = memory_zalloc(1, sizeof(*entry));
    entry->domain = slice_string(domain);
    entry->users = 1;
    condition_init(&entry->change);
    list_append(&p->by_age, &entry->link);
    map_set(p->domains, domain, entry);
    recall(p, entry);
    return entry;
}

/* ---- fetching ---- */

static void failed(struct entry *entry, const char *id, const char *failure, const char *reason)
{
    entry->next_try = clock_wall() + retry_interval;
    snprintf(entry->failed_id, ID_SIZE, "%s", id);
    entry->failure = failure;
    free(entry->reason);
    entry->reason = memory_string(reason);
    log_warning("MTA-STS policy of %s (id %s): %s: %s%s", entry->domain, id, failure, reason,
                is_valid(entry) ? ": going on with the policy that is known" : "");
}

static void take_policy(struct policies *p, struct entry *entry, const char *id, struct slice text, const struct mta_sts_policy *policy)
{
    int64_t life = policy->max_age * MICROSECONDS;

    if (!entry->text || strcmp(entry->id, id) != 0)
        log_info("MTA-STS policy of %s (id %s): mode %s, %zu mx, max_age %lld", entry->domain, id, mta_sts_mode_name(policy->mode),
                 policy->pattern_count, (long long)policy->max_age);
    set_text(p, entry, slice_string(text));
    snprintf(entry->id, ID_SIZE, "%s", id);
    entry->fetched = clock_wall();
    entry->expires = entry->fetched + (life > shortest_life ? life : shortest_life);
    entry->failed_id[0] = '\0';
    entry->next_try = 0;
    keep(p, entry);
}

/* judge - what came from the web server is a policy, or why not. */
static void judge(struct policies *p, struct entry *entry, const char *id, const struct web_answer *answer, struct arena *arena)
{
    struct buffer why = BUFFER_INIT_MAX(512);
    struct mta_sts_policy policy;

    if (answer->outcome == WEB_UNTRUSTED)
        failed(entry, id, "sts-webpki-invalid", arena_string(arena, answer->reason));
    else if (answer->outcome != WEB_ANSWERED)
        failed(entry, id, "sts-policy-fetch-error", arena_string(arena, answer->reason));
    else if (answer->status != 200)
        failed(entry, id, "sts-policy-fetch-error", arena_printf(arena, "the web server answers with status %ld", answer->status));
    else if (!slice_equal(answer->content_type, SLICE("text/plain")))
        failed(entry, id, "sts-policy-invalid", arena_printf(arena, "media type \"" SLICE_FORMAT "\"", SLICE_ARGS(slice_first(answer->content_type, 60))));
    else if (!mta_sts_parse(answer->body, arena, &policy, &why) || slice_find(answer->body, '\0') < answer->body.len)
        failed(entry, id, "sts-policy-invalid", why.len ? buffer_string(&why) : "a NUL byte");
    else
        take_policy(p, entry, id, answer->body, &policy);
    if (answer->outcome == WEB_BUSY)
        entry->next_try = 0; /* it is not the domain's fault */
    buffer_release(&why);
}

static void fetch(struct policies *p, struct entry *entry, const char *id)
{
    struct arena *arena = arena_new(4096);
    struct web_request request = {.answer_max = MTA_STS_TEXT_MAX};
    struct web_answer answer;

    entry->busy = true;
    if (p->params->smtp_tls_web_port == 443)
        request.url = arena_printf(arena, "https://mta-sts.%s/.well-known/mta-sts.txt", entry->domain);
    else
        request.url = arena_printf(arena, "https://mta-sts.%s:%lld/.well-known/mta-sts.txt", entry->domain, (long long)p->params->smtp_tls_web_port);
    web_ask(p->web, &request, arena, &answer);
    judge(p, entry, id, &answer, arena);
    entry->busy = false;
    condition_broadcast(&entry->change);
    arena_free(arena);
}

/* A renewal in the background. */
struct renewal {
    struct policies *policies;
    struct entry *entry; /* one of its users */
    char id[ID_SIZE];
};

static void renew(void *arg)
{
    struct renewal *renewal = arg;

    fetch(renewal->policies, renewal->entry, renewal->id);
    renewal->entry->users--;
    free(renewal);
}

static void start_renewal(struct policies *p, struct entry *entry, const char *id)
{
    struct renewal *renewal = memory_zalloc(1, sizeof(*renewal));

    renewal->policies = p;
    renewal->entry = entry;
    snprintf(renewal->id, ID_SIZE, "%s", id);
    entry->users++;
    entry->busy = true;
    fiber_start("policy renewal", renew, renewal);
}

/* ---- asking ---- */

/* find_id - what the domain announces: exactly one record that is for us (RFC 8461 3.1).  False: nothing. */
static bool find_id(struct slice domain, struct arena *arena, char id[ID_SIZE])
{
    struct dns_answer answer = dns_query(arena_format(arena, "_mta-sts." SLICE_FORMAT, SLICE_ARGS(domain)), DNS_TXT, arena);
    size_t records = 0;
    struct slice found;
    bool good = false;

    for (size_t i = 0; i < answer.count; i++) {
        const struct dns_record *record = &answer.records[i];
        if (record->type != DNS_TXT || !slice_starts(record->text, SLICE("v=STSv1;")))
            continue;
        records++;
        good = mta_sts_record(record->text, &found);
    }
    if (records != 1 || !good)
        return false;
    snprintf(id, ID_SIZE, SLICE_FORMAT, SLICE_ARGS(found));
    return true;
}

/* look_after - with the id that is announced: fetch what must be fetched, now or in the background. */
static void look_after(struct policies *p, struct entry *entry, const char *id)
{
    while (entry->busy && (!is_valid(entry) || strcmp(entry->id, id) != 0))
        condition_wait(&entry->change, CLOCK_NEVER); /* fetching ends in time */
    bool valid = is_valid(entry), same = valid && strcmp(entry->id, id) == 0;
    bool failed_before = strcmp(entry->failed_id, id) == 0 && clock_wall() < entry->next_try;
    if (entry->busy || failed_before)
        return;
    if (!same)
        fetch(p, entry, id);
    else if (clock_wall() > entry->fetched + refresh_interval || clock_wall() > entry->expires - (entry->expires - entry->fetched) / 4)
        start_renewal(p, entry, id);
}

void policies_find(struct policies *p, struct slice domain, struct arena *arena, struct mta_sts_reply *reply)
{
    struct slice name;
    char id[ID_SIZE] = "";

    *reply = (struct mta_sts_reply){0};
    if (!domain_name(domain, arena, &name))
        return;
    struct entry *entry = map_get(p->domains, name);
    if (entry && !entry->text && !entry->busy && clock_monotonic() < entry->absent_until)
        return;
    bool announced = find_id(name, arena, id);
    if (!announced && !map_get(p->domains, name) && map_count(p->domains) >= DOMAINS_MAX)
        return; /* those that announce something need the room */
    entry = open_entry(p, name);
    while (entry->busy && !entry->text)
        condition_wait(&entry->change, CLOCK_NEVER);
    if (announced)
        look_after(p, entry, id);
    else
        entry->absent_until = clock_after(absence_interval);
    if (is_valid(entry)) {
        reply->text = arena_slice(arena, slice_of(entry->text));
    } else if (announced && entry->failure && strcmp(entry->failed_id, id) == 0) {
        reply->failure = slice_of(entry->failure);
        reply->reason = arena_slice(arena, slice_of(entry->reason));
    }
    entry->users--;
}
