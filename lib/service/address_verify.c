/* address_verify.c - entries of the verify cache, and the sender of probes */
#include "service/address_verify.h"

#include "address/mail_address.h"

/* Later times do not come from us, and could not be counted in microseconds. */
static const int64_t latest = INT64_MAX / MICROSECONDS / 2;

enum { PROBE_PATIENCE = 1000 /* seconds: a probe that was not answered by then is lost */, STAMP_DIGITS = 16 };

#define CONFIG_STRUCT struct address_verify_params
static const struct config_binding bindings[] = {CONFIG_BINDINGS(ADDRESS_VERIFY_PARAMETERS)};

void address_verify_params_load(struct config *config, struct address_verify_params *params)
{
    config_fill(config, bindings, COUNT_OF(bindings), params);
}

/* ---- entries ---- */

static bool take_number(struct slice *rest, int64_t most, int64_t *number)
{
    struct slice head;

    return slice_cut(*rest, ':', &head, rest) && slice_to_i64(head, number) && *number >= 0 && *number <= most;
}

bool address_entry_parse(struct slice value, struct address_entry *entry)
{
    int64_t status;

    if (!take_number(&value, ADDRESS_PENDING, &status) || !take_number(&value, latest, &entry->probed) || !take_number(&value, latest, &entry->updated))
        return false;
    entry->status = (enum address_status)status;
    entry->text = value;
    return true;
}

struct slice address_entry_format(const struct address_entry *entry, struct arena *arena)
{
    return arena_format(arena, "%d:%lld:%lld:" SLICE_FORMAT, (int)entry->status, (long long)entry->probed, (long long)entry->updated,
                        SLICE_ARGS(entry->text));
}

/* ends - when a result of that time is not believed any more. */
static int64_t ends(const struct address_verify_params *params, const struct address_entry *entry)
{
    int64_t lifetime = entry->status == ADDRESS_DELIVERABLE ? params->address_verify_positive_expire_time
                                                             : params->address_verify_negative_expire_time;

    if (entry->status == ADDRESS_PENDING)
        return (entry->probed + PROBE_PATIENCE) * MICROSECONDS;
    return entry->updated > (INT64_MAX - lifetime) / MICROSECONDS ? INT64_MAX : entry->updated * MICROSECONDS + lifetime;
}

bool address_entry_expired(const struct address_verify_params *params, const struct address_entry *entry, int64_t now)
{
    return ends(params, entry) <= now;
}

bool address_entry_due(const struct address_verify_params *params, const struct address_entry *entry, int64_t now)
{
    int64_t refresh = entry->status == ADDRESS_DELIVERABLE ? params->address_verify_positive_refresh_time
                                                            : params->address_verify_negative_refresh_time;

    if (entry->probed && now / MICROSECONDS - entry->probed < PROBE_PATIENCE)
        return false;
    return entry->status == ADDRESS_PENDING || now - entry->updated * MICROSECONDS >= refresh;
}

int64_t address_entry_lifetime(const struct address_verify_params *params, const struct address_entry *entry, int64_t now)
{
    int64_t left = ends(params, entry) - now;

    return left > 0 ? left : 1;
}

bool address_entry_kept(const struct address_verify_params *params, const struct address_entry *old, enum address_status result, int64_t now)
{
    if (result == ADDRESS_DELIVERABLE)
        return true;
    if (old && old->status == ADDRESS_DELIVERABLE && !address_entry_expired(params, old, now))
        return false;
    return params->address_verify_negative_cache;
}

/* ---- the sender of probes ---- */

struct slice address_verify_base(const struct address_verify_params *params)
{
    struct slice sender = slice_trim(slice_of(params->address_verify_sender));

    return slice_equal(sender, SLICE("<>")) ? SLICE("") : sender;
}

/* stamp - the number of the period in digits that make no words: base 31, without vowels. */
static struct slice stamp(uint64_t period, char digits[STAMP_DIGITS])
{
    static const char alphabet[] = "0123456789BCDFGHJKLMNPQRSTVWXYZ";
    size_t at = STAMP_DIGITS;

    do
        digits[--at] = alphabet[period % (sizeof(alphabet) - 1)];
    while (period /= sizeof(alphabet) - 1);
    return slice_make(digits + at, STAMP_DIGITS - at);
}

/* changing_name - in the period that is so many periods away. */
static struct slice changing_name(const struct address_verify_params *params, struct slice base, int64_t now, int away, struct arena *arena)
{
    char digits[STAMP_DIGITS];
    struct slice domain = mail_address_domain(base), local = slice_first(base, base.len - domain.len - (domain.len > 0));
    struct slice text = stamp((uint64_t)(now / params->address_verify_sender_ttl + away), digits);

    return arena_format(arena, SLICE_FORMAT SLICE_FORMAT "%s" SLICE_FORMAT, SLICE_ARGS(local), SLICE_ARGS(text), domain.len ? "@" : "",
                        SLICE_ARGS(domain));
}

/* changes - seconds are the least unit that counts. */
static bool changes(const struct address_verify_params *params, struct slice base)
{
    return base.len > 0 && params->address_verify_sender_ttl >= MICROSECONDS;
}

struct slice address_verify_sender(const struct address_verify_params *params, struct slice base, int64_t now, struct arena *arena)
{
    return changes(params, base) ? changing_name(params, base, now, 0, arena) : base;
}

bool address_verify_is_sender(const struct address_verify_params *params, struct slice base, struct slice address, int64_t now)
{
    struct arena *arena;
    bool found = false;

    if (!changes(params, base) || address.len <= base.len)
        return false;
    arena = arena_new(512);
    for (int away = -1; away <= 1 && !found; away++) {
        struct slice name = changing_name(params, base, now, away, arena);
        struct slice domain = mail_address_domain(name);
        found = slice_equal_case(name, address) && slice_equal(slice_first(name, name.len - domain.len), slice_first(address, name.len - domain.len));
    }
    arena_free(arena);
    return found;
}
