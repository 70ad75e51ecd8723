/* dns_hosts.c - /etc/hosts, read once before the sandbox closes */
#include "dns/dns_hosts.h"

struct hosts_entry {
    struct net_address address;
    struct slice name;
    bool first; /* the canonical name of its line */
};

static struct {
    struct arena *arena;
    struct hosts_entry *entries;
    size_t count, capacity;
} hosts;

static void add_entry(const struct net_address *address, struct slice name, bool first)
{
    if (hosts.count == hosts.capacity) {
        hosts.capacity = hosts.capacity ? hosts.capacity * 2 : 16;
        hosts.entries = memory_resize(hosts.entries, hosts.capacity * sizeof(*hosts.entries));
    }
    hosts.entries[hosts.count++] = (struct hosts_entry){*address, arena_lower(hosts.arena, name), first};
}

static void parse_line(struct slice line)
{
    struct net_address address;
    struct slice token;
    bool first = true;

    line = slice_first(line, slice_find(line, '#'));
    if (!slice_next_token(&line, " \t\r", &token) || !net_address_parse(&address, token, 0))
        return;
    while (slice_next_token(&line, " \t\r", &token)) {
        add_entry(&address, token, first);
        first = false;
    }
}

void dns_hosts_load(const char *path)
{
    char chunk[4096];
    struct buffer text = BUFFER_INIT_MAX(1 << 20);
    FILE *file = fopen(path, "re");
    size_t got;

    dns_hosts_unload();
    hosts.arena = arena_new(0);
    if (file == NULL)
        return;
    while ((got = fread(chunk, 1, sizeof(chunk), file)) > 0 && buffer_append(&text, chunk, got))
        ;
    fclose(file);
    struct slice rest = buffer_slice(&text), line;
    while (slice_next_line(&rest, &line))
        parse_line(line);
    buffer_release(&text);
}

void dns_hosts_unload(void)
{
    free(hosts.entries);
    arena_free(hosts.arena);
    memset(&hosts, 0, sizeof(hosts));
}

struct dns_answer dns_hosts_lookup(struct slice name, struct arena *arena)
{
    struct dns_answer answer = {.status = DNS_NO_DOMAIN};

    answer.records = arena_alloc(arena, (hosts.count + 1) * sizeof(*answer.records));
    for (size_t i = 0; i < hosts.count; i++) {
        const struct hosts_entry *entry = &hosts.entries[i];
        if (!slice_equal_case(entry->name, name))
            continue;
        struct dns_record *record = &answer.records[answer.count++];
        record->type = entry->address.u.any.sa_family == AF_INET ? DNS_A : DNS_AAAA;
        record->owner = entry->name;
        record->address = entry->address;
        answer.status = DNS_FOUND;
    }
    return answer;
}

bool dns_hosts_name(const struct net_address *address, struct arena *arena, struct slice *name)
{
    for (size_t i = 0; i < hosts.count; i++) {
        if (hosts.entries[i].first && net_address_equal_host(&hosts.entries[i].address, address)) {
            *name = arena_slice(arena, hosts.entries[i].name);
            return true;
        }
    }
    return false;
}
