/* pattern_rules.c - parsing rules, walking them, filling in $1 */
#include "table/pattern_rules.h"

#include "conf/logical_lines.h"

enum rule_kind { RULE_MATCH, RULE_IF, RULE_ENDIF };

struct rule {
    enum rule_kind kind;
    bool negated;
    void *pattern, *except; /* compiled; except: the second of a pair */
    char *result;
    size_t end; /* RULE_IF: index of its endif */
    int line;
};

struct pattern_rules {
    const struct pattern_engine *engine;
    char *file;
    struct rule *rules;
    size_t count, capacity;
    bool no_substitution, file_values;
};

static void skip(const struct pattern_rules *rules, int line, const char *why)
{
    log_warning("%s map %s, line %d: %s: skipping this rule", rules->engine->type, rules->file, line, why);
}

/* take_pattern - "/pattern/" off the front, with any delimiter; a backslash hides the delimiter (and so is none itself), and stays in the
   pattern otherwise. */
static bool take_pattern(struct slice *rest, struct buffer *pattern, struct buffer *error)
{
    if (rest->len == 0)
        return buffer_append_string(error, "no regexp"), false;
    char delimiter = rest->data[0];
    for (size_t i = 1; i < rest->len; i++) {
        if (rest->data[i] == '\\' && i + 1 < rest->len) {
            if (rest->data[i + 1] != delimiter)
                buffer_append_byte(pattern, '\\');
            i++;
        } else if (rest->data[i] == delimiter) {
            *rest = slice_from(*rest, i + 1);
            return true;
        }
        buffer_append_byte(pattern, rest->data[i]);
    }
    buffer_printf(error, "no closing regexp delimiter \"%c\"", delimiter);
    return false;
}

/* take_flags - up to a blank, or to the "!" of a pair. */
static struct slice take_flags(struct slice *rest, bool pairs)
{
    size_t n = 0;

    while (n < rest->len && !isspace((unsigned char)rest->data[n]) && !(pairs && rest->data[n] == '!'))
        n++;
    struct slice flags = slice_first(*rest, n);
    *rest = slice_from(*rest, n);
    return flags;
}

static void *compile_next(const struct pattern_rules *rules, struct slice *rest, unsigned *groups, int line)
{
    struct buffer pattern = BUFFER_INIT, error = BUFFER_INIT;
    void *compiled = NULL; /* does not point into the buffers */

    if (take_pattern(rest, &pattern, &error)) {
        struct slice flags = take_flags(rest, rules->engine->pairs);
        compiled = rules->engine->compile(buffer_string(&pattern), flags, groups, &error);
    }
    if (compiled == NULL)
        skip(rules, line, buffer_string(&error));
    buffer_release(&pattern);
    buffer_release(&error);
    /* cppcheck-suppress returnDanglingLifetime */
    return compiled;
}

/* index_word - what the "$" before *at names, with *at moved behind it. */
static bool index_word(struct slice result, size_t *at, struct slice *word)
{
    char open = *at < result.len ? result.data[*at] : '\0';
    size_t start = *at, end;

    if (open == '{' || open == '(') {
        end = ++start;
        end += slice_find(slice_from(result, start), open == '{' ? '}' : ')');
        *at = end + 1;
        if (end >= result.len)
            return log_warning("truncated macro reference: \"" SLICE_FORMAT "\"", SLICE_ARGS(result)), false;
    } else {
        for (end = start; end < result.len && (isalnum((unsigned char)result.data[end]) || result.data[end] == '_'); end++)
            continue;
        *at = end;
    }
    *word = slice_make(result.data + start, end - start);
    if (word->len == 0)
        return log_warning("empty macro name: \"" SLICE_FORMAT "\"", SLICE_ARGS(result)), false;
    return true;
}

/* take_index - the number of a group; false, and said why, when it is none. */
static bool take_index(const struct pattern_rules *rules, int line, struct slice result, size_t *at, uint64_t *number)
{
    struct slice word;

    if (!index_word(result, at, &word))
        return false;
    bool numeric = slice_to_u64(word, number);
    if (numeric && *number > 0)
        return true;
    log_warning("%s map %s, line %d: %s replacement index \"" SLICE_FORMAT "\"", rules->engine->type, rules->file, line,
                numeric ? "out of range" : "non-numeric", SLICE_ARGS(word));
    return false;
}

static bool skip_index(const struct pattern_rules *rules, int line, uint64_t number)
{
    log_warning("%s map %s, line %d: out of range replacement index \"%llu\": skipping this rule", rules->engine->type, rules->file, line,
                (unsigned long long)number);
    return false;
}

/* check_result - every $n names a group that exists, and is allowed. */
static bool check_result(const struct pattern_rules *rules, const struct rule *rule, struct slice result, unsigned groups)
{
    uint64_t number;

    for (size_t i = 0; i < result.len; i++) {
        if (result.data[i] != '$')
            continue;
        if (++i < result.len && result.data[i] == '$')
            continue;
        if (!take_index(rules, rule->line, result, &i, &number))
            return skip(rules, rule->line, "bad replacement syntax"), false;
        if (rule->negated)
            return skip(rules, rule->line, "$number found in negative match replacement text"), false;
        if (rules->no_substitution)
            return skip(rules, rule->line, "regular expression substitution is not allowed"), false;
        if (number > groups || number >= PATTERN_GROUPS)
            return skip_index(rules, rule->line, number);
        i--;
    }
    return true;
}

static struct rule *add_rule(struct pattern_rules *rules, enum rule_kind kind, int line)
{
    if (rules->count == rules->capacity) {
        rules->capacity = rules->capacity ? rules->capacity * 2 : 16;
        rules->rules = memory_resize(rules->rules, rules->capacity * sizeof(*rules->rules));
    }
    struct rule *rule = &rules->rules[rules->count++];
    *rule = (struct rule){.kind = kind, .line = line};
    return rule;
}

static void drop_last(struct pattern_rules *rules)
{
    struct rule *rule = &rules->rules[--rules->count];

    if (rule->pattern != NULL)
        rules->engine->release(rule->pattern);
    if (rule->except != NULL)
        rules->engine->release(rule->except);
    free(rule->result);
}

static bool take_negation(struct slice *rest)
{
    bool negated = false;

    while (rest->len > 0 && rest->data[0] == '!') {
        negated = !negated;
        *rest = slice_trim_left(slice_from(*rest, 1));
    }
    return negated;
}

/* set_result - false: skipped, a file that it names cannot be read. */
static bool set_result(struct pattern_rules *rules, struct rule *rule, struct slice text)
{
    struct buffer content = BUFFER_INIT, why = BUFFER_INIT;
    bool ok = !rules->file_values || value_from_files(text, &content, &why);

    if (ok)
        rule->result = slice_string(rules->file_values ? buffer_slice(&content) : text);
    else
        skip(rules, rule->line, buffer_string(&why));
    buffer_release(&content);
    buffer_release(&why);
    return ok;
}

static void parse_match(struct pattern_rules *rules, struct slice text, int line)
{
    struct rule *rule = add_rule(rules, RULE_MATCH, line);
    unsigned groups = 0, unused;

    rule->negated = take_negation(&text);
    rule->pattern = compile_next(rules, &text, &groups, line);
    bool good = rule->pattern != NULL;
    if (good && rules->engine->pairs && text.len > 1 && text.data[0] == '!') {
        text = slice_from(text, 1);
        rule->except = compile_next(rules, &text, &unused, line);
        good = rule->except != NULL;
    }
    if (good && text.len > 0 && !isspace((unsigned char)text.data[0])) {
        skip(rules, line, "unexpected text after the pattern");
        good = false;
    }
    text = slice_trim(text);
    if (good && text.len == 0)
        log_warning("%s map %s, line %d: no replacement text: using empty string", rules->engine->type, rules->file, line);
    if (!good || !check_result(rules, rule, text, groups) || !set_result(rules, rule, text))
        drop_last(rules);
}

static void parse_if(struct pattern_rules *rules, struct slice text, int line, size_t *open, size_t *depth)
{
    struct rule *rule = add_rule(rules, RULE_IF, line);
    unsigned groups;

    text = slice_trim_left(text);
    rule->negated = take_negation(&text);
    rule->pattern = compile_next(rules, &text, &groups, line);
    if (rule->pattern == NULL) {
        drop_last(rules); /* its rules are in force, its endif is warned of */
        return;
    }
    text = slice_trim(text);
    if (text.len > 0) {
        log_warning("%s map %s, line %d: ignoring extra text after IF statement: \"" SLICE_FORMAT "\"", rules->engine->type, rules->file, line,
                    SLICE_ARGS(text));
        log_warning("%s map %s, line %d: do not prepend whitespace to statements between IF and ENDIF", rules->engine->type, rules->file, line);
    }
    if (*depth == PATTERN_GROUPS) {
        skip(rules, line, "IF is nested too deep");
        drop_last(rules);
        return;
    }
    open[(*depth)++] = rules->count - 1;
}

static void parse_endif(struct pattern_rules *rules, struct slice text, int line, size_t *open, size_t *depth)
{
    if (*depth == 0) {
        log_warning("%s map %s, line %d: ignoring ENDIF without matching IF", rules->engine->type, rules->file, line);
        return;
    }
    if (slice_trim(text).len > 0)
        log_warning("%s map %s, line %d: ignoring extra text after ENDIF", rules->engine->type, rules->file, line);
    add_rule(rules, RULE_ENDIF, line);
    rules->rules[open[--*depth]].end = rules->count - 1;
}

static bool is_word(struct slice text, struct slice word)
{
    return slice_starts_case(text, word) && (text.len == word.len || !isalnum((unsigned char)text.data[word.len]));
}

static void parse_line(struct pattern_rules *rules, struct slice rule, int line, size_t *open, size_t *depth)
{
    if (is_word(rule, SLICE("if")))
        parse_if(rules, slice_from(rule, 2), line, open, depth);
    else if (is_word(rule, SLICE("endif")))
        parse_endif(rules, slice_from(rule, 5), line, open, depth);
    else if (isalnum((unsigned char)rule.data[0]))
        log_warning("%s map %s, line %d: ignoring unrecognized request", rules->engine->type, rules->file, line);
    else
        parse_match(rules, rule, line);
}

struct pattern_rules *pattern_rules_parse(const struct pattern_engine *engine, const char *file, struct slice text, int flags)
{
    struct pattern_rules *rules = memory_zalloc(1, sizeof(*rules));
    struct logical_lines lines;
    struct buffer line = BUFFER_INIT;
    size_t open[PATTERN_GROUPS], depth = 0;

    *rules = (struct pattern_rules){.engine = engine, .file = memory_string(file), .file_values = (flags & TABLE_FILE_VALUES) != 0,
                                    .no_substitution = (flags & (TABLE_NO_SUBSTITUTION | TABLE_PARANOID)) != 0};
    logical_lines_start(&lines, text);
    while (logical_lines_next(&lines, &line)) {
        if (lines.orphan)
            log_warning("%s: logical line must not start with whitespace: \"%s\"", file, buffer_string(&line));
        else
            parse_line(rules, buffer_slice(&line), lines.first, open, &depth);
    }
    while (depth > 0) {
        log_warning("%s map %s, line %d: IF has no matching ENDIF", engine->type, file, rules->rules[open[depth - 1]].line);
        rules->rules[open[--depth]].end = rules->count;
    }
    buffer_release(&line);
    return rules;
}

void pattern_rules_free(struct pattern_rules *rules)
{
    if (rules == NULL)
        return;
    while (rules->count > 0)
        drop_last(rules);
    free(rules->rules);
    free(rules->file);
    free(rules);
}

/* ---- lookup ---- */

static void substitute(const char *result, struct slice key, const struct pattern_span *spans, struct buffer *value)
{
    for (const char *at = result; *at != '\0'; at++) {
        if (*at != '$') {
            buffer_append_byte(value, *at);
            continue;
        }
        at++;
        if (*at == '$') {
            buffer_append_byte(value, '$');
            continue;
        }
        bool braced = *at == '{' || *at == '(';
        at += braced;
        size_t number = 0;
        while (isdigit((unsigned char)*at))
            number = number * 10 + (size_t)(*at++ - '0');
        if (number < PATTERN_GROUPS && spans[number].set)
            buffer_append_slice(value, slice_make(key.data + spans[number].start, spans[number].end - spans[number].start));
        if (!braced || *at == '\0')
            at--;
    }
}

/* matches - 1, 0, -1; spans are those of the positive match. */
static int matches(const struct pattern_rules *rules, const struct rule *rule, struct slice key, struct pattern_span *spans)
{
    int found = rules->engine->match(rule->pattern, key, spans);

    if (found < 0) {
        log_warning("%s map %s, line %d: the pattern is too complex for this text", rules->engine->type, rules->file, rule->line);
        return -1;
    }
    if (found == 1 && rule->except != NULL) {
        struct pattern_span unused[PATTERN_GROUPS];
        found = rules->engine->match(rule->except, key, unused) == 0;
    }
    return rule->negated ? !found : found;
}

enum table_result pattern_rules_lookup(struct pattern_rules *rules, struct slice key, struct buffer *value)
{
    struct pattern_span spans[PATTERN_GROUPS];

    for (size_t i = 0; i < rules->count; i++) {
        const struct rule *rule = &rules->rules[i];
        if (rule->kind == RULE_ENDIF)
            continue;
        int found = matches(rules, rule, key, spans);
        if (rule->kind == RULE_IF) {
            if (found != 1)
                i = rule->end; /* its ENDIF, or behind the last rule */
        } else if (found == 1) {
            substitute(rule->result, key, spans, value);
            return TABLE_FOUND;
        }
    }
    return TABLE_NOT_FOUND;
}

/* ---- as tables ---- */

/* inline_rules - "{ {rule}, {rule} }": rules written in main.cf, one per line here. */
static void inline_rules(struct slice list, struct buffer *text)
{
    struct slice element, inside;

    while (config_list_next(&list, &element)) {
        if (!config_braced(element, &inside))
            inside = element;
        buffer_append_slice(text, slice_trim(inside));
        buffer_append_byte(text, '\n');
    }
}

bool pattern_table_open(struct table *table, const struct pattern_engine *engine)
{
    struct buffer text = BUFFER_INIT;
    struct slice inside;
    bool good = true;

    if (config_braced(slice_of(table->argument), &inside))
        inline_rules(inside, &text);
    else
        good = table_read_file(table, table->argument, &text);
    if (good)
        table->state = pattern_rules_parse(engine, table->argument, buffer_slice(&text), table->flags);
    buffer_release(&text);
    return good;
}

enum table_result pattern_table_lookup(struct table *table, struct slice key, struct buffer *value)
{
    return pattern_rules_lookup(table->state, key, value);
}

void pattern_table_close(void *state)
{
    pattern_rules_free(state);
}
