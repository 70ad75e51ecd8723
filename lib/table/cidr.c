/* cidr.c - networks: the key is the text of an IP address (compat.md c.2) */
#include "conf/logical_lines.h"
#include "net/address.h"
#include "table/driver.h"

#define NESTING_MAX 100

enum cidr_kind { CIDR_MATCH, CIDR_IF, CIDR_ENDIF };

struct cidr_rule {
    enum cidr_kind kind;
    bool negated;
    struct net_network network;
    char *result;
    size_t end; /* CIDR_IF: index of its endif */
};

struct cidr_rules { struct cidr_rule *rules; size_t count, capacity; };

struct cidr_reader {
    struct table *table;
    struct cidr_rules *rules;
    size_t open[NESTING_MAX], depth;
    int line;
};

static void warn(const struct cidr_reader *reader, const char *text)
{
    log_warning("cidr map %s, line %d: %s: skipping this rule", reader->table->argument, reader->line, text);
}

static struct cidr_rule *add_rule(struct cidr_rules *rules, enum cidr_kind kind)
{
    if (rules->count == rules->capacity) {
        rules->capacity = rules->capacity ? rules->capacity * 2 : 16;
        rules->rules = memory_resize(rules->rules, rules->capacity * sizeof(*rules->rules));
    }
    struct cidr_rule *rule = &rules->rules[rules->count++];
    *rule = (struct cidr_rule){.kind = kind};
    return rule;
}

static bool parse_network(const struct cidr_reader *reader, struct slice text, bool *negated, struct net_network *network)
{
    struct buffer error = BUFFER_INIT;

    for (*negated = false; text.len > 0 && text.data[0] == '!'; text = slice_from(text, 1))
        *negated = !*negated;
    bool good = net_network_parse(network, text, &error);
    if (!good)
        warn(reader, error.len > 0 ? buffer_string(&error) : "bad network pattern");
    buffer_release(&error);
    return good;
}

static void parse_rule(struct cidr_reader *reader, struct slice text)
{
    struct net_network network;
    struct slice pattern;
    bool negated;

    if (!slice_next_token(&text, " \t", &pattern))
        return;
    if (slice_equal_case(pattern, SLICE("endif"))) {
        if (reader->depth == 0) {
            warn(reader, "ENDIF without matching IF");
            return;
        }
        add_rule(reader->rules, CIDR_ENDIF);
        reader->rules->rules[reader->open[--reader->depth]].end = reader->rules->count - 1;
        return;
    }
    bool conditional = slice_equal_case(pattern, SLICE("if"));
    if (conditional && !slice_next_token(&text, " \t", &pattern)) {
        warn(reader, "no pattern");
        return;
    }
    if (!parse_network(reader, pattern, &negated, &network))
        return;
    if (conditional && reader->depth == NESTING_MAX) {
        warn(reader, "IF is nested too deep");
        return;
    }
    struct cidr_rule *rule = add_rule(reader->rules, conditional ? CIDR_IF : CIDR_MATCH);
    rule->negated = negated;
    rule->network = network;
    text = slice_trim(text);
    if (conditional)
        reader->open[reader->depth++] = reader->rules->count - 1;
    else if (text.len == 0)
        log_warning("cidr map %s, line %d: no lookup result: using empty string", reader->table->argument, reader->line);
    rule->result = conditional ? NULL : slice_string(text);
}

static void close_table(void *state)
{
    struct cidr_rules *rules = state;

    for (size_t i = 0; i < rules->count; i++)
        free(rules->rules[i].result);
    free(rules->rules);
    free(rules);
}

static bool open_table(struct table *table)
{
    struct buffer text = BUFFER_INIT, line = BUFFER_INIT;
    struct cidr_reader reader = {.table = table};
    struct logical_lines lines;
    struct slice inside, element;

    if (config_braced(slice_of(table->argument), &inside)) {
        while (config_list_next(&inside, &element)) {
            config_braced(element, &element);
            buffer_append_slice(&text, slice_trim(element));
            buffer_append_byte(&text, '\n');
        }
    } else if (!table_read_file(table, table->argument, &text)) {
        buffer_release(&text);
        return false;
    }
    reader.rules = table->state = memory_zalloc(1, sizeof(struct cidr_rules));
    logical_lines_start(&lines, buffer_slice(&text));
    while (logical_lines_next(&lines, &line)) {
        reader.line = lines.first;
        parse_rule(&reader, buffer_slice(&line));
    }
    while (reader.depth > 0) {
        warn(&reader, "IF has no matching ENDIF");
        reader.rules->rules[reader.open[--reader.depth]].end = reader.rules->count;
    }
    buffer_release(&line);
    buffer_release(&text);
    return true;
}

static enum table_result lookup(struct table *table, struct slice key, struct buffer *value)
{
    const struct cidr_rules *rules = table->state;
    struct net_address address;

    if (!net_address_parse(&address, key, 0))
        return TABLE_NOT_FOUND;
    for (size_t i = 0; i < rules->count; i++) {
        const struct cidr_rule *rule = &rules->rules[i];
        if (rule->kind == CIDR_ENDIF)
            continue;
        /* "not in 192.0.2.0/24" says nothing of IPv6 */
        bool found = rule->network.family == address.u.any.sa_family && net_network_contains(&rule->network, &address) != rule->negated;
        if (rule->kind == CIDR_IF && !found)
            i = rule->end;
        else if (rule->kind == CIDR_MATCH && found)
            return buffer_append_string(value, rule->result), TABLE_FOUND;
    }
    return TABLE_NOT_FOUND;
}

const struct table_driver table_driver_cidr = {"cidr", DRIVER_PATTERN, open_table, close_table, lookup, NULL, NULL, NULL};
