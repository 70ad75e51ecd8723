/* simple.c - types that need no file: static, environ, fail, randmap; and what a table becomes that cannot be opened */
#include <sys/random.h>

#include "table/driver.h"

static void free_state(void *state)
{
    free(state);
}

/* ---- static: one value for every key ------------------------------------------------------------------------------- */

static bool static_open(struct table *table)
{
    struct slice value = slice_of(table->argument);
    struct buffer content = BUFFER_INIT, why = BUFFER_INIT;
    if (!config_braced(value, &value) && slice_starts(value, SLICE("{"))) {
        const char *fault = strchr(table->argument, '}') ? "syntax error after" : "missing";
        return table_fail(table, "bad static:name syntax: %s '}' in \"%s\"", fault, table->argument), false;
    }
    bool ok = !(table->flags & TABLE_FILE_VALUES) || value_from_files(value, &content, &why);
    if (!ok)
        table_fail(table, "%s: %s", table->name, buffer_string(&why));
    else
        table->state = slice_string(table->flags & TABLE_FILE_VALUES ? buffer_slice(&content) : value);
    buffer_release(&content);
    buffer_release(&why);
    return ok;
}

static enum table_result static_lookup(struct table *table, struct slice key, struct buffer *value)
{
    buffer_append_string(value, table->state);
    return TABLE_FOUND;
}

const struct table_driver table_driver_static = {"static", 0, static_open, free_state, static_lookup, NULL, NULL, NULL};

/* ---- environ: the environment --------------------------------------------------------------------------------------- */

static bool environ_open(struct table *table)
{
    return true;
}

static enum table_result environ_lookup(struct table *table, struct slice key, struct buffer *value)
{
    const char *found = getenv(key.data);
    if (!found)
        return TABLE_NOT_FOUND;
    buffer_append_string(value, found);
    return TABLE_FOUND;
}

static enum table_result environ_update(struct table *table, struct slice key, struct slice value)
{
    char *text = slice_string(value);
    bool ok = setenv(key.data, text, 1) == 0;
    free(text);
    return ok ? TABLE_FOUND : table_fail(table, "%s: %s", table->name, strerror(errno));
}

const struct table_driver table_driver_environ = {"environ", 0, environ_open, NULL, environ_lookup, environ_update, NULL, NULL};

/* ---- fail: for tests ------------------------------------------------------------------------------------------------ */

static enum table_result fail_lookup(struct table *table, struct slice key, struct buffer *value)
{
    return table_fail(table, "Application error");
}

const struct table_driver table_driver_fail = {"fail", 0, environ_open, NULL, fail_lookup, NULL, NULL, NULL};

/* ---- randmap: one of several values ---------------------------------------------------------------------------------- */

struct choices {
    size_t count;
    struct slice values[]; /* views into the table's name */
};

static bool randmap_open(struct table *table)
{
    struct slice inside, rest, element;
    size_t count = 0;
    if (!config_braced(slice_of(table->argument), &inside)) {
        table_fail(table, "bad syntax: \"%s\"; need \"randmap:{value...}\"", table->name);
        return false;
    }
    for (rest = inside; config_list_next(&rest, &element);)
        count++;
    if (count == 0) {
        table_fail(table, "bad syntax: \"%s\"; need \"randmap:{value...}\"", table->name);
        return false;
    }
    struct choices *choices = memory_alloc(sizeof(*choices) + count * sizeof(choices->values[0]));
    choices->count = 0;
    for (rest = inside; config_list_next(&rest, &element);) {
        (void)config_braced(element, &element);
        choices->values[choices->count++] = element;
    }
    table->state = choices;
    return true;
}

static enum table_result randmap_lookup(struct table *table, struct slice key, struct buffer *value)
{
    const struct choices *choices = table->state;
    uint32_t random = 0;
    if (getrandom(&random, sizeof(random), GRND_NONBLOCK) != sizeof(random))
        random = (uint32_t)clock_monotonic();
    buffer_append_slice(value, choices->values[random % choices->count]);
    return TABLE_FOUND;
}

const struct table_driver table_driver_randmap = {"randmap", DRIVER_PATTERN, randmap_open, free_state, randmap_lookup, NULL, NULL, NULL};

/* ---- a table that could not be opened -------------------------------------------------------------------------------- */

static enum table_result unavailable(struct table *table, struct slice key, struct buffer *value)
{
    log_warning("%s is unavailable. %s", table->name, buffer_string(&table->why));
    return TABLE_TRY_AGAIN;
}

const struct table_driver table_failing = {"unavailable", DRIVER_AS_IS, NULL, NULL, unavailable, NULL, NULL, NULL};
