/* params.c - reading the client's parameters */
#include "params.h"

#include "base/log.h"
#include "conf/interfaces.h"
#include "net/address.h"
#include "smtp/ehlo_keywords.h"

#define CONFIG_STRUCT struct client_params
#define PREFIXED(type, name) {"smtp_" #name, PARAMETER_##type, offsetof(struct client_params, name)},

static const struct config_binding common_bindings[] = {CONFIG_BINDINGS(COMMON_PARAMETERS)};
static const struct config_binding client_bindings[] = {CLIENT_PARAMETERS(PREFIXED)};

/* lmtp_name - what "helo" and "ehlo" are to SMTP, "lhlo" is to LMTP.  False: there is no such parameter, smtp's counts. */
static bool lmtp_name(const char *smtp_name, char *name, size_t size)
{
    const char *suffix = smtp_name + strlen("smtp_"), *hello = strstr(suffix, "helo");

    snprintf(name, size, "lmtp_%s", suffix);
    if (!hello && !(hello = strstr(suffix, "ehlo_keyword")))
        return parameter_find(slice_of(name)) != NULL;
    size_t at = strlen("lmtp_") + (size_t)(hello - suffix);
    memcpy(name + at, "lhlo", 4);
    return parameter_find(slice_of(name)) != NULL;
}

/* fill_prefixed - smtp_ names, or lmtp_ ones where such a row exists (a few are shared). */
static void fill_prefixed(struct config *config, bool lmtp, struct client_params *params)
{
    for (size_t i = 0; i < COUNT_OF(client_bindings); i++) {
        struct config_binding binding = client_bindings[i];
        char name[64];
        if (lmtp && lmtp_name(binding.name, name, sizeof(name)))
            binding.name = name;
        config_fill(config, &binding, 1, params);
    }
}

int client_params_pix(const struct client_params *params, struct slice list)
{
    struct slice word;
    int bits = 0;

    while (config_list_next(&list, &word)) {
        if (slice_equal_case(word, SLICE("disable_esmtp")))
            bits |= PIX_DISABLE_ESMTP;
        else if (slice_equal_case(word, SLICE("delay_dotcrlf")))
            bits |= PIX_DELAY_DOTCRLF;
        else
            log_warning("%s_pix_workarounds: unknown word \"" SLICE_FORMAT "\"", params->name, SLICE_ARGS(word));
    }
    return bits;
}

/* open_tables - NULL for what is not configured: the common case costs nothing. */
static struct table_list *open_tables(const struct client_params *params, const char *suffix, const char *value, struct config *config)
{
    char name[64];

    if (slice_trim(slice_of(value)).len == 0)
        return NULL;
    snprintf(name, sizeof(name), "%s_%s", params->name, suffix);
    return table_list_new(name, value, 0, config);
}

static void open_all_tables(struct config *config, struct client_params *params)
{
    params->discarded_keyword_maps = open_tables(params, "discard_ehlo_keyword_address_maps", params->discard_ehlo_keyword_address_maps, config);
    params->pix_maps = open_tables(params, "pix_workaround_maps", params->pix_workaround_maps, config);
    params->reply_filters = open_tables(params, "reply_filter", params->reply_filter, config);
}

void client_params_release(struct client_params *params)
{
    table_list_free(params->discarded_keyword_maps);
    table_list_free(params->pix_maps);
    table_list_free(params->reply_filters);
    params->discarded_keyword_maps = params->pix_maps = params->reply_filters = NULL;
}

static void check_source(const struct client_params *params, const char *suffix, const char *value)
{
    struct net_address address;

    if (value[0] != '\0' && !net_address_parse(&address, slice_of(value), 0))
        log_fatal("%s_%s: not a numerical address: %s", params->name, suffix, value);
}

void client_params_load(struct config *config, bool lmtp, struct client_params *params)
{
    memset(params, 0, sizeof(*params));
    fill_prefixed(config, lmtp, params);
    config_fill(config, common_bindings, COUNT_OF(common_bindings), params);
    params->lmtp = lmtp;
    params->name = lmtp ? "lmtp" : "smtp";
    params->discarded_keywords = smtp_ehlo_keywords(slice_of(params->discard_ehlo_keywords),
                                                    lmtp ? "lmtp_discard_lhlo_keywords" : "smtp_discard_ehlo_keywords");
    check_source(params, "bind_address", params->bind_address);
    check_source(params, "bind_address6", params->bind_address6);
    open_all_tables(config, params);
    params->default_port = net_service_port(slice_of(params->tcp_port));
    if (params->default_port == 0)
        log_fatal("unknown service: %s/tcp", params->tcp_port);
    params->families = config_families(config);
    params->use_mx = params->dns_support_level[0] ? strcmp(params->dns_support_level, "disabled") != 0 : !params->disable_dns_lookups;
    params->use_native = !params->use_mx || config_list_has(params->host_lookup, "native");
    params->use_dns = params->use_mx && (config_list_has(params->host_lookup, "dns") || !params->use_native);
}
