/* check.c - see check.h */
#include "base/arena.h"
#include "conf/check_private.h"

static void report_text(struct check *c, enum finding_kind kind, enum finding_weight weight, const char *file, int line, const char *subject,
                        const char *text)
{
    c->count++;
    c->fatal |= weight == FINDING_ERROR;
    c->report(c->context, &(struct finding){kind, weight, file, line, subject, text});
}

void check_found(struct check *c, enum finding_kind kind, enum finding_weight weight, const char *file, int line, const char *subject,
                 const char *format, ...)
{
    struct buffer text = BUFFER_INIT_MAX(4096);
    va_list args;
    if (file != NULL && line > 0)
        buffer_printf(&text, "%s, line %d: ", file, line);
    else if (file != NULL)
        buffer_printf(&text, "%s: ", file);
    va_start(args, format);
    buffer_vprintf(&text, format, args);
    va_end(args);
    report_text(c, kind, weight, file, line, subject, buffer_string(&text));
    buffer_release(&text);
}

/* pass_on - what reading a value reports, with the place it was set. */
static void pass_on(void *context, bool fatal, const char *file, int line, const char *text)
{
    struct check *c = context;
    report_text(c, FINDING_VALUE, fatal && c->relevant ? FINDING_ERROR : FINDING_WARNING, file, line, c->subject,
                arena_printf(c->arena, "%s%s", c->where, text));
}

/* is_run - whether a program of that name runs or a command of that name may be called.  Postfix's names: daemons that have no line in
   master.cf read nothing. */
static bool is_run(const struct check *c, struct slice program)
{
    static const char *const daemons[] = {"anvil", "bounce", "cleanup", "dnsblog", "flush", "lmtp", "local", "pickup", "pipe", "postlogd",
                                          "postscreen", "proxymap", "qmgr", "qmqpd", "scache", "showq", "smtp", "smtpd", "spawn", "tlsmgr",
                                          "tlsproxy", "verify", "virtual"};
    for (size_t i = 0; i < c->services.count; i++)
        if (slice_equal(program, slice_of(c->named[i].command)))
            return true;
    for (size_t i = 0; i < COUNT_OF(daemons); i++)
        if (slice_equal(program, slice_of(daemons[i])))
            return false;
    return true;
}

static bool is_relevant(const struct check *c, const struct parameter *row)
{
    struct slice rest = slice_of(row->programs), program;
    bool none = rest.len == 0;
    while (config_list_next(&rest, &program))
        if (is_run(c, program))
            return true;
    return none;
}

/* ---- values ---- */

static const struct parameter *row_of(struct slice name)
{
    const struct parameter *row = parameter_find(name);
    return row != NULL && row->name[0] != '<' ? row : parameter_find_transport(name);
}

bool check_is_choice(struct slice choices, struct slice word)
{
    struct slice choice;
    for (bool more = true; more;) {
        more = slice_cut(choices, '|', &choice, &choices);
        if (slice_equal_case(choice, word))
            return true;
    }
    return false;
}

/* check_choices - a value (or the elements of a list) that is none of those the row allows. */
static void check_choices(struct check *c, const char *file, int line, const char *name, const struct parameter *row, const char *value)
{
    struct slice choices = slice_of(row->choices), rest = slice_of(value), element = slice_trim(rest);
    if (choices.len == 0 || row->state == PARAMETER_NEEDLESS)
        return;
    bool is_tolerant = slice_starts(choices, SLICE("words ")), is_list = is_tolerant || slice_starts(choices, SLICE("list "));
    if (is_list)
        choices = slice_from(choices, is_tolerant ? 6 : 5);
    while (is_list ? config_list_next(&rest, &element) : rest.data != NULL) {
        if (!check_is_choice(choices, element))
            check_found(c, FINDING_CHOICE, c->relevant && !is_tolerant ? FINDING_ERROR : FINDING_WARNING, file, line, name,
                        "%s: unknown value \"" SLICE_FORMAT "\"; known: " SLICE_FORMAT, name, SLICE_ARGS(element), SLICE_ARGS(choices));
        if (!is_list)
            return;
    }
}

/* check_state - settings that are accepted and do nothing.  Not worth a word: "no", nothing at all, and what is the default anyway. */
static void check_state(struct check *c, struct config *config, const char *file, int line, const char *name, const struct parameter *row)
{
    const char *value = config_raw(config, slice_of(name), NULL);
    bool says_nothing = value[0] == '\0' || strcmp(value, row->default_value) == 0 ||
                        (row->type == PARAMETER_BOOL && strcasecmp(value, "no") == 0);
    if (!c->relevant && !says_nothing)
        check_found(c, FINDING_UNUSED, FINDING_NOTE, file, line, name, "%s is not used: no service of master.cf runs %s", name, row->programs);
    if (row->state == PARAMETER_NEEDLESS && !says_nothing)
        check_found(c, FINDING_NEEDLESS, FINDING_NOTE, file, line, name, "%s is accepted and has no effect: %s", name, row->choices);
    if (row->state == PARAMETER_NOT_YET && !says_nothing)
        check_found(c, FINDING_NOT_YET, FINDING_WARNING, file, line, name, "%s is accepted but has no effect in this version", name);
}

/* check_table_form - lists of tables: each element is "type:name". */
static void check_table_form(struct check *c, struct config *config, const char *file, int line, const char *name)
{
    struct slice parameter = slice_of(name), rest, element;
    bool tables = slice_ends(parameter, SLICE("_maps")) || slice_ends(parameter, SLICE("_checks"));
    /* These two hold whatever other lists hold. */
    if (!tables || slice_equal(parameter, SLICE("proxy_read_maps")) || slice_equal(parameter, SLICE("proxy_write_maps")))
        return;
    for (rest = slice_of(config_string(config, name)); config_list_next(&rest, &element);)
        if (slice_find(element, ':') == element.len)
            check_found(c, FINDING_TABLE_FORM, c->relevant ? FINDING_ERROR : FINDING_WARNING, file, line, name,
                        "%s: expecting \"type:name\" instead of \"" SLICE_FORMAT "\"", name, SLICE_ARGS(element));
}

/* check_setting - one "name = value" of main.cf or of a service in master.cf (then config is a copy with its settings). */
static void check_setting(struct check *c, struct config *config, const char *file, int line, const char *name)
{
    const struct parameter *row = row_of(slice_of(name));
    if (row == NULL || row->state == PARAMETER_OBSOLETE)
        return;
    size_t before = c->count;
    c->where = arena_printf(c->arena, "%s, line %d: ", file, line);
    c->subject = name;
    c->relevant = is_relevant(c, row);
    config_check_value(config, name, row);
    if (c->count == before && (row->type == PARAMETER_STRING || row->type == PARAMETER_RAW))
        check_choices(c, file, line, name, row, config_string(config, name));
    if (c->count == before && row->type == PARAMETER_STRING)
        check_table_form(c, config, file, line, name);
    check_state(c, config, file, line, name, row);
}

static void check_main_values(struct check *c)
{
    struct config *copy = config_copy(c->config, pass_on, c);
    struct slice name;
    for (size_t at = 0; config_next_set(c->config, &at, &name);)
        check_setting(c, copy, c->config->path, config_line_of(c->config, name), arena_string(c->arena, name));
    config_free(copy);
}

/* ---- names ---- */

static void report_unknown(struct check *c, const char *file, int line, const char *name)
{
    const struct parameter *row = parameter_find(slice_of(name));
    const char *nearest = parameter_nearest(slice_of(name));
    if (row != NULL && row->state == PARAMETER_OBSOLETE)
        check_found(c, FINDING_OBSOLETE, FINDING_WARNING, file, line, name, "%s is an obsolete name and has no effect", name);
    else if (nearest != NULL)
        check_found(c, FINDING_UNKNOWN, FINDING_WARNING, file, line, name, "unknown parameter: %s (did you mean %s?)", name, nearest);
    else
        check_found(c, FINDING_UNKNOWN, FINDING_WARNING, file, line, name, "unknown parameter: %s", name);
}

/* report_place - where a -o setting or a reference to a name stands in master.cf. */
static int master_line(struct check *c, const char *name, bool referred)
{
    for (size_t i = 0; i < c->services.count; i++)
        for (size_t k = 0; k < c->named[i].count; k++) {
            const struct name_setting *setting = &c->named[i].settings[k];
            if (referred ? strstr(setting->value, name) != NULL : strcmp(setting->name, name) == 0)
                return c->services.services[i].line;
        }
    return 0;
}

static int main_line_referring(struct check *c, const char *name)
{
    struct slice set;
    for (size_t at = 0; config_next_set(c->config, &at, &set);)
        if (strstr(config_raw(c->config, set, NULL), name) != NULL)
            return config_line_of(c->config, set);
    return 0;
}

static void report_name(void *context, enum name_problem problem, const char *file, const char *name, const char *value)
{
    struct check *c = context;
    switch (problem) {
    case NAME_UNDEFINED_IN_MAIN:
        check_found(c, FINDING_UNDEFINED, FINDING_WARNING, c->config->path, main_line_referring(c, name), name, "undefined parameter: %s", name);
        break;
    case NAME_UNDEFINED_IN_MASTER:
        check_found(c, FINDING_UNDEFINED, FINDING_WARNING, c->master_file, master_line(c, name, true), name, "undefined parameter: %s", name);
        break;
    case NAME_UNUSED_IN_MAIN:
        report_unknown(c, c->config->path, config_line_of(c->config, slice_of(name)), name);
        break;
    case NAME_UNUSED_IN_MASTER:
        report_unknown(c, c->master_file, master_line(c, name, false), name);
        break;
    case NAME_UNUSED_IN_TABLE:
        check_found(c, FINDING_TABLE_SETTING, FINDING_WARNING, file, 0, name, "unknown parameter: %s", name);
        break;
    case NAME_TABLE_UNREADABLE:
        check_found(c, FINDING_TABLE_SETTINGS_UNREADABLE, FINDING_WARNING, file, 0, name, "cannot be read as %s table: %s", name, value);
        break;
    }
}

static void check_names(struct check *c)
{
    struct config_names *names = config_names_new(c->config, false, c->named, c->services.count);
    config_names_unused(names, report_name, c);
    config_names_undefined(names, report_name, c);
    config_names_free(names);
}

/* ---- master.cf ---- */

static void name_services(struct check *c)
{
    c->named = arena_alloc(c->arena, (c->services.count + 1) * sizeof(*c->named));
    for (size_t i = 0; i < c->services.count; i++) {
        const struct master_service *service = &c->services.services[i];
        struct name_setting *settings = arena_alloc(c->arena, (service->argument_count + 1) * sizeof(*settings));
        const char *slash = strrchr(service->command, '/');
        size_t count = 0;
        struct slice name, value;
        for (size_t at = 0; master_cf_next_setting(service, &at, &name, &value); count++)
            settings[count] = (struct name_setting){arena_string(c->arena, name), arena_string(c->arena, value)};
        c->named[i] = (struct name_service){service->name, service_type_name(service->type),
                                            slash != NULL ? slash + 1 : service->command, settings, count};
    }
}

struct config *check_service_config(struct check *c, size_t service, config_report *report, void *context)
{
    struct config *copy = config_copy(c->config, report, context);
    for (size_t k = 0; k < c->named[service].count; k++)
        config_set(copy, slice_of(c->named[service].settings[k].name), slice_of(c->named[service].settings[k].value));
    return copy;
}

static void check_service_values(struct check *c)
{
    for (size_t i = 0; i < c->services.count; i++) {
        if (c->named[i].count == 0)
            continue;
        struct config *copy = check_service_config(c, i, pass_on, c);
        for (size_t k = 0; k < c->named[i].count; k++)
            check_setting(c, copy, c->master_file, c->services.services[i].line, c->named[i].settings[k].name);
        config_free(copy);
    }
}

/* check_process_limits - programs that cannot be started with another maxproc (compat.md b.3). */
static void check_process_limits(struct check *c)
{
    static const struct {
        const char *command;
        int64_t limit;
    } limits[] = {{"qmgr", 1}, {"nqmgr", 1}, {"pickup", 1}, {"anvil", 1}, {"tlsmgr", 1}, {"postscreen", 1}, {"postlogd", 1}, {"cleanup", 0}, {"bounce", 0}};
    static const char *const privileged[] = {"local", "virtual", "pipe", "spawn"};
    for (size_t i = 0; i < c->services.count; i++) {
        const struct master_service *service = &c->services.services[i];
        for (size_t k = 0; k < COUNT_OF(limits); k++)
            if (strcmp(c->named[i].command, limits[k].command) == 0 && service->process_limit != limits[k].limit)
                check_found(c, FINDING_PROCESS_LIMIT, FINDING_WARNING, c->master_file, service->line, service->name,
                            "service %s requires a process limit of %lld", service->name, (long long)limits[k].limit);
        for (size_t k = 0; k < COUNT_OF(privileged); k++)
            if (strcmp(c->named[i].command, privileged[k]) == 0 && service->unprivileged)
                check_found(c, FINDING_PRIVILEGE, FINDING_ERROR, c->master_file, service->line, service->name,
                            "service %s requires privileged operation", service->name);
    }
}

static void master_problem(void *context, bool fatal, const char *file, int line, const char *text)
{
    struct check *c = context;
    report_text(c, fatal ? FINDING_SYNTAX : FINDING_DUPLICATE_SETTING, fatal ? FINDING_ERROR : FINDING_WARNING, file, line, NULL, text);
}

/* ---- settings that contradict each other ---- */

static void check_contradictions(struct check *c)
{
    const char *host = config_string(c->quiet, "myhostname"), *relayhost = config_string(c->quiet, "relayhost");
    if (host[0] != '\0' && strcasecmp(host, relayhost) == 0)
        check_found(c, FINDING_CONTRADICTION, FINDING_ERROR, c->config->path, config_line_of(c->config, SLICE("relayhost")), "relayhost",
                "myhostname and relayhost parameter settings must not be identical: %s", host);
    struct slice rest = slice_of(config_string(c->quiet, "myorigin")), origin, more;
    if (config_list_next(&rest, &origin) && config_list_next(&rest, &more))
        check_found(c, FINDING_CONTRADICTION, FINDING_ERROR, c->config->path, config_line_of(c->config, SLICE("myorigin")), "myorigin", "myorigin must be one domain: %s",
                config_string(c->quiet, "myorigin"));
    int64_t message = config_int(c->quiet, "message_size_limit"), mailbox = config_int(c->quiet, "mailbox_size_limit");
    if (mailbox > 0 && message > mailbox)
        check_found(c, FINDING_CONTRADICTION, FINDING_ERROR, c->config->path, config_line_of(c->config, SLICE("mailbox_size_limit")), "mailbox_size_limit",
                "mailbox_size_limit is smaller than message_size_limit");
}

/* check_pass_line - postscreen lets clients through to a service of type pass. */
static void check_pass_line(struct check *c)
{
    const char *behind = config_string(c->quiet, "smtpd_service_name");
    bool found = false;

    for (size_t i = 0; i < c->services.count; i++)
        found |= c->services.services[i].type == SERVICE_PASS && strcmp(c->services.services[i].name, behind) == 0;
    for (size_t i = 0; i < c->services.count && !found; i++)
        if (strcmp(c->named[i].command, "postscreen") == 0)
            check_found(c, FINDING_PASS_LINE, FINDING_WARNING, c->master_file, c->services.services[i].line, behind,
                        "service %s needs a service %s of type pass, which master.cf does not have", c->services.services[i].name, behind);
}

/* check_tls_manager - what the SMTP client can only do together with tlsmgr. */
static void check_tls_manager(struct check *c)
{
    static const char *const switches[] = {"smtp_tls_mta_sts", "smtp_tls_reports"};
    bool runs = is_run(c, SLICE("tlsmgr"));

    for (size_t i = 0; i < COUNT_OF(switches) && !runs; i++)
        if (config_bool(c->quiet, switches[i]))
            check_found(c, FINDING_TLS_MANAGER, FINDING_WARNING, c->config->path, config_line_of(c->config, slice_of(switches[i])), switches[i],
                        "%s = yes needs the service tlsmgr, which master.cf does not have", switches[i]);
}

size_t config_check(struct config *config, finding_report *report, void *context, bool *fatal)
{
    struct check c = {.config = config, .quiet = config_copy_quiet(config), .report = report, .context = context, .arena = arena_new(0)};
    c.master_file = arena_printf(c.arena, "%s/master.cf", config_directory(config));
    if (!master_cf_load(config_directory(config), config, c.arena, master_problem, &c, &c.services))
        c.fatal = true;
    name_services(&c);
    check_main_values(&c);
    check_contradictions(&c);
    check_tls_manager(&c);
    check_names(&c);
    check_service_values(&c);
    check_process_limits(&c);
    check_pass_line(&c);
    check_restrictions(&c);
    check_milters(&c);
    config_free(c.quiet);
    arena_free(c.arena);
    if (fatal != NULL)
        *fatal = c.fatal;
    return c.count;
}
