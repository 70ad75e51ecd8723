/* match.c - match lists: literals, negation, files, tables, networks (compat.md a.4) */
#include "table/match.h"

#include "base/log.h"
#include "conf/logical_lines.h"

#define FILE_MAX (64 << 20)
#define FILE_DEPTH_MAX 10 /* files named in files */

enum item_kind { ITEM_LITERAL, ITEM_TABLE, ITEM_NETWORK, ITEM_BROKEN };

struct item {
    enum item_kind kind;
    bool negated;
    struct slice text;      /* lower case; domain lists: without the leading dot */
    bool only_subdomains;   /* ".domain" */
    struct table *table;
    struct net_network network;
};

struct match_list {
    char *parameter;
    enum match_kind kind;
    bool parent_style;
    struct arena *arena;
    struct item *items;
    size_t count, capacity;
    struct config *config;
};

bool match_parent_style(struct config *config, const char *parameter)
{
    struct slice rest, element;

    if (config == NULL)
        return false;
    rest = slice_of(config_string(config, "parent_domain_matches_subdomains"));
    while (config_list_next(&rest, &element))
        if (slice_equal(element, slice_of(parameter)))
            return true;
    return false;
}

/* ---- reading the list ---- */

static void add_elements(struct match_list *list, struct slice text, bool negated, int depth);

static struct item *add_item(struct match_list *list, enum item_kind kind, bool negated)
{
    if (list->count == list->capacity) {
        list->capacity = list->capacity ? list->capacity * 2 : 8;
        list->items = memory_resize(list->items, list->capacity * sizeof(*list->items));
    }
    struct item *item = &list->items[list->count++];
    *item = (struct item){.kind = kind, .negated = negated};
    return item;
}

static bool read_file(const char *path, struct buffer *text)
{
    char piece[16384];
    size_t got;
    FILE *file = fopen(path, "re");

    if (file == NULL)
        return false;
    while ((got = fread(piece, 1, sizeof(piece), file)) > 0 && buffer_append(text, piece, got))
        ;
    bool good = !ferror(file) && !text->overflow;
    fclose(file);
    return good;
}

static void add_file(struct match_list *list, struct slice path, bool negated, int depth)
{
    char *name = slice_string(path);
    struct buffer text = BUFFER_INIT_MAX(FILE_MAX), line = BUFFER_INIT;
    struct logical_lines lines;

    if (depth >= FILE_DEPTH_MAX || !read_file(name, &text)) {
        log_warning("%s: cannot read %s: %s", list->parameter, name, depth >= FILE_DEPTH_MAX ? "files are nested too deep" : strerror(errno));
        add_item(list, ITEM_BROKEN, negated);
    } else {
        struct slice kept = arena_slice(list->arena, buffer_slice(&text));
        logical_lines_start(&lines, kept);
        while (logical_lines_next(&lines, &line))
            add_elements(list, arena_slice(list->arena, buffer_slice(&line)), negated, depth + 1);
    }
    buffer_release(&text);
    buffer_release(&line);
    free(name);
}

static bool looks_like_network(struct slice text)
{
    if (text.data[0] == '[')
        return true;
    if (!isdigit((unsigned char)text.data[0]))
        return false;
    for (size_t i = 0; i < text.len; i++)
        if (!isdigit((unsigned char)text.data[i]) && text.data[i] != '.' && text.data[i] != '/')
            return false;
    return true;
}

static void add_network(struct match_list *list, struct slice text, bool negated)
{
    struct buffer error = BUFFER_INIT;
    struct item *item = add_item(list, ITEM_NETWORK, negated);

    item->text = arena_lower(list->arena, text);
    if (!net_network_parse(&item->network, text, &error)) {
        log_warning("%s: %s", list->parameter, error.len > 0 ? buffer_string(&error) : "bad address pattern");
        item->kind = ITEM_BROKEN;
    }
    buffer_release(&error);
}

static void add_pattern(struct match_list *list, struct slice text, bool negated, int depth)
{
    if (text.data[0] == '/') {
        add_file(list, text, negated, depth);
    } else if (list->kind == MATCH_ADDRESS_LIST && looks_like_network(text)) {
        add_network(list, text, negated);
    } else if (text.data[0] != '[' && slice_find(text, ':') < text.len) {
        struct item *item = add_item(list, ITEM_TABLE, negated);
        item->table = table_open(text, 0, list->config);
    } else {
        struct item *item = add_item(list, ITEM_LITERAL, negated);
        item->text = arena_lower(list->arena, text);
        if (list->kind != MATCH_STRING_LIST && text.data[0] == '.' && !list->parent_style) {
            item->only_subdomains = true;
            item->text = slice_from(item->text, 1);
        }
    }
}

static void add_elements(struct match_list *list, struct slice text, bool negated, int depth)
{
    struct slice element;

    while (config_list_next(&text, &element)) {
        bool not = negated;
        if (element.data[0] == '#') {
            log_warning("%s: #comment after other text is not allowed: " SLICE_FORMAT, list->parameter, SLICE_ARGS(element));
            return;
        }
        while (element.len > 0 && element.data[0] == '!') {
            not = !not;
            element = slice_from(element, 1);
        }
        if (element.len == 0)
            log_warning("%s: no pattern after '!'", list->parameter);
        else
            add_pattern(list, element, not, depth);
    }
}

struct match_list *match_list_new(const char *parameter, const char *value, enum match_kind kind, struct config *config)
{
    struct match_list *list = memory_zalloc(1, sizeof(*list));

    list->parameter = memory_string(parameter);
    list->kind = kind;
    list->config = config;
    list->arena = arena_new(0);
    list->parent_style = match_parent_style(config, parameter);
    add_elements(list, slice_of(value), false, 0);
    return list;
}

void match_list_free(struct match_list *list)
{
    if (list == NULL)
        return;
    for (size_t i = 0; i < list->count; i++)
        table_free(list->items[i].table);
    free(list->items);
    free(list->parameter);
    arena_free(list->arena);
    free(list);
}

bool match_list_is_empty(const struct match_list *list)
{
    return list == NULL || list->count == 0;
}

/* ---- matching ---- */

static enum match_result broken(const struct match_list *list, const struct item *item)
{
    if (item->table != NULL)
        log_warning("%s: table lookup problem", list->parameter);
    return MATCH_TRY_AGAIN;
}

static enum match_result in_table(struct item *item, struct slice key)
{
    struct buffer value = BUFFER_INIT;
    enum table_result result = table_lookup(item->table, key, &value);

    buffer_release(&value);
    return result == TABLE_FOUND ? MATCH_YES : result == TABLE_NOT_FOUND ? MATCH_NO : MATCH_TRY_AGAIN;
}

/* is_below - domain is a subdomain of parent. */
static bool is_below(struct slice domain, struct slice parent)
{
    return domain.len > parent.len + 1 && domain.data[domain.len - parent.len - 1] == '.' && slice_ends_case(domain, parent);
}

/* table_domain - the name, then its parents: "x.y" in parent style, else ".x.y"; pattern tables get the name only. */
static enum match_result table_domain(const struct match_list *list, struct item *item, struct slice domain)
{
    enum match_result result = in_table(item, domain);

    while (result == MATCH_NO && !table_is_pattern(item->table)) {
        size_t dot = slice_find(slice_from(domain, 1), '.') + 1;
        if (dot >= domain.len)
            break;
        domain = slice_from(domain, list->parent_style ? dot + 1 : dot);
        if (domain.len == 0)
            break;
        result = in_table(item, domain);
    }
    return result;
}

static enum match_result item_domain(const struct match_list *list, struct item *item, struct slice domain)
{
    switch (item->kind) {
    case ITEM_TABLE:
        return table_domain(list, item, domain);
    case ITEM_LITERAL:
        if (item->only_subdomains)
            return is_below(domain, item->text) ? MATCH_YES : MATCH_NO;
        return slice_equal_case(domain, item->text) || (list->parent_style && is_below(domain, item->text)) ? MATCH_YES : MATCH_NO;
    case ITEM_NETWORK:
        return MATCH_NO;
    default:
        return MATCH_TRY_AGAIN;
    }
}

static enum match_result item_string(const struct match_list *list UNUSED, struct item *item, struct slice text)
{
    if (item->kind == ITEM_TABLE)
        return in_table(item, text);
    if (item->kind == ITEM_LITERAL)
        return slice_equal_case(text, item->text) ? MATCH_YES : MATCH_NO;
    return item->kind == ITEM_BROKEN ? MATCH_TRY_AGAIN : MATCH_NO;
}

static enum match_result item_address(struct item *item, const struct net_address *address)
{
    enum match_result result = MATCH_NO;

    if (item->kind == ITEM_NETWORK)
        return net_network_contains(&item->network, address) ? MATCH_YES : MATCH_NO;
    if (item->kind == ITEM_TABLE) {
        struct buffer text = BUFFER_INIT;
        net_address_text(address, &text);
        result = in_table(item, buffer_slice(&text));
        buffer_release(&text);
    }
    return result;
}

static enum match_result settle(const struct match_list *list, const struct item *item, enum match_result result)
{
    if (result == MATCH_TRY_AGAIN)
        return broken(list, item);
    return item->negated ? MATCH_NO : MATCH_YES;
}

enum match_result match_string(struct match_list *list, struct slice text)
{
    for (size_t i = 0; i < list->count; i++) {
        enum match_result result = item_string(list, &list->items[i], text);
        if (result != MATCH_NO)
            return settle(list, &list->items[i], result);
    }
    return MATCH_NO;
}

enum match_result match_domain(struct match_list *list, struct slice domain)
{
    for (size_t i = 0; i < list->count; i++) {
        enum match_result result = item_domain(list, &list->items[i], domain);
        if (result != MATCH_NO)
            return settle(list, &list->items[i], result);
    }
    return MATCH_NO;
}

enum match_result match_host(struct match_list *list, struct slice name, const struct net_address *address)
{
    bool named = name.len > 0 && !slice_equal_case(name, SLICE("unknown"));

    for (size_t i = 0; i < list->count; i++) {
        struct item *item = &list->items[i];
        enum match_result result = item->kind == ITEM_BROKEN ? MATCH_TRY_AGAIN : MATCH_NO;
        if (result == MATCH_NO && named)
            result = item_domain(list, item, name);
        if (result == MATCH_NO && address != NULL && address->len > 0)
            result = item_address(item, address);
        if (result != MATCH_NO)
            return settle(list, item, result);
    }
    return MATCH_NO;
}
