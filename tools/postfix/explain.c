/* explain.c - `postfix explain`: every rewrite and lookup on the way of an address, and where it ends.  Nothing is sent. */
#include "explain.h"

#include <getopt.h>

#include "base/log.h"
#include "control.h"
#include "run/run.h"

enum { NAME_WIDTH = 28, NAME_SHOWN = 60 /* of a table's name: inline tables are long */, EXPANSION_MAX = 100 /* addresses that are followed */ };

static const char usage[] = "usage: postfix explain [--sender address] [--client address] [--sasl user] [--helo name] [--service name] address";
static const char *const class_names[] = {"local (mydestination, inet_interfaces)", "virtual alias (virtual_alias_domains)",
                                          "virtual mailbox (virtual_mailbox_domains)", "relay (relay_domains)", "default (elsewhere)"};

void explain_step(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vprintf(format, args);
    va_end(args);
    putchar('\n');
}

void explain_note(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fputs("    ", stdout);
    vprintf(format, args);
    va_end(args);
    putchar('\n');
}

/* trace - each key that is looked up. */
static void trace(void *context, const char *parameter, const struct table *table, struct slice key, enum table_result result, struct slice value)
{
    struct explain *e = context;
    struct slice name = slice_of(table_name(table));
    bool cut = name.len > NAME_SHOWN;
    printf("    %s " SLICE_FORMAT "%s \"" SLICE_FORMAT "\": ", parameter, SLICE_ARGS(slice_first(name, NAME_SHOWN)), cut ? "..." : "", SLICE_ARGS(key));
    if (result == TABLE_FOUND)
        printf("\"" SLICE_FORMAT "\"\n", SLICE_ARGS(value));
    else
        puts(result == TABLE_NOT_FOUND ? "no" : "FAILED: the table cannot answer");
    e->failed |= result == TABLE_TRY_AGAIN;
}

static struct table_list *open_list(struct explain *e, const char *parameter, int flags)
{
    return table_list_new(parameter, config_string(e->config, parameter), flags | TABLE_FOLD | (config_bool(e->config, "smtputf8_enable") ? TABLE_UTF8 : 0),
                          e->config);
}

static bool propagates(struct explain *e, const char *what)
{
    return config_list_has(config_string(e->config, "propagate_unmatched_extensions"), what);
}

static void changed(const char *what, struct slice before, struct slice after)
{
    if (!slice_equal(before, after))
        explain_step("  %-*s " SLICE_FORMAT " -> " SLICE_FORMAT, NAME_WIDTH, what, SLICE_ARGS(before), SLICE_ARGS(after));
}

static struct slice rewrite(struct explain *e, const char *address)
{
    struct slice given = slice_of(address), result = route_rewrite(e->route, SLICE("local"), given, e->arena);
    changed("rewriting", given, result);
    return result;
}

/* map - one canonical-like parameter; nested: the result is looked up again. */
static struct slice map(struct explain *e, const char *parameter, const char *extension, struct slice address, bool nested)
{
    struct table_list *maps = open_list(e, parameter, 0);
    if (!table_list_is_empty(maps) && address.len > 0)
        explain_step("  %s", parameter);
    for (int i = 0; i < (nested ? ROUTE_MAP_NESTING_MAX : 1) && address.len > 0; i++) {
        struct slice result;
        if (route_map_address(e->route, maps, address, propagates(e, extension), e->arena, &result) <= 0 || slice_equal(address, result))
            break;
        changed(parameter, address, result);
        address = result;
    }
    table_list_free(maps);
    return address;
}

static struct slice map_if_class(struct explain *e, const char *parameter, const char *classes, const char *class, struct slice address)
{
    return config_list_has(config_string(e->config, classes), class) ? map(e, parameter, "canonical", address, true) : address;
}

/* masquerade - masquerade_domains, for envelope addresses of the class. */
static struct slice masquerade(struct explain *e, const char *class, struct slice address)
{
    struct slice rest = slice_of(config_string(e->config, "masquerade_domains")), name, domain = mail_address_domain(address);
    char *user = slice_string(mail_address_local(address));
    bool excepted = config_list_has(config_string(e->config, "masquerade_exceptions"), user);
    struct slice result = address;
    free(user);
    if (excepted || !config_list_has(config_string(e->config, "masquerade_classes"), class))
        return address;
    while (config_list_next(&rest, &name)) {
        bool leave = name.data[0] == '!';
        name = slice_from(name, leave);
        size_t cut = domain.len > name.len ? domain.len - name.len : 0;
        if (slice_equal_case(domain, name))
            break;
        if (cut == 0 || domain.data[cut - 1] != '.' || !slice_equal_case(slice_from(domain, cut), name))
            continue;
        if (!leave)
            result = arena_format(e->arena, SLICE_FORMAT "@" SLICE_FORMAT, SLICE_ARGS(mail_address_local(address)), SLICE_ARGS(name));
        break;
    }
    changed("masquerade_domains", address, result);
    return result;
}

static struct slice explain_sender(struct explain *e)
{
    explain_step("sender <%s>", e->sender);
    if (!*e->sender)
        return SLICE("");
    struct slice address = rewrite(e, e->sender);
    address = map_if_class(e, "sender_canonical_maps", "sender_canonical_classes", "envelope_sender", address);
    address = map_if_class(e, "canonical_maps", "canonical_classes", "envelope_sender", address);
    return masquerade(e, "envelope_sender", address);
}

/* bcc - copies that a table gives for an address. */
static void bcc(struct explain *e, const char *parameter, struct slice address)
{
    struct table_list *maps = open_list(e, parameter, 0);
    struct buffer value = BUFFER_INIT;
    if (!table_list_is_empty(maps) && address.len > 0) {
        explain_step("  %s", parameter);
        if (address_lookup(maps, route_keys(e->route), address, ADDRESS_KEY_ALL, &value, NULL, NULL) == TABLE_FOUND)
            explain_step("  %-*s a copy to %s", NAME_WIDTH, parameter, buffer_string(&value));
    }
    buffer_release(&value);
    table_list_free(maps);
}

/* ---- virtual aliases ---------------------------------------------------------------------------------------------- */

struct expansion {
    struct slice addresses[EXPANSION_MAX];
    bool final[EXPANSION_MAX];
    size_t count;
};

/* expand_one - false: it stands for nothing else. */
static bool expand_one(struct explain *e, struct expansion *x, size_t at)
{
    struct buffer value = BUFFER_INIT;
    struct slice extension, *results, key = x->addresses[at];
    bool found = address_lookup(route_maps(e->route)->virtual_alias, route_keys(e->route), key, ADDRESS_KEY_ALL, &value, &extension, NULL) == TABLE_FOUND;
    size_t count = found ? address_list_addresses(arena_slice(e->arena, buffer_slice(&value)), 0, e->arena, &results) : 0;
    buffer_release(&value);
    if (count == 0)
        return false;
    if (!propagates(e, "virtual"))
        extension.len = 0;
    for (size_t i = 0; i < count; i++) {
        struct slice result = route_map_result(e->route, key, results[i], extension, e->arena);
        size_t place = i == 0 ? at : x->count;
        explain_step("  %-*s " SLICE_FORMAT " -> " SLICE_FORMAT, NAME_WIDTH, "virtual_alias_maps", SLICE_ARGS(key), SLICE_ARGS(result));
        if (place >= EXPANSION_MAX) {
            explain_note("more than %d addresses: the others are not followed", EXPANSION_MAX);
            return true;
        }
        x->addresses[place] = result;
        x->final[place] = slice_equal_case(result, key);
        x->count += i > 0;
    }
    return true;
}

static void expand(struct explain *e, struct slice address, struct expansion *x)
{
    x->count = 1;
    x->addresses[0] = address;
    if (table_list_is_empty(route_maps(e->route)->virtual_alias))
        return;
    explain_step("  virtual_alias_maps");
    int64_t steps = config_int(e->config, "virtual_alias_recursion_limit");
    for (size_t i = 0; i < x->count; i++) {
        int64_t depth = 0;
        while (!x->final[i] && expand_one(e, x, i)) {
            if (++depth >= steps) {
                explain_note("virtual_alias_recursion_limit: the message would be refused with 451 4.6.0");
                break;
            }
        }
    }
}

/* ---- the end of the way ------------------------------------------------------------------------------------------- */

static void explain_local(struct explain *e, struct slice recipient)
{
    struct table_list *maps = open_list(e, "alias_maps", TABLE_NO_SUBSTITUTION);
    struct buffer value = BUFFER_INIT, lower = BUFFER_INIT;
    struct slice local = mail_address_local(recipient), user, extension;
    address_split_extension(local, slice_of(config_string(e->config, "recipient_delimiter")), config_bool(e->config, "owner_request_special"), &user,
                            &extension);
    buffer_append_lower(&lower, local);
    if (!table_list_is_empty(maps)) {
        explain_step("  alias_maps");
        bool found = table_list_lookup(maps, buffer_slice(&lower), true, &value) == TABLE_FOUND;
        if (!found && extension.len) {
            buffer_truncate(&lower, user.len);
            found = table_list_lookup(maps, buffer_slice(&lower), true, &value) == TABLE_FOUND;
        }
        if (found)
            explain_step("  %-*s local(8) sends it on to: %s", NAME_WIDTH, "alias_maps", buffer_string(&value));
    }
    static const char *const settings[] = {"mailbox_transport_maps", "mailbox_transport", "mailbox_command_maps", "mailbox_command", "home_mailbox",
                                           "fallback_transport_maps", "fallback_transport", "luser_relay"};
    for (size_t i = 0; i < COUNT_OF(settings); i++) {
        const char *text = config_string(e->config, settings[i]);
        if (*text)
            explain_note("%s = %s", settings[i], text);
    }
    buffer_release(&value);
    buffer_release(&lower);
    table_list_free(maps);
}

static const char *trouble_of(const struct route_result *r)
{
    return r->flags & ROUTE_TRY_AGAIN ? "a table failed: the message would be deferred (4.3.0)"
           : r->flags & ROUTE_BAD_SYNTAX ? "bad address syntax"
           : r->flags & ROUTE_ROUTED ? "sender-specified routing in the local part"
                                     : NULL;
}

static void explain_end(struct explain *e, struct slice sender, struct slice recipient)
{
    struct route_result r;
    explain_step("recipient <" SLICE_FORMAT ">: routing", SLICE_ARGS(recipient));
    route_resolve(e->route, sender, recipient, false, e->arena, &r);
    explain_step("  %-*s %s", NAME_WIDTH, "address class", class_names[r.class]);
    const char *trouble = trouble_of(&r), *service = arena_string(e->arena, r.transport);
    if (trouble)
        explain_note("%s", trouble);
    if (strcmp(service, "local") == 0)
        explain_local(e, r.recipient);
    struct slice shown_sender = sender, shown = r.recipient;
    if (strcmp(service, "smtp") == 0 || strcmp(service, "relay") == 0) {
        shown_sender = map(e, "smtp_generic_maps", "generic", sender, false);
        shown = map(e, "smtp_generic_maps", "generic", r.recipient, false);
    }
    explain_step("=> transport %s, next hop " SLICE_FORMAT ", recipient " SLICE_FORMAT, service, SLICE_ARGS(r.next_hop), SLICE_ARGS(shown));
    if (!slice_equal(shown_sender, sender))
        explain_step("   from " SLICE_FORMAT, SLICE_ARGS(shown_sender));
}

/* explain_known - false: smtpd would refuse it as unknown. */
static bool explain_known(struct explain *e, struct slice recipient, const struct route_result *resolved)
{
    const char *table = "";
    if (!config_bool(e->config, "smtpd_reject_unlisted_recipient"))
        return true;
    explain_step("  reject_unlisted_recipient");
    int known = route_recipient_known(e->route, resolved, recipient, &table);
    if (known < 0)
        explain_note("a table failed: 451 4.3.0");
    if (known == 0)
        explain_step("=> rejected: 550 5.1.1 <" SLICE_FORMAT ">: Recipient address rejected: User unknown%s%s", SLICE_ARGS(recipient),
                     config_bool(e->config, "show_user_unknown_table_name") ? " in " : "",
                     config_bool(e->config, "show_user_unknown_table_name") ? table : "");
    return known != 0;
}

struct run {
    struct explain explain;
    int status;
};

static void explain_all(void *arg)
{
    struct run *run = arg;
    struct explain *e = &run->explain;
    struct expansion *x = arena_alloc(e->arena, sizeof(*x));
    struct route_result resolved;
    struct slice sender = explain_sender(e);
    bcc(e, "sender_bcc_maps", sender);
    if (*config_string(e->config, "always_bcc"))
        explain_step("  %-*s a copy to %s", NAME_WIDTH, "always_bcc", config_string(e->config, "always_bcc"));
    explain_step("recipient <%s>", e->recipient);
    struct slice recipient = rewrite(e, e->recipient);
    tables_set_trace(NULL, NULL); /* once more below, then it is told */
    route_resolve(e->route, sender, recipient, false, e->arena, &resolved);
    tables_set_trace(trace, e);
    run->status = 1;
    bool comes_by_smtp = e->client || e->sasl_user || e->helo || e->service;
    if (comes_by_smtp ? !explain_access(e) : !explain_known(e, recipient, &resolved))
        return;
    recipient = map_if_class(e, "recipient_canonical_maps", "recipient_canonical_classes", "envelope_recipient", recipient);
    recipient = map_if_class(e, "canonical_maps", "canonical_classes", "envelope_recipient", recipient);
    recipient = masquerade(e, "envelope_recipient", recipient);
    bcc(e, "recipient_bcc_maps", recipient);
    expand(e, recipient, x);
    for (size_t i = 0; i < x->count; i++)
        explain_end(e, sender, x->addresses[i]);
    run->status = e->failed ? 1 : 0;
}

int do_explain(struct control *control)
{
    static const struct option options[] = {{"sender", 1, NULL, 's'}, {"client", 1, NULL, 'c'}, {"sasl", 1, NULL, 'a'},
                                            {"helo", 1, NULL, 'h'}, {"service", 1, NULL, 'm'}, {NULL, 0, NULL, 0}};
    struct run run = {.explain = {.control = control, .config = control->config, .arena = control->memory, .sender = ""}};
    struct explain *e = &run.explain;
    int letter;
    if (control->argument_count > 0 && strcmp(control->arguments[0], "auth") == 0)
        return explain_auth(control);
    optind = 0;
    while ((letter = getopt_long((int)control->argument_count + 1, (char *const *)control->arguments - 1, "", options, NULL)) > 0) {
        switch (letter) {
        case 's': e->sender = optarg ? optarg : ""; break;
        case 'c': e->client = optarg; break;
        case 'a': e->sasl_user = optarg; break;
        case 'h': e->helo = optarg; break;
        case 'm': e->service = optarg; break;
        default: say_fatal("%s", usage);
        }
    }
    if (optind != (int)control->argument_count)
        say_fatal("%s", usage);
    e->recipient = control->arguments[optind - 1];
    struct net_address address;
    if (e->client && !net_address_parse(&address, slice_of(e->client), 0))
        say_fatal("--client: not an IP address: %s", e->client);
    if (strcmp(e->sender, "<>") == 0)
        e->sender = "";
    e->route = route_new(e->config);
    tables_set_trace(trace, e);
    run_main(explain_all, &run);
    tables_set_trace(NULL, NULL);
    route_free(e->route);
    return run.status;
}
