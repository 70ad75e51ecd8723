/* pcre.c - Perl compatible regular expressions (PCRE2) */
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "table/pattern_rules.h"

#define MATCH_LIMIT 1000000 /* a pattern that backtracks longer than this over hostile text is given up */
#define DEPTH_LIMIT 100000

struct compiled {
    pcre2_code *code;
    pcre2_match_data *data;
    pcre2_match_context *limits;
};

static bool options_of(struct slice flags, uint32_t *options, struct buffer *error)
{
    static const struct { char letter; uint32_t option; } letters[] = {
        {'i', PCRE2_CASELESS}, {'m', PCRE2_MULTILINE}, {'s', PCRE2_DOTALL}, {'x', PCRE2_EXTENDED}, {'A', PCRE2_ANCHORED},
        {'E', PCRE2_DOLLAR_ENDONLY}, {'U', PCRE2_UNGREEDY}, {'X', 0}};

    *options = PCRE2_CASELESS | PCRE2_DOTALL;
    for (size_t i = 0; i < flags.len; i++) {
        size_t k = 0;
        while (k < COUNT_OF(letters) && letters[k].letter != flags.data[i])
            k++;
        if (k == COUNT_OF(letters))
            return buffer_printf(error, "unknown regexp option \"%c\"", flags.data[i]), false;
        *options ^= letters[k].option;
    }
    return true;
}

static void *compile(const char *pattern, struct slice flags, unsigned *groups, struct buffer *error)
{
    uint32_t options, count = 0;
    int code;
    PCRE2_SIZE offset;

    if (!options_of(flags, &options, error))
        return NULL;
    pcre2_code *program = pcre2_compile((PCRE2_SPTR)pattern, PCRE2_ZERO_TERMINATED, options, &code, &offset, NULL);
    if (program == NULL) {
        char text[256];
        pcre2_get_error_message(code, (PCRE2_UCHAR *)text, sizeof(text));
        buffer_printf(error, "error in regex at offset %zu: %s", (size_t)offset, text);
        return NULL;
    }
    pcre2_jit_compile(program, PCRE2_JIT_COMPLETE); /* where it cannot, the interpreter does */
    struct compiled *compiled = memory_zalloc(1, sizeof(*compiled));
    compiled->code = program;
    compiled->data = pcre2_match_data_create_from_pattern(program, NULL);
    compiled->limits = pcre2_match_context_create(NULL);
    pcre2_set_match_limit(compiled->limits, MATCH_LIMIT);
    pcre2_set_depth_limit(compiled->limits, DEPTH_LIMIT);
    pcre2_pattern_info(program, PCRE2_INFO_CAPTURECOUNT, &count);
    *groups = count;
    return compiled;
}

static int match(void *state, struct slice key, struct pattern_span *spans)
{
    struct compiled *compiled = state;
    int count = pcre2_match(compiled->code, (PCRE2_SPTR)key.data, key.len, 0, 0, compiled->data, compiled->limits);

    if (count < 0)
        return count == PCRE2_ERROR_NOMATCH ? 0 : -1;
    const PCRE2_SIZE *vector = pcre2_get_ovector_pointer(compiled->data);
    for (int i = 0; i < PATTERN_GROUPS; i++) {
        bool set = i < count && vector[2 * i] != PCRE2_UNSET;
        spans[i] = set ? (struct pattern_span){vector[2 * i], vector[2 * i + 1], true} : (struct pattern_span){0, 0, false};
    }
    return 1;
}

static void release(void *state)
{
    struct compiled *compiled = state;

    pcre2_match_context_free(compiled->limits);
    pcre2_match_data_free(compiled->data);
    pcre2_code_free(compiled->code);
    free(compiled);
}

static const struct pattern_engine engine = {"pcre", false, compile, match, release};

static bool open_table(struct table *table)
{
    return pattern_table_open(table, &engine);
}

const struct table_driver table_driver_pcre = {"pcre", DRIVER_PATTERN, open_table, pattern_table_close, pattern_table_lookup, NULL, NULL, NULL};
