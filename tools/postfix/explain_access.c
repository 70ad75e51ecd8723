/* explain_access.c - what smtpd's restrictions would say, as far as they are about addresses, networks and logins

   The server itself is another program, and what it finds out from a live client (names in the DNS, HELO, certificates, policy servers, block lists) is not known
   here: such restrictions are named and passed over.  Settings of master.cf (-o) are not looked at. */
#include "base/log.h"
#include "conf/restrictions.h"
#include "explain.h"

enum { DEPTH_MAX = 20 };
enum verdict { GO_ON, PERMIT, REJECT };

struct walk {
    struct explain *e;
    struct slice sender, recipient;
    const struct route_result *resolved;
    int depth;
};

static enum verdict walk_text(struct walk *walk, struct slice text);

static bool in_mynetworks(struct walk *walk)
{
    struct explain *e = walk->e;
    if (!e->client)
        return false;
    struct match_list *list = match_list_new("mynetworks", config_string(e->config, "mynetworks"), MATCH_ADDRESS_LIST, e->config);
    bool found = match_host(list, SLICE("unknown"), &e->client_address) == MATCH_YES;
    match_list_free(list);
    return found;
}

static enum verdict said(enum verdict verdict, const char *text)
{
    explain_note("%s: %s", text, verdict == PERMIT ? "permitted" : verdict == REJECT ? "REJECTED" : "does not decide");
    return verdict;
}

/* obey - what an access table says. */
static enum verdict obey(struct walk *walk, struct slice value)
{
    struct slice rest = value, word;
    if (!slice_next_token(&rest, " \t", &word))
        return GO_ON;
    bool digits = strspn(word.data, "0123456789") >= word.len;
    if (slice_equal_case(word, SLICE("OK")) || (digits && !(word.len == 3 && (word.data[0] == '4' || word.data[0] == '5'))))
        return said(PERMIT, "access table");
    if (digits || slice_equal_case(word, SLICE("REJECT")) || slice_starts_case(word, SLICE("DEFER"))) {
        explain_step("=> rejected by an access table: " SLICE_FORMAT, SLICE_ARGS(value));
        return REJECT;
    }
    static const char *const effects[] = {"FILTER", "HOLD", "DISCARD", "PREPEND", "REDIRECT", "BCC", "WARN", "INFO"};
    for (size_t i = 0; i < COUNT_OF(effects); i++) {
        if (slice_equal_case(word, slice_of(effects[i]))) {
            explain_note("has effect: " SLICE_FORMAT, SLICE_ARGS(value));
            return i == 2 ? PERMIT : GO_ON;
        }
    }
    return slice_equal_case(word, SLICE("DUNNO")) ? GO_ON : walk_text(walk, value);
}

static enum verdict look_up(struct walk *walk, const char *name, struct slice table, struct slice address)
{
    struct explain *e = walk->e;
    struct table_list *maps = table_list_new(name, arena_string(e->arena, table), TABLE_FOLD, e->config);
    struct buffer value = BUFFER_INIT;
    bool client = strcmp(name, "check_client_access") == 0;
    enum table_result found = TABLE_NOT_FOUND;
    if (client && e->client)
        found = network_lookup(maps, slice_of(e->client), &value);
    else if (!client && strcmp(name, "check_sasl_access") == 0)
        found = table_list_lookup(maps, slice_of(e->sasl_user ? e->sasl_user : ""), true, &value);
    else if (!client && address.len == 0)
        found = table_list_lookup(maps, slice_of(config_string(e->config, "smtpd_null_access_lookup_key")), true, &value);
    else if (!client) {
        found = address_lookup(maps, route_keys(e->route), address, ADDRESS_KEY_FULL | ADDRESS_KEY_NO_EXTENSION, &value, NULL, NULL);
        if (found == TABLE_NOT_FOUND)
            found = domain_lookup(maps, mail_address_domain(address), false, match_parent_style(e->config, "smtpd_access_maps"), &value);
        if (found == TABLE_NOT_FOUND)
            found = table_list_lookup(maps, arena_format(e->arena, SLICE_FORMAT "@", SLICE_ARGS(mail_address_local(address))), false, &value);
    }
    enum verdict verdict = found == TABLE_FOUND ? obey(walk, arena_slice(e->arena, buffer_slice(&value))) : GO_ON;
    buffer_release(&value);
    table_list_free(maps);
    return verdict;
}

static bool is_authorised_destination(const struct walk *walk)
{
    return walk->resolved->class != ADDRESS_CLASS_DEFAULT && !(walk->resolved->flags & ROUTE_ROUTED);
}

static enum verdict reject(const struct walk *walk, const char *reply)
{
    explain_step("=> rejected: %s <" SLICE_FORMAT ">: %s", reply[0] == '4' ? "454 4.7.1" : "554 5.7.1", SLICE_ARGS(walk->recipient), reply + 1);
    return REJECT;
}

static enum verdict judge(struct walk *walk, const char *name, struct slice argument)
{
    struct explain *e = walk->e;
    if (config_list_has(config_string(e->config, "smtpd_restriction_classes"), name))
        return walk_text(walk, slice_of(config_string(e->config, name)));
    if (strcasecmp(name, "permit") == 0)
        return said(PERMIT, name);
    if (strcasecmp(name, "reject") == 0)
        return reject(walk, "5Access denied");
    if (strcasecmp(name, "defer") == 0)
        return reject(walk, "4Try again later");
    if (strcasecmp(name, "permit_mynetworks") == 0)
        return said(in_mynetworks(walk) ? PERMIT : GO_ON, name);
    if (strcasecmp(name, "permit_sasl_authenticated") == 0)
        return said(e->sasl_user ? PERMIT : GO_ON, name);
    if (strcasecmp(name, "permit_auth_destination") == 0)
        return said(is_authorised_destination(walk) ? PERMIT : GO_ON, name);
    if (strcasecmp(name, "reject_unauth_destination") == 0 || strcasecmp(name, "defer_unauth_destination") == 0)
        return is_authorised_destination(walk) ? said(GO_ON, name) : reject(walk, name[0] == 'd' ? "4Relay access denied" : "5Relay access denied");
    if (strcasecmp(name, "check_client_access") == 0 || strcasecmp(name, "check_sasl_access") == 0 || strcasecmp(name, "check_recipient_access") == 0)
        return look_up(walk, name, argument, walk->recipient);
    if (strcasecmp(name, "check_sender_access") == 0)
        return look_up(walk, name, argument, walk->sender);
    explain_note("%s " SLICE_FORMAT ": not looked at here", name, SLICE_ARGS(argument));
    return GO_ON;
}

static enum verdict walk_text(struct walk *walk, struct slice text)
{
    struct slice rest = text, word;
    enum verdict verdict = GO_ON;
    if (walk->depth >= DEPTH_MAX)
        return GO_ON;
    walk->depth++;
    for (bool warn_only = false; verdict == GO_ON && config_list_next(&rest, &word);) {
        struct slice argument = {NULL, 0};
        enum restriction_argument wanted = RESTRICTION_NONE;
        if (slice_equal_case(word, SLICE("warn_if_reject"))) {
            warn_only = true;
            continue;
        }
        if (restriction_known(word, &wanted) && wanted != RESTRICTION_NONE)
            config_list_next(&rest, &argument);
        verdict = judge(walk, arena_string(walk->e->arena, word), argument);
        if (warn_only && verdict == REJECT) {
            explain_note("warn_if_reject: only logged");
            verdict = GO_ON;
        }
        warn_only = false;
    }
    walk->depth--;
    return verdict;
}

bool explain_access(struct explain *e, struct slice sender, struct slice recipient, const struct route_result *resolved)
{
    static const char *const relay_first[] = {"smtpd_client_restrictions", "smtpd_helo_restrictions", "smtpd_sender_restrictions",
                                              "smtpd_relay_restrictions", "smtpd_recipient_restrictions"};
    static const char *const relay_last[] = {"smtpd_client_restrictions", "smtpd_helo_restrictions", "smtpd_sender_restrictions",
                                             "smtpd_recipient_restrictions", "smtpd_relay_restrictions"};
    struct walk walk = {.e = e, .sender = sender, .recipient = recipient, .resolved = resolved};
    if (!e->client && !e->sasl_user)
        return true;
    const char *const *lists = config_bool(e->config, "smtpd_relay_before_recipient_restrictions") ? relay_first : relay_last;
    explain_step("access: client %s%s%s", e->client ? e->client : "unknown", e->sasl_user ? ", logged in as " : "", e->sasl_user ? e->sasl_user : "");
    for (size_t i = 0; i < COUNT_OF(relay_first); i++) {
        const char *text = config_string(e->config, lists[i]);
        if (!*text)
            continue;
        explain_step("  %s", lists[i]);
        if (walk_text(&walk, slice_of(text)) == REJECT)
            return false;
    }
    return true;
}
