/* check_restrictions.c - lists of access restrictions: names that do not exist, words that are missing, no control of relaying */
#include "base/arena.h"
#include "conf/check_private.h"
#include "conf/restrictions.h"

static const char *const lists[] = {"smtpd_client_restrictions", "smtpd_helo_restrictions", "smtpd_sender_restrictions",
                                    "smtpd_relay_restrictions", "smtpd_recipient_restrictions", "smtpd_data_restrictions",
                                    "smtpd_end_of_data_restrictions", "smtpd_etrn_restrictions"};

/* Where a list was found. */
struct place {
    const char *file;
    int line;
    const char *parameter;
};

static bool is_class(struct config *config, struct slice word)
{
    struct slice rest = slice_of(config_string(config, "smtpd_restriction_classes")), class;
    while (config_list_next(&rest, &class))
        if (slice_equal(class, word))
            return true;
    return false;
}

static void unknown_name(struct check *c, const struct place *place, struct slice word)
{
    const char *nearest = restriction_nearest(word), *name = arena_string(c->arena, word);
    if (nearest != NULL)
        check_found(c, FINDING_RESTRICTION_UNKNOWN, FINDING_ERROR, place->file, place->line, name,
                    "%s: unknown restriction \"%s\" (did you mean %s?)", place->parameter, name, nearest);
    else
        check_found(c, FINDING_RESTRICTION_UNKNOWN, FINDING_ERROR, place->file, place->line, name, "%s: unknown restriction \"%s\"",
                    place->parameter, name);
}

/* policy_option_fits - "timeout=10s" or "{ default_action = DEFER try later }": smtpd_policy_service_NAME must take the value.  copy: may be written to. */
static bool policy_option_fits(struct check *c, struct config *copy, struct slice option)
{
    struct slice name, value;
    config_braced(option, &option);
    if (!slice_cut(option, '=', &name, &value))
        return false;
    const char *parameter = arena_printf(c->arena, "smtpd_policy_service_" SLICE_FORMAT, SLICE_ARGS(slice_trim(name)));
    return parameter_find(slice_of(parameter)) != NULL && config_set_fits(copy, slice_of(parameter), slice_trim(value));
}

/* check_policy - "{ inet:host:port, timeout=10s }". */
static void check_policy(struct check *c, const struct config *config, const struct place *place, struct slice argument)
{
    struct slice rest, endpoint = {0}, option;
    if (!config_braced(argument, &rest) || !config_list_next(&rest, &endpoint))
        return;
    struct config *copy = config_copy_quiet(config);
    while (config_list_next(&rest, &option))
        if (!policy_option_fits(c, copy, option))
            check_found(c, FINDING_RESTRICTION_ARGUMENT, FINDING_ERROR, place->file, place->line, "check_policy_service",
                        "%s: check_policy_service " SLICE_FORMAT ": bad option \"" SLICE_FORMAT "\"", place->parameter, SLICE_ARGS(endpoint),
                        SLICE_ARGS(option));
    config_free(copy);
}

static void check_list(struct check *c, struct config *config, const struct place *place)
{
    struct slice rest = slice_of(config_string(config, place->parameter)), word, argument;
    enum restriction_argument wanted;
    while (config_list_next(&rest, &word)) {
        if (is_class(config, word) || slice_find(word, ':') < word.len)
            continue;
        if (!restriction_known(word, &wanted)) {
            unknown_name(c, place, word);
            return; /* whether the next word belongs to it is not known */
        }
        bool missing = wanted != RESTRICTION_NONE && !config_list_next(&rest, &argument);
        if (!missing && wanted == RESTRICTION_TABLE && slice_find(argument, ':') == argument.len)
            check_found(c, FINDING_RESTRICTION_ARGUMENT, FINDING_WARNING, place->file, place->line, arena_string(c->arena, word),
                        "%s: %s: expecting \"type:name\" instead of \"" SLICE_FORMAT "\"", place->parameter, arena_string(c->arena, word),
                        SLICE_ARGS(argument));
        if (!missing && wanted == RESTRICTION_POLICY)
            check_policy(c, config, place, argument);
        if (missing)
            check_found(c, FINDING_RESTRICTION_ARGUMENT, FINDING_ERROR, place->file, place->line, arena_string(c->arena, word),
                        "%s: %s requires an argument", place->parameter, arena_string(c->arena, word));
    }
}

static void check_main_lists(struct check *c, struct config *config)
{
    struct slice rest = slice_of(config_string(config, "smtpd_restriction_classes")), class;
    for (size_t i = 0; i < COUNT_OF(lists); i++)
        check_list(c, config, &(struct place){config->path, config_line_of(config, slice_of(lists[i])), lists[i]});
    while (config_list_next(&rest, &class))
        check_list(c, config, &(struct place){config->path, config_line_of(config, class), arena_string(c->arena, class)});
}

/* check_own_list - a list of master.cf, if the service has one of that name. */
static void check_own_list(struct check *c, size_t service, struct config *config, const char *name)
{
    if (name_service_setting(&c->named[service], name) != NULL)
        check_list(c, config, &(struct place){c->master_file, c->services.services[service].line, name});
}

static void check_service_lists(struct check *c, size_t service, struct config *config)
{
    struct slice rest = slice_of(config_string(config, "smtpd_restriction_classes")), class;
    for (size_t i = 0; i < COUNT_OF(lists); i++)
        check_own_list(c, service, config, lists[i]);
    while (config_list_next(&rest, &class))
        check_own_list(c, service, config, arena_string(c->arena, class));
}

/* ---- relaying ---- */

/* stops_relaying - smtpd wants one of these in one of the two lists. */
static bool stops_relaying(struct config *config, const char *parameter)
{
    static const char *const stops[] = {"reject_unauth_destination", "defer_unauth_destination", "check_relay_domains", "reject", "defer", "defer_if_permit"};
    struct slice rest = slice_of(config_string(config, parameter)), word;
    enum restriction_argument wanted;
    while (config_list_next(&rest, &word)) {
        if (slice_equal_case(word, SLICE("warn_if_reject"))) {
            config_list_next(&rest, &word);
            continue;
        }
        for (size_t i = 0; i < COUNT_OF(stops); i++)
            if (slice_equal_case(word, slice_of(stops[i])))
                return true;
        if (restriction_known(word, &wanted) && wanted != RESTRICTION_NONE)
            config_list_next(&rest, &word);
    }
    return false;
}

static void check_relay_control(struct check *c, size_t service, struct config *config)
{
    if (!stops_relaying(config, "smtpd_relay_restrictions") && !stops_relaying(config, "smtpd_recipient_restrictions"))
        check_found(c, FINDING_RELAY_CONTROL, FINDING_ERROR, c->master_file, c->services.services[service].line, c->named[service].name,
                    "service %s: in smtpd_relay_restrictions or smtpd_recipient_restrictions, specify at least one working instance of: "
                    "reject_unauth_destination, defer_unauth_destination, reject, defer or defer_if_permit", c->named[service].name);
}

void check_restrictions(struct check *c)
{
    bool first = true;
    for (size_t i = 0; i < c->services.count; i++) {
        if (strcmp(c->named[i].command, "smtpd") != 0)
            continue;
        struct config *config = check_service_config(c, i, config_ignore_problem, NULL);
        if (first)
            check_main_lists(c, c->quiet);
        first = false;
        check_service_lists(c, i, config);
        check_relay_control(c, i, config);
        config_free(config);
    }
}
