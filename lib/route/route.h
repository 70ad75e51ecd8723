/* route.h - rewriting and resolving addresses: (sender, recipient) -> (transport, next hop, recipient)  [Postfix: trivial-rewrite] */
#ifndef POSTERN_ROUTE_ROUTE_H
#define POSTERN_ROUTE_ROUTE_H

#include "base/arena.h"
#include "conf/config.h"
#include "table/address_lookup.h"
#include "table/match.h"

struct route; /* all tables and parameters that routing needs; one per process and configuration */

struct route *route_new(struct config *config) MUST_CHECK; /* opens tables: before the sandbox closes */
void route_free(struct route *route);
/* route_maps - the tables that rewrite recipients, for cleanup: opened once. */
struct route_maps { struct table_list *recipient_canonical, *canonical, *virtual_alias; };
const struct route_maps *route_maps(const struct route *route);
/* route_keys - key-order facts for address_lookup with this configuration. */
const struct address_keys *route_keys(const struct route *route);

/* route_rewrite - to fully qualified form (compat.md e.3): source routes, bang paths, percent hack, @myorigin, .mydomain, trailing dot.
   context: "local", "remote" (remote_header_rewrite_domain), as in envelope.rewrite_context; envelopes always use "local".
   Result in the arena (or address itself when nothing changes), external form. */
struct slice route_rewrite(struct route *route, struct slice context, struct slice address, struct arena *arena);

enum address_class { ADDRESS_CLASS_LOCAL, ADDRESS_CLASS_VIRTUAL_ALIAS, ADDRESS_CLASS_VIRTUAL_MAILBOX, ADDRESS_CLASS_RELAY, ADDRESS_CLASS_DEFAULT };

enum { ROUTE_TRY_AGAIN = 1 /* a table failed: defer 4.3.0 address resolver failure */, ROUTE_ROUTED = 2 /* routing characters in the local part */,
       ROUTE_BAD_SYNTAX = 4 };

struct route_result {
    struct slice transport, next_hop;
    struct slice recipient; /* rewritten, external form */
    enum address_class class;
    int flags; /* ROUTE_ bits */
};

/* route_resolve - compat.md f.1 complete (classes, transport_maps, relayhost, sender-dependent maps, relocated_maps, error transports).
   sender may be empty.  verify: use the address_verify_* parameters.  Waits (tables). */
void route_resolve(struct route *route, struct slice sender, struct slice recipient, bool verify, struct arena *arena,
                   struct route_result *result);
/* route_class - only the address class of a domain. */
enum match_result route_is_local_domain(struct route *route, struct slice domain);

/* How often the result of a canonical map is looked up in it again, as in Postfix. */
#define ROUTE_MAP_NESTING_MAX 10
/* route_map_address - one step of a canonical-like map (canonical, generic): 1 and *result changed, 0 unchanged, -1 temporary failure.
   propagate: append the unmatched extension.  Waits. */
int route_map_address(struct route *route, struct table_list *tables, struct slice address, bool propagate, struct arena *arena,
                      struct slice *result);
/* route_map_result - one address of a map's result made complete: "@domain" keeps the key's local part, the extension (may be empty)
   is added to the user. */
struct slice route_map_result(struct route *route, struct slice key, struct slice value, struct slice extension, struct arena *arena);

/* route_recipient_known - is the recipient listed for its class (compat.md d.7)?  1 yes (or lists off), 0 no: *table is "local recipient
   table" and so on, -1 try again, -2 waiting will not help (table_list_is_misconfigured).  Canonical and virtual alias maps are
   looked at first, as Postfix does.  Waits. */
int route_recipient_known(struct route *route, const struct route_result *resolved, struct slice recipient, const char **table);

#endif
