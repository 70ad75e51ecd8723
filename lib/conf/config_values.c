/* config_values.c - parameters as values: expanded, typed, checked, and filled into a program's struct */
#include "base/arena.h"
#include "base/clock.h"
#include "base/log.h"
#include "conf/config_private.h"

/* ---- text ---- */

static const char *unexpanded(struct config *config, struct slice name)
{
    const char *text = config_raw(config, name, NULL);
    if (text == NULL)
        text = derived_default(config, name);
    if (text == NULL) {
        const struct parameter *row = parameter_find(name);
        text = row != NULL ? row->default_value : NULL;
    }
    return text;
}

static const char *look_up(void *context, struct slice name)
{
    return unexpanded(context, name);
}

bool config_expand(struct config *config, struct slice text, struct buffer *out)
{
    struct buffer error = BUFFER_INIT_MAX(2048);
    bool ok = expand_text(text, look_up, config, true, out, &error);
    if (!ok) {
        config_problem(config, false, config->path, 0, "%s", buffer_string(&error));
        config_problem(config, true, config->path, 0, "macro processing error");
    }
    buffer_release(&error);
    return ok;
}

/* first_line - what a parameter says that names a file ("myorigin = /etc/mailname", a habit of Debian). */
static const char *first_line(struct config *config, const char *name, const char *path)
{
    struct buffer text = BUFFER_INIT;
    struct slice rest, line = {0};
    const char *value = "";
    if (!config_read_file(path, &text)) {
        config_problem(config, true, config->path, config_line_of(config, slice_of(name)), "open %s: %s", path, strerror(errno));
    } else {
        rest = buffer_slice(&text);
        slice_next_line(&rest, &line);
        value = arena_string(config->strings, slice_trim(line));
        if (value[0] == '\0')
            config_problem(config, true, config->path, config_line_of(config, slice_of(name)), "%s: file %s is empty", name, path);
    }
    buffer_release(&text);
    return value;
}

/* expanded_copy - the expansion of text in the arena; NULL after a report. */
static const char *expanded_copy(struct config *config, const char *text)
{
    struct buffer out = BUFFER_INIT;
    const char *copy = NULL;
    if (strchr(text, '$') == NULL)
        return arena_strdup(config->strings, text);
    if (config_expand(config, slice_of(text), &out))
        copy = arena_string(config->strings, buffer_slice(&out));
    buffer_release(&out);
    return copy;
}

static const char *default_text(struct config *config, const struct parameter *row)
{
    const char *text = derived_default(config, slice_of(row->name));
    if (text == NULL)
        text = row->default_value;
    if (row->type != PARAMETER_RAW)
        text = expanded_copy(config, text);
    return text != NULL ? text : "";
}

/* length_fits - the length limits of a string row; reports when not. */
static bool length_fits(struct config *config, const struct parameter *row, const char *name, const char *value)
{
    size_t len = strlen(value);
    const char *sign = "<";
    int64_t limit = (int64_t)row->minimum_length;
    if (row->type != PARAMETER_STRING && row->type != PARAMETER_RAW)
        return true;
    if (len >= row->minimum_length) {
        if (row->maximum == INT64_MAX || len <= (size_t)row->maximum)
            return true;
        sign = ">";
        limit = row->maximum;
    }
    config_problem(config, true, config->path, config_line_of(config, slice_of(name)), "bad string length %zu %s %lld: %s = %s",
                   len, sign, (long long)limit, name, value);
    return false;
}

/* text_of - the value of a name that row (may be NULL) describes, expanded and checked for length; kept for the next time. */
static const char *text_of(struct config *config, const char *name, const struct parameter *row)
{
    const char *value = map_get(config->expanded, slice_of(name));
    if (value != NULL)
        return value;
    const char *text = unexpanded(config, slice_of(name));
    if (text == NULL)
        text = row != NULL ? row->default_value : "";
    value = row != NULL && row->type == PARAMETER_RAW ? arena_strdup(config->strings, text) : expanded_copy(config, text);
    if (value != NULL && value[0] == '/' && strcmp(name, "myorigin") == 0)
        value = first_line(config, name, value);
    if (value == NULL || (row != NULL && !length_fits(config, row, name, value)))
        value = row != NULL ? default_text(config, row) : "";
    map_set(config->expanded, slice_of(name), (void *)value);
    return value;
}

const char *config_string(struct config *config, const char *name)
{
    return text_of(config, name, parameter_find(slice_of(name)));
}

/* ---- numbers ---- */

static bool parse_bool(const char *text, int64_t *value)
{
    *value = strcasecmp(text, "yes") == 0;
    return *value || strcasecmp(text, "no") == 0;
}

/* parse_time - digits and a unit; only the first byte after the digits is looked at (compat.md a.3). */
static bool parse_time(const char *text, char default_unit, int64_t *value)
{
    size_t digits = strspn(text, "0123456789");
    uint64_t number, seconds;
    if (digits == 0 || !slice_to_u64(slice_make(text, digits), &number))
        return false;
    switch (text[digits] != '\0' ? text[digits] : default_unit) {
    case 's': seconds = 1; break;
    case 'm': seconds = 60; break;
    case 'h': seconds = 3600; break;
    case 'd': seconds = 86400; break;
    case 'w': seconds = 7 * 86400; break;
    default: return false;
    }
    if (number > (uint64_t)(INT64_MAX / MICROSECONDS) / seconds)
        return false;
    *value = (int64_t)(number * seconds) * MICROSECONDS;
    return true;
}

static bool parse_number(const struct parameter *row, const char *text, int64_t *value)
{
    switch (row->type) {
    case PARAMETER_BOOL: return parse_bool(text, value);
    case PARAMETER_TIME: return parse_time(text, row->unit, value);
    case PARAMETER_INT:
    case PARAMETER_SIZE: return slice_to_i64(slice_of(text), value);
    case PARAMETER_STRING:
    case PARAMETER_RAW: break;
    }
    *value = 0;
    return true;
}

static void report_bad_number(struct config *config, const struct parameter *row, const char *name, const char *text)
{
    int line = config_line_of(config, slice_of(name));
    if (row->type == PARAMETER_TIME)
        config_problem(config, true, config->path, line, "parameter %s: bad time value or unit: %s", name, text);
    else if (row->type == PARAMETER_BOOL)
        config_problem(config, true, config->path, line, "bad boolean configuration: %s = %s", name, text);
    else
        config_problem(config, true, config->path, line, "bad numerical configuration: %s = %s", name, text);
}

/* in_range - the limits of the row; times are reported in seconds. */
static bool in_range(struct config *config, const struct parameter *row, const char *name, int64_t value)
{
    int64_t scale = row->type == PARAMETER_TIME ? MICROSECONDS : 1;
    bool low = value < row->minimum;
    if (!low && value <= row->maximum)
        return true;
    config_problem(config, true, config->path, config_line_of(config, slice_of(name)), "invalid %s parameter value %lld %s %lld",
                   name, (long long)(value / scale), low ? "<" : ">", (long long)((low ? row->minimum : row->maximum) / scale));
    return false;
}

/* number_of - the value of a name that row describes; its default after a report. */
static int64_t number_of(struct config *config, const char *name, const struct parameter *row)
{
    const char *text = text_of(config, name, row);
    int64_t value;
    if (!parse_number(row, text, &value))
        report_bad_number(config, row, name, text);
    else if (in_range(config, row, name, value))
        return value;
    if (!parse_number(row, default_text(config, row), &value))
        value = 0; /* the default depends on other parameters that are wrong */
    return value;
}

void config_check_value(struct config *config, const char *name, const struct parameter *row)
{
    if (row->type == PARAMETER_STRING || row->type == PARAMETER_RAW)
        text_of(config, name, row);
    else
        number_of(config, name, row);
}

bool config_set_fits(struct config *config, struct slice name, struct slice value)
{
    const struct parameter *row = parameter_find(name);
    config_report *report = config->report;
    bool failed = config->failed;
    config_set(config, name, value);
    if (row == NULL)
        return true;
    config->report = config_ignore_problem;
    config->failed = false;
    config_check_value(config, row->name, row);
    bool fits = !config->failed;
    config->report = report;
    config->failed = failed;
    return fits;
}

static const struct parameter *row_of(const char *name, enum parameter_type type)
{
    const struct parameter *row = parameter_find(slice_of(name));
    if (row == NULL)
        log_panic("parameter %s is not in parameters.def", name);
    enum parameter_type found = row->type == PARAMETER_SIZE ? PARAMETER_INT : row->type;
    if (found != (type == PARAMETER_SIZE ? PARAMETER_INT : type))
        log_panic("parameter %s is read as type %d but parameters.def says %d", name, (int)type, (int)row->type);
    return row;
}

bool config_bool(struct config *config, const char *name)
{
    return number_of(config, name, row_of(name, PARAMETER_BOOL)) != 0;
}

int64_t config_int(struct config *config, const char *name)
{
    return number_of(config, name, row_of(name, PARAMETER_INT));
}

int64_t config_time(struct config *config, const char *name)
{
    return number_of(config, name, row_of(name, PARAMETER_TIME));
}

/* ---- one per transport ---- */

/* transport_name - "<transport>_suffix" in the arena, and the row that describes it: its own, else the general one. */
static const char *transport_name(struct config *config, const char *transport, const char *suffix, const struct parameter **row)
{
    if (suffix[0] == '_')
        suffix++;
    const char *name = arena_printf(config->strings, "%s_%s", transport, suffix);
    *row = parameter_find(slice_of(name));
    if (*row == NULL)
        *row = parameter_of_suffix(slice_of(suffix));
    if (*row == NULL)
        log_panic("parameter <transport>_%s is not in parameters.def", suffix);
    return name;
}

int64_t config_transport_int(struct config *config, const char *transport, const char *suffix)
{
    const struct parameter *row;
    const char *name = transport_name(config, transport, suffix, &row);
    return number_of(config, name, row);
}

int64_t config_transport_time(struct config *config, const char *transport, const char *suffix)
{
    return config_transport_int(config, transport, suffix);
}

const char *config_transport_string(struct config *config, const char *transport, const char *suffix)
{
    const struct parameter *row;
    const char *name = transport_name(config, transport, suffix, &row);
    return text_of(config, name, row);
}

/* ---- a program's struct ---- */

void config_fill(struct config *config, const struct config_binding *bindings, size_t count, void *params)
{
    for (size_t i = 0; i < count; i++) {
        const struct config_binding *binding = &bindings[i];
        const struct parameter *row = row_of(binding->name, binding->type);
        char *member = (char *)params + binding->offset;
        if (binding->type == PARAMETER_STRING || binding->type == PARAMETER_RAW)
            *(const char **)(void *)member = text_of(config, binding->name, row);
        else if (binding->type == PARAMETER_BOOL)
            *(bool *)(void *)member = number_of(config, binding->name, row) != 0;
        else
            *(int64_t *)(void *)member = number_of(config, binding->name, row);
    }
}
