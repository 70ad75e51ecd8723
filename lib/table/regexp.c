/* regexp.c - POSIX regular expressions */
#include <regex.h>

#include "table/pattern_rules.h"

static void *compile(const char *pattern, struct slice flags, unsigned *groups, struct buffer *error)
{
    int options = REG_EXTENDED | REG_ICASE;

    for (size_t i = 0; i < flags.len; i++) {
        if (flags.data[i] == 'i')
            options ^= REG_ICASE;
        else if (flags.data[i] == 'm')
            options ^= REG_NEWLINE;
        else if (flags.data[i] == 'x')
            options ^= REG_EXTENDED;
        else
            return buffer_printf(error, "unknown regexp option \"%c\"", flags.data[i]), NULL;
    }
    regex_t *compiled = memory_zalloc(1, sizeof(*compiled));
    int code = regcomp(compiled, pattern, options);
    if (code != 0) {
        char text[256];
        regerror(code, compiled, text, sizeof(text));
        buffer_printf(error, "%s", text);
        free(compiled);
        return NULL;
    }
    *groups = (unsigned)compiled->re_nsub;
    return compiled;
}

static int match(void *compiled, struct slice key, struct pattern_span *spans)
{
    regmatch_t found[PATTERN_GROUPS];

    int code = regexec(compiled, key.data, PATTERN_GROUPS, found, 0);
    if (code != 0)
        return code == REG_NOMATCH ? 0 : -1;
    for (size_t i = 0; i < PATTERN_GROUPS; i++)
        spans[i] = (struct pattern_span){(size_t)found[i].rm_so, (size_t)found[i].rm_eo, found[i].rm_so >= 0};
    return 1;
}

static void release(void *compiled)
{
    regfree(compiled);
    free(compiled);
}

static const struct pattern_engine engine = {"regexp", true, compile, match, release};

static bool open_table(struct table *table)
{
    return pattern_table_open(table, &engine);
}

const struct table_driver table_driver_regexp = {"regexp", DRIVER_PATTERN, open_table, pattern_table_close, pattern_table_lookup, NULL, NULL, NULL};
