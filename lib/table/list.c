/* list.c - the value of a *_maps parameter: tables asked in order (compat.md a.4) */
#include "base/log.h"
#include "table/table.h"

struct table_list {
    char *parameter;
    struct table **tables;
    size_t count;
    bool misconfigured;
};

static table_trace trace;
static void *trace_context;

void tables_set_trace(table_trace function, void *context)
{
    trace = function;
    trace_context = context;
}

static void add_table(struct table_list *list, struct slice element, int flags, struct config *config)
{
    list->tables = memory_resize(list->tables, (list->count + 1) * sizeof(*list->tables));
    list->tables[list->count++] = table_open(element, flags, config);
}

struct table_list *table_list_new(const char *parameter, const char *value, int flags, struct config *config)
{
    struct table_list *list = memory_zalloc(1, sizeof(*list));
    struct slice rest = slice_of(value), element;

    list->parameter = memory_string(parameter);
    while (config_list_next(&rest, &element)) {
        if (element.data[0] == '#') {
            log_warning("%s: #comment after other text is not allowed: " SLICE_FORMAT, parameter, SLICE_ARGS(element));
            break;
        }
        add_table(list, element, flags, config);
    }
    return list;
}

void table_list_free(struct table_list *list)
{
    if (list == NULL)
        return;
    for (size_t i = 0; i < list->count; i++)
        table_free(list->tables[i]);
    free(list->tables);
    free(list->parameter);
    free(list);
}

bool table_list_is_empty(const struct table_list *list)
{
    return list == NULL || list->count == 0;
}

static enum table_result failed(struct table_list *list, const struct table *table, struct slice key)
{
    list->misconfigured = table_is_misconfigured(table);
    log_warning("%s lookup error for \"" SLICE_FORMAT "\"", table_name(table), SLICE_ARGS(key));
    return TABLE_TRY_AGAIN;
}

enum table_result table_list_lookup(struct table_list *list, struct slice key, bool partial, struct buffer *value)
{
    if (list == NULL)
        return TABLE_NOT_FOUND;
    list->misconfigured = false;
    for (size_t i = 0; i < list->count; i++) {
        struct table *table = list->tables[i];
        if (!partial && table_is_pattern(table))
            continue;
        enum table_result result = table_lookup(table, key, value);
        if (trace)
            trace(trace_context, list->parameter, table, key, result, result == TABLE_FOUND ? buffer_slice(value) : SLICE(""));
        if (result == TABLE_TRY_AGAIN)
            return failed(list, table, key);
        if (result == TABLE_FOUND && value->len > 0)
            return TABLE_FOUND;
        if (result == TABLE_FOUND) {
            log_warning("%s lookup of " SLICE_FORMAT " returns an empty string result", list->parameter, SLICE_ARGS(key));
            log_warning("%s should return NO RESULT in case of NOT FOUND", list->parameter);
            list->misconfigured = true;
            return TABLE_TRY_AGAIN;
        }
    }
    return TABLE_NOT_FOUND;
}

bool table_list_is_misconfigured(const struct table_list *list)
{
    return list != NULL && list->misconfigured;
}

size_t table_list_count(const struct table_list *list)
{
    return list == NULL ? 0 : list->count;
}

struct table *table_list_at(const struct table_list *list, size_t index)
{
    return list->tables[index];
}
