/* counters.c - counting per client */
#include "counters.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/map.h"

enum { RATE_COUNT = 5, CLIENTS_MAX = 1000000 /* a flood of addresses must not take all memory: then only who is known is counted */ };

/* The rates, in the order of ANVIL_ verbs that raise them. */
static const struct rate_row {
    int verb;
    const char *name;
} rates[RATE_COUNT] = {
    {ANVIL_CONNECT, "connection"}, {ANVIL_MESSAGE, "message"}, {ANVIL_RECIPIENT, "recipient"}, {ANVIL_TLS, "newtls"}, {ANVIL_AUTH, "auth"},
};

struct client {
    int64_t connections;
    int64_t count[RATE_COUNT];
    int64_t since[RATE_COUNT]; /* monotonic: when that count began */
};

/* The greatest value since the last log. */
struct peak {
    int64_t value, when;
    char *ident;
};

struct counters {
    struct map *clients;
    int64_t unit;
    struct peak rate_peaks[RATE_COUNT], connection_peak;
    int64_t size_peak, size_when;
};

struct counter_owner {
    struct counters *counters;
    struct map *connections; /* ident -> number, as (void *)(intptr_t) */
};

struct counters *counters_new(int64_t unit)
{
    struct counters *counters = memory_zalloc(1, sizeof(*counters));

    counters->clients = map_new(free);
    counters->unit = unit;
    return counters;
}

static void peak_reset(struct peak *peak)
{
    free(peak->ident);
    *peak = (struct peak){0};
}

void counters_free(struct counters *counters)
{
    if (!counters)
        return;
    map_free(counters->clients);
    for (int i = 0; i < RATE_COUNT; i++)
        peak_reset(&counters->rate_peaks[i]);
    peak_reset(&counters->connection_peak);
    free(counters);
}

size_t counters_size(const struct counters *counters)
{
    return map_count(counters->clients);
}

struct counter_owner *counter_owner_new(struct counters *counters)
{
    struct counter_owner *owner = memory_zalloc(1, sizeof(*owner));

    owner->counters = counters;
    owner->connections = map_new(NULL);
    return owner;
}

void counter_owner_free(struct counter_owner *owner)
{
    size_t position = 0;
    struct slice ident;
    void *number;

    if (!owner)
        return;
    while (map_next(owner->connections, &position, &ident, &number)) {
        struct client *client = map_get(owner->counters->clients, ident);
        if (client)
            client->connections -= (intptr_t)number;
    }
    map_free(owner->connections);
    free(owner);
}

/* ---- events ---- */

static void note_peak(struct peak *peak, int64_t value, struct slice ident, int64_t wall)
{
    if (value <= peak->value)
        return;
    free(peak->ident);
    *peak = (struct peak){value, wall, slice_string(ident)};
}

static struct client *find_client(struct counters *counters, struct slice ident, int64_t wall)
{
    struct client *client = map_get(counters->clients, ident);

    if (client || map_count(counters->clients) >= CLIENTS_MAX)
        return client;
    client = memory_zalloc(1, sizeof(*client));
    map_set(counters->clients, ident, client);
    if ((int64_t)map_count(counters->clients) > counters->size_peak) {
        counters->size_peak = (int64_t)map_count(counters->clients);
        counters->size_when = wall;
    }
    return client;
}

static int64_t count_rate(struct counters *counters, struct client *client, int rate, struct slice ident, int64_t now, int64_t wall)
{
    if (client->since[rate] == 0 || now - client->since[rate] >= counters->unit) {
        client->since[rate] = now;
        client->count[rate] = 0;
    }
    client->count[rate]++;
    note_peak(&counters->rate_peaks[rate], client->count[rate], ident, wall);
    return client->count[rate];
}

static void change_connections(struct counter_owner *owner, struct client *client, struct slice ident, int change)
{
    intptr_t mine = (intptr_t)map_get(owner->connections, ident) + change;

    if (mine < 0)
        return;
    client->connections += change;
    if (mine)
        map_set(owner->connections, ident, (void *)mine);
    else
        map_remove(owner->connections, ident);
}

static int rate_of(int verb)
{
    for (int i = 0; i < RATE_COUNT; i++)
        if (rates[i].verb == verb)
            return i;
    return -1;
}

void counters_event(struct counter_owner *owner, int verb, struct slice ident, int64_t now, int64_t wall, struct anvil_reply *reply)
{
    struct counters *counters = owner->counters;
    struct client *client = verb == ANVIL_LOOKUP || verb == ANVIL_DISCONNECT ? map_get(counters->clients, ident) : find_client(counters, ident, wall);
    int rate = rate_of(verb);

    *reply = (struct anvil_reply){0};
    if (!client)
        return;
    if (verb == ANVIL_CONNECT)
        change_connections(owner, client, ident, 1);
    else if (verb == ANVIL_DISCONNECT)
        change_connections(owner, client, ident, -1);
    if (verb == ANVIL_CONNECT)
        note_peak(&counters->connection_peak, client->connections, ident, wall);
    if (rate >= 0)
        reply->rate = count_rate(counters, client, rate, ident, now, wall);
    reply->connections = client->connections;
}

const char *counters_rate_name(int verb)
{
    int rate = rate_of(verb);

    return rate < 0 ? "" : rates[rate].name;
}

int64_t counters_unit(const struct counters *counters)
{
    return counters->unit;
}

bool counters_next_connected(const struct counters *counters, size_t *position, struct slice *ident, int64_t *connections)
{
    void *value;

    while (map_next(counters->clients, position, ident, &value)) {
        *connections = ((const struct client *)value)->connections;
        if (*connections > 0)
            return true;
    }
    return false;
}

void counters_expire(struct counters *counters, int64_t now)
{
    size_t position = 0;
    struct slice ident;
    void *value;

    while (map_next(counters->clients, &position, &ident, &value)) {
        const struct client *client = value;
        bool idle = client->connections == 0;
        for (int i = 0; i < RATE_COUNT; i++)
            idle &= client->since[i] == 0 || now - client->since[i] >= counters->unit;
        if (idle)
            map_remove(counters->clients, ident);
    }
}

/* ---- statistics ---- */

static void log_peak(struct peak *peak, const char *format_name, int64_t unit)
{
    struct buffer when = BUFFER_INIT;

    if (peak->value == 0)
        return;
    clock_syslog(&when, peak->when);
    if (unit)
        log_info("statistics: max %s rate %lld/%llds for (%s) at %s", format_name, (long long)peak->value, (long long)(unit / MICROSECONDS),
                 peak->ident, buffer_string(&when));
    else
        log_info("statistics: max %s count %lld for (%s) at %s", format_name, (long long)peak->value, peak->ident, buffer_string(&when));
    buffer_release(&when);
    peak_reset(peak);
}

void counters_log(struct counters *counters)
{
    struct buffer when = BUFFER_INIT;

    for (int i = 0; i < RATE_COUNT; i++) {
        log_peak(&counters->rate_peaks[i], rates[i].name, counters->unit);
        if (i == 0)
            log_peak(&counters->connection_peak, "connection", 0);
    }
    if (counters->size_peak) {
        clock_syslog(&when, counters->size_when);
        log_info("statistics: max cache size %lld at %s", (long long)counters->size_peak, buffer_string(&when));
        buffer_release(&when);
    }
    counters->size_peak = 0;
}
