/* client.h - who is at the other end: address, names, the texts made of them */
#ifndef POSTERN_SMTPD_CLIENT_H
#define POSTERN_SMTPD_CLIENT_H

#include "base/arena.h"
#include "dns/dns.h"
#include "server.h"

/* How a name lookup went. */
enum name_state { NAME_KNOWN, NAME_NONE, NAME_TRY_AGAIN, NAME_FORGED /* there is a name, but it does not lead back to the address */ };

struct client {
    struct net_address peer, local;
    bool has_address;                  /* false: XCLIENT ADDR=[UNAVAILABLE] */
    const char *name, *reverse_name;   /* "unknown" when there is none */
    enum name_state name_state, reverse_state;
    const char *address;               /* "192.0.2.1", "2001:db8::1" */
    const char *literal;               /* as in [...] of Received: "IPv6:2001:db8::1" */
    const char *port;                  /* "" when unknown */
    const char *text;                  /* "name[address]", with ":port" when the log shall show it */
    const char *server_address, *server_port;
};

/* client_init - addresses and their texts; names are "unknown" until client_look_up.  client_init_local - a dialogue on standard input. */
void client_init(struct client *client, struct server *server, const struct net_address *peer, const struct net_address *local,
                 struct arena *arena);
void client_init_local(struct client *client, struct server *server, struct arena *arena);
/* client_look_up - find the names (PTR, and back), from a small cache where possible.  Warns of names that do not lead back.  Waits. */
void client_look_up(struct client *client, struct server *server, struct arena *arena);
/* client_set_text - make the text again after a change (XCLIENT). */
void client_set_text(struct client *client, const struct server *server, struct arena *arena);
/* client_peer - the address, NULL when it is not known. */
static inline const struct net_address *client_peer(const struct client *client) { return client->has_address ? &client->peer : NULL; }
/* client_is_in - the list names the client, by address or name.  What cannot be looked up does not.  Waits (tables). */
bool client_is_in(const struct client *client, struct match_list *list);
/* client_lookup_failure - why a host name gave no address, in the words of the resolver library, which log parsers know. */
const char *client_lookup_failure(enum dns_status status);
/* client_names_release - the cache. */
void client_names_release(struct server *server);

#endif
