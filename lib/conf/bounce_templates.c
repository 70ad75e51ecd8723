/* bounce_templates.c - notification texts */
#include "conf/bounce_templates.h"

#include "base/clock.h"
#include "base/log.h"

#define SENDER_NAME "MAILER-DAEMON (Mail Delivery System)"
#define OPENING "This is the mail system at host $myhostname.\n\n"
#define ASSISTANCE                                                    \
    "For further assistance, please send mail to postmaster.\n\n"      \
    "If you do so, please include this problem report. You can\n"      \
    "delete your own text from the attached returned message.\n\n"
#define CLOSING "                   The mail system\n"

static const struct bounce_template builtin[BOUNCE_TEMPLATE_COUNT] = {
    {"failure", "us-ascii", SENDER_NAME, "Undelivered Mail Returned to Sender", "Postmaster Copy: Undelivered Mail",
     OPENING
     "I'm sorry to have to inform you that your message could not\n"
     "be delivered to one or more recipients. It's attached below.\n\n" ASSISTANCE CLOSING},
    {"delay", "us-ascii", SENDER_NAME, "Delayed Mail (still being retried)", "Postmaster Warning: Delayed Mail",
     OPENING
     "####################################################################\n"
     "# THIS IS A WARNING ONLY.  YOU DO NOT NEED TO RESEND YOUR MESSAGE. #\n"
     "####################################################################\n\n"
     "Your message could not be delivered for more than $delay_warning_time_hours hour(s).\n"
     "It will be retried until it is $maximal_queue_lifetime_days day(s) old.\n\n" ASSISTANCE CLOSING},
    {"success", "us-ascii", SENDER_NAME, "Successful Mail Delivery Report", NULL,
     OPENING
     "Your message was successfully delivered to the destination(s)\n"
     "listed below. If the message was delivered to mailbox you will\n"
     "receive no further notifications. Otherwise you may still receive\n"
     "notifications of mail delivery errors from other systems.\n\n" CLOSING},
    {"verify", "us-ascii", SENDER_NAME, "Mail Delivery Status Report", NULL,
     OPENING "Enclosed is the mail delivery report that you requested.\n\n" CLOSING},
};

const struct bounce_template *bounce_template_builtin(enum bounce_template_kind kind)
{
    return &builtin[kind];
}

/* ---- reading bounce_template_file ---- */

static struct bounce_template *template_named(struct bounce_template *templates, struct slice block)
{
    for (int i = 0; i < BOUNCE_TEMPLATE_COUNT; i++) {
        struct slice name = slice_of(templates[i].name);
        if (slice_starts(block, name) && slice_equal(slice_from(block, name.len), SLICE("_template")))
            return &templates[i];
    }
    return NULL;
}

static bool take_header(struct bounce_template *template, struct slice line, struct arena *arena)
{
    struct slice name, value;
    const char **field = NULL;

    if (!slice_cut(line, ':', &name, &value))
        return false;
    name = slice_trim(name);
    if (slice_equal_case(name, SLICE("Charset")))
        field = &template->charset;
    else if (slice_equal_case(name, SLICE("From")))
        field = &template->from;
    else if (slice_equal_case(name, SLICE("Subject")))
        field = &template->subject;
    else if (slice_equal_case(name, SLICE("Postmaster-Subject")) && template->postmaster_subject != NULL)
        field = &template->postmaster_subject;
    if (field != NULL)
        *field = arena_string(arena, slice_trim(value));
    return field != NULL;
}

/* take_block - the lines between "<<WORD" and "WORD": headers, empty line, text. */
static void take_block(const char *path, struct bounce_template *template, struct slice block, struct arena *arena)
{
    struct bounce_template changed = *template;
    struct slice rest = block, line;

    while (slice_next_line(&rest, &line) && slice_trim(line).len > 0) {
        if (!take_header(&changed, line, arena)) {
            log_warning("%s: bad header in %s template: " SLICE_FORMAT " -- using the built-in one", path, template->name, SLICE_ARGS(line));
            return;
        }
        if (!slice_is_ascii(line)) { /* a header takes encoded words (RFC 2047) */
            log_warning("%s: non-ASCII \"" SLICE_FORMAT "\" header value in %s template -- ignoring this template", path,
                        SLICE_ARGS(slice_first(line, slice_find(line, ':'))), template->name);
            return;
        }
    }
    if (slice_trim(rest).len == 0) {
        log_warning("%s: missing text in %s template -- using the built-in one", path, template->name);
        return;
    }
    changed.text = arena_string(arena, rest);
    changed.from_file = true;
    *template = changed;
}

/* parse_templates - blocks "name_template = <<WORD" ... "WORD"; between them comments and blank lines. */
static void parse_templates(const char *path, struct slice text, struct arena *arena, struct bounce_template *templates)
{
    struct slice line, name, word;

    while (slice_next_line(&text, &line)) {
        line = slice_trim(line);
        if (line.len == 0 || line.data[0] == '#')
            continue;
        struct bounce_template *template = slice_cut(line, '=', &name, &word) ? template_named(templates, slice_trim(name)) : NULL;
        word = slice_trim(word);
        if (template == NULL || !slice_starts(word, SLICE("<<"))) {
            log_warning("%s: unexpected text: " SLICE_FORMAT, path, SLICE_ARGS(line));
            continue;
        }
        word = slice_trim(slice_from(word, 2));
        const char *start = text.data;
        size_t size = 0;
        bool ended = false;
        while (!ended && slice_next_line(&text, &line)) {
            ended = slice_equal(slice_trim_right(line), word);
            size = (size_t)(line.data - start);
        }
        if (ended)
            take_block(path, template, slice_make(start, size), arena);
        else
            log_warning("%s: %s template does not end with " SLICE_FORMAT, path, template->name, SLICE_ARGS(word));
    }
}

void bounce_templates_load(const char *path, struct arena *arena, struct bounce_template templates[BOUNCE_TEMPLATE_COUNT])
{
    struct buffer text = BUFFER_INIT_MAX(1 << 20);
    char chunk[4096];
    size_t got;

    memcpy(templates, builtin, sizeof(builtin));
    if (path == NULL || path[0] == '\0')
        return;
    FILE *file = fopen(path, "re");
    if (file == NULL) {
        log_warning("open %s: %s -- using the built-in bounce templates", path, strerror(errno));
        return;
    }
    while ((got = fread(chunk, 1, sizeof(chunk), file)) > 0 && buffer_append(&text, chunk, got))
        ;
    fclose(file);
    parse_templates(path, arena_slice(arena, buffer_slice(&text)), arena, templates);
    buffer_release(&text);
}

/* ---- expansion ---- */

static const struct { const char *suffix; int64_t seconds; } units[] = {
    {"_seconds", 1}, {"_minutes", 60}, {"_hours", 3600}, {"_days", 86400}, {"_weeks", 604800}};

struct expansion {
    struct config *config;
    const struct bounce_template *template;
    char number[32];
};

static void warn_of_zero(const struct expansion *e, struct slice name, const char *unit)
{
    log_warning("%s: zero result in %s template conversion of parameter \"" SLICE_FORMAT "\"",
                e->template->from_file ? config_string(e->config, "bounce_template_file") : "[built-in]", e->template->name, SLICE_ARGS(name));
    log_warning("please reduce time unit \"%s\" of \"" SLICE_FORMAT "\" in %s template", unit, SLICE_ARGS(name), e->template->name);
    log_warning("for instructions see the bounce(5) manual");
}

/* lookup_name - a main.cf parameter; the two times with a unit behind their name are numbers in that unit. */
static const char *lookup_name(void *context, struct slice name)
{
    struct expansion *expansion = context;
    char text[128];

    for (size_t i = 0; i < COUNT_OF(units); i++) {
        if (!slice_ends(name, slice_of(units[i].suffix)))
            continue;
        struct slice parameter = slice_first(name, name.len - strlen(units[i].suffix));
        if (slice_equal(parameter, SLICE("delay_warning_time")) || slice_equal(parameter, SLICE("maximal_queue_lifetime"))) {
            snprintf(text, sizeof(text), SLICE_FORMAT, SLICE_ARGS(parameter));
            int64_t time = config_time(expansion->config, text), number = time / MICROSECONDS / units[i].seconds;
            if (number == 0 && time > 0)
                warn_of_zero(expansion, name, units[i].suffix + 1);
            snprintf(expansion->number, sizeof(expansion->number), "%lld", (long long)number);
            return expansion->number;
        }
    }
    snprintf(text, sizeof(text), SLICE_FORMAT, SLICE_ARGS(name));
    if (parameter_find(name) == NULL && config_raw(expansion->config, name, NULL) == NULL)
        return NULL;
    return config_string(expansion->config, text);
}

bool bounce_template_expand(struct config *config, const struct bounce_template *template, struct buffer *out)
{
    struct expansion expansion = {.config = config, .template = template};
    struct buffer error = BUFFER_INIT;
    bool good = config_expand_with(slice_of(template->text), lookup_name, &expansion, out, &error);

    if (!good)
        log_warning("%s template: %s", template->name, buffer_string(&error));
    buffer_release(&error);
    return good;
}

void bounce_template_print(const struct bounce_template *template, struct slice text, const char *block_suffix, struct buffer *out)
{
    buffer_printf(out, "%s_%s = <<EOF\n", template->name, block_suffix);
    buffer_printf(out, "Charset: %s\nFrom: %s\nSubject: %s\n", template->charset, template->from, template->subject);
    if (template->postmaster_subject != NULL)
        buffer_printf(out, "Postmaster-Subject: %s\n", template->postmaster_subject);
    buffer_append_byte(out, '\n');
    buffer_append_slice(out, text);
    if (text.len > 0 && text.data[text.len - 1] != '\n')
        buffer_append_byte(out, '\n');
    buffer_append_string(out, "EOF\n");
}
