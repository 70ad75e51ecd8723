/* expand.c - $-expansion (grammar: compat.md a.2)

   One engine for main.cf values (recurse: what a name stands for is expanded in turn) and for consumers of raw parameters
   (recurse false: what the lookup returns is data and never looked at again). */
#include <idn2.h>

#include "conf/config_private.h"

enum {
    NESTING_MAX = 100,       /* expansions within expansions; a self-reference ends here */
    REFERENCES_MAX = 100000, /* in one call: "a = $b$b", "b = $c$c" ... would take for ever */
};
#define RESULT_MAX ((size_t)1 << 20)

struct expander {
    config_lookup *lookup;
    void *context;
    bool recurse;
    int depth;
    int references;
    struct buffer *error;
};

static bool expand(struct expander *e, struct slice text, struct buffer *out);

static bool fail(struct expander *e, const char *format, ...) PRINTF_LIKE(2, 3);
static bool fail(struct expander *e, const char *format, ...)
{
    if (e->error != NULL && e->error->len == 0) {
        va_list args;
        va_start(args, format);
        buffer_vprintf(e->error, format, args);
        va_end(args);
    }
    return false;
}

/* fail_at - what is expected, and where: "...read so far>>>rest". */
static bool fail_at(struct expander *e, const char *expected, struct slice whole, struct slice rest)
{
    size_t done = whole.len - rest.len, shown = done < 30 ? done : 30;
    return fail(e, "%s at: \"..." SLICE_FORMAT ">>>" SLICE_FORMAT "\"", expected,
                SLICE_ARGS(slice_make(whole.data + done - shown, shown)), SLICE_ARGS(slice_first(rest, 30)));
}

static bool is_name_byte(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

static struct slice take_name(struct slice *rest)
{
    size_t n = 0;
    while (n < rest->len && is_name_byte(rest->data[n]))
        n++;
    struct slice name = slice_first(*rest, n);
    *rest = slice_from(*rest, n);
    return name;
}

/* take_balanced - the text between an opening delimiter at the front of *rest and its partner; counts that kind only. */
static bool take_balanced(struct slice *rest, char open, char close, struct slice *inside)
{
    int level = 0;
    for (size_t i = 0; i < rest->len; i++) {
        if (rest->data[i] == open)
            level++;
        else if (rest->data[i] == close && --level == 0) {
            *inside = slice_make(rest->data + 1, i - 1);
            *rest = slice_from(*rest, i + 1);
            return true;
        }
    }
    return false;
}

static bool starts_with_byte(struct slice s, char byte)
{
    return s.len > 0 && s.data[0] == byte;
}

/* ---- comparison: "{text} op {text}" ---- */

enum comparison { EQUAL, DIFFERENT, LESS_EQUAL, GREATER_EQUAL, LESS, GREATER };

static bool take_operator(struct slice *rest, enum comparison *comparison, bool *levels)
{
    static const struct {
        const char *text;
        enum comparison comparison;
    } operators[] = {{"==", EQUAL}, {"!=", DIFFERENT}, {"<=", LESS_EQUAL}, {">=", GREATER_EQUAL}, {"<", LESS}, {">", GREATER}};
    size_t n = 0;
    while (n < rest->len && strchr("=!<>", rest->data[n]) != NULL)
        n++;
    struct slice op = slice_first(*rest, n), after = slice_from(*rest, n);
    *levels = slice_starts(after, SLICE("level")) && !(after.len > 5 && is_name_byte(after.data[5]));
    for (size_t i = 0; i < COUNT_OF(operators); i++) {
        if (slice_equal(op, slice_of(operators[i].text))) {
            *comparison = operators[i].comparison;
            *rest = slice_trim_left(slice_from(after, *levels ? 5 : 0));
            return true;
        }
    }
    return false;
}

static bool all_digits(struct slice s)
{
    for (size_t i = 0; i < s.len; i++)
        if (s.data[i] < '0' || s.data[i] > '9')
            return false;
    return s.len > 0;
}

/* compare_values - < 0, 0, > 0: levels, numbers when both sides are digits only, else bytes. */
static bool compare_values(struct expander *e, struct slice a, struct slice b, bool levels, int *result)
{
    uint64_t x, y;
    struct slice bad;
    if (levels) {
        if (level_compare(a, b, result, &bad))
            return true;
        return fail(e, "malformed compatibility level syntax: \"" SLICE_FORMAT "\"", SLICE_ARGS(bad));
    }
    if (!all_digits(a) || !all_digits(b)) {
        *result = slice_compare(a, b);
        return true;
    }
    if (!slice_to_u64(a, &x) || !slice_to_u64(b, &y))
        return fail(e, "number out of range: " SLICE_FORMAT, SLICE_ARGS(slice_to_u64(a, &x) ? b : a));
    *result = x < y ? -1 : x > y;
    return true;
}

static bool holds(enum comparison comparison, int result)
{
    switch (comparison) {
    case EQUAL: return result == 0;
    case DIFFERENT: return result != 0;
    case LESS_EQUAL: return result <= 0;
    case GREATER_EQUAL: return result >= 0;
    case LESS: return result < 0;
    case GREATER: return result > 0;
    }
    return false;
}

static bool take_operand(struct expander *e, struct slice whole, struct slice *rest, struct buffer *value)
{
    struct slice text;
    if (!starts_with_byte(*rest, '{'))
        return fail_at(e, "\"{expression}\" expected", whole, *rest);
    if (!take_balanced(rest, '{', '}', &text))
        return fail(e, "unbalanced {} in attribute expression: \"" SLICE_FORMAT "\"", SLICE_ARGS(slice_first(*rest, 100)));
    *rest = slice_trim_left(*rest);
    return expand(e, text, value);
}

static bool take_comparison(struct expander *e, struct slice whole, struct slice *rest, bool *truth)
{
    struct buffer left = BUFFER_INIT_MAX(RESULT_MAX), right = BUFFER_INIT_MAX(RESULT_MAX);
    enum comparison comparison = EQUAL;
    bool levels = false;
    int result;
    bool ok = take_operand(e, whole, rest, &left);
    if (ok && !take_operator(rest, &comparison, &levels))
        ok = fail_at(e, "\"==\" or \"!=\" or \"<\" or \"<=\" or \">=\" or \">\" expected", whole, *rest);
    ok = ok && take_operand(e, whole, rest, &right) &&
         compare_values(e, buffer_slice(&left), buffer_slice(&right), levels, &result);
    if (ok)
        *truth = holds(comparison, result);
    buffer_release(&left);
    buffer_release(&right);
    return ok;
}

/* ---- "? opnd : opnd" and ": opnd" ---- */

/* take_choice - the two texts after "?" or ":"; a text in braces may be followed by ":" and another, any other text goes to the end. */
static bool take_choice(struct expander *e, struct slice whole, struct slice rest, struct slice *yes, struct slice *no)
{
    *yes = *no = slice_make(NULL, 0);
    bool question = rest.data[0] == '?';
    struct slice *first = question ? yes : no;
    rest = slice_from(rest, 1);
    struct slice braced = slice_trim_left(rest);
    if (!starts_with_byte(braced, '{')) {
        *first = rest;
        return true;
    }
    rest = braced;
    if (!take_balanced(&rest, '{', '}', first))
        return fail(e, "unbalanced {} in attribute expression: \"" SLICE_FORMAT "\"", SLICE_ARGS(slice_first(rest, 100)));
    rest = slice_trim_left(rest);
    if (rest.len > 0 && question) {
        if (rest.data[0] != ':')
            return fail_at(e, "\":\" expected", whole, rest);
        struct slice text = slice_from(rest, 1);
        braced = slice_trim_left(text);
        if (!starts_with_byte(braced, '{')) {
            *no = text;
            return true;
        }
        rest = braced;
        if (!take_balanced(&rest, '{', '}', no))
            return fail(e, "unbalanced {} in attribute expression: \"" SLICE_FORMAT "\"", SLICE_ARGS(slice_first(rest, 100)));
        rest = slice_trim_left(rest);
    }
    return rest.len == 0 || fail_at(e, "unexpected input", whole, rest);
}

static bool expand_value(struct expander *e, struct slice name, const char *value, struct buffer *out)
{
    if (value == NULL || value[0] == '\0')
        return true;
    if (!e->recurse)
        return buffer_append_string(out, value) || fail(e, "result too long");
    if (e->depth >= NESTING_MAX)
        return fail(e, "unreasonable macro call nesting: \"" SLICE_FORMAT "\"", SLICE_ARGS(name));
    return expand(e, slice_of(value), out);
}

/* look_up - what a name stands for (not expanded), NULL: undefined. */
static const char *look_up(struct expander *e, struct slice name)
{
    return name.len > 0 ? e->lookup(e->context, name) : NULL;
}

/* ---- functions: domain_to_ascii{text}, domain_to_utf8{text} ---- */

static bool call_function(struct expander *e, struct slice whole, struct slice name, struct slice rest, struct buffer *out)
{
    struct buffer argument = BUFFER_INIT_MAX(RESULT_MAX);
    char *result = NULL;
    bool to_ascii = slice_equal(name, SLICE("domain_to_ascii"));
    bool ok = take_operand(e, whole, &rest, &argument) && (rest.len == 0 || fail_at(e, "unexpected input", whole, rest));
    if (ok) {
        const char *text = buffer_string(&argument);
        int status = to_ascii ? idn2_to_ascii_8z(text, &result, IDN2_NFC_INPUT | IDN2_NONTRANSITIONAL)
                              : idn2_to_unicode_8z8z(text, &result, 0);
        /* what is no domain name stays as it is */
        ok = buffer_append_string(out, status == IDN2_OK ? result : text) || fail(e, "result too long");
    }
    if (result != NULL)
        idn2_free(result);
    buffer_release(&argument);
    return ok;
}

/* expand_expression - the inside of "${...}". */
static bool expand_expression(struct expander *e, struct slice whole, struct buffer *out)
{
    struct slice rest = slice_trim_left(whole), name = {0}, yes, no;
    const char *value = NULL;
    bool truth;
    if (starts_with_byte(rest, '{')) {
        if (!take_comparison(e, whole, &rest, &truth))
            return false;
        if (rest.len == 0)
            return !truth || buffer_append_string(out, "true") || fail(e, "result too long");
        if (rest.data[0] != '?' && rest.data[0] != ':')
            return fail_at(e, "\"?\" or \":\" expected", whole, rest);
    } else {
        name = take_name(&rest);
        if (starts_with_byte(rest, '{') && (slice_equal(name, SLICE("domain_to_ascii")) || slice_equal(name, SLICE("domain_to_utf8"))))
            return call_function(e, whole, name, rest, out);
        struct slice after = rest;
        rest = slice_trim_left(rest);
        value = look_up(e, name);
        if (rest.len == 0)
            return expand_value(e, name, value, out);
        if (rest.data[0] != '?' && rest.data[0] != ':')
            return fail_at(e, "attribute name syntax error", whole, after);
        truth = value != NULL && value[0] != '\0';
    }
    if (!take_choice(e, whole, rest, &yes, &no))
        return false;
    return expand(e, truth ? yes : no, out);
}

/* expand_reference - what follows a '$' (taken off *rest); text is the whole, for messages. */
static bool expand_reference(struct expander *e, struct slice text, struct slice *rest, struct buffer *out)
{
    struct slice inside;
    if (++e->references > REFERENCES_MAX)
        return fail(e, "unreasonable macro call nesting: \"" SLICE_FORMAT "\"", SLICE_ARGS(slice_first(text, 100)));
    if (starts_with_byte(*rest, '$')) {
        *rest = slice_from(*rest, 1);
        return buffer_append_byte(out, '$') || fail(e, "result too long");
    }
    if (starts_with_byte(*rest, '{') || starts_with_byte(*rest, '(')) {
        char close = rest->data[0] == '{' ? '}' : ')';
        if (!take_balanced(rest, rest->data[0], close, &inside))
            return fail(e, "truncated macro reference: \"" SLICE_FORMAT "\"", SLICE_ARGS(slice_first(text, 100)));
        if (inside.len == 0)
            return fail(e, "empty macro name: \"" SLICE_FORMAT "\"", SLICE_ARGS(slice_first(text, 100)));
        return expand_expression(e, inside, out);
    }
    struct slice name = take_name(rest);
    if (name.len == 0)
        return fail(e, "empty macro name: \"" SLICE_FORMAT "\"", SLICE_ARGS(slice_first(text, 100)));
    return expand_value(e, name, look_up(e, name), out);
}

static bool expand(struct expander *e, struct slice text, struct buffer *out)
{
    if (e->depth >= NESTING_MAX)
        return fail(e, "unreasonable macro call nesting: \"" SLICE_FORMAT "\"", SLICE_ARGS(slice_first(text, 100)));
    e->depth++;
    bool ok = true;
    for (struct slice rest = text; ok && rest.len > 0;) {
        size_t literal = slice_find(rest, '$');
        ok = buffer_append(out, rest.data, literal) || fail(e, "result too long");
        rest = slice_from(rest, literal);
        if (ok && rest.len > 0) {
            rest = slice_from(rest, 1);
            ok = expand_reference(e, text, &rest, out);
        }
    }
    e->depth--;
    return ok;
}

bool expand_text(struct slice text, config_lookup *lookup, void *context, bool recurse, struct buffer *out, struct buffer *error)
{
    struct expander e = {.lookup = lookup, .context = context, .recurse = recurse, .error = error};
    /* built apart, so that the limit is ours and a failure leaves out as it was */
    struct buffer result = BUFFER_INIT_MAX(RESULT_MAX);
    bool ok = expand(&e, text, &result);
    if (ok && !buffer_append_slice(out, buffer_slice(&result)))
        ok = fail(&e, "result too long");
    buffer_release(&result);
    return ok;
}

bool config_expand_with(struct slice text, config_lookup *lookup, void *context, struct buffer *out, struct buffer *error)
{
    return expand_text(text, lookup, context, false, out, error);
}

bool config_expand_nested(struct slice text, config_lookup *lookup, void *context, struct buffer *out, struct buffer *error)
{
    return expand_text(text, lookup, context, true, out, error);
}
