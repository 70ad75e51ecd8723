/* access_map.c - access(5) tables: looking up, and doing what an entry says (compat.md d.6) */
#include "access_private.h"

#include "address/mail_address.h"
#include "base/log.h"
#include "base/verdict.h"

/* An entry being obeyed. */
struct entry {
    struct access *a;
    const struct restriction *item;
    enum subject subject;
    struct slice shown;
    struct slice value; /* the whole right side */
    struct slice text;  /* after the first word */
};

static const char *entry_table(const struct entry *e)
{
    return e->item->argument ? e->item->argument : e->item->word;
}

/* ---- refusals ---- */

struct status_code access_map_status(enum subject subject, struct status_code given)
{
    static const uint16_t sender[9] = {0, 7, 8, 7, 7, 0, 7, 7, 8}, recipient[9] = {0, 1, 2, 3, 4, 5, 6, 3, 2};
    struct status_code mapped = given;
    char from[STATUS_CODE_TEXT], to[STATUS_CODE_TEXT];

    if (given.subject != 1)
        return given;
    bool known = given.detail < 9;
    if (subject == SUBJECT_SENDER)
        mapped.detail = known ? sender[given.detail] : 0;
    else if (subject == SUBJECT_RECIPIENT)
        mapped.detail = known ? recipient[given.detail] : 0;
    else
        mapped.subject = mapped.detail = 0;
    if (mapped.subject != given.subject || mapped.detail != given.detail)
        log_info("mapping DSN status %s into %s status %s", status_code_format(given, from), subject_name(subject),
                 status_code_format(mapped, to));
    return mapped;
}

static enum access_result refuse(struct entry *e, int code, struct slice text)
{
    struct status_code status;
    struct slice reason = text;
    char status_text[STATUS_CODE_TEXT] = "5.7.1";

    if (status_code_parse(text, &status, &reason))
        status_code_format(access_map_status(e->subject, status), status_text);
    if (reason.len == 0)
        reason = SLICE("Access denied");
    return access_reject(e->a, code, status_text, TROUBLE_POLICY, "<" SLICE_FORMAT ">: %s rejected: " SLICE_FORMAT, SLICE_ARGS(e->shown),
                         subject_name(e->subject), SLICE_ARGS(reason));
}

static enum access_result do_reject(struct entry *e)
{
    return refuse(e, (int)e->a->s->server->params.access_map_reject_code, e->text);
}

static enum access_result do_defer(struct entry *e)
{
    return refuse(e, (int)e->a->s->server->params.access_map_defer_code, e->text);
}

/* deferral - status and reason for the two conditional ones. */
static enum access_result do_defer_if(struct entry *e, enum access_result (*defer)(struct access *a, int code, const char *status,
                                                                                    const char *format, ...))
{
    struct status_code status = {4, 7, 1};
    struct slice reason = e->text;
    char status_text[STATUS_CODE_TEXT];

    if (status_code_parse(e->text, &status, &reason))
        status = access_map_status(e->subject, status);
    status.class = 4;
    if (reason.len == 0)
        reason = SLICE("Service unavailable");
    return defer(e->a, (int)e->a->s->server->params.access_map_defer_code, status_code_format(status, status_text),
                 "<" SLICE_FORMAT ">: %s rejected: " SLICE_FORMAT, SLICE_ARGS(e->shown), subject_name(e->subject), SLICE_ARGS(reason));
}

static enum access_result do_defer_if_permit(struct entry *e)
{
    return do_defer_if(e, access_defer_if_permit);
}

static enum access_result do_defer_if_reject(struct entry *e)
{
    return do_defer_if(e, access_defer_if_reject);
}

/* ---- what happens to the message ---- */

static struct transaction *mail_of(struct entry *e, const char *action)
{
    if (e->a->s->server->params.smtpd_proxy_filter[0] && strcmp(action, "PREPEND") != 0) { /* the message will not be ours */
        log_warning("access table %s: with smtpd_proxy_filter specified, action %s is unavailable", entry_table(e), action);
        return NULL;
    }
    if (e->a->s->mail)
        return e->a->s->mail;
    if (e->a->etrn_domain.len && strcmp(action, "PREPEND") != 0)
        log_warning("access table %s: action %s is unavailable in smtpd_etrn_restrictions", entry_table(e), action);
    else
        log_warning("access table %s: with smtpd_delay_reject=no, action %s is always skipped in Client host or Helo command restrictions",
                    entry_table(e), action);
    return NULL;
}

static void log_entry(struct entry *e, const char *verb, const char *what, struct slice text)
{
    log_action(e->a->s, verb, e->a->recipient, "<" SLICE_FORMAT ">: %s %s" SLICE_FORMAT, SLICE_ARGS(e->shown), subject_name(e->subject), what,
               SLICE_ARGS(text));
}

static enum access_result do_hold(struct entry *e)
{
    struct transaction *t = mail_of(e, "HOLD");

    if (!t || t->hold)
        return ACCESS_DUNNO; /* told once is enough */
    t->hold = true;
    log_entry(e, "hold", "", e->text.len ? e->text : SLICE("triggers HOLD action"));
    return ACCESS_DUNNO;
}

static enum access_result do_discard(struct entry *e)
{
    struct transaction *t = mail_of(e, "DISCARD");

    if (!t)
        return ACCESS_DUNNO;
    t->discard = true;
    log_entry(e, "discard", "", e->text.len ? e->text : SLICE("triggers DISCARD action"));
    return access_permit(e->a, SLICE("DISCARD"), e->subject, e->shown, entry_table(e));
}

/* entry_key - what was looked up. */
static struct slice entry_key(const struct entry *e)
{
    const struct client *client = &e->a->s->client;

    if (e->subject != SUBJECT_CLIENT)
        return e->shown;
    return slice_of(e->a->found_by_address ? client->address : client->name);
}

/* has_value - an action that is nothing without its text: what is that text to be? */
static bool has_value(struct entry *e, const char *what, char needed)
{
    if (slice_find(e->text, needed) < e->text.len)
        return true;
    struct slice key = entry_key(e);
    log_warning("access table %s entry \"" SLICE_FORMAT "\" requires %s", entry_table(e), SLICE_ARGS(key), what);
    return false;
}

static enum access_result do_filter(struct entry *e)
{
    struct transaction *t = mail_of(e, "FILTER");

    if (t && e->text.len == 0) {
        log_warning("access table %s entry \"" SLICE_FORMAT "\" has FILTER entry without value", entry_table(e), SLICE_ARGS(e->shown));
        return ACCESS_DUNNO;
    }
    if (!t || !has_value(e, "transport:destination", ':'))
        return ACCESS_DUNNO;
    t->filter = arena_slice(t->arena, e->text);
    log_entry(e, "filter", "triggers FILTER ", e->text);
    return ACCESS_DUNNO;
}

static enum access_result do_redirect(struct entry *e)
{
    struct transaction *t = mail_of(e, "REDIRECT");

    if (!t || !has_value(e, "user@domain target", '@'))
        return ACCESS_DUNNO;
    t->redirect = arena_slice(t->arena, e->text);
    log_entry(e, "redirect", "triggers REDIRECT ", e->text);
    return ACCESS_DUNNO;
}

static enum access_result do_bcc(struct entry *e)
{
    struct transaction *t = mail_of(e, "BCC");

    if (!t || !has_value(e, "user@domain target", '@'))
        return ACCESS_DUNNO;
    if (t->bcc_count < 100)
        transaction_add_bcc(t, e->text);
    log_entry(e, "bcc", "triggers BCC ", e->text);
    return ACCESS_DUNNO;
}

static enum access_result do_prepend(struct entry *e)
{
    struct transaction *t = mail_of(e, "PREPEND");

    if (!t)
        return ACCESS_DUNNO;
    if (e->a->subject == SUBJECT_END_OF_DATA) {
        log_warning("access table %s: action PREPEND must be used before smtpd_end_of_data_restrictions", entry_table(e));
        return ACCESS_DUNNO;
    }
    if (!has_value(e, "header: text", ':'))
        return ACCESS_DUNNO;
    if (t->prepended.len + e->text.len > 32 * 1024)
        return ACCESS_DUNNO;
    buffer_append_slice(&t->prepended, e->text);
    buffer_append_string(&t->prepended, "\r\n");
    return ACCESS_DUNNO;
}

static enum access_result do_warn(struct entry *e)
{
    log_action(e->a->s, "warn", e->a->recipient, SLICE_FORMAT, SLICE_ARGS(e->text));
    return ACCESS_DUNNO;
}

static enum access_result do_info(struct entry *e)
{
    log_action(e->a->s, "info", e->a->recipient, SLICE_FORMAT, SLICE_ARGS(e->text));
    return ACCESS_DUNNO;
}

static enum access_result do_ok(struct entry *e)
{
    return access_permit(e->a, e->value, e->subject, e->shown, entry_table(e));
}

static enum access_result do_dunno(struct entry *e UNUSED)
{
    return ACCESS_DUNNO;
}

/* ---- obeying ---- */

static const struct { struct slice word; enum access_result (*run)(struct entry *e); } actions[] = {
    {{"OK", 2}, do_ok}, {{"RELAY", 5}, do_ok}, {{"DUNNO", 5}, do_dunno}, {{"REJECT", 6}, do_reject}, {{"DEFER", 5}, do_defer},
    {{"DEFER_IF_PERMIT", 15}, do_defer_if_permit}, {{"DEFER_IF_REJECT", 15}, do_defer_if_reject}, {{"HOLD", 4}, do_hold},
    {{"DISCARD", 7}, do_discard}, {{"FILTER", 6}, do_filter}, {{"REDIRECT", 8}, do_redirect}, {{"BCC", 3}, do_bcc}, {{"PREPEND", 7}, do_prepend},
    {{"WARN", 4}, do_warn}, {{"INFO", 4}, do_info},
};

static bool is_all_digits(struct slice text)
{
    for (size_t i = 0; i < text.len; i++)
        if (!isdigit((unsigned char)text.data[i]))
            return false;
    return text.len > 0;
}

/* run_restrictions - the entry is a list of restrictions, for the subject of the list that it stands in. */
static enum access_result run_restrictions(struct entry *e)
{
    struct access *a = e->a;
    enum subject subject = a->subject;
    struct slice shown = a->shown;

    a->subject = e->subject;
    a->shown = e->shown;
    enum access_result result = access_run(a, restrictions_compile_in(a->s->server->access, a->s->scratch, arena_slice(a->s->scratch, e->value)));
    a->subject = subject;
    a->shown = shown;
    return result;
}

/* names_table - the entry asks for a table, which can only be opened at start-up. */
static bool names_table(struct entry *e)
{
    if (slice_find(e->value, ':') == e->value.len)
        return false;
    log_warning("access table %s has entry with lookup table: " SLICE_FORMAT, entry_table(e), SLICE_ARGS(e->value));
    log_warning("do not specify lookup tables inside SMTPD access maps");
    log_warning("define a restriction class and specify its name instead.");
    return true;
}

static enum access_result obey(struct entry *e)
{
    struct slice word, rest = e->value;

    if (is_all_digits(e->value))
        return do_ok(e);
    if (!slice_next_token(&rest, " \t", &word)) {
        log_warning("access table %s entry " SLICE_FORMAT " has empty value", entry_table(e), SLICE_ARGS(e->value));
        return ACCESS_OK;
    }
    e->text = slice_trim(rest);
    for (size_t i = 0; i < COUNT_OF(actions); i++)
        if (slice_equal_case(word, actions[i].word))
            return actions[i].run(e);
    if (word.len == 3 && is_all_digits(word) && (word.data[0] == '4' || word.data[0] == '5'))
        return refuse(e, (word.data[0] - '0') * 100 + (word.data[1] - '0') * 10 + word.data[2] - '0', e->text);
    return names_table(e) ? access_misconfigured(e->a) : run_restrictions(e);
}

enum access_result access_obey(struct access *a, const struct restriction *item, struct slice value, enum subject subject, struct slice shown)
{
    struct entry e = {.a = a, .item = item, .subject = subject, .shown = shown, .value = slice_trim(arena_slice(a->s->scratch, value))};

    return obey(&e);
}

/* finish - what came of the look-up. */
static enum access_result finish(struct access *a, const struct restriction *item, enum table_result found, struct buffer *value,
                                 enum subject subject, struct slice shown, bool may_permit)
{
    if (found == TABLE_FOUND) {
        enum access_result result = access_obey(a, item, buffer_slice(value), subject, shown);
        buffer_release(value);
        if (result == ACCESS_OK && !may_permit && !(a->s->mail && a->s->mail->discard)) {
            log_warning("restriction %s returns OK for " SLICE_FORMAT, item->word, SLICE_ARGS(shown));
            log_warning("this is not allowed for security reasons");
            log_warning("use DUNNO instead of OK if you want to make an exception");
            return access_misconfigured(a);
        }
        return result;
    }
    buffer_release(value);
    if (found == TABLE_TRY_AGAIN)
        return access_reject(a, 451, "4.3.5", TROUBLE_SOFTWARE, "<" SLICE_FORMAT ">: %s rejected: Server configuration error",
                             SLICE_ARGS(shown), subject_name(subject));
    return ACCESS_DUNNO;
}

/* ---- looking up ---- */

static bool parent_style(const struct access *a)
{
    return a->s->server->access->parent_style;
}

enum access_result access_look_up_exact(struct access *a, const struct restriction *item, struct slice key, enum subject subject, struct slice shown)
{
    struct buffer value = BUFFER_INIT;
    enum table_result found = table_list_lookup(item->tables, key, true, &value);

    return finish(a, item, found, &value, subject, shown, true);
}

enum access_result access_look_up_address(struct access *a, const struct restriction *item, struct slice address, enum subject subject,
                                          struct slice shown)
{
    const struct address_keys *keys = route_keys(a->s->server->route);
    struct buffer value = BUFFER_INIT;
    address = arena_lower(a->s->scratch, address); /* also for tables that tell capitals apart */
    struct slice domain = mail_address_domain(address);

    enum table_result found =
        address_lookup(item->tables, keys, address, ADDRESS_KEY_FULL | ADDRESS_KEY_NO_EXTENSION, &value, NULL, NULL);
    if (found == TABLE_NOT_FOUND && domain.len)
        found = domain_lookup(item->tables, domain, false, parent_style(a), &value);
    if (found == TABLE_NOT_FOUND)
        found = address_lookup(item->tables, keys, address, ADDRESS_KEY_USER_AT, &value, NULL, NULL);
    return finish(a, item, found, &value, subject, shown, true);
}

enum access_result access_look_up_domain(struct access *a, const struct restriction *item, struct slice domain, enum subject subject,
                                         struct slice shown, bool may_permit)
{
    struct buffer value = BUFFER_INIT;
    enum table_result found = domain.len ? domain_lookup(item->tables, domain, true, parent_style(a), &value) : TABLE_NOT_FOUND;

    return finish(a, item, found, &value, subject, shown, may_permit);
}

enum access_result access_look_up_host(struct access *a, const struct restriction *item, struct slice name, const char *address,
                                       enum subject subject, struct slice shown, bool may_permit)
{
    struct buffer value = BUFFER_INIT;
    enum table_result found = name.len ? domain_lookup(item->tables, name, true, parent_style(a), &value) : TABLE_NOT_FOUND;

    a->found_by_address = found == TABLE_NOT_FOUND;
    if (found == TABLE_NOT_FOUND && address)
        found = network_lookup(item->tables, slice_of(address), &value);
    return finish(a, item, found, &value, subject, shown, may_permit);
}

bool access_map_has_client(struct session *s, struct slice table)
{
    struct table_list *tables = map_get(s->server->access->tables, table);
    struct buffer value = BUFFER_INIT;

    if (!tables)
        return false;
    enum table_result found = domain_lookup(tables, slice_of(s->client.name), true, s->server->access->parent_style, &value);
    if (found == TABLE_NOT_FOUND && s->client.has_address)
        found = network_lookup(tables, slice_of(s->client.address), &value);
    buffer_release(&value);
    return found == TABLE_FOUND;
}
