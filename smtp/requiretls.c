/* requiretls.c - see requiretls.h */
#include "requiretls.h"

#include "base/log.h"

enum { ELEMENTS_MAX = 32 };

/* One element of the list: a table, or an action that ends the search. */
struct rule {
    struct table_list *table; /* NULL: action */
    enum requiretls_action action;
};

struct requiretls_rules {
    const char *parameter;
    struct rule rules[ELEMENTS_MAX];
    size_t count;
};

/* ---- the policy ---- */

static bool parse_action(struct slice text, enum requiretls_action *action)
{
    static const char *const names[] = {[REQUIRETLS_DISABLE] = "disable", [REQUIRETLS_OPPORTUNISTIC] = "opportunistic",
                                        [REQUIRETLS_STARTTLS] = "opportunistic+starttls", [REQUIRETLS_ENFORCE] = "enforce"};

    for (size_t i = 0; i < COUNT_OF(names); i++)
        if (slice_equal_case(text, slice_of(names[i]))) {
            *action = (enum requiretls_action)i;
            return true;
        }
    return false;
}

static void add_rule(struct requiretls_rules *rules, struct slice element, struct config *config)
{
    struct rule *rule = &rules->rules[rules->count];

    if (!parse_action(element, &rule->action)) {
        if (slice_find(element, ':') == element.len) {
            log_warning("%s: unknown word \"" SLICE_FORMAT "\" is taken as \"enforce\"", rules->parameter, SLICE_ARGS(element));
            rule->action = REQUIRETLS_ENFORCE;
        } else {
            char *text = slice_string(element);
            rule->table = table_list_new(rules->parameter, text, TABLE_FOLD, config);
            free(text);
        }
    }
    rules->count++;
}

struct requiretls_rules *requiretls_open(struct config *config, const struct client_params *params)
{
    struct slice rest = slice_of(params->requiretls_policy), element;

    if (!params->requiretls_enable)
        return NULL;
    struct requiretls_rules *rules = memory_zalloc(1, sizeof(*rules));
    rules->parameter = params->lmtp ? "lmtp_requiretls_policy" : "smtp_requiretls_policy";
    while (config_list_next(&rest, &element)) {
        if (rules->count == ELEMENTS_MAX) {
            log_warning("%s: only the first %d elements are looked at", rules->parameter, ELEMENTS_MAX);
            break;
        }
        add_rule(rules, element, config);
    }
    return rules;
}

void requiretls_close(struct requiretls_rules *rules)
{
    for (size_t i = 0; rules && i < rules->count; i++)
        table_list_free(rules->rules[i].table);
    free(rules);
}

static enum table_result look_up(struct table_list *table, struct slice destination, struct buffer *value)
{
    struct net_address address;
    enum table_result found = table_list_lookup(table, destination, true, value);

    for (size_t i = 1; found == TABLE_NOT_FOUND && !net_address_parse(&address, destination, 0) && i < destination.len; i++)
        if (destination.data[i] == '.')
            found = table_list_lookup(table, slice_from(destination, i), false, value);
    return found;
}

bool requiretls_find(const struct requiretls_rules *rules, struct slice destination, enum requiretls_action *action)
{
    struct buffer value = BUFFER_INIT_MAX(1024);
    enum table_result found = TABLE_NOT_FOUND;
    bool good = true;

    *action = rules ? REQUIRETLS_ENFORCE : REQUIRETLS_DISABLE;
    for (size_t i = 0; rules && i < rules->count && found == TABLE_NOT_FOUND; i++) {
        if (!rules->rules[i].table) {
            *action = rules->rules[i].action;
            break;
        }
        found = look_up(rules->rules[i].table, destination, &value);
    }
    if (found == TABLE_FOUND && !parse_action(slice_trim(buffer_slice(&value)), action)) {
        log_warning("%s: \"" SLICE_FORMAT "\": unknown word \"%s\"", rules->parameter, SLICE_ARGS(destination), buffer_string(&value));
        good = false;
    }
    buffer_release(&value);
    return good && found != TABLE_TRY_AGAIN;
}

/* ---- one message ---- */

/* relaxed - TLS-Required: no: what domains publish and what main.cf demands does not keep this message back. */
static struct tls_plan *relaxed(const struct client_params *params, const struct host *host, struct arena *arena, struct tls_plan *plan)
{
    if (plan && plan->policy.level <= TLS_MAY)
        return plan;
    struct tls_plan *other = arena_alloc(arena, sizeof(*other));
    other->policy = (struct tls_policy){.level = tls_client_is_ready(params->tls) ? TLS_MAY : TLS_NONE, .connection_reuse = -1};
    other->connect.policy = &other->policy;
    other->connect.host = arena_string(arena, host->name);
    other->connect.next_hop = arena_string(arena, host->destination ? host->destination->host : host->name);
    other->origin = "TLS-Required: no";
    other->keep = false; /* nobody else may use such a connection */
    return other;
}

static struct tls_plan *refuse(struct failure *failure, struct arena *arena, const char *status, const char *reason)
{
    *failure = (struct failure){.temporary = true, .unless_last = true, .handshake = true, .status = status};
    failure->reason = arena_format(arena, "Sender requested REQUIRETLS, but %s", reason);
    return NULL;
}

/* strengthen - the certificate must be the server's own, and the server's name must come from somewhere that can be believed (RFC 8689 4.2.1). */
static struct tls_plan *strengthen(const struct client_params *params, const struct host *host, struct arena *arena, struct tls_plan *plan,
                                   struct failure *failure)
{
    bool proven = tls_level_authenticates(plan->policy.level);

    if (proven && plan->policy.level != TLS_VERIFY && !plan->connect.insecure_mx)
        return plan;
    if (!host->secure_mx)
        return refuse(failure, arena, "5.7.10", arena_printf(arena, "the mail servers of %s were not found by DNSSEC or MTA-STS", plan->connect.next_hop));
    if (proven)
        return plan;
    if (!tls_client_is_ready(params->tls))
        return refuse(failure, arena, "5.7.10", "TLS is not enabled here");
    plan->policy.level = TLS_VERIFY;
    plan->policy.match = SLICE("hostname");
    plan->policy.protocols = plan->policy.ciphers = (struct slice){0};
    return plan;
}

static struct tls_plan *defer(struct failure *failure)
{
    *failure = (struct failure){.temporary = true, .handshake = true, .status = "4.7.5", .reason = SLICE("REQUIRETLS policy lookup error")};
    return NULL;
}

struct tls_plan *requiretls_plan(const struct client_params *params, const struct host *host, const struct delivery *delivery, struct tls_plan *plan,
                                 struct failure *failure)
{
    const struct envelope *envelope = &delivery->request->envelope;
    struct slice destination = host->destination ? host->destination->host : host->name;
    enum requiretls_action action;

    if ((envelope->send_options & SEND_TLS_NOT_REQUIRED) && params->tls_required_enable)
        return relaxed(params, host, delivery->arena, plan);
    if (!plan || !(envelope->send_options & SEND_REQUIRE_TLS) || !params->requiretls)
        return plan;
    if (!requiretls_find(params->requiretls, destination, &action))
        return defer(failure);
    if (action > REQUIRETLS_OPPORTUNISTIC && envelope->sender.len == 0)
        action = REQUIRETLS_OPPORTUNISTIC; /* a notice is not lost because of it (RFC 8689 5) */
    plan->require_tls = action;
    if (action == REQUIRETLS_STARTTLS && plan->policy.level < TLS_ENCRYPT) {
        if (!tls_client_is_ready(params->tls))
            return refuse(failure, delivery->arena, "5.7.10", "TLS is not enabled here");
        plan->policy.level = TLS_ENCRYPT;
    }
    return action == REQUIRETLS_ENFORCE ? strengthen(params, host, delivery->arena, plan, failure) : plan;
}

bool requiretls_check(struct session *session, const struct tls_plan *plan, const struct delivery *delivery, struct failure *failure)
{
    if (!(delivery->request->envelope.send_options & SEND_REQUIRE_TLS))
        return true;
    session->passes_require_tls = plan->require_tls > REQUIRETLS_DISABLE && session->tls && (session->features & EHLO_REQUIRETLS);
    if (plan->require_tls != REQUIRETLS_ENFORCE || session->passes_require_tls)
        return true;
    refuse(failure, delivery->arena, "5.7.30", arena_printf(delivery->arena, "it was not offered by host %s[%s]", session->host, session->address));
    failure->relay = arena_strdup(delivery->arena, session->relay);
    failure->remote_mta = arena_strdup(delivery->arena, session->host);
    return false;
}

void requiretls_explain(const struct tls_plan *plan, const struct delivery *delivery, struct failure *failure)
{
    bool about_tls = failure->status && (strcmp(failure->status, "4.7.4") == 0 || strcmp(failure->status, "4.7.5") == 0);

    if (!about_tls || plan->require_tls < REQUIRETLS_STARTTLS)
        return;
    failure->unless_last = true;
    failure->status = "5.7.10";
    failure->reason = arena_format(delivery->arena, "Sender requested REQUIRETLS, but: " SLICE_FORMAT, SLICE_ARGS(failure->reason));
}
