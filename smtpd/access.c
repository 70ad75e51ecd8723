/* access.c - running the restriction lists, stage by stage (compat.md d.5) */
#include "access_private.h"

#include "address/mail_address.h"
#include "base/log.h"

enum { GREATEST_DEPTH = 50, LIST_PATIENCE = 30000 /* microseconds */ };

const char *subject_name(enum subject subject)
{
    static const char *const names[] = {
        [SUBJECT_CLIENT] = "Client host", [SUBJECT_REVERSE_CLIENT] = "Unverified Client host", [SUBJECT_HELO] = "Helo command",
        [SUBJECT_SENDER] = "Sender address", [SUBJECT_RECIPIENT] = "Recipient address", [SUBJECT_ETRN] = "Etrn command",
        [SUBJECT_DATA] = "Data command", [SUBJECT_END_OF_DATA] = "End-of-data", [SUBJECT_CCERT] = "Client certificate",
        [SUBJECT_SASL] = "SASL login name",
    };
    return names[subject];
}

/* ---- outcomes ---- */

/* set_class - the status' class follows the code. */
static void set_class(char *status, int code)
{
    if (status[0] == '4' || status[0] == '5')
        status[0] = (char)('0' + code / 100);
}

/* warned - warn_if_reject: the refusal is only logged, with the class that it would have. */
static bool warned(struct access *a, int code, const char *status, struct slice text)
{
    if (!a->warn)
        return false;
    if (a->s->server->params.soft_bounce && code / 100 == 5)
        code -= 100;
    char shown[sizeof(a->rejection.status)];
    snprintf(shown, sizeof(shown), "%s", status);
    set_class(shown, code);
    log_action(a->s, "reject_warning", a->recipient, "%d %s " SLICE_FORMAT, code, shown, SLICE_ARGS(text));
    return true;
}

static struct slice format_text(struct access *a, const char *format, va_list args)
{
    struct buffer text = BUFFER_INIT_MAX(4096);

    buffer_vprintf(&text, format, args);
    struct slice copy = arena_slice(a->s->scratch, buffer_slice(&text));
    buffer_release(&text);
    return copy;
}

static enum access_result refuse(struct access *a, int code, const char *status, int trouble, struct slice text)
{
    if (warned(a, code, status, text))
        return ACCESS_DUNNO;
    a->rejection = (struct rejection){.code = code, .text = text, .trouble = trouble};
    snprintf(a->rejection.status, sizeof(a->rejection.status), "%s", status);
    set_class(a->rejection.status, code);
    return ACCESS_REJECT;
}

enum access_result access_reject(struct access *a, int code, const char *status, int trouble, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    struct slice text = format_text(a, format, args);
    va_end(args);
    return refuse(a, code, status, trouble, text);
}

static void remember(struct access *a, struct pending *pending, int code, const char *status, const char *format, va_list args)
{
    struct slice text = format_text(a, format, args);

    if ((pending == &a->if_reject ? a->warn : warned(a, code, status, text)) || pending->code)
        return; /* of what would come of a refusal, warn_if_reject says nothing */
    *pending = (struct pending){.code = code, .text = text};
    snprintf(pending->status, sizeof(pending->status), "%s", status);
}

enum access_result access_defer_if_permit(struct access *a, int code, const char *status, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    remember(a, &a->if_permit, code, status, format, args);
    va_end(args);
    return ACCESS_DUNNO;
}

enum access_result access_defer_if_reject(struct access *a, int code, const char *status, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    remember(a, &a->if_reject, code, status, format, args);
    va_end(args);
    return ACCESS_DUNNO;
}

enum access_result access_tempfail(struct access *a, const char *action, int code, const char *status, const char *format, ...)
{
    va_list args;
    enum access_result result = ACCESS_DUNNO;

    va_start(args, format);
    if (strcasecmp(action, "defer") == 0)
        result = refuse(a, code, status, TROUBLE_POLICY, format_text(a, format, args));
    else
        remember(a, &a->if_permit, code, status, format, args);
    va_end(args);
    return result;
}

enum access_result access_permit(struct access *a, struct slice action, enum subject subject, struct slice shown, const char *table)
{
    struct match_list *wanted = a->s->server->permit_logging;

    if (!a->if_permit.code && !match_list_is_empty(wanted) && match_string(wanted, action) == MATCH_YES)
        log_action(a->s, "permit", a->recipient, "action=" SLICE_FORMAT " for %s=" SLICE_FORMAT "%s%s", SLICE_ARGS(action),
                   subject_name(subject), SLICE_ARGS(shown), table ? " from " : " ", table ? table : ""); /* the blank is Postfix's */
    return ACCESS_OK;
}

enum access_result access_permit_client(struct access *a, const struct restriction *item)
{
    return access_permit(a, slice_of(item->word), SUBJECT_CLIENT, slice_of(a->s->client.text), NULL);
}

enum access_result access_misconfigured(struct access *a)
{
    a->warn = false; /* no refusal that an administrator tries out */
    return access_reject(a, 451, "4.3.5", TROUBLE_SOFTWARE, "Server configuration error");
}

/* ---- addresses, resolved when asked for ---- */

static struct route_result *resolve(struct access *a, struct slice sender, struct slice address, struct arena *arena)
{
    struct route *route = a->s->server->route;
    struct route_result *result = arena_alloc(arena, sizeof(*result));

    route_resolve(route, sender, route_rewrite(route, SLICE("local"), address, arena), false, arena, result);
    return result;
}

struct route_result *access_recipient_route(struct access *a)
{
    if (!a->recipient_route)
        a->recipient_route = resolve(a, a->s->mail ? a->s->mail->sender : SLICE(""), a->recipient, a->s->scratch);
    return a->recipient_route;
}

struct route_result *access_sender_route(struct access *a)
{
    struct transaction *t = a->s->mail;

    if (!t->sender_route)
        t->sender_route = resolve(a, SLICE(""), t->sender, t->arena);
    return t->sender_route;
}

/* ---- lists ---- */

/* is_discarded - an access table said DISCARD: nothing more is asked. */
static bool is_discarded(const struct access *a)
{
    return a->s->mail && a->s->mail->discard;
}

static bool is_in_place(const struct access *a, int needs)
{
    const struct session *s = a->s;

    return !((needs & NEEDS_HELO) && !s->helo) && !((needs & NEEDS_SENDER) && !s->mail) &&
           !((needs & NEEDS_SENDER_ADDRESS) && !(s->mail && s->mail->sender.len)) && !((needs & NEEDS_RECIPIENT) && !a->has_recipient);
}

static enum access_result run_item(struct access *a, const struct restriction *item)
{
    const struct access_watch *watch = a->s->server->watch;
    bool in_place = is_in_place(a, item->row->needs), passed_over = watch && watch->passes_over(watch->context, a, item);
    enum access_result result = in_place && !passed_over ? item->row->check(a, item) : ACCESS_DUNNO;

    if (is_discarded(a))
        result = ACCESS_OK;
    if (watch)
        watch->item_done(watch->context, a, item, in_place, result);
    return result;
}

/* next_list - the next DNS list of a chain of them, list->count when there is none. */
static size_t next_list(const struct access *a, const struct restriction_list *list, size_t i)
{
    for (i++; i < list->count && (list->items[i].dnsbl || restriction_is_warning(&list->items[i])); i++)
        if (list->items[i].dnsbl && is_in_place(a, list->items[i].row->needs))
            return i;
    return list->count;
}

/* begin_lists - a DNS list that takes its time does not keep the ones behind it waiting; where all answer at once, none is asked in vain. */
static void begin_lists(struct access *a, const struct restriction_list *list, size_t i)
{
    size_t next = i;

    if (!is_in_place(a, list->items[i].row->needs))
        return;
    while (!dnsbl_begin(a, &list->items[i], LIST_PATIENCE) && (next = next_list(a, list, next)) < list->count)
        dnsbl_begin(a, &list->items[next], 0);
}

enum access_result access_run(struct access *a, const struct restriction_list *list)
{
    enum access_result result = ACCESS_DUNNO;
    bool warn = a->warn;

    if (a->depth >= GREATEST_DEPTH) {
        log_warning("restriction classes are nested too deeply");
        return access_misconfigured(a);
    }
    a->depth++;
    for (size_t i = 0; i < list->count && result == ACCESS_DUNNO; i++) {
        const struct restriction *item = &list->items[i];
        if (restriction_is_warning(item)) {
            a->warn = true;
            continue;
        }
        if (item->dnsbl && !a->s->server->watch)
            begin_lists(a, list, i);
        result = run_item(a, item);
        a->warn = warn;
    }
    a->warn = warn;
    a->depth--;
    return result;
}

static enum access_result run(struct access *a, const struct restriction_list *list, enum subject subject, struct slice shown)
{
    a->list = a->subject = subject;
    a->shown = shown;
    a->if_reject = (struct pending){0}; /* counts for refusals of the same list */
    if (list->count == 0 || is_discarded(a))
        return ACCESS_DUNNO;
    const struct access_watch *watch = a->s->server->watch;
    if (watch)
        watch->list_begins(watch->context, list);
    return access_run(a, list);
}

static enum access_result run_client(struct access *a)
{
    return run(a, a->s->server->access->client, SUBJECT_CLIENT, slice_of(a->s->client.text));
}

static enum access_result run_helo(struct access *a)
{
    return a->s->helo ? run(a, a->s->server->access->helo, SUBJECT_HELO, slice_of(a->s->helo)) : ACCESS_DUNNO;
}

/* run_unlisted - what smtpd_reject_unlisted_sender and _recipient ask for. */
static enum access_result run_unlisted(struct access *a, const char *parameter, enum access_result (*check)(struct access *a, const struct restriction *item))
{
    const struct access_watch *watch = a->s->server->watch;

    if (watch)
        watch->unlisted_begins(watch->context, parameter);
    return check(a, NULL);
}

/* run_sender - the list, then what smtpd_reject_unlisted_sender asks for (not of sendmail -bs: there it is the queue's errand). */
static enum access_result run_sender(struct access *a)
{
    enum access_result result = run(a, a->s->server->access->sender, SUBJECT_SENDER, a->s->mail->sender_shown);

    if (result != ACCESS_REJECT && a->s->server->params.smtpd_reject_unlisted_sender && !a->s->server->stand_alone && a->s->mail->sender.len)
        result = run_unlisted(a, "smtpd_reject_unlisted_sender", check_unlisted_sender);
    return result;
}

/* ---- stages ---- */

static struct access begin(struct session *s)
{
    return (struct access){.s = s};
}

static void carry_over(struct access *a, const struct deferral *deferral)
{
    if (!deferral || a->if_permit.code)
        return;
    a->if_permit = (struct pending){.code = deferral->code, .text = slice_of(deferral->text)};
    memcpy(a->if_permit.status, deferral->status, sizeof(deferral->status));
}

void deferral_free(struct deferral *deferral)
{
    if (!deferral)
        return;
    free(deferral->text);
    free(deferral);
}

/* keep - a wish to defer stays until RCPT (smtpd_delay_reject = no). */
static void keep(struct deferral **where, const struct pending *pending)
{
    deferral_free(*where);
    *where = NULL;
    if (pending->code == 0)
        return;
    *where = memory_zalloc(1, sizeof(**where));
    (*where)->code = pending->code;
    memcpy((*where)->status, pending->status, sizeof(pending->status));
    (*where)->text = slice_string(pending->text);
}

/* conclude - defer_if_reject softens a refusal. */
static bool conclude(struct access *a, enum access_result result, struct rejection *rejection)
{
    if (result != ACCESS_REJECT)
        return true;
    if (a->if_reject.code && a->rejection.code / 100 == 5) {
        a->rejection.code = a->if_reject.code;
        a->rejection.text = a->if_reject.text;
        memcpy(a->rejection.status, a->if_reject.status, sizeof(a->if_reject.status));
    }
    *rejection = a->rejection;
    return false;
}

bool access_connect(struct session *s, struct rejection *rejection)
{
    struct access a = begin(s);
    enum access_result result = run_client(&a);

    keep(&s->client_deferral, &a.if_permit);
    return conclude(&a, result, rejection);
}

bool access_helo(struct session *s, struct rejection *rejection)
{
    struct access a = begin(s);
    enum access_result result = run_helo(&a);

    keep(&s->helo_deferral, &a.if_permit);
    return conclude(&a, result, rejection);
}

bool access_mail(struct session *s, struct rejection *rejection)
{
    struct access a = begin(s);
    enum access_result result = run_sender(&a);

    keep(&s->sender_deferral, &a.if_permit);
    return conclude(&a, result, rejection);
}

static bool is_postmaster(const struct access *a)
{
    return slice_equal_case(a->recipient, SLICE("postmaster"));
}

/* would_be_denied - with smtpd_relay_restrictions as they are today. */
static bool would_be_denied(struct access *a)
{
    struct session *s = a->s;

    return destination_is_authorized(a) == 0 && server_in_mynetworks(s->server, slice_of(s->client.name), client_peer(&s->client)) != MATCH_YES &&
           !s->login;
}

/* tell_old_defaults - of an old compatibility_level, where they decided. */
static void tell_old_defaults(struct access *a, enum access_result result, const struct restriction_list *last)
{
    struct config *config = a->s->server->config;

    if (result == ACCESS_REJECT && last == a->s->server->access->recipient &&
        config_is_old_default(config, "smtpd_relay_before_recipient_restrictions"))
        log_info("using backwards-compatible default setting smtpd_relay_before_recipient_restrictions=no to reject recipient \"" SLICE_FORMAT
                 "\" from client \"%s\"", SLICE_ARGS(a->recipient), a->s->client.text);
    if (result != ACCESS_REJECT && config_is_old_default(config, "smtpd_relay_restrictions") && would_be_denied(a))
        log_info("using backwards-compatible default setting \"smtpd_relay_restrictions = (empty)\" to avoid \"Relay access denied\" error for "
                 "recipient \"" SLICE_FORMAT "\" from client \"%s\"", SLICE_ARGS(a->recipient), a->s->client.text);
}

static enum access_result run_recipient_lists(struct access *a)
{
    const struct access_rules *rules = a->s->server->access;
    bool relay_first = a->s->server->params.smtpd_relay_before_recipient_restrictions;
    const struct restriction_list *lists[2] = {relay_first ? rules->relay : rules->recipient, relay_first ? rules->recipient : rules->relay};
    const struct restriction_list *last = NULL;
    enum access_result result = ACCESS_DUNNO;

    for (int i = 0; i < 2 && result != ACCESS_REJECT; i++) {
        last = lists[i];
        result = run(a, last, SUBJECT_RECIPIENT, a->recipient_shown);
    }
    tell_old_defaults(a, result, last);
    return result;
}

/* run_rcpt - all that is to be looked at before a recipient is accepted. */
static enum access_result run_rcpt(struct access *a)
{
    struct session *s = a->s;
    bool delayed = s->server->params.smtpd_delay_reject;

    if (is_postmaster(a))
        return ACCESS_OK;
    if (delayed && (run_client(a) == ACCESS_REJECT || run_helo(a) == ACCESS_REJECT || (s->mail && run_sender(a) == ACCESS_REJECT)))
        return ACCESS_REJECT;
    if (is_discarded(a))
        return ACCESS_OK;
    if (run_recipient_lists(a) == ACCESS_REJECT)
        return ACCESS_REJECT;
    if (is_discarded(a))
        return ACCESS_OK;
    if (a->if_permit.code)
        return refuse(a, a->if_permit.code, a->if_permit.status, TROUBLE_POLICY, a->if_permit.text);
    a->subject = SUBJECT_RECIPIENT;
    a->shown = a->recipient_shown;
    if (s->server->params.smtpd_reject_unlisted_recipient && !s->server->stand_alone)
        return run_unlisted(a, "smtpd_reject_unlisted_recipient", check_unlisted_recipient);
    return ACCESS_OK;
}

bool access_rcpt(struct session *s, struct slice recipient, struct slice shown, struct rejection *rejection)
{
    struct access a = begin(s);

    a.has_recipient = true;
    a.recipient = recipient;
    a.recipient_shown = shown;
    if (is_discarded(&a))
        return true;
    carry_over(&a, s->client_deferral); /* the first wish counts */
    carry_over(&a, s->helo_deferral);
    carry_over(&a, s->sender_deferral);
    return conclude(&a, run_rcpt(&a), rejection);
}

bool access_etrn(struct session *s, struct slice domain, struct rejection *rejection)
{
    struct access a = begin(s);
    enum access_result result = ACCESS_DUNNO;

    a.etrn_domain = domain;
    carry_over(&a, s->client_deferral);
    carry_over(&a, s->helo_deferral);
    if (s->server->params.smtpd_delay_reject && (run_client(&a) == ACCESS_REJECT || run_helo(&a) == ACCESS_REJECT))
        result = ACCESS_REJECT;
    if (result != ACCESS_REJECT)
        result = run(&a, s->server->access->etrn, SUBJECT_ETRN, domain);
    if (result != ACCESS_REJECT && a.if_permit.code)
        result = refuse(&a, a.if_permit.code, a.if_permit.status, TROUBLE_POLICY, a.if_permit.text);
    return conclude(&a, result, rejection);
}

/* run_content - DATA and END-OF-MESSAGE: a recipient is known only when there is one. */
static bool run_content(struct session *s, const struct restriction_list *list, enum subject subject, struct slice shown,
                        struct rejection *rejection)
{
    struct access a = begin(s);
    struct transaction *t = s->mail;

    if (list->count == 0)
        return true;
    if (t->recipient_count == 1) {
        a.has_recipient = true;
        a.recipient = t->recipients[0].address;
        a.recipient_shown = mail_address_internal(a.recipient, s->scratch);
    }
    enum access_result result = run(&a, list, subject, shown);
    if (result != ACCESS_REJECT && a.if_permit.code)
        result = refuse(&a, a.if_permit.code, a.if_permit.status, TROUBLE_POLICY, a.if_permit.text);
    return conclude(&a, result, rejection);
}

bool access_data(struct session *s, struct rejection *rejection)
{
    return run_content(s, s->server->access->data, SUBJECT_DATA, SLICE("DATA"), rejection);
}

bool access_end_of_data(struct session *s, struct rejection *rejection)
{
    return run_content(s, s->server->access->end_of_data, SUBJECT_END_OF_DATA, SLICE("END-OF-MESSAGE"), rejection);
}

bool access_has_end_of_data(const struct server *server)
{
    return server->access->end_of_data->count > 0;
}
