/* gate_config.c - from the configuration to a gate, and to the server behind it */
#include "gate_private.h"

#include <malloc.h>

#include "base/log.h"
#include "conf/master_cf.h"
#include "conf/snapshot.h"
#include "service/files.h"
#include "service/statistics.h"
#include "smtp/ehlo_keywords.h"
#include "template.h"
#include "tls/tickets.h"

#define CONFIG_STRUCT struct gate_params
static const struct config_binding bindings[] = {CONFIG_BINDINGS(GATE_PARAMETERS)};

bool gate_is_named(const char *program)
{
    const char *slash = strrchr(program, '/');

    return strcmp(slash ? slash + 1 : program, "postscreen") == 0;
}

/* ---- the tests ---- */

/* action_of - anything else than "ignore", "enforce", "drop" is fatal. */
static enum gate_action action_of(const char *value, const char *parameter)
{
    if (strcasecmp(value, "ignore") == 0 || strcasecmp(value, "continue") == 0)
        return GATE_IGNORE;
    if (strcasecmp(value, "enforce") == 0)
        return GATE_ENFORCE;
    if (strcasecmp(value, "drop") != 0)
        log_fatal("bad %s value: %s", parameter, value);
    return GATE_DROP;
}

static void set_test(struct gate *gate, enum gate_test test, bool enabled, const char *action, int64_t ttl, const char *parameter)
{
    gate->enabled |= (unsigned)enabled << test;
    gate->actions[test] = action_of(action, parameter);
    gate->ttl[test] = ttl;
}

static void set_tests(struct gate *gate)
{
    const struct gate_params *p = &gate->params;

    gate->lists = gate_lists_new(slice_of(p->postscreen_dnsbl_sites));
    gate->deny_action = action_of(p->postscreen_denylist_action, "postscreen_denylist_action");
    set_test(gate, GATE_GREET, p->postscreen_greet_banner[0] != '\0', p->postscreen_greet_action, p->postscreen_greet_ttl,
             "postscreen_greet_action");
    set_test(gate, GATE_DNSBL, gate->lists != NULL, p->postscreen_dnsbl_action, p->postscreen_dnsbl_max_ttl, "postscreen_dnsbl_action");
    set_test(gate, GATE_PIPELINING, p->postscreen_pipelining_enable, p->postscreen_pipelining_action, p->postscreen_pipelining_ttl,
             "postscreen_pipelining_action");
    set_test(gate, GATE_NON_SMTP, p->postscreen_non_smtp_command_enable, p->postscreen_non_smtp_command_action,
             p->postscreen_non_smtp_command_ttl, "postscreen_non_smtp_command_action");
    set_test(gate, GATE_BARE_NEWLINE, p->postscreen_bare_newline_enable, p->postscreen_bare_newline_action, p->postscreen_bare_newline_ttl,
             "postscreen_bare_newline_action");
}

/* set_stress - times that depend on $stress, which is our own business: master tells it only services with several processes. */
static void set_stress(struct gate *gate)
{
    struct config *stressed = config_copy_quiet(gate->config);

    config_set(stressed, SLICE("stress"), SLICE("yes"));
    gate->stress_greet_wait = config_time(stressed, "postscreen_greet_wait");
    gate->stress_command_time = config_time(stressed, "postscreen_command_time_limit");
    config_free(stressed);
}

/* take_raw - raw parameters are not expanded where they are read: a default that stands for another parameter is taken from that. */
static void take_raw(struct gate *gate)
{
    if (!config_raw(gate->config, SLICE("postscreen_reject_footer"), NULL))
        gate->params.postscreen_reject_footer = config_string(gate->config, "smtpd_reject_footer");
    if (!config_raw(gate->config, SLICE("postscreen_expansion_filter"), NULL))
        gate->params.postscreen_expansion_filter = config_string(gate->config, "smtpd_expansion_filter");
}

/* ---- tables ---- */

static void open_tables(struct gate *gate)
{
    const struct gate_params *p = &gate->params;
    struct config *config = gate->config;

    gate->access = gate_access_new(p->postscreen_access_list, p->mynetworks, config);
    gate->allow_interfaces = match_list_new("postscreen_allowlist_interfaces", p->postscreen_allowlist_interfaces, MATCH_ADDRESS_LIST, config);
    gate->forbidden_commands = match_list_new("postscreen_forbidden_commands", p->postscreen_forbidden_commands, MATCH_STRING_LIST, config);
    gate->reply_map = table_list_new("postscreen_dnsbl_reply_map", p->postscreen_dnsbl_reply_map, TABLE_FOLD, config);
    gate->command_filter = table_list_new("postscreen_command_filter", p->postscreen_command_filter, 0, config);
    gate->footer_maps = table_list_new("postscreen_reject_footer_maps", p->postscreen_reject_footer_maps, 0, config);
    gate->ehlo_keyword_maps = table_list_new("postscreen_discard_ehlo_keyword_address_maps", p->postscreen_discard_ehlo_keyword_address_maps,
                                             TABLE_FOLD, config);
    gate->ehlo_discarded = smtp_ehlo_keywords(slice_of(p->postscreen_discard_ehlo_keywords), "postscreen_discard_ehlo_keywords");
    template_filter(p->postscreen_expansion_filter, gate->filter_allowed);
}

/* ---- TLS ---- */

static const char *const tls_names[] = {
    "CAfile", "CApath", "always_issue_session_ids", "ask_ccert", "ccert_verifydepth", "cert_file", "chain_files", "ciphers", "dcert_file",
    "dh1024_param_file", "dkey_file", "eccert_file", "eckey_file", "eecdh_grade", "exclude_ciphers", "fingerprint_digest", "key_file", "loglevel",
    "mandatory_ciphers", "mandatory_exclude_ciphers", "mandatory_protocols", "protocols", "req_ccert",
};

/* copy_setting - postscreen_tls_X, or tlsproxy_tls_X, goes into the place of smtpd_tls_X, when one is set. */
static bool copy_setting(struct config *config, const char *name)
{
    static const char *const prefixes[] = {"postscreen", "tlsproxy"};
    char from[80], to[80];

    for (size_t i = 0; i < COUNT_OF(prefixes); i++) {
        snprintf(from, sizeof(from), "%s_tls_%s", prefixes[i], name);
        snprintf(to, sizeof(to), "smtpd_tls_%s", name);
        const char *value = config_raw(config, slice_of(from), NULL);
        if (value) {
            config_set(config, slice_of(to), slice_of(value));
            return true;
        }
    }
    return false;
}

/* open_tls - with the server's keys, unless the gate has settings of its own. */
static void open_tls(struct gate *gate)
{
    static const struct tls_file_access access = {service_announce_file, service_open_file};
    struct config *config = gate->config;
    const char *level = config_string(config, "postscreen_tls_security_level");
    bool enforce = config_bool(config, "postscreen_enforce_tls"), own = false;

    gate->tls_required = level[0] ? strcasecmp(level, "encrypt") == 0 : enforce;
    bool offered = level[0] ? strcasecmp(level, "none") != 0 : enforce || config_bool(config, "postscreen_use_tls");
    for (size_t i = 0; i < COUNT_OF(tls_names); i++)
        own |= copy_setting(config, tls_names[i]);
    gate->starttls_timeout = config_time(config, "postscreen_starttls_timeout");
    if (!offered)
        return;
    gate->tls = own ? NULL : gate->server->tls;
    if (!gate->tls) {
        mallopt(M_ARENA_MAX, 2);
        tls_tickets_share(statistics_shared());
        tls_params_load(config, "smtpd", &gate->tls_params);
        gate->tls = tls_server_new(config, &gate->tls_params, gate->tls_required, gate->server->service_name, &access);
    }
}

/* ---- the server behind it ---- */

static const struct master_service *find_pass_line(const struct master_cf *lines, const char *name)
{
    for (size_t i = 0; i < lines->count; i++)
        if (lines->services[i].type == SERVICE_PASS && strcmp(lines->services[i].name, name) == 0)
            return &lines->services[i];
    return NULL;
}

/* apply_line - the -o settings of the pass line, and its greatest number of clients. */
static void apply_line(struct config *config, const char *name, int64_t *clients)
{
    struct arena *arena = arena_new(0);
    struct master_cf lines = {0};
    const struct master_service *line = NULL;
    struct slice setting, value;
    size_t at = 0;

    if (master_cf_load(config_directory(config), config, arena, config_ignore_problem, NULL, &lines))
        line = find_pass_line(&lines, name);
    if (!line)
        log_warning("master.cf has no service \"%s\" of type pass: clients that pass are served by main.cf alone", name);
    *clients = line && line->process_limit >= 0 ? line->process_limit : config_int(config, "default_client_limit");
    while (line && master_cf_next_setting(line, &at, &setting, &value))
        config_set(config, setting, value);
    arena_free(arena);
}

/* server_config - what a worker of the pass line would have: main.cf as it was accepted, without the gate's own -o settings. */
static struct config *server_config(const struct config *own, const char *name, int64_t *clients)
{
    int snapshot = config_snapshot_create(own);
    struct config *config = snapshot < 0 ? NULL : config_load_snapshot(config_directory(own), snapshot, NULL, NULL);

    if (snapshot >= 0)
        close(snapshot);
    if (!config)
        log_fatal("cannot read the configuration of service %s", name);
    apply_line(config, name, clients);
    config_set(config, SLICE("process_name"), SLICE("smtpd"));
    config_set(config, SLICE("service_name"), slice_of(name));
    return config;
}

struct gate *gate_new(struct config *config, struct server *server)
{
    struct gate *gate = memory_zalloc(1, sizeof(*gate));

    gate->config = config;
    gate->server = server;
    config_fill(config, bindings, COUNT_OF(bindings), &gate->params);
    take_raw(gate);
    set_tests(gate);
    set_stress(gate);
    open_tables(gate);
    open_tls(gate);
    gate->counts = map_new(NULL);
    condition_init(&gate->place);
    gate_wait_open(gate);
    return gate;
}

struct gate *gate_open(struct service_context *context)
{
    const char *name = config_string(context->config, "smtpd_service_name");
    struct service_context behind = *context;
    struct buffer tag = BUFFER_INIT;
    int64_t clients;

    behind.config = server_config(context->config, name, &clients);
    behind.service_name = behind.transport = name;
    behind.service_type = "pass";
    buffer_printf(&tag, "%s/smtpd", config_string(behind.config, "syslog_name"));
    log_rename(buffer_string(&tag));
    buffer_release(&tag);
    struct gate *gate = gate_new(context->config, server_new(&behind));
    gate->server->behind_gate = true;
    gate->passed_max = clients;
    return gate;
}

struct server *gate_server(const struct gate *gate)
{
    return gate->server;
}
