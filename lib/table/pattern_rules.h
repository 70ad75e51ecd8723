/* pattern_rules.h - files of rules "/pattern/flags result" that regexp and pcre share (compat.md c.2) */
#ifndef POSTERN_TABLE_PATTERN_RULES_H
#define POSTERN_TABLE_PATTERN_RULES_H

#include "table/driver.h"

#define PATTERN_GROUPS 100 /* $1 .. $99 */

struct pattern_span { size_t start, end; bool set; };

/* What is different between the two kinds of expressions. */
struct pattern_engine {
    const char *type;
    bool pairs; /* "/p1/!/p2/ result" */
    /* compile - flags as written; NULL after appending why to error. groups: number of ( ). */
    void *(*compile)(const char *pattern, struct slice flags, unsigned *groups, struct buffer *error);
    /* match - 1 with spans filled, 0, or -1 when the engine gave up (limits). */
    int (*match)(void *compiled, struct slice key, struct pattern_span *spans);
    void (*release)(void *compiled);
};

struct pattern_rules;

/* pattern_rules_parse - what is broken is warned of and left out.  flags: of the table; without substitution, rules with $1 are left out. */
struct pattern_rules *pattern_rules_parse(const struct pattern_engine *engine, const char *file, struct slice text, int flags) MUST_CHECK;
void pattern_rules_free(struct pattern_rules *rules);
enum table_result pattern_rules_lookup(struct pattern_rules *rules, struct slice key, struct buffer *value);
/* pattern_table_open - read the file of the table (or "{ {rule} {rule} }" written in place) and parse it. */
bool pattern_table_open(struct table *table, const struct pattern_engine *engine);
enum table_result pattern_table_lookup(struct table *table, struct slice key, struct buffer *value);
void pattern_table_close(void *state);

#endif
