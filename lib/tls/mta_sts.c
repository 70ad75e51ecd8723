/* mta_sts.c - see mta_sts.h */
#include "tls/mta_sts.h"

enum { ID_MAX = 32, AGE_DIGITS_MAX = 10, NAME_MAX_BYTES = 253 };

static const char *const mode_names[] = {[MTA_STS_NONE] = "none", [MTA_STS_TESTING] = "testing", [MTA_STS_ENFORCE] = "enforce"};

const char *mta_sts_mode_name(enum mta_sts_mode mode)
{
    return mode_names[mode];
}

/* ---- the TXT record ---- */

/* next_field - "name=value" up to ";", without blanks around; false at the end. */
static bool next_field(struct slice *rest, struct slice *field)
{
    struct slice tail;

    if (rest->len == 0)
        return false;
    slice_cut(*rest, ';', field, &tail);
    *rest = field->len < rest->len ? tail : slice_from(*rest, rest->len);
    *field = slice_trim(*field);
    return true;
}

static bool is_id(struct slice text)
{
    for (size_t i = 0; i < text.len; i++)
        if (!isalnum((unsigned char)text.data[i]) || (unsigned char)text.data[i] > 127)
            return false;
    return text.len > 0 && text.len <= ID_MAX;
}

bool mta_sts_record(struct slice text, struct slice *id)
{
    struct slice field, found = {0};
    bool any = false;

    if (!next_field(&text, &field) || !slice_equal(field, SLICE("v=STSv1")))
        return false;
    while (next_field(&text, &field)) {
        if (any || !slice_starts(field, SLICE("id=")))
            continue; /* extensions; of two ids the first counts */
        any = true;
        found = slice_from(field, 3);
    }
    if (!is_id(found))
        return false;
    *id = found;
    return true;
}

/* ---- the policy ---- */

struct reading {
    struct arena *arena;
    struct mta_sts_policy *policy;
    struct buffer *why;
    bool version, mode, max_age; /* seen */
};

static bool bad(struct reading *r, const char *what, struct slice value)
{
    buffer_printf(r->why, "%s \"" SLICE_FORMAT "\"", what, SLICE_ARGS(slice_first(value, 60)));
    return false;
}

static bool take_version(struct reading *r, struct slice value)
{
    if (r->version)
        return true;
    r->version = true;
    return slice_equal(value, SLICE("STSv1")) || bad(r, "unknown version", value);
}

static bool take_mode(struct reading *r, struct slice value)
{
    if (r->mode)
        return true;
    r->mode = true;
    for (size_t i = 0; i < COUNT_OF(mode_names); i++) {
        if (slice_equal(value, slice_of(mode_names[i]))) {
            r->policy->mode = (enum mta_sts_mode)i;
            return true;
        }
    }
    return bad(r, "unknown mode", value);
}

static bool take_max_age(struct reading *r, struct slice value)
{
    if (r->max_age)
        return true;
    r->max_age = true;
    for (size_t i = 0; i < value.len; i++)
        if (!isdigit((unsigned char)value.data[i]))
            return bad(r, "bad max_age", value);
    if (value.len > AGE_DIGITS_MAX || !slice_to_i64(value, &r->policy->max_age))
        return bad(r, "bad max_age", value);
    if (r->policy->max_age > MTA_STS_MAX_AGE)
        r->policy->max_age = MTA_STS_MAX_AGE;
    return true;
}

/* is_host_name - labels of letters, digits, hyphens and underscores. */
static bool is_host_name(struct slice name)
{
    struct slice label;

    if (name.len == 0 || name.len > NAME_MAX_BYTES)
        return false;
    do {
        bool more = slice_cut(name, '.', &label, &name);
        if (label.len == 0 || label.len > 63)
            return false;
        for (size_t i = 0; i < label.len; i++)
            if ((unsigned char)label.data[i] > 127 || (!isalnum((unsigned char)label.data[i]) && label.data[i] != '-' && label.data[i] != '_'))
                return false;
        if (!more)
            return true;
    } while (name.len > 0);
    return false;
}

static struct slice without_dot(struct slice name)
{
    return slice_ends(name, SLICE(".")) ? slice_first(name, name.len - 1) : name;
}

static bool take_mx(struct reading *r, struct slice value)
{
    struct mta_sts_policy *policy = r->policy;
    struct slice name = without_dot(value);

    if (!is_host_name(slice_starts(name, SLICE("*.")) ? slice_from(name, 2) : name))
        return bad(r, "bad mx", value);
    if (policy->pattern_count == MTA_STS_PATTERNS_MAX)
        return bad(r, "too many mx lines at", value);
    policy->patterns[policy->pattern_count++] = arena_lower(r->arena, name);
    return true;
}

static bool take_line(struct reading *r, struct slice line)
{
    static const struct {
        struct slice name;
        bool (*take)(struct reading *r, struct slice value);
    } rows[] = {{{"version", 7}, take_version}, {{"mode", 4}, take_mode}, {{"max_age", 7}, take_max_age}, {{"mx", 2}, take_mx}};
    struct slice name, value;

    if (!slice_cut(line, ':', &name, &value))
        return bad(r, "malformed line", line);
    name = slice_trim_right(name);
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        if (slice_equal(name, rows[i].name))
            return rows[i].take(r, slice_trim(value));
    return true; /* extensions */
}

bool mta_sts_parse(struct slice text, struct arena *arena, struct mta_sts_policy *policy, struct buffer *why)
{
    struct reading r = {.arena = arena, .policy = policy, .why = why};
    struct slice line;

    *policy = (struct mta_sts_policy){0};
    if (text.len > MTA_STS_TEXT_MAX)
        return bad(&r, "the policy is too long:", slice_first(text, 20));
    policy->patterns = arena_alloc(arena, MTA_STS_PATTERNS_MAX * sizeof(*policy->patterns));
    while (slice_next_line(&text, &line)) {
        line = slice_trim_right(line);
        if (line.len && !take_line(&r, line))
            return false;
    }
    if (!r.version || !r.mode || !r.max_age) {
        buffer_printf(why, "no %s", !r.version ? "version" : !r.mode ? "mode" : "max_age");
        return false;
    }
    if (policy->mode != MTA_STS_NONE && policy->pattern_count == 0) {
        buffer_append_string(why, "no mx");
        return false;
    }
    return true;
}

bool mta_sts_pattern_matches(struct slice pattern, struct slice host)
{
    pattern = without_dot(pattern);
    host = without_dot(host);
    if (!slice_starts(pattern, SLICE("*.")))
        return slice_equal_case(pattern, host);
    size_t dot = slice_find(host, '.');
    return dot > 0 && dot < host.len && slice_equal_case(slice_from(host, dot), slice_from(pattern, 1));
}

bool mta_sts_matches(const struct mta_sts_policy *policy, struct slice host)
{
    for (size_t i = 0; i < policy->pattern_count; i++)
        if (mta_sts_pattern_matches(policy->patterns[i], host))
            return true;
    return false;
}
