/* route_private.h - what the files of this room share */
#ifndef POSTERN_ROUTE_PRIVATE_H
#define POSTERN_ROUTE_PRIVATE_H

#include "address/mail_address.h"
#include "net/address.h"
#include "route/route.h"

#define ROUTE_PARAMETERS(X)                                                                                             \
    X(STRING, myorigin) X(STRING, mydomain) X(STRING, myhostname) X(STRING, mydestination) X(STRING, recipient_delimiter)  \
    X(STRING, remote_header_rewrite_domain) X(STRING, virtual_alias_domains) X(STRING, virtual_mailbox_domains)            \
    X(STRING, relay_domains) X(STRING, relocated_maps) X(STRING, recipient_canonical_maps) X(STRING, canonical_maps)       \
    X(STRING, virtual_alias_maps) X(STRING, virtual_mailbox_maps) X(STRING, local_recipient_maps)                          \
    X(STRING, relay_recipient_maps) X(STRING, empty_address_recipient) X(STRING, double_bounce_sender)                     \
    X(STRING, empty_address_default_transport_maps_lookup_key) X(STRING, empty_address_relayhost_maps_lookup_key)          \
    X(STRING, local_transport) X(STRING, virtual_transport) X(STRING, relay_transport) X(STRING, default_transport)        \
    X(STRING, relayhost) X(STRING, transport_maps) X(STRING, sender_dependent_relayhost_maps)                              \
    X(STRING, sender_dependent_default_transport_maps) X(STRING, address_verify_local_transport)                           \
    X(STRING, address_verify_virtual_transport) X(STRING, address_verify_relay_transport)                                  \
    X(STRING, address_verify_default_transport) X(STRING, address_verify_relayhost)                                        \
    X(STRING, address_verify_transport_maps) X(STRING, address_verify_sender_dependent_relayhost_maps)                     \
    X(STRING, address_verify_sender_dependent_default_transport_maps)                                                      \
    X(BOOL, owner_request_special) X(BOOL, append_at_myorigin) X(BOOL, append_dot_mydomain) X(BOOL, allow_percent_hack)    \
    X(BOOL, swap_bangpath) X(BOOL, allow_min_user) X(BOOL, resolve_null_domain) X(BOOL, resolve_numeric_domain)            \
    X(BOOL, resolve_dequoted_address) X(BOOL, relocated_prefix_enable) X(BOOL, show_user_unknown_table_name)               \
    X(BOOL, smtputf8_enable)

struct route_params { CONFIG_MEMBERS(ROUTE_PARAMETERS) };

/* The parameters that verify probes may have of their own. */
struct route_transports {
    const char *local, *virtual, *relay, *fallback; /* *_transport; fallback: default_transport */
    const char *relayhost;
    struct table_list *maps;                   /* transport_maps */
    struct table_list *sender_relayhost;       /* sender_dependent_relayhost_maps */
    struct table_list *sender_transport;       /* sender_dependent_default_transport_maps */
};

struct route {
    struct route_params params;
    bool old_append_dot_mydomain; /* by default of an old compatibility_level: said when it is used */
    struct address_keys keys;
    struct match_list *local_domains, *alias_domains, *mailbox_domains, *relay_domains;
    struct net_address *own_addresses, *proxy_addresses;
    size_t own_count, proxy_count;
    struct route_transports delivery, verify;
    struct table_list *relocated;
    struct route_maps maps;
    struct table_list *virtual_mailbox, *local_recipients, *relay_recipients;
    bool transport_parent_style; /* transport_maps is in parent_domain_matches_subdomains */
    int overlap_warnings;        /* how many were logged; they come with every message otherwise */
};

/* The steps of rewriting that resolving uses as well.  route_unroute - a local part (internal form) with routing characters -> parts of the
   address it means: "user@dom", "dom!user", "user%dom"; false: there are none. */
bool route_unroute(const struct route *route, struct slice local_part, struct arena *arena, struct mail_address *address);
/* route_qualify - complete and clean a domain: dotless ones get .mydomain (local context), one trailing dot goes. */
struct slice route_qualify(const struct route *route, bool local_context, struct slice domain, struct arena *arena);

#endif
