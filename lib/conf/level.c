/* level.c - compatibility levels: major[.minor[.patch]] */
#include "conf/config_private.h"

static bool parse_level(struct slice text, uint64_t parts[3])
{
    struct slice head, tail = text;
    bool more = true;
    for (int i = 0; i < 3; i++) {
        parts[i] = 0;
        if (!more)
            continue;
        more = slice_cut(tail, '.', &head, &tail);
        if (!slice_to_u64(head, &parts[i]) || parts[i] > 1000000)
            return false;
    }
    return !more;
}

bool level_compare(struct slice a, struct slice b, int *result, struct slice *bad)
{
    uint64_t x[3], y[3];
    if (!parse_level(a, x) || !parse_level(b, y)) {
        *bad = parse_level(a, x) ? b : a;
        return false;
    }
    *result = 0;
    for (int i = 0; i < 3 && *result == 0; i++)
        *result = x[i] < y[i] ? -1 : x[i] > y[i];
    return true;
}

bool config_compatibility_below(struct config *config, const char *level)
{
    const char *own = config_string(config, "compatibility_level");
    struct slice bad;
    int result;
    if (level_compare(slice_of(own), slice_of(level), &result, &bad))
        return result < 0;
    config_problem(config, true, config->path, config_line_of(config, SLICE("compatibility_level")),
                   "malformed compatibility level syntax: \"" SLICE_FORMAT "\"", SLICE_ARGS(bad));
    return true;
}

bool config_is_old_default(struct config *config, const char *name)
{
    static const struct {
        const char *name, *since; /* the level that has another default */
        const char *also;         /* set: decides instead */
    } rows[] = {{"append_dot_mydomain", "1", NULL},
                {"smtputf8_enable", "1", NULL},
                {"smtpd_relay_restrictions", "1", NULL},
                {"relay_domains", "2", NULL},
                {"mynetworks_style", "2", "mynetworks"},
                {"smtpd_relay_before_recipient_restrictions", "3.6", NULL},
                {"respectful_logging", "3.6", NULL},
                {"smtpd_tls_fingerprint_digest", "3.6", NULL},
                {"smtp_tls_fingerprint_digest", "3.6", NULL},
                {"lmtp_tls_fingerprint_digest", "3.6", NULL}};
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        if (strcmp(rows[i].name, name) == 0)
            return config_raw(config, slice_of(name), NULL) == NULL &&
                   (rows[i].also == NULL || config_raw(config, slice_of(rows[i].also), NULL) == NULL) &&
                   config_compatibility_below(config, rows[i].since);
    return false;
}
