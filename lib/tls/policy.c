/* policy.c (tls) - see policy.h */
#include "tls/policy.h"

#include "tls/settings.h"

static const char *const level_names[] = {
    [TLS_NONE] = "none", [TLS_MAY] = "may", [TLS_ENCRYPT] = "encrypt", [TLS_DANE] = "dane", [TLS_DANE_ONLY] = "dane-only",
    [TLS_FINGERPRINT] = "fingerprint", [TLS_VERIFY] = "verify", [TLS_SECURE] = "secure",
};

bool tls_level_parse(struct slice name, enum tls_level *level)
{
    for (size_t i = 0; i < COUNT_OF(level_names); i++) {
        if (slice_equal_case(name, slice_of(level_names[i]))) {
            *level = (enum tls_level)i;
            return true;
        }
    }
    return false;
}

const char *tls_level_name(enum tls_level level)
{
    return level_names[level];
}

/* shown - in messages. */
static struct slice shown(struct slice text)
{
    return slice_first(text, 100);
}

/* An attribute being read. */
struct attribute {
    struct tls_policy *policy;
    struct slice name, value;
    struct arena *arena;
    struct buffer *why;
    unsigned seen; /* bits of the attributes that were there */
};

static bool bad(struct attribute *a, const char *what)
{
    buffer_printf(a->why, "%s \"" SLICE_FORMAT "\"", what, SLICE_ARGS(shown(a->value)));
    return false;
}

static bool bad_empty(struct attribute *a)
{
    buffer_printf(a->why, "attribute \"" SLICE_FORMAT "\" has empty value", SLICE_ARGS(shown(a->name)));
    return false;
}

static bool bad_for_level(struct attribute *a)
{
    buffer_printf(a->why, "attribute \"" SLICE_FORMAT "\" invalid at security level \"%s\"", SLICE_ARGS(shown(a->name)), tls_level_name(a->policy->level));
    return false;
}

static bool take_protocols(struct attribute *a)
{
    if (tls_versions_parse(a->value) < 0)
        return bad(a, "invalid protocols value");
    a->policy->protocols = a->value;
    return true;
}

static bool take_ciphers(struct attribute *a)
{
    static const char *const grades[] = {"high", "medium", "low", "export", "null"};

    for (size_t i = 0; i < COUNT_OF(grades); i++) {
        if (slice_equal_case(a->value, slice_of(grades[i]))) {
            a->policy->ciphers = a->value;
            return true;
        }
    }
    return bad(a, "invalid ciphers value");
}

static bool take_exclude(struct attribute *a)
{
    a->policy->exclude = a->value;
    a->policy->has_exclude = true;
    return true;
}

/* take_match - may come several times. */
static bool take_match(struct attribute *a)
{
    char separator = a->policy->level == TLS_FINGERPRINT ? '|' : ':';

    if (!tls_level_authenticates(a->policy->level) || a->policy->level == TLS_DANE || a->policy->level == TLS_DANE_ONLY)
        return bad_for_level(a);
    if (a->policy->match.len)
        a->policy->match = arena_format(a->arena, SLICE_FORMAT "%c" SLICE_FORMAT, SLICE_ARGS(a->policy->match), separator, SLICE_ARGS(a->value));
    else
        a->policy->match = a->value;
    return true;
}

/* is_host_name - labels of letters, digits, underscores and inner hyphens. */
static bool is_host_name(struct slice text)
{
    char before = '.';

    for (size_t i = 0; i < text.len; i++) {
        char c = text.data[i];
        if (!isalnum((unsigned char)c) && c != '_' && c != '-' && c != '.')
            return false;
        if ((c == '.' || c == '-' || before == '-') && (before == '.' || (before == '-' && c == '.')))
            return false;
        before = c;
    }
    return before != '.' && before != '-';
}

bool tls_server_name_is_valid(struct slice name)
{
    return slice_equal_case(name, SLICE("hostname")) || slice_equal_case(name, SLICE("nexthop")) || is_host_name(name);
}

static bool take_server_name(struct attribute *a)
{
    if (!tls_server_name_is_valid(a->value)) {
        buffer_printf(a->why, "\"servername=" SLICE_FORMAT "\" specifies an invalid hostname", SLICE_ARGS(shown(a->value)));
        return false;
    }
    a->policy->server_name = a->value;
    return true;
}

static bool take_connection_reuse(struct attribute *a)
{
    bool yes = slice_equal_case(a->value, SLICE("yes"));

    if (!yes && !slice_equal_case(a->value, SLICE("no"))) {
        buffer_printf(a->why, "attribute \"connection_reuse\" has bad value: \"" SLICE_FORMAT "\"", SLICE_ARGS(shown(a->value)));
        return false;
    }
    a->policy->connection_reuse = yes;
    return true;
}

/* take_nothing - accepted, without effect: raw public keys, which the TLS library does not have, and how long a plug-in's policy lives. */
static bool take_nothing(struct attribute *a UNUSED)
{
    return true;
}

/* add_line - attributes that may come several times. */
static bool add_line(struct attribute *a, struct slice *lines)
{
    *lines = arena_format(a->arena, SLICE_FORMAT SLICE_FORMAT "\n", SLICE_ARGS(*lines), SLICE_ARGS(a->value));
    return true;
}

static bool take_anchor_file(struct attribute *a)
{
    if (a->policy->level < TLS_VERIFY)
        return bad_for_level(a);
    return add_line(a, &a->policy->anchor_files);
}

static bool take_policy_type(struct attribute *a)
{
    if (!slice_equal_case(a->value, SLICE("sts")) && !slice_equal_case(a->value, SLICE("no-policy-found")))
        return bad(a, "invalid policy_type value");
    a->policy->policy_type = a->value;
    return true;
}

static bool take_policy_domain(struct attribute *a)
{
    a->policy->policy_domain = a->value;
    return true;
}

static bool take_policy_string(struct attribute *a)
{
    return add_line(a, &a->policy->policy_strings);
}

static bool take_mx_pattern(struct attribute *a)
{
    return add_line(a, &a->policy->mx_patterns);
}

static bool take_policy_failure(struct attribute *a)
{
    a->policy->policy_failure = a->value;
    return true;
}

static bool take_attribute(struct attribute *a)
{
    static const struct {
        struct slice name;
        bool (*take)(struct attribute *a);
        bool may_be_empty; /* no list at all */
        bool once;
    } rows[] = {
        {{"protocols", 9}, take_protocols, true, true}, {{"ciphers", 7}, take_ciphers, false, true}, {{"exclude", 7}, take_exclude, true, true},
        {{"match", 5}, take_match, false, false}, {{"servername", 10}, take_server_name, true, true},
        {{"connection_reuse", 16}, take_connection_reuse, false, true},
        {{"enable_rpk", 10}, take_nothing, false, false}, {{"tafile", 6}, take_anchor_file, false, false},
        {{"policy_type", 11}, take_policy_type, false, false}, {{"policy_domain", 13}, take_policy_domain, false, false},
        {{"policy_string", 13}, take_policy_string, false, false}, {{"mx_host_pattern", 15}, take_mx_pattern, false, false},
        {{"policy_ttl", 10}, take_nothing, false, false}, {{"policy_failure", 14}, take_policy_failure, false, false},
    };

    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        if (!slice_equal_case(a->name, rows[i].name))
            continue;
        if (rows[i].once && (a->seen & (1u << i))) {
            buffer_printf(a->why, "attribute \"" SLICE_FORMAT "\" is specified multiple times", SLICE_ARGS(shown(a->name)));
            return false;
        }
        a->seen |= 1u << i;
        return a->value.len || rows[i].may_be_empty ? rows[i].take(a) : bad_empty(a);
    }
    buffer_printf(a->why, "invalid attribute name: \"" SLICE_FORMAT "\"", SLICE_ARGS(shown(a->name)));
    return false;
}

/* next_word - up to a comma or blank that is not inside of braces, which are taken off. */
static bool next_word(struct slice *rest, struct slice *word)
{
    while (rest->len && memchr(", \t\r\n", rest->data[0], 5))
        *rest = slice_from(*rest, 1);
    if (rest->len == 0)
        return false;
    size_t close = rest->data[0] == '{' ? slice_find(*rest, '}') : rest->len;
    if (rest->data[0] == '{' && close < rest->len) {
        *word = slice_trim(slice_make(rest->data + 1, close - 1));
        *rest = slice_from(*rest, close + 1);
        return true;
    }
    return slice_next_token(rest, ", \t\r\n", word);
}

bool tls_policy_parse(struct slice text, struct arena *arena, struct tls_policy *policy, struct buffer *why)
{
    struct slice rest = arena_slice(arena, text), word;
    struct attribute a = {.policy = policy, .arena = arena, .why = why};

    *policy = (struct tls_policy){.connection_reuse = -1};
    if (!next_word(&rest, &word)) {
        buffer_append_string(why, "invalid empty policy");
        return false;
    }
    if (!tls_level_parse(word, &policy->level)) {
        buffer_printf(why, "invalid security level \"" SLICE_FORMAT "\"", SLICE_ARGS(shown(word)));
        return false;
    }
    while (next_word(&rest, &word)) {
        if (policy->level == TLS_NONE) {
            buffer_clear(why);
            buffer_printf(why, "ignoring attribute \"" SLICE_FORMAT "\" with TLS disabled", SLICE_ARGS(shown(word)));
            continue;
        }
        if (!slice_cut(word, '=', &a.name, &a.value)) {
            buffer_printf(why, "malformed attribute/value pair \"" SLICE_FORMAT "\": missing '=' after attribute name", SLICE_ARGS(shown(word)));
            return false;
        }
        a.name = slice_trim(a.name);
        a.value = slice_trim(a.value);
        if (!take_attribute(&a))
            return false;
    }
    return true;
}
