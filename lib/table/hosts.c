/* hosts.c - several servers with the same data: which one to ask, and when to try a dead one again */
#include <sys/random.h>

#include "table/client.h"

void hosts_open(struct hosts *hosts, struct client_settings *settings, const char *standard, void (*close)(void *connection))
{
    struct slice rest = slice_of(client_string(settings, "hosts", standard)), name;
    hosts->retry = client_time(settings, "retry_interval", 60);
    hosts->idle = client_time(settings, "idle_interval", 60);
    hosts->close = close;
    if (slice_trim(rest).len == 0)
        rest = slice_of(standard);
    while (config_list_next(&rest, &name)) {
        hosts->list = memory_resize(hosts->list, (hosts->count + 1) * sizeof(*hosts->list));
        struct host *host = &hosts->list[hosts->count++];
        *host = (struct host){.local = slice_starts(name, SLICE("unix:"))};
        if (host->local || slice_starts(name, SLICE("inet:")))
            name = slice_from(name, strlen("unix:"));
        host->name = slice_string(name);
    }
}

void hosts_release(struct hosts *hosts)
{
    for (size_t i = 0; i < hosts->count; i++) {
        hosts_disconnect(hosts, &hosts->list[i]);
        free(hosts->list[i].name);
    }
    free(hosts->list);
    hosts->list = NULL;
    hosts->count = 0;
}

void hosts_disconnect(struct hosts *hosts, struct host *host)
{
    if (host->connection)
        hosts->close(host->connection);
    host->connection = NULL;
}

void hosts_down(struct hosts *hosts, struct host *host)
{
    hosts_disconnect(hosts, host);
    host->down_until = clock_after(hosts->retry);
}

/* rank - what is asked first; higher is better, 0: not now. */
static int rank(const struct host *host, int64_t now)
{
    if (host->connection)
        return host->local ? 4 : 2;
    return host->down_until > now ? 0 : host->local ? 3 : 1;
}

struct host *hosts_next(struct hosts *hosts)
{
    int64_t now = clock_monotonic();
    struct host *best = NULL;
    int best_rank = 0;
    uint32_t among = 0;
    for (size_t i = 0; i < hosts->count; i++) {
        struct host *host = &hosts->list[i];
        if (host->connection && now - host->used > hosts->idle)
            hosts_disconnect(hosts, host);
        int this_rank = rank(host, now);
        uint32_t chance = 0;
        if (this_rank == 0 || this_rank < best_rank)
            continue;
        among = this_rank > best_rank ? 1 : among + 1;
        if (among > 1 && getrandom(&chance, sizeof(chance), GRND_NONBLOCK) < 0)
            chance = (uint32_t)now;
        if (among == 1 || chance % among == 0)
            best = host;
        best_rank = this_rank;
    }
    if (best)
        best->used = now;
    return best;
}
