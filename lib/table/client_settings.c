/* client_settings.c - the definition of a table of a server: a file like main.cf without $-expansion, or parameters of main.cf */
#include <inttypes.h>

#include "base/map.h"
#include "conf/logical_lines.h"
#include "table/client.h"

struct client_settings {
    struct config *config; /* of main.cf, when there is no file */
    const char *place;     /* the file, or the prefix; the table's */
    struct map *values;    /* of the file; NULL: main.cf */
    struct buffer why;     /* the first failure */
};

static void complain(struct client_settings *settings, const char *format, ...) PRINTF_LIKE(2, 3);
static void complain(struct client_settings *settings, const char *format, ...)
{
    va_list args;
    if (settings->why.len)
        return;
    va_start(args, format);
    buffer_vprintf(&settings->why, format, args);
    va_end(args);
}

static void take_line(struct client_settings *settings, struct slice line, int number)
{
    struct slice name, value;
    if (!slice_cut(line, '=', &name, &value) || slice_trim(name).len == 0) {
        complain(settings, "%s, line %d: missing '=' after attribute name: \"" SLICE_FORMAT "\"", settings->place, number, SLICE_ARGS(line));
        return;
    }
    map_set(settings->values, slice_trim(name), slice_string(slice_trim(value)));
}

static bool read_file(struct client_settings *settings, struct table *table)
{
    struct buffer text = BUFFER_INIT_MAX(1 << 20), line = BUFFER_INIT;
    struct logical_lines lines;
    bool ok = table_read_file(table, table->argument, &text);
    settings->values = map_new(free);
    logical_lines_start(&lines, buffer_slice(&text));
    while (ok && logical_lines_next(&lines, &line))
        take_line(settings, buffer_slice(&line), lines.first);
    buffer_release(&line);
    buffer_release(&text);
    return ok;
}

struct client_settings *client_settings_open(struct table *table)
{
    struct client_settings *settings = memory_zalloc(1, sizeof(*settings));
    settings->place = table->argument;
    settings->config = table->config;
    bool is_file = table->argument[0] == '/' || table->argument[0] == '.';
    if (!is_file && !settings->config) {
        table_fail(table, "%s: there is no main.cf with parameters %s_...", table->name, table->argument);
    } else if (!is_file || read_file(settings, table)) {
        return settings;
    }
    client_settings_free(settings);
    return NULL;
}

void client_settings_free(struct client_settings *settings)
{
    if (!settings)
        return;
    map_free(settings->values);
    buffer_release(&settings->why);
    free(settings);
}

/* raw - NULL when it is not set. */
static const char *raw(struct client_settings *settings, const char *name)
{
    if (settings->values)
        return map_get(settings->values, slice_of(name));
    struct buffer full = BUFFER_INIT;
    buffer_printf(&full, "%s_%s", settings->place, name);
    const char *value = config_raw(settings->config, buffer_slice(&full), NULL) ? config_string(settings->config, buffer_string(&full)) : NULL;
    buffer_release(&full);
    return value;
}

const char *client_string(struct client_settings *settings, const char *name, const char *standard)
{
    const char *value = raw(settings, name);
    return value ? value : standard;
}

const char *client_need(struct client_settings *settings, const char *name)
{
    const char *value = client_string(settings, name, "");
    if (!*value)
        complain(settings, "bad string length 0 < 1: %s%s%s = %s", settings->place, settings->values ? ": " : "_", name, value);
    return value;
}

int64_t client_number(struct client_settings *settings, const char *name, int64_t standard, int64_t minimum, int64_t maximum)
{
    const char *text = raw(settings, name);
    int64_t value = standard;
    if (!text || !*text)
        return standard;
    if (!slice_to_i64(slice_of(text), &value))
        complain(settings, "%s: bad numerical configuration: %s = %s", settings->place, name, text);
    else if (value < minimum)
        complain(settings, "invalid %s: %s parameter value %" PRId64 " < %" PRId64, settings->place, name, value, minimum);
    else if (value > maximum)
        complain(settings, "invalid %s: %s parameter value %" PRId64 " > %" PRId64, settings->place, name, value, maximum);
    return value;
}

int64_t client_time(struct client_settings *settings, const char *name, int64_t seconds)
{
    static const char units[] = "smhdw";
    static const int64_t worth[] = {1, 60, 3600, 86400, 604800};
    const char *text = raw(settings, name);
    int64_t value = seconds;
    if (!text || !*text)
        return seconds * MICROSECONDS;
    struct slice digits = slice_of(text);
    const char *unit = strchr(units, text[digits.len - 1]);
    if (unit)
        digits = slice_first(digits, digits.len - 1);
    if (!slice_to_i64(digits, &value) || value < 0 || value > 1000000) {
        complain(settings, "parameter %s: %s: bad time value or unit: %s", settings->place, name, text);
        return seconds * MICROSECONDS;
    }
    return value * (unit ? worth[unit - units] : 1) * MICROSECONDS;
}

bool client_bool(struct client_settings *settings, const char *name, bool standard)
{
    const char *text = raw(settings, name);
    if (!text || !*text)
        return standard;
    if (strcasecmp(text, "yes") == 0)
        return true;
    if (strcasecmp(text, "no") != 0)
        complain(settings, "%s: bad boolean configuration: %s = %s", settings->place, name, text);
    return false;
}

bool client_settings_good(struct client_settings *settings, struct table *table)
{
    if (settings->why.len)
        table_fail(table, "%s", buffer_string(&settings->why));
    return settings->why.len == 0;
}
