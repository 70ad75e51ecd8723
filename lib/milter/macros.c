/* macros.c - what filters are told beside the commands */
#include "milter/private.h"

/* without_braces - "{daemon_name}" and "daemon_name" are the same. */
static struct slice without_braces(struct slice name)
{
    if (name.len > 2 && slice_starts(name, SLICE("{")) && slice_ends(name, SLICE("}")))
        return slice_make(name.data + 1, name.len - 2);
    return name;
}

/* default_of - milter_macro_defaults: "name=value", "{ name = value }"; the name may have braces of its own. */
static struct slice default_of(const struct milter_list *list, struct slice name)
{
    struct slice rest = slice_of(list->params.milter_macro_defaults), item, key, value;

    while (config_list_next(&rest, &item)) {
        config_braced(item, &item);
        if (slice_cut(item, '=', &key, &value) && slice_equal(without_braces(slice_trim(key)), without_braces(name)))
            return slice_trim(value);
    }
    return (struct slice){0};
}

static struct slice value_of(struct milters *m, struct slice name)
{
    struct slice bare = without_braces(name), value = {0};

    if (!m->list)
        return value;
    if (slice_equal(bare, SLICE("daemon_name")))
        return slice_of(m->list->params.milter_macro_daemon_name);
    if (slice_equal(bare, SLICE("v")))
        return slice_of(m->list->params.milter_macro_v);
    if (m->macro)
        value = m->macro(m->context, name);
    return value.data ? value : default_of(m->list, name);
}

static struct slice names_of(const struct milter *f, enum milter_stage stage)
{
    if (f->macros[stage])
        return slice_of(f->macros[stage]);
    if (!f->all->list)
        return (struct slice){0};
    const struct milter_params *p = &f->all->list->params;
    const char *const lists[STAGE_COUNT] = {
        [STAGE_CONNECT] = p->milter_connect_macros, [STAGE_HELO] = p->milter_helo_macros, [STAGE_MAIL] = p->milter_mail_macros,
        [STAGE_RCPT] = p->milter_rcpt_macros, [STAGE_DATA] = p->milter_data_macros, [STAGE_END_OF_MESSAGE] = p->milter_end_of_data_macros,
        [STAGE_END_OF_HEADER] = p->milter_end_of_header_macros, [STAGE_UNKNOWN] = p->milter_unknown_command_macros,
    };
    return slice_of(lists[stage]);
}

void milter_macros(struct milter *f, enum milter_stage stage, struct buffer *out)
{
    struct slice rest = names_of(f, stage), name;

    while (slice_next_token(&rest, ", \t\r\n", &name)) {
        struct slice value = value_of(f->all, name);
        if (!value.data)
            continue;
        milter_put_text(out, name);
        milter_put_text(out, value);
    }
}
