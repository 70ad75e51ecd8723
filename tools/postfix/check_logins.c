/* check_logins.c - users who cannot log in by what is offered: smtpd_sasl_type = file with SCRAM, and a table of nothing but crypt(3) hashes */
#include "base/map.h"
#include "checks.h"
#include "sasl/verifier.h"
#include "table/match.h"

/* Of the entries of a table. */
struct entries {
    size_t scram, hashes;
};

static void count(struct entries *entries, struct slice value, struct arena *arena)
{
    struct verifier verifier;
    verifier_parse(value, arena, &verifier);
    entries->scram += verifier.kind == VERIFIER_SCRAM && verifier.scram.hash == SCRAM_SHA_256;
    entries->hashes += verifier.kind == VERIFIER_CRYPT;
}

/* count_inline - "{ {alice = $6$...} bob=$6$... }". */
static void count_inline(struct entries *entries, struct slice path, struct arena *arena)
{
    struct slice rest, element, name, value;
    if (!config_braced(path, &rest))
        return;
    while (config_list_next(&rest, &element)) {
        config_braced(element, &element);
        if (slice_cut(element, '=', &name, &value))
            count(entries, slice_trim(value), arena);
    }
}

static void count_rows(struct entries *entries, const struct table_use *use, struct arena *arena)
{
    struct table_rows rows;
    if (strcmp(use->type, "inline") == 0)
        count_inline(entries, slice_of(use->path), arena);
    else if (table_use_has_rows(use) && table_rows_read(arena, use->path, false, &rows, NULL, NULL))
        for (size_t i = 0; i < rows.count; i++)
            count(entries, slice_of(rows.rows[i].value), arena);
}

static bool offers_scram(struct config *config)
{
    if (!config_bool(config, "smtpd_sasl_auth_enable") || strcmp(config_string(config, "smtpd_sasl_type"), "file") != 0)
        return false;
    struct match_list *filter = match_list_new("smtpd_sasl_mechanism_filter", config_string(config, "smtpd_sasl_mechanism_filter"), MATCH_STRING_LIST, config);
    bool offered = match_list_is_empty(filter) || match_string(filter, SLICE("SCRAM-SHA-256")) == MATCH_YES;
    match_list_free(filter);
    return offered;
}

static void check_users_of(struct checks *checks, const char *path, struct map *seen)
{
    for (size_t i = 0; i < checks->tables.count; i++) {
        const struct table_use *use = &checks->tables.uses[i];
        struct entries entries = {0};
        if (strcmp(use->place.name, "smtpd_sasl_path") != 0 || strcmp(use->place.value, path) != 0 || map_get(seen, slice_of(use->name)))
            continue;
        map_set(seen, slice_of(use->name), checks);
        struct arena *arena = arena_new(0);
        count_rows(&entries, use, arena);
        arena_free(arena);
        const char *shown = strcmp(use->type, "inline") == 0 ? "inline" : use->name; /* hashes are nothing to print */
        if (entries.hashes && !entries.scram)
            found(checks->control, FINDING_NO_SCRAM_SECRET, FINDING_NOTE, use->place.file, use->place.line, use->place.name,
                  "%s: table %s: SCRAM-SHA-256 is offered, and no entry has a secret for it: all are hashes for PLAIN and LOGIN", use->place.name, shown);
    }
}

void check_logins(struct checks *checks)
{
    struct map *seen = map_new(NULL);
    for (size_t i = 0; i < checks->services.count; i++)
        if (is_program(&checks->services.services[i], "smtpd") && offers_scram(checks->service_configs[i]))
            check_users_of(checks, config_string(checks->service_configs[i], "smtpd_sasl_path"), seen);
    map_free(seen);
}
