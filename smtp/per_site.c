/* per_site.c - see per_site.h */
#include "per_site.h"

#include "base/log.h"

struct table_list *per_site_open(struct config *config, const struct client_params *params)
{
    const struct tls_params *p = &params->tls_params;
    char name[64];

    if (p->tls_per_site[0] == '\0' || p->tls_security_level[0] != '\0' || p->tls_policy_maps[0] != '\0')
        return NULL;
    snprintf(name, sizeof(name), "%s_tls_per_site", params->name);
    return table_list_new(name, p->tls_per_site, TABLE_FOLD, config);
}

const char per_site_again[] = "Temporary lookup error";

/* look_up - the level of one entry; none: TLS_FINGERPRINT, which these tables cannot ask for. */
static const char *look_up(const struct client_params *params, struct slice key, enum tls_level *level)
{
    static const struct { struct slice word; enum tls_level level; } words[] = {
        {{"NONE", 4}, TLS_NONE}, {{"MAY", 3}, TLS_MAY}, {{"MUST_NOPEERMATCH", 16}, TLS_ENCRYPT}, {{"MUST", 4}, TLS_VERIFY}};
    struct buffer value = BUFFER_INIT_MAX(256);
    bool good = false;

    *level = TLS_FINGERPRINT;
    enum table_result found = table_list_lookup(params->tls_sites, key, true, &value);
    struct slice word = slice_trim(buffer_slice(&value));
    for (size_t i = 0; found == TABLE_FOUND && i < COUNT_OF(words) && !good; i++) {
        good = slice_equal_case(word, words[i].word);
        *level = good ? words[i].level : *level;
    }
    if (found == TABLE_TRY_AGAIN)
        log_warning("%s_tls_per_site: next-hop destination \"" SLICE_FORMAT "\": per-site table lookup error", params->name, SLICE_ARGS(key));
    else if (found == TABLE_FOUND && !good)
        log_warning("%s_tls_per_site: unknown TLS policy '" SLICE_FORMAT "' for next-hop destination " SLICE_FORMAT, params->name, SLICE_ARGS(slice_first(word, 60)),
                    SLICE_ARGS(key));
    buffer_release(&value);
    return found == TABLE_TRY_AGAIN ? per_site_again : good || found == TABLE_NOT_FOUND ? NULL : "client TLS configuration problem";
}

/* join - MAY is the least specific, among the others the stronger one counts. */
static enum tls_level join(enum tls_level a, enum tls_level b)
{
    if (a == TLS_FINGERPRINT || b == TLS_FINGERPRINT)
        return a == TLS_FINGERPRINT ? b : a;
    if (a == TLS_MAY || b == TLS_MAY)
        return a == TLS_MAY ? b : a;
    return a > b ? a : b;
}

const char *per_site_find(const struct client_params *params, const struct host *host, enum tls_level *level, bool *found)
{
    enum tls_level by_next_hop = TLS_FINGERPRINT, by_host = TLS_FINGERPRINT;

    *found = false;
    if (!params->tls_sites)
        return NULL;
    const char *trouble = host->destination ? look_up(params, host->destination->host, &by_next_hop) : NULL;
    trouble = trouble ? trouble : look_up(params, host->name, &by_host);
    if (trouble)
        return trouble;
    enum tls_level site = join(by_next_hop, by_host);
    *found = site != TLS_FINGERPRINT;
    if (*found && (site != TLS_MAY || *level < TLS_MAY)) /* MAY gives way to what holds for all */
        *level = site;
    return NULL;
}
