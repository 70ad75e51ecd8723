/* params.c (tls) - reading the parameters of TLS */
#include "tls/params.h"

#include "base/log.h"
#include "tls/library.h"

#define CONFIG_STRUCT struct tls_params
#define PREFIXED(type, name) {#name, PARAMETER_##type, offsetof(struct tls_params, name)},

static const struct config_binding prefixed_bindings[] = {TLS_PREFIXED_PARAMETERS(PREFIXED)};
static const struct config_binding client_bindings[] = {TLS_CLIENT_PARAMETERS(PREFIXED)};
static const struct config_binding server_bindings[] = {CONFIG_BINDINGS(TLS_SERVER_PARAMETERS)};
static const struct config_binding shared_bindings[] = {CONFIG_BINDINGS(TLS_SHARED_PARAMETERS)};

static void fill_prefixed(struct config *config, const char *prefix, const struct config_binding *bindings, size_t count,
                          struct tls_params *params)
{
    for (size_t i = 0; i < count; i++) {
        struct config_binding binding = bindings[i];
        char name[80];
        snprintf(name, sizeof(name), "%s_%s", prefix, binding.name);
        binding.name = name;
        config_fill(config, &binding, 1, params);
    }
}

int tls_log_bits(const char *level, const char *parameter)
{
    static const struct { const char *word; int bits; } words[] = {
        {"0", 0}, {"none", 0},
        {"1", TLS_LOG_SUMMARY}, {"routine", TLS_LOG_SUMMARY}, {"summary", TLS_LOG_SUMMARY},
        {"2", 63}, {"3", 63}, {"4", 63}, {"debug", 63}, {"ssl-expert", 63}, {"ssl-developer", 63},
        {"untrusted", TLS_LOG_UNTRUSTED}, {"peercert", TLS_LOG_PEERCERT}, {"certmatch", TLS_LOG_PEERCERT | TLS_LOG_CERTMATCH}, {"verbose", TLS_LOG_VERBOSE},
        {"cache", TLS_LOG_VERBOSE}, {"ssl-debug", TLS_LOG_STEPS}, {"ssl-handshake-packet-dump", 0}, {"ssl-session-packet-dump", 0},
    };
    struct slice rest = slice_of(level), word;
    int bits = 0;

    while (config_list_next(&rest, &word)) {
        size_t i = 0;
        while (i < COUNT_OF(words) && !slice_equal_case(word, slice_of(words[i].word)))
            i++;
        if (i == COUNT_OF(words))
            log_warning("%s: unknown logging level \"" SLICE_FORMAT "\"", parameter, SLICE_ARGS(word));
        else
            bits |= words[i].bits;
    }
    return bits;
}

void tls_params_load(struct config *config, const char *prefix, struct tls_params *params)
{
    char name[64];

    memset(params, 0, sizeof(*params));
    params->prefix = prefix;
    fill_prefixed(config, prefix, prefixed_bindings, COUNT_OF(prefixed_bindings), params);
    if (strcmp(prefix, "smtpd") == 0)
        config_fill(config, server_bindings, COUNT_OF(server_bindings), params);
    else
        fill_prefixed(config, prefix, client_bindings, COUNT_OF(client_bindings), params);
    config_fill(config, shared_bindings, COUNT_OF(shared_bindings), params);
    tls_library_configure(params->tls_config_file, params->tls_config_name);
    snprintf(name, sizeof(name), "%s_tls_loglevel", prefix);
    params->log = tls_log_bits(params->tls_loglevel, name);
}
