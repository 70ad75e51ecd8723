/* show_master.c - postconf -M, -F, -P */
#include "base/log.h"
#include "base/map.h"
#include "master_entry.h"

/* ---- -x: $name in -o settings ---- */

struct scope {
    struct postconf *pc;
    const struct master_entry *entry;
};

static const char *scope_lookup(void *context, struct slice name)
{
    const struct scope *scope = context;
    struct slice setting, value, last = {0};
    if (slice_equal(name, SLICE("service_name")))
        return scope->entry->columns[0];
    if (slice_equal(name, SLICE("process_name")))
        return scope->entry->columns[COLUMN_COMMAND];
    for (size_t at = 0; master_entry_next_setting(scope->entry, &at, &setting, &value);)
        if (slice_equal(setting, name))
            last = value;
    if (last.data != NULL)
        return arena_string(scope->pc->arena, last);
    const char *text = config_raw(scope->pc->config, name, NULL);
    if (text == NULL && config_names_class(scope->pc->names, name) != NAME_UNKNOWN)
        text = config_names_default(scope->pc->names, name);
    return text;
}

static struct slice expanded(struct postconf *pc, const struct master_entry *entry, struct slice value)
{
    struct scope scope = {pc, entry};
    struct buffer out = BUFFER_INIT, error = BUFFER_INIT;
    if (!config_expand_nested(value, scope_lookup, &scope, &out, &error)) {
        log_warning("%s", buffer_string(&error));
        log_fatal("macro processing error");
    }
    value = arena_slice(pc->arena, buffer_slice(&out));
    buffer_release(&out);
    buffer_release(&error);
    return value;
}

/* expand_entry - a copy with all settings expanded. */
static struct master_entry expand_entry(struct postconf *pc, const struct master_entry *entry)
{
    struct master_entry copy = *entry;
    struct slice name, value;
    if (entry->word_count == 0)
        return copy;
    copy.words = arena_copy(pc->arena, entry->words, entry->word_count * sizeof(*copy.words));
    for (size_t at = 0; master_entry_next_setting(entry, &at, &name, &value);)
        copy.words[at - 1] = arena_printf(pc->arena, SLICE_FORMAT "=" SLICE_FORMAT, SLICE_ARGS(name),
                                          SLICE_ARGS(expanded(pc, entry, value)));
    return copy;
}

/* ---- one entry ---- */

static void show_entry(struct postconf *pc, const struct master_entry *entry)
{
    struct buffer out = BUFFER_INIT;
    master_entry_format(entry, (pc->options & OPTION_f) != 0, &out);
    fwrite(out.data, 1, out.len, stdout);
    buffer_release(&out);
}

static void show_fields(struct postconf *pc, const struct master_entry *entry, struct slice item)
{
    for (int i = 0; i < MASTER_COLUMNS; i++) {
        if (!master_part_matches(item, master_column_names[i]))
            continue;
        const char *name = arena_printf(pc->arena, "%s/%s/%s", entry->columns[0], entry->columns[1], master_column_names[i]);
        if (i < COLUMN_COMMAND || (pc->options & (OPTION_H | OPTION_j))) {
            struct buffer command = BUFFER_INIT;
            if (i == COLUMN_COMMAND)
                master_entry_format_command(entry, 0, false, &command);
            print_setting(pc, name, i == COLUMN_COMMAND ? buffer_slice(&command) : slice_of(entry->columns[i]));
            buffer_release(&command);
            continue;
        }
        struct buffer out = BUFFER_INIT;
        if (!(pc->options & OPTION_h))
            buffer_printf(&out, "%s = ", name);
        master_entry_format_command(entry, out.len, (pc->options & OPTION_f) != 0, &out);
        puts(buffer_string(&out));
        buffer_release(&out);
    }
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* show_settings - the -o settings in order of their names; of several with one name the last.  Returns how many. */
static size_t show_settings(struct postconf *pc, const struct master_entry *entry, struct slice item)
{
    struct map *settings = map_new(NULL);
    struct slice name, value;
    void *text;
    for (size_t at = 0; master_entry_next_setting(entry, &at, &name, &value);)
        if (slice_equal(item, SLICE("*")) || slice_equal(item, name))
            map_set(settings, name, arena_string(pc->arena, value));
    const char **names = arena_alloc(pc->arena, (map_count(settings) + 1) * sizeof(*names));
    size_t count = 0, position = 0;
    while (map_next(settings, &position, &name, &text))
        names[count++] = arena_string(pc->arena, name);
    qsort(names, count, sizeof(*names), compare_names);
    for (size_t i = 0; i < count; i++) {
        value = slice_of(map_get(settings, slice_of(names[i])));
        if (pc->options & OPTION_x)
            value = expanded(pc, entry, value);
        print_setting(pc, arena_printf(pc->arena, "%s/%s/%s", entry->columns[0], entry->columns[1], names[i]), value);
    }
    map_free(settings);
    return count;
}

/* show_match - an entry that a pattern is about; false: it has no such setting. */
static bool show_match(struct postconf *pc, const struct master_entry *entry, const struct master_pattern *pattern)
{
    struct master_entry shown = *entry;
    if (pc->options & OPTION_P)
        return show_settings(pc, entry, pattern->item) > 0;
    if (pc->options & OPTION_x)
        shown = expand_entry(pc, entry);
    if (pc->options & OPTION_M)
        show_entry(pc, &shown);
    else
        show_fields(pc, &shown, pattern->item);
    return true;
}

static void parse_pattern(struct postconf *pc, const char *text, struct master_pattern *pattern)
{
    if (!master_pattern_parse(text, pc->options & OPTION_M ? 2 : 3, pattern)) {
        if (pc->options & OPTION_M)
            log_fatal("-M option requires service_name[/type]");
        if (pc->options & OPTION_F)
            log_fatal("-F option requires service_name[/type[/field]]");
        log_fatal("-P option requires service_name[/type[/parameter]]");
    }
    if ((pc->options & OPTION_F) && !slice_equal(pattern->item, SLICE("*")))
        master_column_find(pattern->item);
}

void show_master(struct postconf *pc, char **patterns, int count)
{
    char everything[] = "*", *all[] = {everything, NULL};
    bool any = count == 0;
    if (any) {
        patterns = all;
        count = 1;
    }
    struct master_pattern *parsed = arena_alloc(pc->arena, (size_t)count * sizeof(*parsed));
    bool *matched = arena_alloc(pc->arena, (size_t)count * sizeof(*matched));
    for (int i = 0; i < count; i++)
        parse_pattern(pc, patterns[i], &parsed[i]);
    for (size_t e = 0; e < pc->entries->count; e++) { /* in the order of the file, whatever the order of the patterns */
        for (int i = 0; i < count; i++)
            matched[i] |= master_pattern_matches(&parsed[i], &pc->entries->items[e]) && show_match(pc, &pc->entries->items[e], &parsed[i]);
    }
    for (int i = 0; i < count && !any; i++) {
        if (!matched[i])
            log_warning("unmatched request: \"%s\"", patterns[i]);
    }
}
