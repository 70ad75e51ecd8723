/* restrictions.c - the restrictions by name, and compiling lists of them */
#include "access_private.h"

#include "base/log.h"
#include "policy/policy.h"

static enum access_result check_warning(struct access *a UNUSED, const struct restriction *item UNUSED)
{
    return ACCESS_DUNNO; /* access_run knows it: restriction_is_warning */
}

#define DNS_OF(type, subject) ((type) * 16 + (subject))

static const struct restriction_row rows[] = {
#define RESTRICTION(name, argument, needs, check, detail) {name, ARGUMENT_##argument, needs, check, detail},
#include "conf/restrictions.def"
#undef RESTRICTION
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

static struct policy *open_policy(struct compiler *c, struct slice text)
{
    struct policy *policy = map_get(c->rules->policies, text);

    if (!policy && c->may_open && (policy = policy_open(text, c->rules->server->config)) != NULL)
        map_set(c->rules->policies, text, policy);
    return policy;
}

/* add_search_words - "cert_fingerprint pubkey_fingerprint" as SEARCH_ letters; false: there is another word. */
static bool add_search_words(struct slice words, struct buffer *order)
{
    struct slice word;

    while (config_list_next(&words, &word)) {
        bool certificate = slice_equal(word, SLICE("cert_fingerprint"));
        if (!certificate && !slice_equal(word, SLICE("pubkey_fingerprint"))) {
            log_warning("check_ccert_access: unknown search_order: " SLICE_FORMAT, SLICE_ARGS(word));
            return false;
        }
        buffer_append_byte(order, certificate ? SEARCH_CERTIFICATE : SEARCH_KEY);
    }
    return true;
}

static bool take_search_option(struct slice option, struct buffer *order)
{
    struct slice inside, name, words;

    if (config_braced(option, &inside) && slice_cut(inside, '=', &name, &words) && slice_equal(slice_trim(name), SLICE("search_order")))
        return add_search_words(words, order);
    log_warning("check_ccert_access: unknown option: " SLICE_FORMAT, SLICE_ARGS(option));
    return false;
}

/* parse_search_order - "{ type:name, { search_order = ... } }"; the usual order when nothing is said.  NULL: it cannot be. */
static const char *parse_search_order(struct compiler *c, struct slice argument)
{
    struct slice inside = argument, option;
    struct buffer order = BUFFER_INIT;
    bool good = true;

    if (config_braced(argument, &inside))
        config_list_next(&inside, &option); /* the table */
    while (good && inside.data != argument.data && config_list_next(&inside, &option))
        good = take_search_option(option, &order);
    const char *letters = !good ? NULL : order.len ? arena_string(c->arena, buffer_slice(&order)) : "ck";
    buffer_release(&order);
    return letters;
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
        if (item->row->check == check_ccert_access)
            item->search_order = parse_search_order(c, argument);
        return item->tables != NULL && (item->search_order || item->row->check != check_ccert_access);
    case ARGUMENT_POLICY:
        item->policy = open_policy(c, argument);
        return item->policy != NULL;
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

/* ends_list - nothing after it is ever reached. */
static bool ends_list(const struct restriction *item)
{
    return item->row->check == check_permit || item->row->check == check_reject || item->row->check == check_defer;
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
        const struct restriction *item = &list->items[list->count - 1];
        bool warns = list->count > 1 && restriction_is_warning(item - 1);
        if (ends_list(item) && !warns && config_list_next(&text, &word)) {
            if (config_bool(c->rules->server->config, "helpful_warnings"))
                log_warning("restriction `" SLICE_FORMAT "' after `%s' is ignored", SLICE_ARGS(word), item->row->name);
            break;
        }
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

/* undefined - a class that says nothing would let everything pass that it is there to stop. */
static void undefined(struct access_rules *rules, struct slice name, struct restriction_list *class)
{
    log_warning("restriction class \"" SLICE_FORMAT "\" needs a definition", SLICE_ARGS(name));
    struct restriction *item = arena_alloc(rules->arena, sizeof(*item));
    *item = (struct restriction){.word = arena_string(rules->arena, name), .row = &unknown_row};
    *class = (struct restriction_list){.items = item, .count = 1};
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
        struct restriction_list *class = map_get(rules->classes, name);
        if (value[0] == '\0')
            undefined(rules, name, class);
        else
            compile(&c, slice_of(value), class);
    }
}

bool restrictions_stop_relaying(const struct restriction_list *list)
{
    for (size_t i = 0; i < list->count; i++) {
        const struct restriction_row *row = list->items[i].row;
        if (restriction_is_warning(&list->items[i]))
            i++; /* what follows stops nobody */
        else if (row->check == check_unauth_destination || row->check == check_relay_domains || row->check == check_reject || row->check == check_defer ||
                 row->check == check_defer_if_permit)
            return true;
    }
    return false;
}

/* parse_maps_rbl - the lists that reject_maps_rbl asks. */
static void parse_maps_rbl(struct access_rules *rules)
{
    struct slice domains = slice_of(rules->server->params.maps_rbl_domains), rest = domains, word;
    size_t count = 0;

    while (config_list_next(&rest, &word))
        count++;
    rules->maps_rbl = arena_alloc(rules->arena, (count + 1) * sizeof(*rules->maps_rbl));
    while (config_list_next(&domains, &word)) {
        struct dnsbl *list = dnsbl_parse(word, rules->arena);
        if (list)
            rules->maps_rbl[rules->maps_rbl_count++] = list;
    }
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

static void free_policy(void *value)
{
    policy_close(value);
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
    rules->policies = map_new(free_policy);
    rules->classes = map_new(NULL);
    rules->parent_style = match_parent_style(server->config, "smtpd_access_maps");
    compile_classes(rules);
    open_client_tables(rules);
    parse_maps_rbl(rules);
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
    map_free(rules->policies);
    map_free(rules->classes);
    table_list_free(rules->sender_login);
    arena_free(rules->arena);
    free(rules);
}
