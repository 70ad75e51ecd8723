/* parameters.c - the table of parameters.def and how its rows are found */
#include "base/clock.h"
#include "base/map.h"
#include "conf/config_private.h"

#define NO_MIN INT64_MIN
#define NO_MAX INT64_MAX
#define SECONDS(n) ((n)*MICROSECONDS)
#define DAYS(n) ((n)*INT64_C(86400) * MICROSECONDS)
#define HONOURED PARAMETER_HONOURED
#define NOT_YET PARAMETER_NOT_YET
#define NEEDLESS PARAMETER_NEEDLESS
#define OBSOLETE PARAMETER_OBSOLETE

static const struct parameter table[] = {
#define PARAMETER(name, type, default_value, minimum, maximum, unit, minimum_length, programs, state, ...) \
    {name, PARAMETER_##type, default_value, minimum, maximum, unit, minimum_length, programs, state, "" __VA_ARGS__},
#include "conf/parameters.def"
#undef PARAMETER
};

#define TRANSPORT_PREFIX "<transport>"

const struct parameter *parameter_at(size_t index)
{
    return index < COUNT_OF(table) ? &table[index] : NULL;
}

/* The index over the table is made once and lives as long as the process. */
static struct map *by_name(void)
{
    static struct map *map;
    if (map == NULL) {
        map = map_new(NULL);
        for (size_t i = 0; i < COUNT_OF(table); i++)
            map_set(map, slice_of(table[i].name), (void *)&table[i]);
    }
    return map;
}

const struct parameter *parameter_find(struct slice name)
{
    return map_get(by_name(), name);
}

const struct parameter *parameter_find_transport(struct slice name)
{
    const struct parameter *found = NULL;
    for (size_t i = 0; i < COUNT_OF(table); i++) {
        struct slice suffix = slice_of(table[i].name);
        if (!slice_starts(suffix, SLICE(TRANSPORT_PREFIX)))
            continue;
        suffix = slice_from(suffix, sizeof(TRANSPORT_PREFIX) - 1);
        /* the longest suffix: "_destination_recipient_limit" before "_recipient_limit" */
        if (name.len > suffix.len && slice_ends(name, suffix) &&
            (found == NULL || suffix.len > strlen(found->name) - (sizeof(TRANSPORT_PREFIX) - 1)))
            found = &table[i];
    }
    return found;
}

const struct parameter *parameter_of_suffix(struct slice suffix)
{
    for (size_t i = 0; i < COUNT_OF(table); i++) {
        struct slice name = slice_of(table[i].name);
        if (slice_starts(name, SLICE(TRANSPORT_PREFIX "_")) && slice_equal(slice_from(name, sizeof(TRANSPORT_PREFIX)), suffix))
            return &table[i];
    }
    return NULL;
}

/* edit_distance - insertions, deletions and replacements between two names of at most NAME_MAX bytes, cut off at limit. */
static size_t edit_distance(struct slice a, struct slice b, size_t limit)
{
    size_t row[NAME_MAX + 1];
    for (size_t j = 0; j <= b.len; j++)
        row[j] = j;
    for (size_t i = 1; i <= a.len; i++) {
        size_t diagonal = row[0], best = row[0] = i;
        for (size_t j = 1; j <= b.len; j++) {
            size_t cost = diagonal + (a.data[i - 1] != b.data[j - 1]);
            diagonal = row[j];
            if (row[j] + 1 < cost)
                cost = row[j] + 1;
            if (row[j - 1] + 1 < cost)
                cost = row[j - 1] + 1;
            row[j] = cost;
            best = cost < best ? cost : best;
        }
        if (best >= limit)
            return limit;
    }
    return row[b.len];
}

const char *name_nearest(struct slice name, const char *(*at)(size_t index))
{
    if (name.len == 0 || name.len > NAME_MAX)
        return NULL;
    /* one slip in four bytes, at most three: more is another name */
    size_t limit = name.len / 4 + 1;
    limit = limit > 4 ? 4 : limit < 2 ? 2 : limit;
    const char *nearest = NULL, *known;
    for (size_t i = 0; (known = at(i)) != NULL; i++) {
        if (known[0] == '\0' || strlen(known) > NAME_MAX)
            continue;
        size_t distance = edit_distance(name, slice_of(known), limit);
        if (distance < limit) {
            limit = distance;
            nearest = known;
        }
    }
    return nearest;
}

/* current_name_at - obsolete names are no help. */
static const char *current_name_at(size_t index)
{
    if (index >= COUNT_OF(table))
        return NULL;
    return table[index].state == PARAMETER_OBSOLETE ? "" : table[index].name;
}

const char *parameter_nearest(struct slice name)
{
    return name_nearest(name, current_name_at);
}
