/* tallies.c - see tallies.h */
#include "tallies.h"

#include "base/log.h"
#include "base/map.h"
#include "dispatch.h"
#include "names.h"
#include "run/run.h"

enum {
    TALLIES_MAX = 20000,
    BYTES_MAX = 128 << 20, /* of all reports, about */
    UNWANTED_MAX = 10000, UNWANTED_SECONDS = 60,
    PAGE_MAX = 48 * 1024, PAGES_MAX = 64,
    SENDERS = 10           /* reports at once */
};
static const int64_t save_interval = MICROSECONDS, send_interval = 5 * MICROSECONDS, first_retry = 600 * MICROSECONDS, retry_time = 86400 * MICROSECONDS,
                     keep_time = 3 * 86400 * MICROSECONDS;

struct tally {
    struct report *report;
    int64_t due;    /* when it is sent; wall clock */
    int64_t delay;  /* between tries */
    bool changed;   /* since it was remembered */
    bool sending;
};

struct tallies {
    const struct tlsmgr_params *params;
    struct dispatcher dispatcher;
    struct shared_store *store;
    struct map *map;       /* "BEGIN DOMAIN" -> tally */
    struct map *unwanted;  /* domain -> until when nobody looks again whether it wants reports (int64_t, monotonic) */
    bool changed;          /* a tally is */
    bool list_changed;
    size_t pages;          /* of the list, as it is remembered */
    size_t bytes;          /* of all reports */
    bool full;             /* told once */
    struct semaphore senders;
};

static void tally_free(void *value)
{
    struct tally *tally = value;

    report_free(tally->report);
    free(tally);
}

struct tallies *tallies_new(const struct tlsmgr_params *params, struct web *web, struct shared_store *store, struct submit_pool *cleanup)
{
    struct tallies *t = memory_zalloc(1, sizeof(*t));

    t->params = params;
    t->dispatcher = (struct dispatcher){params, web, cleanup};
    t->store = store;
    t->map = map_new(tally_free);
    t->unwanted = map_new(free);
    semaphore_init(&t->senders, SENDERS);
    return t;
}

static struct slice key_of(int64_t begin, struct slice domain, char room[DOMAIN_NAME_MAX + 32])
{
    snprintf(room, DOMAIN_NAME_MAX + 32, "%lld " SLICE_FORMAT, (long long)begin, SLICE_ARGS(domain));
    return slice_of(room);
}

/* random_delay - so that not all of the world reports at midnight (RFC 8460 4.1). */
static int64_t random_delay(const struct tallies *t)
{
    int64_t seconds = t->params->smtp_tls_reports_delay / MICROSECONDS;

    return seconds > 0 ? (int64_t)arc4random_uniform((uint32_t)(seconds < UINT32_MAX ? seconds : UINT32_MAX)) * MICROSECONDS : 0;
}

static struct tally *add(struct tallies *t, struct report *report)
{
    struct tally *tally = memory_zalloc(1, sizeof(*tally));
    char room[DOMAIN_NAME_MAX + 32];

    tally->report = report;
    tally->due = (report->end + 1) * MICROSECONDS + random_delay(t);
    tally->delay = first_retry;
    t->bytes += report->bytes;
    map_set(t->map, key_of(report->begin, slice_of(report->domain), room), tally);
    return tally;
}

/* ---- remembering ---- */

static void save_list(struct tallies *t)
{
    struct buffer page = BUFFER_INIT;
    struct slice key;
    size_t position = 0, pages = 0;
    void *value;
    char name[32];
    bool more = true;

    while (more) {
        while ((more = map_next(t->map, &position, &key, &value)) && buffer_append_slice(&page, key) && buffer_append_byte(&page, '\n')
               && page.len < PAGE_MAX)
            ;
        snprintf(name, sizeof(name), "list %zu", pages);
        if (page.len && pages < PAGES_MAX && store_put(t->store, "tlsrpt", slice_of(name), buffer_slice(&page), keep_time))
            pages++;
        buffer_clear(&page);
    }
    for (size_t i = pages; i < t->pages; i++) {
        snprintf(name, sizeof(name), "list %zu", i);
        store_delete(t->store, "tlsrpt", slice_of(name));
    }
    t->pages = pages;
    buffer_release(&page);
}

static void save_one(struct tallies *t, struct slice key, struct tally *tally)
{
    char *text = report_keep(tally->report);

    tally->changed = false;
    if (strlen(text) <= STORE_VALUE_MAX)
        store_put(t->store, "tlsrpt", key, slice_of(text), keep_time);
    free(text);
}

/* keys_of - a copy: the map may change while the store is waited for. */
static struct slice *keys_of(struct tallies *t, struct arena *arena, size_t *count)
{
    struct slice *keys = arena_alloc(arena, (map_count(t->map) + 1) * sizeof(*keys)), key;
    size_t position = 0;
    void *value;

    *count = 0;
    while (map_next(t->map, &position, &key, &value))
        keys[(*count)++] = arena_slice(arena, key);
    return keys;
}

void tallies_save(struct tallies *t)
{
    struct arena *arena = arena_new(4096);
    size_t count;

    if (t->list_changed) {
        t->list_changed = false;
        save_list(t);
    }
    if (!t->changed) {
        arena_free(arena);
        return;
    }
    t->changed = false;
    struct slice *keys = keys_of(t, arena, &count);
    for (size_t i = 0; i < count; i++) {
        struct tally *tally = map_get(t->map, keys[i]);
        if (tally && tally->changed)
            save_one(t, keys[i], tally);
    }
    arena_free(arena);
}

static void recall(struct tallies *t, struct slice key, struct arena *arena)
{
    char room[DOMAIN_NAME_MAX + 32];
    struct slice value;

    if (store_get(t->store, "tlsrpt", key, arena, &value, NULL) != STORE_OUTCOME_FOUND || map_count(t->map) >= TALLIES_MAX || t->bytes >= BYTES_MAX)
        return;
    struct report *report = report_recall(value);
    if (report && strlen(report->domain) <= DOMAIN_NAME_MAX && !map_get(t->map, key_of(report->begin, slice_of(report->domain), room)))
        add(t, report);
    else
        report_free(report);
}

static void recall_all(struct tallies *t)
{
    struct arena *arena = arena_new(4096), *one = arena_new(4096);
    struct slice page, line;
    char name[32];

    for (t->pages = 0; t->pages < PAGES_MAX; t->pages++) {
        snprintf(name, sizeof(name), "list %zu", t->pages);
        if (store_get(t->store, "tlsrpt", slice_of(name), arena, &page, NULL) != STORE_OUTCOME_FOUND)
            break;
        while (slice_next_line(&page, &line)) {
            recall(t, line, one);
            arena_reset(one);
        }
        arena_reset(arena);
    }
    arena_free(one);
    arena_free(arena);
}

/* ---- sending ---- */

static void send_one(struct tallies *t, struct slice key, struct tally *tally)
{
    int64_t last = (tally->report->end + 1) * MICROSECONDS + t->params->smtp_tls_reports_delay + retry_time;

    bool done = dispatch_report(&t->dispatcher, tally->report);
    if (!done && clock_wall() < last) {
        tally->due = clock_wall() + tally->delay;
        tally->delay *= 2;
        tally->sending = false;
        save_one(t, key, tally); /* at once: somebody may have got it */
        return;
    }
    if (!done)
        log_warning("TLS report for %s: nobody took it for a day: it is given up", tally->report->domain);
    store_delete(t->store, "tlsrpt", key); /* nobody else touches it meanwhile: it is still being sent */
    t->bytes -= tally->report->bytes;
    map_remove(t->map, key);
    t->list_changed = true;
}

/* One report on its way. */
struct sending {
    struct tallies *tallies;
    struct tally *tally; /* nobody else removes it */
    char *key;
};

static void send_in_fiber(void *arg)
{
    struct sending *sending = arg;

    send_one(sending->tallies, slice_of(sending->key), sending->tally);
    semaphore_give(&sending->tallies->senders);
    free(sending->key);
    free(sending);
}

/* send_due - a few at once: a target that is slow must not hold up other reports.  Waits, for a free place. */
static void send_due(struct tallies *t)
{
    struct arena *arena = arena_new(4096);
    size_t count;
    struct slice *keys = keys_of(t, arena, &count);

    for (size_t i = 0; i < count; i++) {
        struct tally *tally = map_get(t->map, keys[i]);
        if (!tally || tally->sending || tally->due > clock_wall() || semaphore_take(&t->senders, CLOCK_NEVER /* sending ends in time */) != WAIT_READY)
            continue;
        struct sending *sending = memory_alloc(sizeof(*sending));
        *sending = (struct sending){t, tally, slice_string(keys[i])};
        tally->sending = true;
        fiber_start("TLS report", send_in_fiber, sending);
    }
    arena_free(arena);
}

static void save_often(void *arg)
{
    struct tallies *t = arg;

    for (int64_t busy = 0;;) {
        fiber_sleep(20 * busy > save_interval ? 20 * busy : save_interval); /* saving takes a twentieth of the time at most */
        int64_t began = clock_monotonic();
        tallies_save(t);
        busy = clock_monotonic() - began;
    }
}

static void send_often(void *arg)
{
    struct tallies *t = arg;
    int64_t interval = t->params->smtp_tls_reports_period < 2 * send_interval ? MICROSECONDS : send_interval; /* shorter for tests */

    for (;;) {
        fiber_sleep(interval);
        send_due(t);
    }
}

void tallies_start(struct tallies *t)
{
    recall_all(t);
    fiber_start("TLS reports, saving", save_often, t);
    fiber_start("TLS reports, sending", send_often, t);
}

/* ---- counting ---- */

/* has_room - the sky is not the limit. */
static bool has_room(struct tallies *t, bool is_new)
{
    bool room = t->bytes < BYTES_MAX && (!is_new || map_count(t->map) < TALLIES_MAX);

    if (!room && !t->full)
        log_warning("TLS reports: too many domains want one, or want too much: the others get none");
    if (!room || is_new)
        t->full = !room;
    return room;
}

/* wants_reports - a look at its record, once a minute at most when there is none. */
static bool wants_reports(struct tallies *t, struct slice domain, struct arena *arena)
{
    struct tls_report_target targets[TLS_REPORT_TARGETS_MAX];
    const int64_t *until = map_get(t->unwanted, domain);

    if (until && clock_monotonic() < *until)
        return false;
    if (dispatch_targets(domain, arena, targets) > 0)
        return true;
    if (map_count(t->unwanted) >= UNWANTED_MAX) {
        map_free(t->unwanted);
        t->unwanted = map_new(free);
    }
    int64_t next = clock_after(UNWANTED_SECONDS * MICROSECONDS);
    map_set(t->unwanted, domain, memcpy(memory_alloc(sizeof(next)), &next, sizeof(next)));
    return false;
}

void tallies_count(struct tallies *t, const struct tls_session *told)
{
    struct tls_session session = *told;
    struct arena *arena = arena_new(1024);
    char room[DOMAIN_NAME_MAX + 32];
    int64_t period = t->params->smtp_tls_reports_period / MICROSECONDS, now = clock_wall() / MICROSECONDS, begin = now - now % period;
    struct slice domain;

    bool wanted = domain_name(told->domain, arena, &domain);
    session.domain = domain;
    if (wanted && !map_get(t->map, key_of(begin, domain, room)))
        wanted = wants_reports(t, domain, arena);
    struct tally *tally = wanted ? map_get(t->map, key_of(begin, domain, room)) : NULL; /* again: somebody may have come before */
    wanted = wanted && has_room(t, !tally);
    if (wanted && !tally) {
        tally = add(t, report_new(domain, begin, begin + period - 1));
        t->list_changed = true;
    }
    if (wanted && !tally->sending) {
        t->bytes -= tally->report->bytes;
        report_count(tally->report, &session);
        t->bytes += tally->report->bytes;
        tally->changed = t->changed = true;
    }
    arena_free(arena);
}
