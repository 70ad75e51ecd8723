/* check_relaying.c - what a stranger could relay: the restrictions of each smtpd, gone through for a client that is in no network of ours, has not
   logged in, shows no certificate, and names a recipient that is not here */
#include "checks.h"
#include "conf/restrictions.h"
#include "net/address.h"

enum verdict {
    GOES_ON, /* to the next list */
    STOPS,
    MAY_PASS, /* if it says the right words */
    PASSES
};

struct walk {
    struct checks *checks;
    struct config *config;
    const char *by; /* what let it pass */
    int depth;
};

enum { DEPTH_MAX = 10 };

static bool one_of(struct slice word, const char *const *names, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (slice_equal_case(word, slice_of(names[i])))
            return true;
    return false;
}

/* trusts_everybody - mynetworks that hold the whole Internet. */
static bool trusts_everybody(struct config *config)
{
    struct slice rest = slice_of(config_string(config, "mynetworks")), element;
    struct net_network network;
    while (config_list_next(&rest, &element))
        if (net_network_parse(&network, element, NULL) && network.prefix == 0)
            return true;
    return false;
}

/* gives_permit - a row of the table lets clients pass who name its key: "OK", a number, "permit". */
static bool gives_permit(struct walk *walk, struct slice argument)
{
    for (size_t i = 0; i < walk->checks->tables.count; i++) {
        const struct table_use *use = &walk->checks->tables.uses[i];
        struct table_rows rows;
        if (slice_search(argument, slice_of(use->name)) == argument.len || !table_use_has_rows(use) ||
            !table_rows_read(walk->checks->arena, use->path, false, &rows, NULL, NULL))
            continue;
        for (size_t k = 0; k < rows.count; k++) {
            struct slice value = slice_of(rows.rows[k].value);
            if (slice_equal_case(value, SLICE("OK")) || slice_equal_case(value, SLICE("permit")) ||
                (value.len && strspn(value.data, "0123456789") == value.len))
                return true;
        }
    }
    return false;
}

static enum verdict walk_list(struct walk *walk, const char *parameter);

/* judge - one restriction; argument is what follows it. */
static enum verdict judge(struct walk *walk, struct slice word, struct slice argument)
{
    static const char *const stopping[] = {"reject", "defer", "defer_if_permit", "reject_unauth_destination", "defer_unauth_destination"};
    static const char *const said[] = {"check_sender_access", "check_helo_access"}; /* of what the client itself says */
    char *text = slice_string(word);
    bool class = config_list_has(config_string(walk->config, "smtpd_restriction_classes"), text);
    const char *name = arena_string(walk->checks->arena, word);
    free(text);
    if (class)
        return walk->depth < DEPTH_MAX ? walk_list(walk, name) : GOES_ON;
    if (one_of(word, stopping, COUNT_OF(stopping)))
        return STOPS;
    if (slice_equal_case(word, SLICE("permit")) || (slice_equal_case(word, SLICE("permit_mynetworks")) && trusts_everybody(walk->config))) {
        walk->by = name;
        return PASSES;
    }
    if (one_of(word, said, COUNT_OF(said)) && gives_permit(walk, argument)) {
        walk->by = arena_printf(walk->checks->arena, "%s " SLICE_FORMAT, name, SLICE_ARGS(argument));
        return MAY_PASS;
    }
    return GOES_ON;
}

static enum verdict walk_list(struct walk *walk, const char *parameter)
{
    struct slice rest = slice_of(config_string(walk->config, parameter)), word, argument;
    enum verdict worst = GOES_ON;
    walk->depth++;
    while (config_list_next(&rest, &word)) {
        enum restriction_argument wanted = RESTRICTION_NONE;
        argument = (struct slice){0};
        if (restriction_known(word, &wanted) && wanted != RESTRICTION_NONE)
            config_list_next(&rest, &argument);
        if (slice_equal_case(word, SLICE("warn_if_reject"))) {
            config_list_next(&rest, &word);
            continue;
        }
        enum verdict verdict = judge(walk, word, argument);
        if (verdict == MAY_PASS) {
            worst = MAY_PASS;
        } else if (verdict != GOES_ON) {
            walk->depth--;
            return verdict == STOPS && worst == MAY_PASS ? MAY_PASS : verdict;
        }
    }
    walk->depth--;
    return worst;
}

/* reachable - from another machine, as far as the name of the service tells. */
static bool reachable(struct checks *checks, const struct master_service *service)
{
    struct slice name = slice_of(service->name);
    bool local = slice_starts(name, SLICE("127.")) || slice_starts(name, SLICE("localhost:")) || slice_starts(name, SLICE("[::1]")) ||
                 slice_starts(name, SLICE("[127.")) || slice_starts(name, SLICE("::1:"));
    return service->type != SERVICE_UNIX && !local && strcmp(config_string(checks->config, "inet_interfaces"), "loopback-only") != 0;
}

static void check_service(struct checks *checks, size_t index)
{
    static const char *const before[] = {"smtpd_client_restrictions", "smtpd_helo_restrictions", "smtpd_sender_restrictions"};
    const struct master_service *service = &checks->services.services[index];
    struct walk walk = {.checks = checks, .config = checks->service_configs[index]};
    for (size_t i = 0; i < COUNT_OF(before); i++)
        if (walk_list(&walk, before[i]) == STOPS)
            return;
    walk.by = NULL;
    enum verdict relay = walk_list(&walk, "smtpd_relay_restrictions"), recipient = walk_list(&walk, "smtpd_recipient_restrictions");
    if (relay == STOPS || recipient == STOPS)
        return;
    bool told = relay == MAY_PASS || recipient == MAY_PASS;
    const char *list = strcmp(config_string(walk.config, "smtpd_relay_restrictions"), "") ? "smtpd_relay_restrictions" : "smtpd_recipient_restrictions";
    int line = 0;
    config_raw(checks->config, slice_of(list), &line);
    const char *file = line ? checks->main_file : checks->master_file;
    if (told)
        found(checks->control, FINDING_OPEN_RELAY, FINDING_WARNING, file, line ? line : service->line, service->name,
              "service %s: a client that names the right sender or HELO name may relay to anywhere: %s comes before reject_unauth_destination",
              service->name, walk.by);
    else
        found(checks->control, FINDING_OPEN_RELAY, FINDING_ERROR, file, line ? line : service->line, service->name,
              "service %s: open relay: any client may send to anywhere%s%s", service->name, walk.by ? ", because of " : "", walk.by ? walk.by : "");
}

/* check_networks - networks that are wider than an organisation is. */
static void check_networks(struct checks *checks)
{
    struct setting_place place = setting_place_of(checks, "mynetworks");
    struct slice rest = slice_of(place.value), element;
    struct net_network network;
    while (place.line && config_list_next(&rest, &element)) {
        if (!net_network_parse(&network, element, NULL) || network.prefix == 0)
            continue;
        bool private = network.family == AF_INET ? network.bytes[0] == 127 || network.bytes[0] == 10 : (network.bytes[0] & 0xfe) == 0xfc;
        if (!private && network.prefix < (network.family == AF_INET ? 16 : 32))
            found(checks->control, FINDING_WIDE_NETWORK, FINDING_WARNING, place.file, place.line, "mynetworks",
                  "mynetworks: " SLICE_FORMAT " is a very large network", SLICE_ARGS(element));
    }
}

void check_relaying(struct checks *checks)
{
    check_networks(checks);
    for (size_t i = 0; i < checks->services.count; i++)
        if (is_program(&checks->services.services[i], "smtpd") && reachable(checks, &checks->services.services[i]))
            check_service(checks, i);
}
