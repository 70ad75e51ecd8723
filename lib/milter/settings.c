/* settings.c - which filters there are, and what main.cf says about each */
#include "milter/private.h"

#include "table/server.h"

/* CONFIG_BINDINGS wants to know whose members they are. */
#define CONFIG_STRUCT struct milter_params
static void fill(struct config *config, struct milter_params *params)
{
    static const struct config_binding bindings[] = {CONFIG_BINDINGS(MILTER_PARAMETERS)};

    config_fill(config, bindings, COUNT_OF(bindings), params);
}
#undef CONFIG_STRUCT

/* ---- where a filter is ---- */

/* find_now - before the sandbox closes, when names can be looked up in all ways. */
static void find_now(struct milter_endpoint *e)
{
    struct server server;

    if (server_parse(&server, slice_of(e->text), false) && server.port)
        e->address = server.known;
}

static bool take_inet(struct milter_endpoint *e, struct slice place)
{
    size_t colon = slice_find_last(place, ':');
    struct slice host = slice_first(place, colon);

    if (slice_starts(host, SLICE("[")) && slice_ends(host, SLICE("]")))
        host = slice_make(host.data + 1, host.len - 2);
    e->port = colon < place.len ? net_service_port(slice_from(place, colon + 1)) : 0;
    if (e->port == 0) {
        log_warning("Milter service %s: need inet:host:port", e->text);
        return false;
    }
    if (host.len == 0 || slice_equal_case(host, SLICE("localhost")))
        host = SLICE("127.0.0.1");
    if (!net_address_parse(&e->address, host, e->port)) {
        e->name = host;
        find_now(e);
    }
    return true;
}

static bool take_endpoint(struct milter_endpoint *e, struct slice text)
{
    struct slice type, place;

    e->text = slice_string(text);
    if (!slice_cut(slice_of(e->text), ':', &type, &place) || place.len == 0) {
        log_warning("Milter service needs transport:endpoint instead of \"%s\"", e->text);
        return false;
    }
    if (slice_equal(type, SLICE("inet")))
        return take_inet(e, place);
    if (slice_equal(type, SLICE("unix")) || slice_equal(type, SLICE("local")))
        return net_address_unix(&e->address, place);
    log_warning("invalid transport name: " SLICE_FORMAT " in Milter service: %s", SLICE_ARGS(type), e->text);
    return false;
}

/* ---- options ---- */

/* take_option - "connect_timeout=10s" or "{ default_action = accept }", into a copy of the configuration, which knows types and limits. */
static bool take_option(struct config *config, struct slice option)
{
    static const char *const known[] = {"connect_timeout", "command_timeout", "content_timeout", "default_action", "protocol"};
    struct slice name, value;
    char parameter[64];

    config_braced(option, &option);
    if (!slice_cut(option, '=', &name, &value))
        return false;
    name = slice_trim(name);
    for (size_t i = 0; i < COUNT_OF(known); i++) {
        if (!slice_equal(name, slice_of(known[i])))
            continue;
        snprintf(parameter, sizeof(parameter), "milter_%s", known[i]);
        return config_set_fits(config, slice_of(parameter), slice_trim(value));
    }
    return false;
}

static void take_params(struct milter_endpoint *e, const struct milter_params *p)
{
    e->connect_timeout = p->milter_connect_timeout;
    e->command_timeout = p->milter_command_timeout;
    e->content_timeout = p->milter_content_timeout;
    e->default_action = memory_string(p->milter_default_action);
    e->protocol = memory_string(p->milter_protocol);
}

/* add - one element of the list. */
static void add(struct milter_list *list, struct slice element)
{
    struct milter_endpoint *e = &list->endpoints[list->count++];
    struct slice rest = {0}, text = element, option;
    bool braced = config_braced(element, &rest);

    *e = (struct milter_endpoint){0};
    if (braced && !config_list_next(&rest, &text))
        text = SLICE("");
    e->broken = !take_endpoint(e, text);
    if (rest.len == 0) {
        take_params(e, &list->params);
        return;
    }
    struct config *own = config_copy_quiet(list->config);
    struct milter_params params;
    while (config_list_next(&rest, &option)) {
        if (take_option(own, option))
            continue;
        log_warning("Milter service %s: bad option: " SLICE_FORMAT, e->text, SLICE_ARGS(option));
        e->broken = true;
    }
    fill(own, &params);
    take_params(e, &params);
    config_free(own);
}

static size_t elements(struct slice text)
{
    size_t count = 0;

    for (struct slice element; config_list_next(&text, &element);)
        count++;
    return count;
}

/* check_defaults - milter_macro_defaults: what has no "=" is told and left out. */
static void check_defaults(const struct milter_params *params)
{
    struct slice rest = slice_of(params->milter_macro_defaults), item;

    while (config_list_next(&rest, &item))
        if (slice_find(item, '=') == item.len || slice_starts(item, SLICE("=")))
            log_warning("milter_macro_defaults: malformed default macro entry \"" SLICE_FORMAT "\": need name=value or { name = value }", SLICE_ARGS(item));
}

struct milter_list *milter_list_open(struct slice text, const char *parameter, struct config *config)
{
    struct milter_list *list = memory_zalloc(1, sizeof(*list));
    size_t count = elements(text);

    list->config = config;
    fill(config, &list->params);
    if (count == 0)
        return list;
    if (strcmp(parameter, "smtpd_milter_maps") != 0) /* said already, at start */
        check_defaults(&list->params);
    list->endpoints = memory_zalloc(count, sizeof(*list->endpoints));
    for (struct slice element; config_list_next(&text, &element);)
        add(list, element);
    return list;
}

void milter_list_close(struct milter_list *list)
{
    if (!list)
        return;
    for (size_t i = 0; i < list->count; i++) {
        free(list->endpoints[i].text);
        free(list->endpoints[i].default_action);
        free(list->endpoints[i].protocol);
    }
    free(list->endpoints);
    free(list);
}

bool milter_list_is_empty(const struct milter_list *list)
{
    return list->count == 0;
}
