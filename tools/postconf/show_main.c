/* show_main.c - the parameters of main.cf */
#include "base/log.h"
#include "postconf.h"

/* is_set - shown by -n: set in main.cf or with -o; config_directory when it was asked for by -c or MAIL_CONFIG. */
static bool is_set(const struct postconf *pc, struct slice name)
{
    if (slice_equal(name, SLICE("config_directory")))
        return pc->directory != NULL;
    return config_raw(pc->config, name, NULL) != NULL;
}

static void show_one(struct postconf *pc, const char *name)
{
    struct slice key = slice_of(name);
    const char *value = pc->options & OPTION_d ? NULL : config_raw(pc->config, key, NULL);
    if (value == NULL)
        value = config_names_default(pc->names, key);
    struct buffer expanded = BUFFER_INIT;
    const struct parameter *row = parameter_find(key);
    bool expands = row == NULL || row->type != PARAMETER_RAW; /* else their $names are no parameters */
    if ((pc->options & OPTION_x) && expands && config_expand(pc->config, slice_of(value), &expanded))
        print_setting(pc, name, buffer_slice(&expanded));
    else
        print_setting(pc, name, slice_of(value));
    buffer_release(&expanded);
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void show_all(struct postconf *pc)
{
    size_t count = 0, position = 0;
    struct slice name;
    enum name_class class;
    while (config_names_next(pc->names, &position, &name, &class))
        count++;
    const char **sorted = arena_alloc(pc->arena, (count + 1) * sizeof(*sorted));
    position = count = 0;
    while (config_names_next(pc->names, &position, &name, &class)) {
        bool wanted = class == NAME_LEGACY ? false : (pc->classes & class) != 0;
        if (wanted && (!(pc->options & OPTION_n) || is_set(pc, name)))
            sorted[count++] = arena_string(pc->arena, name);
    }
    qsort(sorted, count, sizeof(*sorted), compare_names);
    for (size_t i = 0; i < count; i++)
        show_one(pc, sorted[i]);
}

void show_main(struct postconf *pc, char **names, int count)
{
    if (count == 0)
        show_all(pc);
    for (int i = 0; i < count; i++) {
        if (config_names_class(pc->names, slice_of(names[i])) == NAME_UNKNOWN)
            log_warning("%s: unknown parameter", names[i]);
        else if (!(pc->options & OPTION_n) || is_set(pc, slice_of(names[i])))
            show_one(pc, names[i]);
    }
}
