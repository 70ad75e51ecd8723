/* wrappers.c - tables made of tables: unionmap, pipemap, debug, proxy */
#include "table/driver.h"

#define MEMBERS_MAX 100

struct members { struct table **tables; size_t count; };

/* member_failed - a table in the table could not answer: nor can this one. */
static enum table_result member_failed(struct table *table, const struct table *member)
{
    table->config_error = table_is_misconfigured(member);
    return table_fail(table, "%s", table_why(member));
}

static void close_members(void *state)
{
    struct members *members = state;

    for (size_t i = 0; i < members->count; i++)
        table_free(members->tables[i]);
    free(members->tables);
    free(members);
}

/* open_members - "{ type:a, type:b, ... }". */
static bool open_members(struct table *table)
{
    struct members *members = memory_zalloc(1, sizeof(*members));
    struct slice inside, element;

    table->state = members;
    if (!config_braced(slice_of(table->argument), &inside)) {
        table_fail(table, "bad syntax: \"%s\"; need \"%s:{type:name...}\"", table->name, table->driver->type);
        goto failed;
    }
    while (config_list_next(&inside, &element) && members->count < MEMBERS_MAX) {
        if (slice_find(element, ':') == element.len) {
            table_fail(table, "bad syntax: \"%s\"; need \"%s:{type:name...}\"", table->name, table->driver->type);
            goto failed;
        }
        members->tables = memory_resize(members->tables, (members->count + 1) * sizeof(*members->tables));
        members->tables[members->count++] = table_open(element, table->flags, table->config);
    }
    if (members->count > 0) {
        table->is_pattern = table_is_pattern(members->tables[0]);
        return true;
    }
    table_fail(table, "bad syntax: \"%s\"; need \"%s:{type:name...}\"", table->name, table->driver->type);
failed:
    close_members(members);
    table->state = NULL;
    return false;
}

/* ---- unionmap: the same key to all, results joined ---- */

static enum table_result union_lookup(struct table *table, struct slice key, struct buffer *value)
{
    const struct members *members = table->state;
    struct buffer one = BUFFER_INIT;
    enum table_result result = TABLE_NOT_FOUND;

    for (size_t i = 0; i < members->count; i++) {
        enum table_result found = table_lookup(members->tables[i], key, &one);
        if (found == TABLE_TRY_AGAIN) {
            result = member_failed(table, members->tables[i]);
            break;
        }
        if (found == TABLE_NOT_FOUND)
            continue;
        if (value->len > 0)
            buffer_append_byte(value, ',');
        buffer_append_slice(value, buffer_slice(&one));
        result = TABLE_FOUND;
    }
    buffer_release(&one);
    return result;
}

const struct table_driver table_driver_unionmap = {"unionmap", DRIVER_AS_IS, open_members, close_members, union_lookup, NULL, NULL, NULL};

/* ---- pipemap: the result of one is the key of the next ---- */

static enum table_result pipe_lookup(struct table *table, struct slice key, struct buffer *value)
{
    const struct members *members = table->state;
    struct buffer now = BUFFER_INIT, next = BUFFER_INIT;
    enum table_result result = TABLE_FOUND;

    buffer_append_slice(&now, key);
    for (size_t i = 0; i < members->count && result == TABLE_FOUND; i++) {
        result = table_lookup(members->tables[i], buffer_slice(&now), &next);
        if (result == TABLE_TRY_AGAIN)
            (void)member_failed(table, members->tables[i]);
        struct buffer swap = now;
        now = next;
        next = swap;
    }
    if (result == TABLE_FOUND)
        buffer_append_slice(value, buffer_slice(&now));
    buffer_release(&now);
    buffer_release(&next);
    return result;
}

const struct table_driver table_driver_pipemap = {"pipemap", DRIVER_AS_IS, open_members, close_members, pipe_lookup, NULL, NULL, NULL};

/* ---- one table behind a name: debug, proxy ---- */

static bool open_behind(struct table *table)
{
    struct table *behind = table_open(slice_of(table->argument), table->flags, table->config);

    table->state = behind;
    table->is_pattern = table_is_pattern(behind);
    return true;
}

static void close_behind(void *state)
{
    table_free(state);
}

static enum table_result behind_result(struct table *table, enum table_result result)
{
    return result == TABLE_TRY_AGAIN ? member_failed(table, table->state) : result;
}

static enum table_result behind_lookup(struct table *table, struct slice key, struct buffer *value)
{
    return behind_result(table, table_lookup(table->state, key, value));
}

static enum table_result behind_update(struct table *table, struct slice key, struct slice value)
{
    return behind_result(table, table_update(table->state, key, value));
}

static enum table_result behind_remove(struct table *table, struct slice key)
{
    return behind_result(table, table_delete(table->state, key));
}

static enum table_result behind_next(struct table *table, bool first, struct buffer *key, struct buffer *value)
{
    return behind_result(table, table_next(table->state, first, key, value));
}

static enum table_result debug_lookup(struct table *table, struct slice key, struct buffer *value)
{
    enum table_result result = behind_lookup(table, key, value);

    log_info("%s lookup: \"" SLICE_FORMAT "\" => %s%s%s", table->argument, SLICE_ARGS(key), result == TABLE_FOUND ? "\"" : "",
             result == TABLE_FOUND ? buffer_string(value) : result == TABLE_NOT_FOUND ? "(not found)" : "(try again)",
             result == TABLE_FOUND ? "\"" : "");
    return result;
}

const struct table_driver table_driver_debug = {"debug", DRIVER_AS_IS | DRIVER_HIDDEN, open_behind, close_behind, debug_lookup, behind_update, behind_remove, behind_next};

/* proxy: our drivers do not block, so the table is opened in this process; what may be opened is still a matter of proxy_read_maps. */
static bool is_approved(struct table *table)
{
    const char *parameter = table->flags & TABLE_WRITE ? "proxy_write_maps" : "proxy_read_maps";
    struct slice rest, element;

    if (table->config == NULL)
        return true;
    rest = slice_of(config_string(table->config, parameter));
    while (config_list_next(&rest, &element))
        if (slice_equal(element, slice_of(table->name)))
            return true;
    return table_fail(table, "proxy:%s: request for unapproved table: \"%s\"; to approve this table for %s access, list %s in main.cf:%s", table->argument,
                      table->argument, table->flags & TABLE_WRITE ? "read-write" : "read-only", table->name, parameter), false;
}

static bool open_proxy(struct table *table)
{
    return is_approved(table) && open_behind(table);
}

const struct table_driver table_driver_proxy = {"proxy", DRIVER_AS_IS, open_proxy, close_behind, behind_lookup, behind_update, behind_remove, behind_next};
