/* query.c - templates of queries and results (compat.md c.1) */
#include "table/client.h"

/* What a template is filled from. */
struct parts {
    struct slice whole, local, domain; /* of what %s %u %d stand for; domain.data NULL: it has none */
    struct slice key_whole, key_local, key_domain; /* %S %U %D and the digits: always of the key */
};

static void split(struct slice text, struct slice *local, struct slice *domain)
{
    size_t at = slice_find_last(text, '@');
    *local = text;
    *domain = (struct slice){0};
    if (at < text.len) {
        *local = slice_first(text, at);
        *domain = slice_from(text, at + 1);
    }
}

/* label_at - the n-th label of a domain from the right, 1 is the last; false when there are fewer. */
static bool label_at(struct slice domain, int n, struct slice *label)
{
    while (domain.len > 0) {
        size_t dot = slice_find_last(domain, '.');
        *label = dot < domain.len ? slice_from(domain, dot + 1) : domain;
        if (--n == 0)
            return label->len > 0;
        domain = slice_first(domain, dot < domain.len ? dot : 0);
    }
    return false;
}

/* part - what a letter stands for; false: there is none. */
static bool part(const struct parts *parts, char letter, struct slice *text)
{
    switch (letter) {
    case 's': *text = parts->whole; return true;
    case 'u': *text = parts->local; return text->len > 0;
    case 'd': *text = parts->domain; return text->len > 0;
    case 'S': *text = parts->key_whole; return true;
    case 'U': *text = parts->key_local; return text->len > 0;
    case 'D': *text = parts->key_domain; return text->len > 0;
    default: return letter >= '1' && letter <= '9' && label_at(parts->key_domain, letter - '0', text);
    }
}

static bool expand(const char *template, const struct parts *parts, query_quote *quote, void *context, struct buffer *out)
{
    struct slice text;
    for (const char *at = template; *at; at++) {
        if (*at != '%' || !at[1]) {
            buffer_append_byte(out, *at);
            continue;
        }
        at++;
        if (*at == '%') {
            buffer_append_byte(out, '%');
            continue;
        }
        if (!part(parts, *at, &text))
            return false;
        if (quote)
            quote(context, text, out);
        else
            buffer_append_slice(out, text);
    }
    return true;
}

/* check_template - warns of letters that stand for nothing. */
static void check_template(const struct table *table, const char *name, const char *template)
{
    for (const char *at = template; (at = strchr(at, '%')) != NULL; at += at[1] ? 2 : 1) {
        if (!at[1] || !strchr("%sudSUD123456789", at[1]))
            log_warning("%s: %s: invalid %s template: %s", table->driver->type, table->argument, name, template);
    }
}

void query_sql(struct query *query, struct client_settings *settings, bool may_be_function)
{
    struct buffer text = BUFFER_INIT;
    const char *function = may_be_function ? client_string(settings, "select_function", "") : "";
    query->template = client_string(settings, "query", "");
    if (*query->template)
        return;
    if (*function)
        buffer_printf(&text, "SELECT %s('%%s')", function);
    else
        buffer_printf(&text, "SELECT %s FROM %s WHERE %s = '%%s' %s", client_need(settings, "select_field"), client_need(settings, "table"),
                      client_need(settings, "where_field"), client_string(settings, "additional_conditions", ""));
    query->template = query->built = buffer_steal(&text);
}

void query_open(struct query *query, struct table *table, struct client_settings *settings, const char *result_format)
{
    const char *domains = client_string(settings, "domain", "");
    query->result_format = client_string(settings, "result_format", result_format);
    query->expansion_limit = client_number(settings, "expansion_limit", 0, 0, INT32_MAX);
    query->domains = *domains ? match_list_new("domain", domains, MATCH_STRING_LIST, table->config) : NULL;
    check_template(table, "query", query->template);
    check_template(table, "result_format", query->result_format);
}

void query_release(struct query *query)
{
    match_list_free(query->domains);
    query->domains = NULL;
    free(query->built);
    query->built = NULL;
}

enum table_result query_wanted(struct query *query, struct table *table, struct slice key)
{
    struct slice local, domain;
    if (key.len == 0)
        return TABLE_NOT_FOUND;
    if (!query->domains)
        return TABLE_FOUND;
    split(key, &local, &domain);
    if (local.len == 0 || domain.len == 0)
        return TABLE_NOT_FOUND;
    switch (match_string(query->domains, domain)) {
    case MATCH_YES: return TABLE_FOUND;
    case MATCH_NO: return TABLE_NOT_FOUND;
    default: return table_fail(table, "%s: lookup of the domain failed", table->name);
    }
}

bool query_expand(const char *template, struct slice key, query_quote *quote, void *context, struct buffer *out)
{
    struct parts parts = {.whole = key, .key_whole = key};
    split(key, &parts.local, &parts.domain);
    parts.key_local = parts.local;
    parts.key_domain = parts.domain;
    return expand(template, &parts, quote, context, out);
}

bool query_add_result(const struct query *query, struct table *table, struct slice key, struct slice element, int64_t *count, struct buffer *value)
{
    struct parts parts = {.whole = element, .key_whole = key};
    struct buffer one = BUFFER_INIT;
    if (element.len == 0)
        return true;
    split(element, &parts.local, &parts.domain);
    split(key, &parts.key_local, &parts.key_domain);
    bool ok = true;
    if (expand(query->result_format, &parts, NULL, NULL, &one) && one.len > 0) {
        ok = query->expansion_limit == 0 || ++*count <= query->expansion_limit;
        if (ok && value->len > 0)
            buffer_append_byte(value, ',');
        if (ok)
            buffer_append_slice(value, buffer_slice(&one));
    }
    buffer_release(&one);
    if (!ok) {
        log_warning("%s: %s: Expansion limit exceeded for key: '" SLICE_FORMAT "'", table->driver->type, table->argument, SLICE_ARGS(key));
        table->config_error = true;
        table_fail(table, "expansion limit exceeded");
    }
    return ok;
}
