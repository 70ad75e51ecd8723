/* check_milters.c - lists of mail filters: what cannot be a filter, options that there are not */
#include "conf/check_private.h"
#include "net/address.h"

static const char *const lists[] = {"smtpd_milters", "non_smtpd_milters"};

/* Where a list was found. */
struct place {
    const char *file;
    int line;
    const char *parameter;
};

static bool is_endpoint(struct slice text)
{
    struct slice type, place;

    if (!slice_cut(text, ':', &type, &place) || place.len == 0)
        return false;
    if (!slice_equal(type, SLICE("inet")))
        return slice_equal(type, SLICE("unix")) || slice_equal(type, SLICE("local"));
    size_t colon = slice_find_last(place, ':');
    return colon < place.len && net_service_port(slice_from(place, colon + 1)) != 0;
}

/* is_option - "connect_timeout=10s" or "{ default_action = accept }": milter_NAME must take the value.  copy: may be written to. */
static bool is_option(struct config *copy, struct slice option)
{
    static const struct {
        const char *name, *parameter, *choices;
    } known[] = {{"connect_timeout", "milter_connect_timeout", NULL},
                 {"command_timeout", "milter_command_timeout", NULL},
                 {"content_timeout", "milter_content_timeout", NULL},
                 {"default_action", "milter_default_action", "accept|reject|tempfail|quarantine|shutdown"},
                 {"protocol", "milter_protocol", "2|3|4|6"}};
    struct slice name, value;

    config_braced(option, &option);
    if (!slice_cut(option, '=', &name, &value))
        return false;
    name = slice_trim(name);
    value = slice_trim(value);
    for (size_t i = 0; i < COUNT_OF(known); i++)
        if (slice_equal(name, slice_of(known[i].name)))
            return config_set_fits(copy, slice_of(known[i].parameter), value) &&
                   (!known[i].choices || check_is_choice(slice_of(known[i].choices), value));
    return false;
}

static void check_filter(struct check *c, const struct config *config, const struct place *place, struct slice element)
{
    struct slice rest = {0}, endpoint = element, option;

    if (config_braced(element, &rest) && !config_list_next(&rest, &endpoint))
        endpoint = SLICE("");
    if (!is_endpoint(endpoint))
        check_found(c, FINDING_MILTER, FINDING_ERROR, place->file, place->line, place->parameter,
                    "%s: need inet:host:port or unix:path instead of \"" SLICE_FORMAT "\"", place->parameter, SLICE_ARGS(endpoint));
    if (rest.len == 0)
        return;
    struct config *copy = config_copy_quiet(config);
    while (config_list_next(&rest, &option))
        if (!is_option(copy, option))
            check_found(c, FINDING_MILTER, FINDING_ERROR, place->file, place->line, place->parameter,
                        "%s: " SLICE_FORMAT ": bad option \"" SLICE_FORMAT "\"", place->parameter, SLICE_ARGS(endpoint), SLICE_ARGS(option));
    config_free(copy);
}

static void check_list(struct check *c, struct config *config, const struct place *place)
{
    struct slice rest = slice_of(config_string(config, place->parameter)), element;

    while (config_list_next(&rest, &element))
        check_filter(c, config, place, element);
}

void check_milters(struct check *c)
{
    for (size_t i = 0; i < COUNT_OF(lists); i++)
        check_list(c, c->quiet, &(struct place){c->config->path, config_line_of(c->config, slice_of(lists[i])), lists[i]});
    for (size_t service = 0; service < c->services.count; service++)
        for (size_t i = 0; i < COUNT_OF(lists); i++) {
            if (name_service_setting(&c->named[service], lists[i]) == NULL)
                continue;
            struct config *own = check_service_config(c, service, config_ignore_problem, NULL);
            check_list(c, own, &(struct place){c->master_file, c->services.services[service].line, lists[i]});
            config_free(own);
        }
}
