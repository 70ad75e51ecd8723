/* shared_counters.c - see shared_counters.h */
#include "shared_counters.h"

void shared_counters_event(struct anvil_store *store, const struct counters *counters, int verb, struct slice ident, struct arena *arena,
                           struct anvil_reply *reply)
{
    struct anvil_reply sums;

    if (!anvil_store_shares_counters(store) || ident.len == 0)
        return;
    if (!anvil_store_count(store, ident, counters_rate_name(verb), reply->connections, counters_unit(counters), arena, &sums))
        return;
    if (sums.rate > reply->rate)
        reply->rate = sums.rate;
    if (sums.connections > reply->connections)
        reply->connections = sums.connections;
}

struct connected {
    struct slice ident;
    int64_t connections;
};

void shared_counters_refresh(struct anvil_store *store, const struct counters *counters)
{
    struct arena *arena = arena_new(4096), *scratch = arena_new(1024);
    struct connected *clients = arena_alloc(arena, (counters_size(counters) + 1) * sizeof(*clients));
    struct anvil_reply sums;
    size_t position = 0, count = 0;

    if (anvil_store_shares_counters(store))
        while (counters_next_connected(counters, &position, &clients[count].ident, &clients[count].connections)) {
            clients[count].ident = arena_slice(arena, clients[count].ident);
            count++;
        }
    for (size_t i = 0; i < count; i++) {
        if (!anvil_store_count(store, clients[i].ident, "", clients[i].connections, counters_unit(counters), scratch, &sums))
            break;
        arena_reset(scratch);
    }
    arena_free(scratch);
    arena_free(arena);
}
