/* store.c - the caches by name, their clean-up, and the way to the process that keeps their files */
#include "store.h"

#include <sys/socket.h>

#include "base/log.h"
#include "cache.h"
#include "child.h"
#include "keeper.h"
#include "offenders.h"
#include "remote.h"
#include "service/service.h"
#include "service/store.h"

/* Every cache there is: the parameter that says where it is kept, the one that says how often it is cleaned of what has ended (NULL: hourly). */
static const struct cache_row {
    const char *name, *map_parameter, *cleanup_parameter;
    enum { ANYWHERE, ONLY_SHARED /* in Redis or not at all */, NOT_SHARED } where;
} rows[] = {
    {"verify", "address_verify_map", "address_verify_cache_cleanup_interval"},
    {"postscreen", "postscreen_cache_map", "postscreen_cache_cleanup_interval"},
    {"greylist", "greylist_cache_map", NULL},
    {"user_limits", "smtpd_user_limit_cache_map", NULL},
    {"auth_failures", "smtpd_auth_failure_cache_map", NULL},
    {"mta_sts", "mta_sts_cache_map", NULL},
    {"tlsrpt", "tlsrpt_cache_map", NULL},
    {"auth_offenders", "smtpd_auth_failure_offender_cache_map", NULL, NOT_SHARED},
    {"counters", "anvil_counter_map", NULL, ONLY_SHARED}, /* counters.h keeps them otherwise; no requests of others */
};
enum { CACHES = COUNT_OF(rows), COUNTERS = CACHES - 1, OFFENDERS = CACHES - 2 };

/* What one cache may hold. */
static const struct cache_limits limits = {.entries = 500000, .bytes = (size_t)128 << 20};

#define FLUSH_INTERVAL (2 * MICROSECONDS)
#define LOAD_PATIENCE (3 * MICROSECONDS) /* of a request for a cache that is still being read: below the client's */
#define REPLACEMENT_TIME (60 * MICROSECONDS) /* after a process that was started has died, a new anvil is asked for, which starts it anew */
#define HOURLY (3600 * MICROSECONDS)
#define LIFETIME_MAX (3650 * 86400 * MICROSECONDS)
enum { CLEAN_STEPS = 2000, SOCKET_ROOM = 4 * KEEPER_MESSAGE_MAX };

struct anvil_cache {
    const struct cache_row *row;
    char *where; /* type:name of its file or server, "" for none */
    bool is_remote;
    struct cache *entries;
    bool loaded;
    int64_t cleanup_interval, next_cleanup;
};

struct anvil_store {
    struct anvil_cache caches[CACHES];
    struct remote *remote; /* NULL: no cache is in Redis */
    int keeper; /* -1: none */
    struct run_watch *watch;
    struct condition loaded, synced, room, ended;
    bool is_flushing;
    bool is_closing;
    int64_t replace_at; /* clock_monotonic; 0: all is well */
    struct fiber *fibers[2]; /* NULL: not started, or ended */
    bool lists_offenders;   /* there is a file for them */
    int64_t next_list; /* wall clock: when the file is to be written again; 0: now */
    uint64_t syncs_asked, syncs_done;
};

/* ---- opening -------------------------------------------------------------------------------------------------------- */

/* where_of - the table of a cache: "" when it lives in memory only. */
static char *where_of(const struct cache_row *row, const char *value)
{
    static const char *const types[] = {"redis:", "btree:", "hash:", "lmdb:"};
    struct slice text = slice_trim(slice_of(value));

    if (slice_starts(text, SLICE("proxy:")))
        text = slice_from(text, strlen("proxy:"));
    for (size_t i = row->where == NOT_SHARED; i < (row->where == ONLY_SHARED ? 1 : COUNT_OF(types)); i++)
        if (slice_starts(text, slice_of(types[i])) && text.len > strlen(types[i]))
            return slice_string(text);
    if (text.len > 0 && !slice_starts(text, SLICE("internal:")))
        log_warning("%s: \"" SLICE_FORMAT "\" is no place for a cache (%s): going on in memory only", row->map_parameter,
                    SLICE_ARGS(text), row->where == ONLY_SHARED ? "redis" : row->where == NOT_SHARED ? "btree, hash, lmdb, internal" : "btree, hash, lmdb, redis, internal");
    return memory_string("");
}

/* settle_twins - two caches in one file would eat each other's records. */
static void settle_twins(struct anvil_store *store, size_t number)
{
    struct anvil_cache *cache = &store->caches[number];

    for (size_t i = 0; i < number && *cache->where && !cache->is_remote; i++) {
        if (strcmp(store->caches[i].where, cache->where) == 0) {
            log_warning("%s: %s is in use by %s: going on in memory only", cache->row->map_parameter, cache->where,
                        store->caches[i].row->map_parameter);
            *cache->where = '\0';
        }
    }
}

static bool open_cache(struct anvil_store *store, size_t number, struct config *config)
{
    struct anvil_cache *cache = &store->caches[number];

    cache->row = &rows[number];
    cache->where = where_of(cache->row, config_string(config, cache->row->map_parameter));
    cache->is_remote = slice_starts(slice_of(cache->where), SLICE("redis:"));
    settle_twins(store, number);
    cache->entries = cache_new(limits);
    cache->loaded = !*cache->where || cache->is_remote;
    cache->cleanup_interval = cache->row->cleanup_parameter ? config_time(config, cache->row->cleanup_parameter) : HOURLY;
    cache->next_cleanup = clock_after(cache->cleanup_interval);
    if (!cache->loaded)
        cache_track(cache->entries);
    return !cache->loaded;
}

static void start_keeper(struct anvil_store *store, struct config *config)
{
    struct keeper_file files[CACHES];
    int pair[2];

    for (size_t i = 0; i < CACHES; i++)
        files[i] = (struct keeper_file){rows[i].name, store->caches[i].is_remote ? "" : store->caches[i].where};
    child_pair(pair, SOCKET_ROOM);
    if (child_fork(config, pair, "anvil-keeper", keeper_line))
        keeper_main(pair[1], config, files, CACHES);
    close(pair[1]);
    store->keeper = pair[0];
}

static void start_remote(struct anvil_store *store, struct config *config)
{
    struct remote_place places[CACHES];

    for (size_t i = 0; i < CACHES; i++)
        places[i] = (struct remote_place){rows[i].name, store->caches[i].is_remote ? store->caches[i].where : ""};
    store->remote = remote_open(config, places, CACHES);
}

struct anvil_store *anvil_store_open(struct config *config)
{
    struct anvil_store *store = memory_zalloc(1, sizeof(*store));
    bool has_files = *config_string(config, "smtpd_auth_failure_offender_file");

    store->lists_offenders = has_files;
    condition_init(&store->loaded);
    condition_init(&store->synced);
    condition_init(&store->room);
    condition_init(&store->ended);
    store->keeper = -1;
    for (size_t i = 0; i < CACHES; i++)
        has_files |= open_cache(store, i, config);
    if (has_files)
        start_keeper(store, config);
    start_remote(store, config);
    return store;
}

/* end_fibers - they see it at their next step. */
static void end_fibers(struct anvil_store *store)
{
    store->is_closing = true;
    while (store->fibers[0] || store->fibers[1]) {
        for (size_t i = 0; i < COUNT_OF(store->fibers); i++)
            if (store->fibers[i])
                fiber_interrupt(store->fibers[i]);
        fiber_sleep(MICROSECONDS / 1000);
    }
}

void anvil_store_free(struct anvil_store *store)
{
    if (!store)
        return;
    end_fibers(store);
    if (store->watch)
        run_unwatch(store->watch);
    if (store->keeper >= 0)
        close(store->keeper);
    remote_free(store->remote);
    for (size_t i = 0; i < CACHES; i++) {
        cache_free(store->caches[i].entries);
        free(store->caches[i].where);
    }
    free(store);
}

/* ---- what the keeper says ------------------------------------------------------------------------------------------- */

static void take_entries(struct anvil_cache *cache, struct slice entries)
{
    struct cache_change entry;

    while (cache_change_next(&entries, &entry))
        cache_load(cache->entries, entry.key, entry.value, entry.expires);
}

static void take_message(struct anvil_store *store, struct slice message)
{
    size_t number = message.len > 1 ? (uint8_t)message.data[1] : 0;
    struct slice rest = slice_from(message, 2);

    if (message.len < 2)
        return;
    if (message.data[0] == KEEPER_LOG) {
        log_pass_on((unsigned)number, rest);
    } else if (message.data[0] == KEEPER_SYNCED) {
        store->syncs_done++;
        condition_broadcast(&store->synced);
    } else if (number < CACHES && message.data[0] == KEEPER_ENTRIES) {
        take_entries(&store->caches[number], rest);
    } else if (number < CACHES && message.data[0] == KEEPER_WANTS_ALL) {
        cache_change_all(store->caches[number].entries);
    } else if (number < CACHES && message.data[0] == KEEPER_LOADED) {
        store->caches[number].loaded = true;
        condition_broadcast(&store->loaded);
    }
}

/* lose_keeper - everything goes on, in memory. */
static void lose_keeper(struct anvil_store *store)
{
    if (!store->is_closing)
        log_warning("the process that keeps the files of the store has ended: going on in memory only");
    run_unwatch(store->watch);
    store->watch = NULL;
    close(store->keeper);
    store->keeper = -1;
    store->replace_at = clock_after(REPLACEMENT_TIME);
    for (size_t i = 0; i < CACHES; i++)
        store->caches[i].loaded = true;
    condition_broadcast(&store->loaded);
    condition_broadcast(&store->synced);
    condition_broadcast(&store->room);
    condition_broadcast(&store->ended);
}

/* on_keeper - one message a turn, so that a large file does not keep others waiting. */
static void on_keeper(void *arg, int events)
{
    static char message[KEEPER_MESSAGE_MAX];
    struct anvil_store *store = arg;

    if (events & WAIT_WRITE) {
        run_watch_change(store->watch, WAIT_READ);
        condition_broadcast(&store->room);
    }
    ssize_t got = recv(store->keeper, message, sizeof(message), MSG_DONTWAIT);
    if (got > 0)
        take_message(store, slice_make(message, (size_t)got));
    else if (got == 0 || (errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR))
        lose_keeper(store);
}

/* ---- what the keeper is told ---------------------------------------------------------------------------------------- */

/* send_message - false: not until the deadline, or there is no keeper.  Waits. */
static bool send_message(struct anvil_store *store, enum keeper_kind kind, size_t number, struct slice data, int64_t deadline)
{
    uint8_t head[2] = {(uint8_t)kind, (uint8_t)number};
    struct iovec parts[] = {{head, sizeof(head)}, {(void *)(uintptr_t)data.data, data.len}};
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = COUNT_OF(parts)};

    while (store->keeper >= 0 && sendmsg(store->keeper, &message, MSG_DONTWAIT | MSG_NOSIGNAL) < 0) {
        if (errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR)
            return false;
        run_watch_change(store->watch, WAIT_READ | WAIT_WRITE);
        if (condition_wait(&store->room, deadline) != WAIT_READY)
            return false;
    }
    return store->keeper >= 0;
}

/* send_changes - of one cache. *any: there were some.  Waits. */
static bool send_changes(struct anvil_store *store, size_t number, int64_t deadline, bool *any)
{
    struct buffer changes = BUFFER_INIT;
    bool ok = true, more = *store->caches[number].where && !store->caches[number].is_remote;

    while (ok && more) {
        buffer_clear(&changes);
        more = cache_take_changes(store->caches[number].entries, KEEPER_BATCH, &changes);
        if (changes.len == 0)
            break;
        *any = true;
        ok = send_message(store, KEEPER_CHANGES, number, buffer_slice(&changes), deadline);
    }
    buffer_release(&changes);
    return ok;
}

bool anvil_store_flush(struct anvil_store *store, int64_t deadline)
{
    bool ok = true, any = false;

    if (store->keeper < 0)
        return true;
    while (store->is_flushing)
        if (condition_wait(&store->synced, deadline) != WAIT_READY)
            return false;
    store->is_flushing = true;
    for (size_t i = 0; i < CACHES && ok; i++)
        ok = send_changes(store, i, deadline, &any);
    if (ok && any && (ok = send_message(store, KEEPER_SYNC, 0, slice_of(NULL), deadline))) {
        uint64_t mine = ++store->syncs_asked;
        while (ok && store->keeper >= 0 && store->syncs_done < mine)
            ok = condition_wait(&store->synced, deadline) == WAIT_READY;
    }
    store->is_flushing = false;
    condition_broadcast(&store->synced);
    return ok;
}

bool anvil_store_close(struct anvil_store *store, int64_t deadline)
{
    bool ok = anvil_store_flush(store, deadline);

    store->is_closing = true;
    if (store->keeper >= 0)
        shutdown(store->keeper, SHUT_WR);
    while (store->keeper >= 0 && condition_wait(&store->ended, deadline) == WAIT_READY)
        ;
    remote_close(store->remote, deadline);
    return ok;
}

/* list_offenders - when the list has changed, or one of them has ended.  Waits. */
static void list_offenders(struct anvil_store *store)
{
    struct buffer text = BUFFER_INIT_MAX(OFFENDERS_MAX);
    int64_t now = clock_wall();
    bool ok = true;

    if (!store->lists_offenders || !store->caches[OFFENDERS].loaded || now < store->next_list)
        return;
    store->next_list = offenders_text(store->caches[OFFENDERS].entries, now, &text);
    for (struct slice rest = buffer_slice(&text); ok && rest.len > 0; rest = slice_from(rest, KEEPER_BATCH))
        ok = send_message(store, KEEPER_TEXT, 0, slice_first(rest, KEEPER_BATCH), CLOCK_NEVER);
    if (ok)
        send_message(store, KEEPER_TEXT_END, 0, slice_of(NULL), CLOCK_NEVER);
    buffer_release(&text);
}

static void flush_often(void *arg)
{
    struct anvil_store *store = arg;

    while (!store->is_closing) {
        list_offenders(store);
        fiber_sleep(FLUSH_INTERVAL);
        (void)anvil_store_flush(store, CLOCK_NEVER);
    }
    store->fibers[0] = NULL;
}

/* ---- clean-up ------------------------------------------------------------------------------------------------------- */

static void clean(struct anvil_cache *cache)
{
    size_t kept = 0, dropped = 0;

    while (cache_clean(cache->entries, clock_wall(), CLEAN_STEPS, &kept, &dropped))
        fiber_yield();
    if (*cache->where && !cache->is_remote)
        log_info("cache %s full cleanup: retained=%zu dropped=%zu entries", cache->where, kept, dropped);
}

static void ask_for_replacement(struct anvil_store *store)
{
    if (store->replace_at == 0 && !remote_is_alive(store->remote))
        store->replace_at = clock_after(REPLACEMENT_TIME);
    if (store->replace_at == 0 || clock_monotonic() < store->replace_at || store->is_closing)
        return;
    service_request_replacement("the processes of the store have ended -- restarting");
    store->replace_at = INT64_MAX;
}

static void clean_often(void *arg)
{
    struct anvil_store *store = arg;

    while (!store->is_closing) {
        fiber_sleep(MICROSECONDS);
        ask_for_replacement(store);
        for (size_t i = 0; i < CACHES; i++) {
            struct anvil_cache *cache = &store->caches[i];
            if (cache->cleanup_interval == 0 || clock_monotonic() < cache->next_cleanup)
                continue;
            clean(cache);
            cache->next_cleanup = clock_after(cache->cleanup_interval);
        }
    }
    store->fibers[1] = NULL;
}

void anvil_store_start(struct anvil_store *store)
{
    if (store->keeper >= 0) {
        store->watch = run_watch(store->keeper, WAIT_READ, on_keeper, store);
        store->fibers[0] = fiber_start("store flush", flush_often, store);
    }
    remote_start(store->remote);
    store->fibers[1] = fiber_start("store cleanup", clean_often, store);
}

/* ---- requests ------------------------------------------------------------------------------------------------------- */

static struct anvil_cache *find_cache(struct anvil_store *store, struct slice name)
{
    for (size_t i = 0; i < COUNTERS; i++)
        if (slice_equal(name, slice_of(rows[i].name)))
            return &store->caches[i];
    return NULL;
}

/* is_text - a record of a file ends at a NUL. */
static bool is_text(struct slice text, size_t max)
{
    return text.len <= max && slice_find(text, '\0') == text.len;
}

static bool is_sound(const struct store_request *request)
{
    return request->key.len > 0 && is_text(request->key, STORE_KEY_MAX) && is_text(request->value, STORE_VALUE_MAX);
}

static int64_t end_of(int64_t lifetime)
{
    return clock_wall() + (lifetime > LIFETIME_MAX ? LIFETIME_MAX : lifetime);
}

static void get(struct anvil_cache *cache, const struct store_request *request, struct arena *arena, struct store_reply *reply)
{
    struct slice value;

    reply->outcome = STORE_OUTCOME_MISSING;
    if (!cache_get(cache->entries, request->key, clock_wall(), &value, &reply->expires))
        return;
    reply->outcome = STORE_OUTCOME_FOUND;
    reply->value = arena_slice(arena, value);
}

static void put(struct anvil_cache *cache, const struct store_request *request, struct store_reply *reply)
{
    reply->outcome = STORE_OUTCOME_FOUND;
    if (request->lifetime <= 0) {
        (void)cache_delete(cache->entries, request->key);
        return;
    }
    reply->expires = end_of(request->lifetime);
    cache_put(cache->entries, request->key, request->value, reply->expires);
}

/* add - a counter is a number in decimal; looking at one that is not there makes none. */
static void add(struct anvil_cache *cache, const struct store_request *request, struct store_reply *reply)
{
    struct slice value;
    int64_t old = 0;
    char text[24];
    bool is_old = cache_get(cache->entries, request->key, clock_wall(), &value, &reply->expires);

    if ((is_old && !slice_to_i64(value, &old)) || __builtin_add_overflow(old, request->amount, &reply->sum)) {
        *reply = (struct store_reply){.outcome = STORE_OUTCOME_FAILED};
        return;
    }
    reply->outcome = is_old ? STORE_OUTCOME_FOUND : STORE_OUTCOME_MISSING;
    if (request->amount == 0 || (!is_old && request->lifetime <= 0))
        return;
    if (!is_old)
        reply->expires = end_of(request->lifetime);
    snprintf(text, sizeof(text), "%lld", (long long)reply->sum);
    cache_put(cache->entries, request->key, slice_of(text), reply->expires);
}

void anvil_store_request(struct anvil_store *store, const struct store_request *request, struct arena *arena, struct store_reply *reply)
{
    struct anvil_cache *cache = find_cache(store, request->cache);
    int64_t deadline = clock_after(LOAD_PATIENCE);

    *reply = (struct store_reply){.outcome = STORE_OUTCOME_FAILED};
    if (!cache || !is_sound(request) || request->verb < STORE_GET || request->verb > STORE_ADD) {
        log_warning("store: a request that makes no sense: verb %lld, cache \"" SLICE_FORMAT "\"", (long long)request->verb,
                    SLICE_ARGS(slice_first(request->cache, 40)));
        return;
    }
    if (cache->is_remote) {
        remote_request(store->remote, (size_t)(cache - store->caches), request, arena, reply);
        return;
    }
    while (!cache->loaded && condition_wait(&store->loaded, deadline) == WAIT_READY)
        ;
    if (cache == &store->caches[OFFENDERS] && request->verb != STORE_GET)
        store->next_list = 0;
    if (request->verb == STORE_GET)
        get(cache, request, arena, reply);
    else if (request->verb == STORE_PUT)
        put(cache, request, reply);
    else if (request->verb == STORE_DELETE)
        reply->outcome = cache_delete(cache->entries, request->key) ? STORE_OUTCOME_FOUND : STORE_OUTCOME_MISSING;
    else
        add(cache, request, reply);
}

bool anvil_store_shares_counters(const struct anvil_store *store)
{
    return store->caches[COUNTERS].is_remote;
}

bool anvil_store_count(struct anvil_store *store, struct slice ident, const char *rate, int64_t connections, int64_t unit, struct arena *arena,
                       struct anvil_reply *sums)
{
    struct store_request request = {.verb = REMOTE_COUNT, .key = ident, .value = slice_of(rate), .amount = connections, .lifetime = unit};
    struct store_reply reply;

    remote_request(store->remote, COUNTERS, &request, arena, &reply);
    if (reply.outcome != STORE_OUTCOME_FOUND)
        return false;
    *sums = (struct anvil_reply){.rate = reply.sum, .connections = reply.expires};
    return true;
}
