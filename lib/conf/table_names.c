/* table_names.c - see table_names.h (compat.md c.1) */
#include "conf/table_names.h"

#include "conf/config.h"

static const char *const memcache[] = {"memcache", "backup", "flags", "ttl", "key_format", "domain", "data_size_limit",
                                       "line_size_limit", "max_try", "retry_pause", "timeout", NULL};
#define SQL_LEGACY "table", "select_field", "where_field", "additional_conditions"
static const char *const mysql[] = {
    "hosts", "user", "password", "dbname", "query", "result_format", "domain", "expansion_limit", "charset", "retry_interval",
    "idle_interval", "require_result_set", "option_file", "option_group", "tls_key_file", "tls_cert_file", "tls_CAfile", "tls_CApath",
    "tls_ciphers", "tls_verify_cert", SQL_LEGACY, NULL};
static const char *const pgsql[] = {"hosts", "user", "password", "dbname", "query", "result_format", "domain", "expansion_limit",
                                    "encoding", "retry_interval", "idle_interval", "select_function", SQL_LEGACY, NULL};
static const char *const sqlite[] = {"dbpath", "query", "result_format", "domain", "expansion_limit", SQL_LEGACY, NULL};
static const char *const ldap[] = {
    "server_host", "server_port", "version", "search_base", "query_filter", "result_format", "result_filter", "domain",
    "result_attribute", "special_result_attribute", "leaf_result_attribute", "terminal_result_attribute", "scope", "bind", "bind_dn",
    "bind_pw", "sasl_mechs", "sasl_realm", "sasl_authz_id", "sasl_minssf", "recursion_limit", "expansion_limit", "size_limit",
    "timeout", "search_timeout", "dereference", "chase_referrals", "start_tls", "tls_require_cert", "tls_ca_cert_file",
    "tls_ca_cert_dir", "tls_cert", "tls_key", "tls_random_file", "tls_cipher_suite", "debuglevel", "cache", "cache_expiry",
    "cache_size", NULL};
static const char *const redis[] = {"hosts", "user", "password", "dbname", "query", "result_format", "domain", "expansion_limit", "timeout",
                                    "retry_interval", "idle_interval", "tls", "tls_verify_cert", "tls_CAfile", "tls_CApath", "tls_cert_file",
                                    "tls_key_file", NULL};
static const char *const mongodb[] = {"uri", "dbname", "collection", "query_filter", "projection", "result_attribute",
                                      "result_format", "expansion_limit", "domain", NULL};

static const struct {
    const char *type;
    const char *const *settings;
} types[] = {{"ldap", ldap}, {"memcache", memcache}, {"mongodb", mongodb}, {"mysql", mysql}, {"pgsql", pgsql}, {"redis", redis}, {"sqlite", sqlite}};

static const char *const *settings_of(struct slice type)
{
    for (size_t i = 0; i < COUNT_OF(types); i++)
        if (slice_equal(type, slice_of(types[i].type)))
            return types[i].settings;
    return NULL;
}

const char *table_setting_at(struct slice type, size_t index)
{
    const char *const *settings = settings_of(type);
    for (size_t i = 0; settings != NULL && settings[i] != NULL; i++)
        if (i == index)
            return settings[i];
    return NULL;
}

bool table_setting_known(struct slice type, struct slice setting)
{
    const char *const *settings = settings_of(type);
    for (size_t i = 0; settings != NULL && settings[i] != NULL; i++)
        if (slice_equal(setting, slice_of(settings[i])))
            return true;
    return false;
}

enum { NESTING_MAX = 20 };

static void search_list(struct slice list, int depth, void (*found)(void *, struct slice, struct slice), void *context)
{
    struct slice element, type, name, inside;
    while (config_list_next(&list, &element)) {
        while (slice_cut(element, ':', &type, &name)) {
            if (settings_of(type) != NULL)
                found(context, type, name);
            if (!slice_equal(type, SLICE("proxy")) && !slice_equal(type, SLICE("debug")))
                break;
            element = name;
        }
        bool nests = slice_starts(element, SLICE("pipemap:")) || slice_starts(element, SLICE("unionmap:"));
        if (nests && depth < NESTING_MAX && config_braced(slice_from(element, slice_find(element, ':') + 1), &inside))
            search_list(inside, depth + 1, found, context);
    }
}

void table_references(struct slice value, void (*found)(void *context, struct slice type, struct slice name), void *context)
{
    search_list(value, 0, found, context);
}
