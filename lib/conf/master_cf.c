/* master_cf.c - see master_cf.h */
#include "conf/master_cf.h"

#include "base/log.h"
#include "conf/config_private.h"
#include "conf/logical_lines.h"

enum { COLUMNS = 8, ARGUMENTS_MAX = 10000, SERVICES_MAX = 10000 };

static const char *const column_names[COLUMNS] = {"service", "type", "private", "unprivileged", "chroot", "wakeup", "process_limit",
                                                  "command"};

static const struct {
    const char *name;
    enum service_type type;
} type_names[] = {{"inet", SERVICE_INET},
                  {"unix", SERVICE_UNIX},
                  {"fifo", SERVICE_FIFO},
                  {"pass", SERVICE_PASS},
                  {"unix-dgram", SERVICE_UNIX_DGRAM}};

const char *service_type_name(enum service_type type)
{
    for (size_t i = 0; i < COUNT_OF(type_names); i++)
        if (type_names[i].type == type)
            return type_names[i].name;
    return "unknown";
}

/* What the parser of one file carries along. */
struct parser {
    const char *file;
    struct config *config; /* may be NULL */
    struct arena *arena;
    config_report *report;
    void *context;
    struct master_service *services;
    size_t count, room;
    int line; /* of the entry being parsed */
};

static void problem(struct parser *p, bool fatal, const char *format, ...) PRINTF_LIKE(3, 4);
static void problem(struct parser *p, bool fatal, const char *format, ...)
{
    struct buffer text = BUFFER_INIT_MAX(4096);
    va_list args;
    va_start(args, format);
    buffer_vprintf(&text, format, args);
    va_end(args);
    if (p->report != NULL)
        p->report(p->context, fatal, p->file, p->line, buffer_string(&text));
    else if (fatal)
        log_fatal("%s", buffer_string(&text));
    else
        log_warning("%s", buffer_string(&text));
    buffer_release(&text);
}

/* ---- words ---- */

static bool is_blank(char byte)
{
    return byte == ' ' || byte == '\t' || byte == '\r' || byte == '\n' || byte == '\f' || byte == '\v';
}

/* word_end - where a word ends: at a blank that is not inside braces. */
static size_t word_end(struct slice text, int *level)
{
    size_t end = 0;
    for (*level = 0; end < text.len; end++) {
        if (text.data[end] == '{')
            ++*level;
        else if (text.data[end] == '}' && *level > 0)
            --*level;
        else if (*level == 0 && is_blank(text.data[end]))
            break;
    }
    return end;
}

/* partner - the position of the '}' that belongs to the '{' at the front; text.len when there is none. */
static size_t partner(struct slice text)
{
    int level = 0;
    for (size_t i = 0; i < text.len; i++) {
        if (text.data[i] == '{')
            level++;
        else if (text.data[i] == '}' && --level == 0)
            return i;
    }
    return text.len;
}

bool master_cf_word(struct slice *rest, struct slice *word, bool *braced, const char **wrong)
{
    int level;
    *wrong = NULL;
    *rest = slice_trim_left(*rest);
    size_t end = word_end(*rest, &level);
    *word = slice_first(*rest, end);
    *rest = slice_from(*rest, end);
    *braced = word->len > 0 && word->data[0] == '{';
    if (*braced) {
        size_t close = partner(*word);
        if (close == word->len)
            *wrong = "missing '}'";
        else if (close + 1 < word->len)
            *wrong = "syntax error after '}'"; /* what is glued to the brace is dropped */
        *word = slice_trim(slice_from(slice_first(*word, close), 1));
    }
    return end > 0;
}

/* ---- columns ---- */

static bool bad_value(struct parser *p, int column, const char *value)
{
    problem(p, true, "%s: line %d: field \"%s\": bad value: \"%s\"", p->file, p->line, column_names[column], value);
    return false;
}

static bool parse_type(struct parser *p, struct master_service *service)
{
    for (size_t i = 0; i < COUNT_OF(type_names); i++) {
        if (strcmp(service->columns[1], type_names[i].name) == 0) {
            service->type = type_names[i].type;
            return true;
        }
    }
    problem(p, true, "%s: line %d: bad transport type: %s", p->file, p->line, service->columns[1]);
    return false;
}

static bool parse_flag(struct parser *p, const struct master_service *service, int column, bool default_value, bool *flag)
{
    const char *text = service->columns[column];
    *flag = strcmp(text, "-") == 0 ? default_value : text[0] == 'y';
    return strcmp(text, "-") == 0 || strcmp(text, "y") == 0 || strcmp(text, "n") == 0 || bad_value(p, column, text);
}

static bool parse_wakeup(struct parser *p, struct master_service *service)
{
    struct slice text = slice_of(service->columns[5]);
    if (slice_equal(text, SLICE("-")))
        return true;
    service->wakeup_after_use = slice_ends(text, SLICE("?"));
    if (service->wakeup_after_use)
        text = slice_first(text, text.len - 1);
    if (!slice_to_i64(text, &service->wakeup) || service->wakeup < 0 || service->wakeup > INT_MAX)
        return bad_value(p, 5, service->columns[5]);
    return true;
}

static bool parse_limit(struct parser *p, struct master_service *service)
{
    const char *text = service->columns[6];
    service->process_limit = -1;
    if (strcmp(text, "-") == 0)
        return true;
    if (!slice_to_i64(slice_of(text), &service->process_limit) || service->process_limit < 0 || service->process_limit > INT_MAX)
        return bad_value(p, 6, text);
    return true;
}

static bool parse_columns(struct parser *p, struct master_service *service)
{
    service->name = service->columns[0];
    service->command = service->columns[7];
    if (strcmp(service->name, "-") == 0)
        return bad_value(p, 0, service->name);
    if (strcmp(service->command, "-") == 0)
        return bad_value(p, 7, service->command);
    bool old_default = p->config != NULL && config_compatibility_below(p->config, "1");
    bool ok = parse_type(p, service) && parse_flag(p, service, 2, service->type != SERVICE_INET, &service->is_private) &&
              parse_flag(p, service, 3, true, &service->unprivileged) && parse_flag(p, service, 4, old_default, &service->chroot) &&
              parse_wakeup(p, service) && parse_limit(p, service);
    if (!ok)
        return false;
    service->chroot_default = strcmp(service->columns[4], "-") == 0;
    if (service->chroot_default && old_default && p->report == NULL)
        log_info("%s: line %d: using backwards-compatible default setting chroot=y", p->file, p->line);
    if (service->type == SERVICE_INET && service->is_private) {
        problem(p, true, "%s: line %d: inet service cannot be private", p->file, p->line);
        return false;
    }
    return true;
}

static bool parse_arguments(struct parser *p, struct slice rest, struct master_service *service)
{
    const char **words = NULL;
    size_t count = 0, room = 0;
    struct slice word;
    bool braced;
    const char *wrong;
    while (master_cf_word(&rest, &word, &braced, &wrong)) {
        if (wrong != NULL) {
            problem(p, true, "%s: line %d: %s in \"" SLICE_FORMAT "\"", p->file, p->line, wrong, SLICE_ARGS(slice_first(word, 200)));
            free(words);
            return false;
        }
        if (count + 1 >= room) {
            room = room ? room * 2 : 16;
            words = memory_resize(words, room * sizeof(*words));
        }
        words[count++] = arena_string(p->arena, word);
        if (count >= ARGUMENTS_MAX)
            break;
    }
    const char **kept = arena_alloc(p->arena, (count + 1) * sizeof(*kept));
    if (count > 0)
        memcpy(kept, words, count * sizeof(*kept));
    free(words);
    service->arguments = kept;
    service->argument_count = count;
    return true;
}

/* ---- entries ---- */

static const char *socket_name(struct parser *p, const struct master_service *service)
{
    if (service->type == SERVICE_INET)
        return service->name;
    return arena_printf(p->arena, "%s/%s", service->is_private ? "private" : "public", service->name);
}

static void add_service(struct parser *p, const struct master_service *service)
{
    for (size_t i = 0; i < p->count; i++) {
        if (p->services[i].type == service->type && strcmp(p->services[i].name, service->name) == 0) {
            problem(p, false, "duplicate master.cf entry for service \"%s\" (%s) -- using the last entry", service->name,
                    socket_name(p, service));
            p->services[i] = *service;
            return;
        }
    }
    if (p->count == p->room) {
        p->room = p->room ? p->room * 2 : 32;
        p->services = memory_resize(p->services, p->room * sizeof(*p->services));
    }
    p->services[p->count++] = *service;
}

/* is_disabled - master_service_disable: "type" or "name/type", "!" negates, the first match decides. */
static bool is_disabled(struct parser *p, const struct master_service *service)
{
    struct slice rest = slice_of(config_string(p->config, "master_service_disable")), element;
    const char *type = service_type_name(service->type);
    while (config_list_next(&rest, &element)) {
        bool disable = true;
        for (; element.len > 0 && element.data[0] == '!'; element = slice_from(element, 1))
            disable = !disable;
        struct slice name, item_type;
        bool matches = slice_equal_case(element, slice_of(type));
        size_t slash = slice_find_last(element, '/');
        if (!matches && slash < element.len) {
            name = slice_first(element, slash);
            item_type = slice_from(element, slash + 1);
            matches = slice_equal_case(name, slice_of(service->name)) && slice_equal_case(item_type, slice_of(type));
        }
        if (matches)
            return disable;
    }
    return false;
}

static bool parse_entry(struct parser *p, struct slice line)
{
    struct master_service service = {.line = p->line};
    struct slice rest = line, word;
    for (int column = 0; column < COLUMNS; column++) {
        if (!slice_next_token(&rest, " \t\r\n\f\v", &word)) {
            problem(p, true, "%s: line %d: missing \"%s\" field", p->file, p->line, column_names[column]);
            return false;
        }
        service.columns[column] = arena_string(p->arena, word);
    }
    if (!parse_columns(p, &service) || !parse_arguments(p, rest, &service))
        return false;
    if (p->config == NULL || !is_disabled(p, &service))
        add_service(p, &service);
    return true;
}

bool master_cf_parse(struct slice text, const char *file_name, struct config *config, struct arena *arena, config_report *report,
                     void *context, struct master_cf *result)
{
    struct parser p = {.file = file_name, .config = config, .arena = arena, .report = report, .context = context};
    struct logical_lines lines;
    struct buffer line = BUFFER_INIT;
    bool ok = true;
    logical_lines_start(&lines, text);
    while (p.count <= SERVICES_MAX && logical_lines_next(&lines, &line)) {
        struct slice content = buffer_slice(&line);
        content = slice_first(content, slice_find(content, '\0'));
        p.line = lines.first;
        if (lines.orphan)
            problem(&p, false, "%s: logical line must not start with whitespace: \"" SLICE_FORMAT "%s\"", file_name,
                    SLICE_ARGS(slice_first(content, 30)), content.len > 30 ? "..." : "");
        else
            ok &= parse_entry(&p, content);
        if (p.count > SERVICES_MAX) {
            problem(&p, true, "%s: line %d: more than %d services", file_name, p.line, SERVICES_MAX);
            ok = false;
        }
    }
    buffer_release(&line);
    result->count = p.count;
    result->services = NULL;
    if (p.count > 0)
        result->services = arena_copy(arena, p.services, p.count * sizeof(*p.services));
    free(p.services);
    return ok;
}

bool master_cf_load(const char *directory, struct config *config, struct arena *arena, config_report *report, void *context,
                    struct master_cf *result)
{
    struct buffer text = BUFFER_INIT;
    const char *path = arena_printf(arena, "%s/master.cf", directory);
    *result = (struct master_cf){0};
    if (config != NULL && config->whole)
        return master_cf_parse(buffer_slice(&config->master_text), path, config, arena, report, context, result);
    bool ok = config_read_file(path, &text);
    if (ok) {
        ok = master_cf_parse(buffer_slice(&text), path, config, arena, report, context, result);
    } else {
        struct parser p = {.file = path, .report = report, .context = context};
        problem(&p, true, "open %s: %s", path, strerror(errno));
    }
    buffer_release(&text);
    return ok;
}

bool master_cf_next_setting(const struct master_service *service, size_t *at, struct slice *name, struct slice *value)
{
    while (*at < service->argument_count) {
        struct slice word = slice_of(service->arguments[*at]), text;
        if (word.len < 2 || word.data[0] != '-' || word.data[1] == '-')
            return false;
        ++*at;
        size_t o = slice_find(word, 'o');
        if (o == word.len)
            continue;
        text = slice_from(word, o + 1);
        if (text.len == 0 && *at < service->argument_count)
            text = slice_of(service->arguments[(*at)++]);
        config_braced(text, &text);
        if (slice_cut(text, '=', name, value)) {
            *name = slice_trim(*name);
            *value = slice_trim(*value);
            return true;
        }
    }
    return false;
}
