/* server.h - what all sessions of one smtpd process share: parameters, tables, the ways to other processes */
#ifndef POSTERN_SMTPD_SERVER_H
#define POSTERN_SMTPD_SERVER_H

#include "base/map.h"
#include "ipc/submit.h"
#include "params.h"
#include "route/route.h"
#include "service/address_verify.h"
#include "service/service.h"
#include "service/store.h"
#include "smtp/ehlo_keywords.h"
#include "table/match.h"
#include "tls/server.h"

struct access_rules;
struct access_watch;
struct anvil_client;
struct auth;
struct milter_list;

/* smtpd_forbid_bare_newline */
enum bare_newline { BARE_NEWLINE_ALLOWED, BARE_NEWLINE_NORMALIZED, BARE_NEWLINE_NOTED, BARE_NEWLINE_REJECTED };

/* Kinds of trouble that notify_classes may report to the postmaster. */
enum { TROUBLE_POLICY = 1, TROUBLE_PROTOCOL = 2, TROUBLE_RESOURCE = 4, TROUBLE_SOFTWARE = 8, TROUBLE_DATA = 16, TROUBLE_BOUNCE = 32 };

struct server {
    struct smtpd_params params;
    struct config *config;
    const char *service_name;
    bool stand_alone;
    bool behind_gate;               /* postscreen has looked for clients that talk early */
    struct route *route;
    struct submit_pool *cleanup;
    struct access_rules *access;
    const struct access_watch *watch; /* NULL: nobody watches */
    struct anvil_client *anvil;
    struct table_list *user_limit_exceptions;
    struct match_list *auth_failure_exceptions;
    struct shared_store *store;            /* what is remembered across sessions */
    struct address_verify_params verify_params;
    char *probe_sender;             /* of address probes, completed; empty: the null sender */
    struct map *probing;            /* addresses whose probe is just being submitted */
    struct auth *auth;              /* NULL: smtpd_sasl_auth_enable = no */
    struct milter_list *milters;    /* smtpd_milters; NULL: none are asked here */
    struct table_list *milter_maps;
    struct map *client_names;       /* see client_name.c */
    struct net_address *own_addresses, *proxy_addresses;
    size_t own_count, proxy_count;
    struct match_list *mynetworks, *debug_peers, *event_exceptions, *xclient_hosts, *xforward_hosts, *verp_clients, *bare_newline_exclusions,
        *fast_flush_domains, *noop_commands, *forbidden_commands, *permit_logging, *mx_backup_networks;
    struct table_list *ehlo_keyword_maps, *command_filter, *footer_maps, *reject_filter, *rbl_reply_maps;
    struct tls_params tls_params;
    struct tls_server *tls;         /* NULL: TLS is not offered */
    bool tls_offered, tls_required;
    struct table_list *client_certificates; /* relay_clientcerts */
    int ehlo_discarded;             /* EHLO_ bits */
    enum bare_newline bare_newline;
    int trouble_reported;           /* TROUBLE_ bits */
    int submit_options;             /* SUBMIT_ bits of receive_override_options */
    bool counts_clients;            /* some limit by client is on */
    int queue_fd;                   /* the queue directory, to ask for its free space; -1: unknown */
    int64_t space_checked;          /* when (monotonic) */
    int64_t space_free;
    uint64_t sessions;              /* so far: for instance= of policy requests and the like */
};

/* server_new - read the configuration and open the tables: before the sandbox closes.  config must outlive it. */
struct server *server_new(struct service_context *context) MUST_CHECK;
void server_free(struct server *server);
/* server_has_space - does the queue's file system have room for one more message (queue_minfree, 1.5 * message_size_limit)?  Looks at the file
   system once a second at most.  *free_bytes gets what there is. */
bool server_has_space(struct server *server, int64_t *free_bytes);
/* server_is_own_address - is it an address of this machine (inet_interfaces)?  server_in_mynetworks - Waits (tables). */
bool server_is_own_address(const struct server *server, const struct net_address *address);
enum match_result server_in_mynetworks(struct server *server, struct slice name, const struct net_address *address);

#endif
