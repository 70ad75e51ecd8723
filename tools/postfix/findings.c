/* findings.c - what was found: said in the log and on standard error, or collected for --json */
#include <jansson.h>

#include "base/log.h"
#include "conf/check.h"
#include "control.h"

struct problem {
    struct problem *next;
    bool fatal;
    const char *file, *text;
    int line;
};

struct findings {
    size_t counts[FINDING_ERROR + 1];
    json_t *list;
    struct problem *problems, **last; /* of loading main.cf, before anything could be said */
    bool loaded;
};

static const char *const weight_names[] = {"note", "warning", "error"};

void findings_start(struct control *control)
{
    control->findings = arena_alloc(control->memory, sizeof(*control->findings));
    *control->findings = (struct findings){0};
    control->findings->list = json_array();
    control->findings->last = &control->findings->problems;
}

size_t findings_count(const struct control *control, enum finding_weight weight)
{
    return control->findings->counts[weight];
}

/* ---- telling ------------------------------------------------------------------------------------------------------ */

static void add_json(struct findings *findings, const struct finding *finding, const char *mend)
{
    json_t *object = json_pack("{s:s, s:s, s:s, s:s}", "check", finding_name(finding->kind), "severity", weight_names[finding->weight], "text",
                               finding->text, "why", finding_why(finding->kind));
    if (!object)
        log_fatal("a finding is no text in UTF-8: %s", finding->text);
    if (finding->file)
        json_object_set_new(object, "file", json_string(finding->file));
    if (finding->line > 0)
        json_object_set_new(object, "line", json_integer(finding->line));
    if (finding->subject)
        json_object_set_new(object, "subject", json_string(finding->subject));
    if (*mend)
        json_object_set_new(object, "mend", json_string(mend));
    json_array_append_new(findings->list, object);
}

/* say - one line for the log; for check, why it matters and what to do on the terminal. */
static void say(struct control *control, const struct finding *finding, const char *mend)
{
    const char *why = finding_why(finding->kind);
    if (finding->weight == FINDING_NOTE)
        say_info("%s", finding->text);
    else if (finding->weight == FINDING_WARNING)
        say_warning("%s", finding->text);
    else
        say_error("%s", finding->text);
    if (control->to_check && finding->weight != FINDING_NOTE)
        fprintf(stderr, "    %s%s%s\n", why, *why && *mend ? "; to mend it: " : "", mend);
}

void found_text(struct control *control, const struct finding *finding)
{
    struct buffer mend = BUFFER_INIT;
    control->findings->counts[finding->weight]++;
    finding_mend(finding, &mend);
    if (control->json)
        add_json(control->findings, finding, buffer_string(&mend));
    else
        say(control, finding, buffer_string(&mend));
    buffer_release(&mend);
}

void found(struct control *control, enum finding_kind kind, enum finding_weight weight, const char *file, int line, const char *subject,
           const char *format, ...)
{
    struct buffer text = BUFFER_INIT_MAX(4096);
    va_list args;
    if (file && line > 0)
        buffer_printf(&text, "%s, line %d: ", file, line);
    va_start(args, format);
    buffer_vprintf(&text, format, args);
    va_end(args);
    found_text(control, &(struct finding){kind, weight, file, line, subject, buffer_string(&text)});
    buffer_release(&text);
}

void findings_print(struct control *control)
{
    struct findings *findings = control->findings;
    json_t *all = json_pack("{s:I, s:I, s:O}", "errors", (json_int_t)findings->counts[FINDING_ERROR], "warnings",
                            (json_int_t)findings->counts[FINDING_WARNING], "findings", findings->list);
    json_dumpf(all, stdout, JSON_INDENT(1));
    fputc('\n', stdout);
    json_decref(all);
}

/* ---- main.cf and master.cf ---------------------------------------------------------------------------------------- */

static void keep_problem(void *context, bool fatal, const char *file, int line, const char *text)
{
    struct control *control = context;
    struct findings *findings = control->findings;
    if (findings->loaded)
        return; /* a value that is read later: config_check tells */
    struct problem *problem = arena_alloc(control->memory, sizeof(*problem));
    *problem = (struct problem){NULL, fatal, file ? arena_strdup(control->memory, file) : NULL, arena_strdup(control->memory, text), line};
    *findings->last = problem;
    findings->last = &problem->next;
}

struct config *load_configuration(struct control *control, const char *directory)
{
    struct config *config = config_load_despite(directory, &control->broken, keep_problem, control);
    control->findings->loaded = true;
    if (!config)
        log_fatal("%s", control->findings->problems->text);
    config_set(config, SLICE("process_name"), SLICE("postfix"));
    return config;
}

static void take_finding(void *context, const struct finding *finding)
{
    struct control *control = context;
    /* Templates of replies have names in them that mean something only when they are used: no matter for every start. */
    if (control->to_check || (finding->kind != FINDING_UNDEFINED && finding->weight != FINDING_NOTE))
        found_text(control, finding);
}

bool configuration_check(struct control *control)
{
    for (const struct problem *problem = control->findings->problems; problem; problem = problem->next)
        found_text(control, &(struct finding){problem->fatal ? FINDING_SYNTAX : FINDING_DUPLICATE_SETTING,
                                              problem->fatal ? FINDING_ERROR : FINDING_WARNING, problem->file, problem->line, NULL,
                                              problem->text});
    config_check(control->config, take_finding, control, NULL);
    return findings_count(control, FINDING_ERROR) == 0;
}
