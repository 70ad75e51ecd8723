/* server.c - what all sessions of one smtpd process share */
#include "server.h"

#include <fcntl.h>
#include <sys/vfs.h>

#include "access.h"
#include "anvil_client.h"
#include "auth.h"
#include "base/log.h"
#include "client.h"
#include "commands.h"
#include "conf/interfaces.h"
#include "filters.h"

enum { SPACE_CHECK_INTERVAL = 1000000 /* microseconds */ };

/* ---- words of configuration ---- */

struct word {
    const char *name;
    int value;
};

static int word_bits(const char *list, const struct word *words, size_t count, const char *parameter)
{
    struct slice rest = slice_of(list), name;
    int bits = 0;

    while (config_list_next(&rest, &name)) {
        int bit = 0;
        for (size_t i = 0; i < count; i++)
            if (slice_equal_case(name, slice_of(words[i].name)))
                bit = words[i].value;
        if (bit == 0)
            log_fatal("unknown %s value \"" SLICE_FORMAT "\" in \"%s\"", parameter, SLICE_ARGS(name), list);
        bits |= bit;
    }
    return bits;
}

static enum bare_newline bare_newline_mode(const char *value)
{
    static const struct word modes[] = {
        {"no", BARE_NEWLINE_ALLOWED}, {"yes", BARE_NEWLINE_NORMALIZED}, {"normalize", BARE_NEWLINE_NORMALIZED},
        {"note", BARE_NEWLINE_NOTED}, {"reject", BARE_NEWLINE_REJECTED},
    };
    for (size_t i = 0; i < COUNT_OF(modes); i++)
        if (strcasecmp(value, modes[i].name) == 0)
            return (enum bare_newline)modes[i].value;
    log_fatal("bad configuration: smtpd_forbid_bare_newline = %s", value);
}

static int reported_trouble(const char *classes)
{
    static const struct word words[] = {
        {"policy", TROUBLE_POLICY}, {"protocol", TROUBLE_PROTOCOL}, {"resource", TROUBLE_RESOURCE}, {"software", TROUBLE_SOFTWARE},
        {"data", TROUBLE_DATA}, {"bounce", TROUBLE_BOUNCE}, {"2bounce", 1 << 20}, {"delay", 1 << 21},
    };
    return word_bits(classes, words, COUNT_OF(words), "notify_classes") & (TROUBLE_BOUNCE * 2 - 1);
}

static int override_options(const char *options)
{
    static const struct word words[] = {
        {"no_unknown_recipient_checks", SUBMIT_NO_UNKNOWN_RECIPIENT_CHECKS}, {"no_address_mappings", SUBMIT_NO_ADDRESS_MAPPING},
        {"no_header_body_checks", SUBMIT_NO_HEADER_BODY_CHECKS}, {"no_milters", SUBMIT_NO_MILTERS},
    };
    return word_bits(options, words, COUNT_OF(words), "receive_override_options");
}

/* ---- opening ---- */

static struct match_list *match(struct server *server, const char *parameter, const char *value, enum match_kind kind)
{
    return match_list_new(parameter, value, kind, server->config);
}

static void open_lists(struct server *server)
{
    const struct smtpd_params *p = &server->params;

    server->mynetworks = match(server, "mynetworks", p->mynetworks, MATCH_ADDRESS_LIST);
    server->event_exceptions = match(server, "smtpd_client_event_limit_exceptions", p->smtpd_client_event_limit_exceptions, MATCH_ADDRESS_LIST);
    server->debug_peers = match(server, "debug_peer_list", p->debug_peer_level > 0 ? p->debug_peer_list : "", MATCH_ADDRESS_LIST);
    server->xclient_hosts = match(server, "smtpd_authorized_xclient_hosts", p->smtpd_authorized_xclient_hosts, MATCH_ADDRESS_LIST);
    server->xforward_hosts = match(server, "smtpd_authorized_xforward_hosts", p->smtpd_authorized_xforward_hosts, MATCH_ADDRESS_LIST);
    server->verp_clients = match(server, "smtpd_authorized_verp_clients", p->smtpd_authorized_verp_clients, MATCH_ADDRESS_LIST);
    server->bare_newline_exclusions = match(server, "smtpd_forbid_bare_newline_exclusions", p->smtpd_forbid_bare_newline_exclusions,
                                            MATCH_ADDRESS_LIST);
    server->auth_failure_exceptions = match(server, "smtpd_auth_failure_exceptions", p->smtpd_auth_failure_exceptions, MATCH_ADDRESS_LIST);
    server->fast_flush_domains = match(server, "fast_flush_domains", p->fast_flush_domains, MATCH_DOMAIN_LIST);
    server->noop_commands = match(server, "smtpd_noop_commands", p->smtpd_noop_commands, MATCH_STRING_LIST);
    server->forbidden_commands = match(server, "smtpd_forbidden_commands", p->smtpd_forbidden_commands, MATCH_STRING_LIST);
    server->permit_logging = match(server, "smtpd_log_access_permit_actions", p->smtpd_log_access_permit_actions, MATCH_STRING_LIST);
    server->mx_backup_networks = match(server, "permit_mx_backup_networks", p->permit_mx_backup_networks, MATCH_ADDRESS_LIST);
}

static void open_tables(struct server *server)
{
    const struct smtpd_params *p = &server->params;

    server->ehlo_keyword_maps = table_list_new("smtpd_discard_ehlo_keyword_address_maps", p->smtpd_discard_ehlo_keyword_address_maps,
                                               TABLE_FOLD, server->config);
    server->command_filter = table_list_new("smtpd_command_filter", p->smtpd_command_filter, 0, server->config);
    server->footer_maps = table_list_new("smtpd_reject_footer_maps", p->smtpd_reject_footer_maps, 0, server->config);
    server->reject_filter = table_list_new("smtpd_reject_filter_maps", p->smtpd_reject_filter_maps, 0, server->config);
    server->user_limit_exceptions = table_list_new("smtpd_user_limit_exception_maps", p->smtpd_user_limit_exception_maps, TABLE_FOLD, server->config);
    server->rbl_reply_maps = table_list_new("rbl_reply_maps", p->rbl_reply_maps, TABLE_FOLD, server->config);
}

static void open_verify(struct server *server)
{
    struct arena *arena = arena_new(0);

    address_verify_params_load(server->config, &server->verify_params);
    struct slice sender = address_verify_base(&server->verify_params);
    if (sender.len)
        sender = route_rewrite(server->route, SLICE("local"), sender, arena);
    server->probe_sender = slice_string(sender);
    server->probing = map_new(NULL);
    arena_free(arena);
}

struct server *server_new(struct service_context *context)
{
    struct server *server = memory_zalloc(1, sizeof(*server));

    server->config = context->config;
    server->service_name = context->service_name;
    smtpd_params_load(context->config, &server->params);
    const struct smtpd_params *p = &server->params;
    server->ehlo_discarded = smtp_ehlo_keywords(slice_of(p->smtpd_discard_ehlo_keywords), "smtpd_discard_ehlo_keywords");
    server->bare_newline = bare_newline_mode(p->smtpd_forbid_bare_newline);
    server->trouble_reported = reported_trouble(p->notify_classes);
    server->submit_options = override_options(p->receive_override_options);
    server->counts_clients = p->smtpd_client_connection_count_limit > 0 || p->smtpd_client_connection_rate_limit > 0 ||
                             p->smtpd_client_message_rate_limit > 0 || p->smtpd_client_auth_rate_limit > 0 || p->smtpd_client_recipient_rate_limit > 0 ||
                             p->smtpd_client_new_tls_session_rate_limit > 0;
    server->own_count = config_own_addresses(context->config, &server->own_addresses, NULL);
    server->proxy_count = config_proxy_addresses(context->config, &server->proxy_addresses);
    server->route = route_new(context->config);
    open_lists(server);
    open_tables(server);
    starttls_open(server);
    server->auth = auth_open(server);
    filters_open(server);
    server->access = access_rules_new(server);
    server->queue_fd = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    char path[128];
    snprintf(path, sizeof(path), "public/%s", p->cleanup_service_name);
    server->cleanup = submit_pool_new(path);
    server->anvil = anvil_client_new("private/anvil");
    server->store = store_new("private/anvil");
    open_verify(server);
    return server;
}

void server_free(struct server *server)
{
    struct match_list *lists[] = {server->mynetworks, server->debug_peers, server->event_exceptions, server->xclient_hosts, server->xforward_hosts,
                                  server->verp_clients, server->bare_newline_exclusions, server->fast_flush_domains, server->noop_commands,
                                  server->forbidden_commands, server->permit_logging, server->mx_backup_networks, server->auth_failure_exceptions};
    struct table_list *tables[] = {server->ehlo_keyword_maps, server->command_filter, server->footer_maps, server->reject_filter,
                                   server->rbl_reply_maps, server->user_limit_exceptions};

    access_rules_free(server->access);
    auth_close(server->auth);
    filters_close(server);
    starttls_close(server);
    for (size_t i = 0; i < COUNT_OF(lists); i++)
        match_list_free(lists[i]);
    for (size_t i = 0; i < COUNT_OF(tables); i++)
        table_list_free(tables[i]);
    client_names_release(server);
    route_free(server->route);
    submit_pool_free(server->cleanup);
    anvil_client_free(server->anvil);
    store_free(server->store);
    map_free(server->probing);
    free(server->probe_sender);
    free(server->own_addresses);
    free(server->proxy_addresses);
    if (server->queue_fd >= 0)
        close(server->queue_fd);
    free(server);
}

/* ---- questions of sessions ---- */

bool server_has_space(struct server *server, int64_t *free_bytes)
{
    const struct smtpd_params *p = &server->params;
    int64_t now = clock_monotonic();
    struct statfs space;

    if (server->queue_fd < 0)
        return true;
    if (server->space_checked == 0 || now - server->space_checked > SPACE_CHECK_INTERVAL) {
        if (fstatfs(server->queue_fd, &space) < 0)
            return true; /* cleanup will find out */
        server->space_checked = now;
        server->space_free = space.f_bavail > (uint64_t)INT64_MAX / (uint64_t)space.f_bsize ? INT64_MAX
                                                                                          : (int64_t)space.f_bavail * (int64_t)space.f_bsize;
    }
    *free_bytes = server->space_free;
    return server->space_free >= p->queue_minfree && server->space_free / 3 * 2 >= p->message_size_limit;
}

bool server_is_own_address(const struct server *server, const struct net_address *address)
{
    for (size_t i = 0; i < server->own_count; i++)
        if (net_address_equal_host(&server->own_addresses[i], address))
            return true;
    return false;
}

enum match_result server_in_mynetworks(struct server *server, struct slice name, const struct net_address *address)
{
    return match_host(server->mynetworks, name, address);
}
