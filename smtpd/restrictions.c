/* restrictions.c - the restrictions by name, and compiling lists of them */
#include "access_private.h"

#include "base/log.h"

static enum access_result check_warning(struct access *a UNUSED, const struct restriction *item UNUSED)
{
    return ACCESS_DUNNO; /* access_run knows it: restriction_is_warning */
}

/* detail: for *_ns_, _mx_, _a_access the record type and whose domain; for rhsbl whose domain; for *_destination what follows. */
#define DNS_OF(type, subject) ((type) * 16 + (subject))
#define NS_MX_A(prefix, needs, subject) \
    {"check_" prefix "_ns_access", ARGUMENT_TABLE, needs, check_dns_access, DNS_OF(DNS_NS, subject)}, \
    {"check_" prefix "_mx_access", ARGUMENT_TABLE, needs, check_dns_access, DNS_OF(DNS_MX, subject)}, \
    {"check_" prefix "_a_access", ARGUMENT_TABLE, needs, check_dns_access, DNS_OF(DNS_A, subject)}

static const struct restriction_row rows[] = {
    /* any list */
    {"permit", ARGUMENT_NONE, 0, check_permit, 0},
    {"reject", ARGUMENT_NONE, 0, check_reject, 0},
    {"defer", ARGUMENT_NONE, 0, check_defer, 0},
    {"defer_if_permit", ARGUMENT_NONE, 0, check_defer_if_permit, 0},
    {"defer_if_reject", ARGUMENT_NONE, 0, check_defer_if_reject, 0},
    {"warn_if_reject", ARGUMENT_NONE, 0, check_warning, 0},
    {"sleep", ARGUMENT_NUMBER, 0, check_sleep, 0},
    {"reject_unauth_pipelining", ARGUMENT_NONE, 0, check_pipelining, 0},
    {"reject_plaintext_session", ARGUMENT_NONE, 0, check_plaintext, 0},
    {"reject_multi_recipient_bounce", ARGUMENT_NONE, NEEDS_SENDER, check_multi_recipient_bounce, 0},
    {"permit_inet_interfaces", ARGUMENT_NONE, 0, check_inet_interfaces, 0},
    {"permit_mynetworks", ARGUMENT_NONE, 0, check_mynetworks, 0},
    {"permit_sasl_authenticated", ARGUMENT_NONE, 0, check_never, 0}, /* not yet: SASL; nobody is */
    {"permit_tls_clientcerts", ARGUMENT_NONE, 0, check_never, 0},    /* not yet: TLS; nobody has */
    {"permit_tls_all_clientcerts", ARGUMENT_NONE, 0, check_never, 0},
    {"check_policy_service", ARGUMENT_WORD, 0, check_not_yet, 0},
    /* clients */
    {"check_client_access", ARGUMENT_TABLE, 0, check_client_access, 0},
    {"check_reverse_client_hostname_access", ARGUMENT_TABLE, 0, check_reverse_client_access, 0},
    {"check_ccert_access", ARGUMENT_TABLE, 0, check_never, 0}, /* not yet: TLS; no certificate, no entry */
    {"reject_unknown_client_hostname", ARGUMENT_NONE, 0, check_unknown_client, 0},
    {"reject_unknown_client", ARGUMENT_NONE, 0, check_unknown_client, 0},
    {"reject_unknown_reverse_client_hostname", ARGUMENT_NONE, 0, check_unknown_reverse_client, 0},
    {"reject_rbl_client", ARGUMENT_DOMAIN, 0, check_rbl_client, 0},
    {"reject_rbl", ARGUMENT_DOMAIN, 0, check_rbl_client, 0},
    {"reject_rhsbl_client", ARGUMENT_DOMAIN, 0, check_rhsbl, SUBJECT_CLIENT},
    {"reject_rhsbl_reverse_client", ARGUMENT_DOMAIN, 0, check_rhsbl, SUBJECT_REVERSE_CLIENT},
    {"permit_dnswl_client", ARGUMENT_DOMAIN, 0, check_dnswl_client, 0},
    {"permit_rhswl_client", ARGUMENT_DOMAIN, 0, check_rhswl_client, 0},
    NS_MX_A("client", 0, SUBJECT_CLIENT),
    NS_MX_A("reverse_client_hostname", 0, SUBJECT_REVERSE_CLIENT),
    /* HELO */
    {"check_helo_access", ARGUMENT_TABLE, NEEDS_HELO, check_helo_access, 0},
    {"reject_invalid_helo_hostname", ARGUMENT_NONE, NEEDS_HELO, check_invalid_helo, 0},
    {"reject_invalid_hostname", ARGUMENT_NONE, NEEDS_HELO, check_invalid_helo, 0},
    {"reject_non_fqdn_helo_hostname", ARGUMENT_NONE, NEEDS_HELO, check_non_fqdn_helo, 0},
    {"reject_non_fqdn_hostname", ARGUMENT_NONE, NEEDS_HELO, check_non_fqdn_helo, 0},
    {"reject_unknown_helo_hostname", ARGUMENT_NONE, NEEDS_HELO, check_unknown_helo, 0},
    {"reject_unknown_hostname", ARGUMENT_NONE, NEEDS_HELO, check_unknown_helo, 0},
    {"reject_rhsbl_helo", ARGUMENT_DOMAIN, NEEDS_HELO, check_rhsbl, SUBJECT_HELO},
    NS_MX_A("helo", NEEDS_HELO, SUBJECT_HELO),
    /* senders */
    {"check_sender_access", ARGUMENT_TABLE, NEEDS_SENDER, check_sender_access, 0},
    {"reject_non_fqdn_sender", ARGUMENT_NONE, NEEDS_SENDER_ADDRESS, check_non_fqdn_sender, 0},
    {"reject_unknown_sender_domain", ARGUMENT_NONE, NEEDS_SENDER_ADDRESS, check_unknown_sender_domain, 0},
    {"reject_unknown_address", ARGUMENT_NONE, NEEDS_SENDER_ADDRESS, check_unknown_sender_domain, 0},
    {"reject_unlisted_sender", ARGUMENT_NONE, NEEDS_SENDER_ADDRESS, check_unlisted_sender, 0},
    {"reject_unverified_sender", ARGUMENT_NONE, NEEDS_SENDER_ADDRESS, check_not_yet, 0},
    {"reject_rhsbl_sender", ARGUMENT_DOMAIN, NEEDS_SENDER_ADDRESS, check_rhsbl, SUBJECT_SENDER},
    {"reject_sender_login_mismatch", ARGUMENT_NONE, NEEDS_SENDER_ADDRESS, check_login_mismatch, 0},
    {"reject_unauthenticated_sender_login_mismatch", ARGUMENT_NONE, NEEDS_SENDER_ADDRESS, check_login_mismatch, 0},
    {"reject_authenticated_sender_login_mismatch", ARGUMENT_NONE, NEEDS_SENDER_ADDRESS, check_never, 0}, /* not yet: SASL */
    {"reject_known_sender_login_mismatch", ARGUMENT_NONE, NEEDS_SENDER_ADDRESS, check_never, 0},         /* not yet: SASL */
    {"check_sasl_access", ARGUMENT_TABLE, 0, check_never, 0},                                            /* not yet: SASL */
    NS_MX_A("sender", NEEDS_SENDER_ADDRESS, SUBJECT_SENDER),
    /* recipients */
    {"check_recipient_access", ARGUMENT_TABLE, NEEDS_RECIPIENT, check_recipient_access, 0},
    {"reject_non_fqdn_recipient", ARGUMENT_NONE, NEEDS_RECIPIENT, check_non_fqdn_recipient, 0},
    {"reject_unknown_recipient_domain", ARGUMENT_NONE, NEEDS_RECIPIENT, check_unknown_recipient_domain, 0},
    {"reject_unlisted_recipient", ARGUMENT_NONE, NEEDS_RECIPIENT, check_unlisted_recipient, 0},
    {"check_recipient_maps", ARGUMENT_NONE, NEEDS_RECIPIENT, check_unlisted_recipient, 0},
    {"reject_unverified_recipient", ARGUMENT_NONE, NEEDS_RECIPIENT, check_not_yet, 0},
    {"reject_rhsbl_recipient", ARGUMENT_DOMAIN, NEEDS_RECIPIENT, check_rhsbl, SUBJECT_RECIPIENT},
    {"permit_auth_destination", ARGUMENT_NONE, NEEDS_RECIPIENT, check_auth_destination, 0},
    {"permit_mx_backup", ARGUMENT_NONE, NEEDS_RECIPIENT, check_mx_backup, 0},
    {"reject_unauth_destination", ARGUMENT_NONE, NEEDS_RECIPIENT, check_unauth_destination, 0},
    {"defer_unauth_destination", ARGUMENT_NONE, NEEDS_RECIPIENT, check_unauth_destination, 100},
    NS_MX_A("recipient", NEEDS_RECIPIENT, SUBJECT_RECIPIENT),
    /* ETRN */
    {"check_etrn_access", ARGUMENT_TABLE, 0, check_etrn_access, 0},
};

/* Items that are no row of their own. */
static const struct restriction_row unknown_row = {"", ARGUMENT_NONE, 0, check_unknown, 0};
static const struct restriction_row class_row = {"", ARGUMENT_NONE, 0, check_class, 0};
static const struct restriction_row table_row = {"", ARGUMENT_TABLE, 0, check_list_table, 0};

static const struct restriction_row *find_row(struct slice name)
{
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        if (slice_equal_case(name, slice_of(rows[i].name)))
            return &rows[i];
    return NULL;
}

bool restriction_is_warning(const struct restriction *item)
{
    return item->row->check == check_warning;
}

/* ---- compiling ---- */

struct compiler {
    struct access_rules *rules;
    struct arena *arena;
    bool may_open; /* start-up */
};

static struct table_list *open_table(struct compiler *c, struct slice name)
{
    struct slice inside = name;
    struct table_list *tables;

    config_braced(name, &inside); /* "{ type:name, options }": the options concern certificates */
    struct slice rest = inside, first = inside;
    if (inside.data != name.data)
        config_list_next(&rest, &first);
    tables = map_get(c->rules->tables, first);
    if (!tables && c->may_open) {
        char *text = slice_string(first);
        tables = table_list_new(text, text, TABLE_FOLD | (c->rules->server->params.smtputf8_enable ? TABLE_UTF8 : 0),
                                c->rules->server->config);
        free(text);
        map_set(c->rules->tables, first, tables);
    }
    return tables;
}

/* take_argument - of the item just begun; false when it is missing or no good. */
static bool take_argument(struct compiler *c, struct restriction *item, struct slice *rest)
{
    struct slice argument;
    uint64_t number;

    if (item->row->argument == ARGUMENT_NONE)
        return true;
    if (!config_list_next(rest, &argument)) {
        log_warning("restriction %s requires an argument", item->word);
        return false;
    }
    item->argument = arena_string(c->arena, argument);
    switch (item->row->argument) {
    case ARGUMENT_TABLE:
        item->tables = open_table(c, argument);
        return item->tables != NULL;
    case ARGUMENT_DOMAIN:
        item->dnsbl = dnsbl_parse(argument, c->arena);
        return item->dnsbl != NULL;
    case ARGUMENT_NUMBER:
        if (!slice_to_u64(argument, &number) || number > 3600)
            return false;
        item->number = (int64_t)number;
        return true;
    default:
        return true;
    }
}

static bool is_table_name(struct slice word)
{
    return slice_find(word, ':') < word.len;
}

/* compile_word - one item; *rest gives its argument. */
static void compile_word(struct compiler *c, struct slice word, struct slice *rest, struct restriction *item)
{
    struct slice again = word;

    *item = (struct restriction){.word = arena_string(c->arena, word)};
    item->class = map_get(c->rules->classes, word);
    item->row = item->class ? &class_row : is_table_name(word) ? &table_row : find_row(word);
    if (!item->row)
        item->row = &unknown_row;
    if (!take_argument(c, item, item->row == &table_row ? &again : rest))
        item->row = &unknown_row;
}

static struct restriction_list *compile(struct compiler *c, struct slice text, struct restriction_list *list)
{
    size_t room = 0;
    struct slice word;

    *list = (struct restriction_list){0};
    while (config_list_next(&text, &word)) {
        if (list->count == room) {
            room = room ? room * 2 : 4;
            struct restriction *larger = arena_alloc(c->arena, room * sizeof(*larger));
            if (list->count)
                memcpy(larger, list->items, list->count * sizeof(*larger));
            list->items = larger;
        }
        compile_word(c, word, &text, &list->items[list->count++]);
    }
    return list;
}

const struct restriction_list *restrictions_compile_in(struct access_rules *rules, struct arena *arena, struct slice text)
{
    struct compiler c = {rules, arena, false};

    return compile(&c, text, arena_alloc(arena, sizeof(struct restriction_list)));
}

/* ---- start-up ---- */

static struct restriction_list *compile_parameter(struct access_rules *rules, const char *value)
{
    struct compiler c = {rules, rules->arena, true};

    return compile(&c, slice_of(value), arena_alloc(rules->arena, sizeof(struct restriction_list)));
}

/* compile_classes - names first, so that classes may name each other. */
static void compile_classes(struct access_rules *rules)
{
    struct compiler c = {rules, rules->arena, true};
    struct slice names = slice_of(rules->server->params.smtpd_restriction_classes), rest = names, name;

    while (config_list_next(&rest, &name))
        map_set(rules->classes, name, arena_alloc(rules->arena, sizeof(struct restriction_list)));
    while (config_list_next(&names, &name)) {
        const char *value = config_string(rules->server->config, arena_string(rules->arena, name));
        if (value[0] == '\0')
            log_warning("restriction class \"" SLICE_FORMAT "\" needs a definition", SLICE_ARGS(name));
        compile(&c, slice_of(value), map_get(rules->classes, name));
    }
}

bool restrictions_stop_relaying(const struct restriction_list *list)
{
    for (size_t i = 0; i < list->count; i++) {
        const struct restriction_row *row = list->items[i].row;
        if (restriction_is_warning(&list->items[i]))
            i++; /* what follows stops nobody */
        else if (row->check == check_unauth_destination || row->check == check_reject || row->check == check_defer ||
                 row->check == check_defer_if_permit)
            return true;
    }
    return false;
}

/* open_client_tables - "check_address_map type:table" of local_header_rewrite_clients. */
static void open_client_tables(struct access_rules *rules)
{
    struct compiler c = {rules, rules->arena, true};
    struct slice rest = slice_of(rules->server->params.local_header_rewrite_clients), word;

    while (config_list_next(&rest, &word))
        if (is_table_name(word))
            open_table(&c, word);
}

static void free_tables(void *value)
{
    table_list_free(value);
}

struct access_rules *access_rules_new(struct server *server)
{
    const struct smtpd_params *p = &server->params;
    struct access_rules *rules = memory_zalloc(1, sizeof(*rules));

    rules->server = server;
    rules->arena = arena_new(0);
    rules->tables = map_new(free_tables);
    rules->classes = map_new(NULL);
    rules->parent_style = match_parent_style(server->config, "smtpd_access_maps");
    compile_classes(rules);
    open_client_tables(rules);
    rules->sender_login = table_list_new("smtpd_sender_login_maps", config_string(server->config, "smtpd_sender_login_maps"), TABLE_FOLD,
                                         server->config);
    rules->client = compile_parameter(rules, p->smtpd_client_restrictions);
    rules->helo = compile_parameter(rules, p->smtpd_helo_restrictions);
    rules->sender = compile_parameter(rules, p->smtpd_sender_restrictions);
    rules->relay = compile_parameter(rules, p->smtpd_relay_restrictions);
    rules->recipient = compile_parameter(rules, p->smtpd_recipient_restrictions);
    rules->data = compile_parameter(rules, p->smtpd_data_restrictions);
    rules->end_of_data = compile_parameter(rules, p->smtpd_end_of_data_restrictions);
    rules->etrn = compile_parameter(rules, p->smtpd_etrn_restrictions);
    if (!restrictions_stop_relaying(rules->relay) && !restrictions_stop_relaying(rules->recipient))
        log_fatal("in parameter smtpd_relay_restrictions or smtpd_recipient_restrictions, specify at least one working instance of: "
                  "reject_unauth_destination, defer_unauth_destination, reject, defer, defer_if_permit or check_relay_domains");
    return rules;
}

void access_rules_free(struct access_rules *rules)
{
    if (!rules)
        return;
    map_free(rules->tables);
    map_free(rules->classes);
    table_list_free(rules->sender_login);
    arena_free(rules->arena);
    free(rules);
}
