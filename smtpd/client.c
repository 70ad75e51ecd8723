/* client.c - names of clients: the PTR record, checked by the addresses of the name it gives */
#include "client.h"

#include "address/mail_address.h"
#include "base/log.h"
#include "dns/dns.h"

enum {
    NAMES_MAX = 4096,           /* of the cache */
    NAMES_LIFE = 30 * 1000000   /* microseconds; the resolver keeps to the records' own times */
};

/* What is known of an address. */
struct client_name {
    int64_t expires;
    enum name_state name_state, reverse_state;
    char *name, *reverse_name;
};

static void client_name_free(void *value)
{
    struct client_name *entry = value;

    free(entry->name);
    free(entry->reverse_name);
    free(entry);
}

void client_names_release(struct server *server)
{
    map_free(server->client_names);
    server->client_names = NULL;
}

/* ---- texts ---- */

void client_set_text(struct client *client, const struct server *server, struct arena *arena)
{
    const char *port = server->params.smtpd_client_port_logging ? client->port : "";

    client->text = arena_printf(arena, "%s[%s]%s%s", client->name, client->address, port[0] ? ":" : "", port);
}

static const char *address_text(const struct net_address *address, struct arena *arena)
{
    struct buffer text = BUFFER_INIT;

    net_address_text(address, &text);
    char *copy = arena_strdup(arena, buffer_string(&text));
    buffer_release(&text);
    return copy;
}

void client_init(struct client *client, struct server *server, const struct net_address *peer, const struct net_address *local,
                 struct arena *arena)
{
    *client = (struct client){.peer = *peer, .local = *local, .has_address = true, .name = "unknown", .reverse_name = "unknown",
                              .name_state = NAME_NONE, .reverse_state = NAME_NONE};
    client->address = address_text(peer, arena);
    client->literal = strchr(client->address, ':') ? arena_printf(arena, "IPv6:%s", client->address) : client->address;
    client->port = arena_printf(arena, "%u", net_address_port(peer));
    client->server_address = address_text(local, arena);
    client->server_port = arena_printf(arena, "%u", net_address_port(local));
    client_set_text(client, server, arena);
}

void client_init_local(struct client *client, struct server *server, struct arena *arena)
{
    struct net_address loopback;

    if (!net_address_parse(&loopback, SLICE("127.0.0.1"), 0))
        log_panic("client_init_local: 127.0.0.1 is no address");
    client_init(client, server, &loopback, &loopback, arena);
    client->name = client->reverse_name = "localhost";
    client->name_state = client->reverse_state = NAME_KNOWN;
    client_set_text(client, server, arena);
}

/* ---- looking up ---- */

bool client_is_in(const struct client *client, struct match_list *list)
{
    return !match_list_is_empty(list) && match_host(list, slice_of(client->name), client_peer(client)) == MATCH_YES;
}

const char *client_lookup_failure(enum dns_status status)
{
    switch (status) {
    case DNS_NO_DOMAIN:
        return "Name or service not known";
    case DNS_NO_DATA:
        return "No address associated with hostname";
    default:
        return "Temporary failure in name resolution";
    }
}

/* is_usable - a host name that may stand in a log line and a Received header. */
static bool is_usable(struct slice name)
{
    return name.len <= 255 && domain_is_valid(name, NULL) && !domain_is_literal(name);
}

/* check_back - does the name lead to the address again? */
static enum name_state check_back(struct slice name, const struct client *client, struct arena *arena)
{
    int family = client->peer.u.any.sa_family == AF_INET6 ? 2 : 1;
    struct dns_answer answer = dns_addresses(name, family, true, arena);

    for (size_t i = 0; answer.status == DNS_FOUND && i < answer.count; i++)
        if (net_address_equal_host(&answer.records[i].address, &client->peer))
            return NAME_KNOWN;
    if (answer.status == DNS_FOUND)
        log_warning("hostname " SLICE_FORMAT " does not resolve to address %s", SLICE_ARGS(name), client->address);
    else
        log_warning("hostname " SLICE_FORMAT " does not resolve to address %s: %s", SLICE_ARGS(name), client->address,
                    client_lookup_failure(answer.status));
    return answer.status == DNS_TRY_AGAIN ? NAME_TRY_AGAIN : NAME_FORGED;
}

static void find_names(struct client *client, struct arena *arena)
{
    struct dns_answer answer = dns_reverse(&client->peer, arena);

    if (answer.status != DNS_FOUND || answer.count == 0) {
        client->name_state = client->reverse_state = answer.status == DNS_TRY_AGAIN ? NAME_TRY_AGAIN : NAME_NONE;
        return;
    }
    struct slice name = answer.records[0].name;
    if (!is_usable(name)) {
        log_warning("%s: hostname " SLICE_FORMAT " is not a valid name", client->address, SLICE_ARGS(name));
        return;
    }
    client->reverse_name = arena_string(arena, name);
    client->reverse_state = NAME_KNOWN;
    client->name_state = check_back(name, client, arena);
    if (client->name_state == NAME_KNOWN)
        client->name = client->reverse_name;
}

static void remember(struct server *server, const struct client *client)
{
    if (client->name_state == NAME_TRY_AGAIN || client->reverse_state == NAME_TRY_AGAIN)
        return;
    if (server->client_names && map_count(server->client_names) >= NAMES_MAX)
        client_names_release(server); /* a flood of strangers: start over rather than keep an order of use */
    if (!server->client_names)
        server->client_names = map_new(client_name_free);
    struct client_name *entry = memory_zalloc(1, sizeof(*entry));
    *entry = (struct client_name){clock_after(NAMES_LIFE), client->name_state, client->reverse_state, memory_string(client->name),
                                  memory_string(client->reverse_name)};
    map_set(server->client_names, slice_of(client->address), entry);
}

static bool recall(struct server *server, struct client *client, struct arena *arena)
{
    struct client_name *entry = server->client_names ? map_get(server->client_names, slice_of(client->address)) : NULL;

    if (!entry)
        return false;
    if (entry->expires <= clock_monotonic()) {
        map_remove(server->client_names, slice_of(client->address));
        return false;
    }
    client->reverse_name = arena_strdup(arena, entry->reverse_name);
    client->name = strcmp(entry->name, entry->reverse_name) == 0 ? client->reverse_name : arena_strdup(arena, entry->name);
    client->name_state = entry->name_state;
    client->reverse_state = entry->reverse_state;
    return true;
}

void client_look_up(struct client *client, struct server *server, struct arena *arena)
{
    if (!server->params.smtpd_peername_lookup)
        return;
    if (!recall(server, client, arena)) {
        struct arena *work = arena_new(0);
        find_names(client, work);
        client->name = arena_strdup(arena, client->name);
        client->reverse_name = arena_strdup(arena, client->reverse_name);
        arena_free(work);
        remember(server, client);
    }
    client_set_text(client, server, arena);
}
