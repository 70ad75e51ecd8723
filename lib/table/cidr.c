/* cidr.c - networks: the key is the text of an IP address (compat.md c.2) */
#include <arpa/inet.h>

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
    int line;
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

/* say_fault - what is wrong with a pattern that is no network. */
static void say_fault(const struct cidr_reader *reader, struct slice text)
{
    struct net_address address;
    struct slice host, mask;
    bool slash = slice_cut(text, '/', &host, &mask);
    uint64_t length;
    const char *fault;

    if (text.len == 0)
        fault = "no address pattern";
    else if (text.data[0] == '[' && slice_find(text, ']') == text.len)
        fault = "missing ']' character after \"";
    else if (slash && net_address_parse(&address, host, 0))
        fault = slice_to_u64(mask, &length) ? "bad mask length in \"" : "bad mask value in \"";
    else
        fault = "bad address pattern: \"";
    log_warning("cidr map %s, line %d: %s" SLICE_FORMAT "%s: skipping this rule", reader->table->argument, reader->line, fault, SLICE_ARGS(text),
                text.len > 0 ? "\"" : "");
}

/* as_ipv6 - ::ffff:192.0.2.1 is not another name of 192.0.2.1 here. */
static void as_ipv6(struct net_network *network)
{
    memmove(network->bytes + 12, network->bytes, 4);
    memset(network->bytes, 0, 10);
    memset(network->bytes + 10, 0xff, 2);
    network->family = AF_INET6;
    network->prefix += 96;
}

static bool parse_network(const struct cidr_reader *reader, struct slice text, struct net_network *network)
{
    struct buffer error = BUFFER_INIT;
    bool good = net_network_parse(network, text, &error);

    if (!good && slice_starts(buffer_slice(&error), SLICE("non-null")))
        warn(reader, buffer_string(&error));
    else if (!good)
        say_fault(reader, text);
    else if (network->family == AF_INET && slice_find(text, ':') < text.len)
        as_ipv6(network);
    buffer_release(&error);
    return good;
}

static bool take_negation(struct slice *text)
{
    bool negated = false;

    while (text->len > 0 && text->data[0] == '!') {
        negated = !negated;
        *text = slice_trim_left(slice_from(*text, 1));
    }
    return negated;
}

static void parse_endif(struct cidr_reader *reader, struct slice rest)
{
    if (slice_trim(rest).len > 0) {
        warn(reader, "garbage after ENDIF");
        return;
    }
    if (reader->depth == 0) {
        warn(reader, "ENDIF without IF");
        return;
    }
    add_rule(reader->rules, CIDR_ENDIF);
    reader->rules->rules[reader->open[--reader->depth]].end = reader->rules->count - 1;
}

static void parse_if(struct cidr_reader *reader, struct slice rest)
{
    rest = slice_trim(rest);
    bool negated = take_negation(&rest);
    struct net_network network;

    if (!parse_network(reader, rest, &network))
        return;
    if (reader->depth == NESTING_MAX) {
        warn(reader, "IF is nested too deep");
        return;
    }
    struct cidr_rule *rule = add_rule(reader->rules, CIDR_IF);
    rule->negated = negated;
    rule->network = network;
    rule->line = reader->line;
    reader->open[reader->depth++] = reader->rules->count - 1;
}

static void parse_match(struct cidr_reader *reader, struct slice text)
{
    bool negated = take_negation(&text);
    struct net_network network;
    struct slice pattern = slice_make(text.data, 0);

    (void)slice_next_token(&text, " \t", &pattern);
    if (!parse_network(reader, pattern, &network))
        return;
    text = slice_trim(text);
    if (text.len == 0) {
        warn(reader, "no lookup result");
        return;
    }
    struct buffer content = BUFFER_INIT, why = BUFFER_INIT;
    bool file_values = (reader->table->flags & TABLE_FILE_VALUES) != 0;
    if (!file_values || value_from_files(text, &content, &why)) {
        struct cidr_rule *rule = add_rule(reader->rules, CIDR_MATCH);
        rule->negated = negated;
        rule->network = network;
        rule->result = slice_string(file_values ? buffer_slice(&content) : text);
    } else {
        warn(reader, buffer_string(&why));
    }
    buffer_release(&content);
    buffer_release(&why);
}

static void parse_rule(struct cidr_reader *reader, struct slice text)
{
    struct slice rest = text, word;

    if (!slice_next_token(&rest, " \t", &word))
        return;
    if (slice_equal_case(word, SLICE("endif")))
        parse_endif(reader, rest);
    else if (slice_equal_case(word, SLICE("if")))
        parse_if(reader, rest);
    else
        parse_match(reader, text);
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
        if (lines.orphan)
            log_warning("%s: logical line must not start with whitespace: \"%s\"", table->argument, buffer_string(&line));
        else
            parse_rule(&reader, buffer_slice(&line));
    }
    while (reader.depth > 0) {
        log_warning("cidr map %s, line %d: IF has no matching ENDIF", table->argument, reader.rules->rules[reader.open[reader.depth - 1]].line);
        reader.rules->rules[reader.open[--reader.depth]].end = reader.rules->count;
    }
    buffer_release(&line);
    buffer_release(&text);
    return true;
}

/* contains - the address has this family and these first bits. */
static bool contains(const struct net_network *network, int family, const uint8_t *address)
{
    unsigned whole = network->prefix / 8, rest = network->prefix % 8;

    if (network->family != family || memcmp(address, network->bytes, whole) != 0)
        return false;
    return rest == 0 || ((address[whole] ^ network->bytes[whole]) >> (8 - rest)) == 0;
}

static enum table_result lookup(struct table *table, struct slice key, struct buffer *value)
{
    const struct cidr_rules *rules = table->state;
    uint8_t address[sizeof(struct in6_addr)];
    int family = slice_find(key, ':') < key.len ? AF_INET6 : AF_INET;

    if (inet_pton(family, key.data, address) != 1)
        return TABLE_NOT_FOUND;
    for (size_t i = 0; i < rules->count; i++) {
        const struct cidr_rule *rule = &rules->rules[i];
        if (rule->kind == CIDR_ENDIF)
            continue;
        /* "not in 192.0.2.0/24" says nothing of IPv6 */
        bool found = rule->network.family == family && contains(&rule->network, family, address) != rule->negated;
        if (rule->kind == CIDR_IF && !found)
            i = rule->end;
        else if (rule->kind == CIDR_MATCH && found)
            return buffer_append_string(value, rule->result), TABLE_FOUND;
    }
    return TABLE_NOT_FOUND;
}

const struct table_driver table_driver_cidr = {"cidr", DRIVER_PATTERN, open_table, close_table, lookup, NULL, NULL, NULL};
