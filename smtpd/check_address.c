/* check_address.c - restrictions on senders and recipients by their class and tables (compat.md d.5, d.7) */
#include "access_private.h"

#include "address/mail_address.h"
#include "auth.h"
#include "base/log.h"
#include "base/verdict.h"

/* ---- syntax ---- */

/* is_fully_qualified - of an address in internal form: in "\"alice@here.test\"" the "@" counts. */
static bool is_fully_qualified(struct slice address)
{
    if (slice_find(address, '@') == address.len)
        return false;
    struct slice domain = slice_from(address, slice_find_last(address, '@') + 1);

    if (slice_ends(domain, SLICE(".")))
        domain.len--;
    return domain.len && domain_is_valid(domain, NULL) && (domain_is_literal(domain) || slice_find(domain, '.') < domain.len);
}

static enum access_result refuse_short(struct access *a, struct slice shown, enum subject subject)
{
    return access_reject(a, (int)a->s->server->params.non_fqdn_reject_code, "5.5.2", TROUBLE_POLICY,
                         "<" SLICE_FORMAT ">: %s rejected: need fully-qualified address", SLICE_ARGS(shown), subject_name(subject));
}

enum access_result check_non_fqdn_sender(struct access *a, const struct restriction *item UNUSED)
{
    const struct transaction *t = a->s->mail;

    return is_fully_qualified(t->sender_shown) ? ACCESS_DUNNO : refuse_short(a, t->sender_shown, SUBJECT_SENDER);
}

enum access_result check_non_fqdn_recipient(struct access *a, const struct restriction *item UNUSED)
{
    return is_fully_qualified(a->recipient_shown) ? ACCESS_DUNNO : refuse_short(a, a->recipient_shown, SUBJECT_RECIPIENT);
}

/* ---- tables ---- */

enum access_result check_sender_access(struct access *a, const struct restriction *item)
{
    const struct transaction *t = a->s->mail;

    if (!t)
        return ACCESS_DUNNO;
    if (t->sender.len == 0)
        return access_look_up_exact(a, item, slice_of(a->s->server->params.smtpd_null_access_lookup_key), SUBJECT_SENDER, t->sender_shown);
    return access_look_up_address(a, item, access_sender_route(a)->recipient, SUBJECT_SENDER, t->sender_shown);
}

enum access_result check_recipient_access(struct access *a, const struct restriction *item)
{
    return access_look_up_address(a, item, access_recipient_route(a)->recipient, SUBJECT_RECIPIENT, a->recipient_shown);
}

static enum access_result refuse_for_now(struct access *a, struct slice shown)
{
    return access_reject(a, 451, "4.3.0", TROUBLE_SOFTWARE, "<" SLICE_FORMAT ">: Temporary lookup failure", SLICE_ARGS(shown));
}

/* ---- logins ---- */

/* is_among - the owners of an address, separated by commas or blanks. */
static bool is_among(struct slice owners, const char *user)
{
    struct slice owner;

    while (slice_next_token(&owners, ", \t\r\n", &owner))
        if (slice_equal_case(owner, slice_of(user)))
            return true;
    return false;
}

/* Who may be checked: LOGIN_ bits are the detail of the restriction's row. */
enum { LOGIN_AUTHENTICATED = 1, LOGIN_UNAUTHENTICATED = 2, LOGIN_KNOWN_ONLY = 4 };

static enum access_result refuse_owner(struct access *a, enum table_result found, struct slice owners, int detail)
{
    const struct session *s = a->s;
    struct slice shown = s->mail->sender_shown;

    if (!s->login)
        return found == TABLE_FOUND ? access_reject(a, 553, "5.7.1", TROUBLE_POLICY, "<" SLICE_FORMAT ">: Sender address rejected: not logged in",
                                                    SLICE_ARGS(shown)) : ACCESS_DUNNO;
    if (found == TABLE_FOUND ? is_among(owners, s->login->user) : (detail & LOGIN_KNOWN_ONLY) != 0)
        return ACCESS_DUNNO;
    return access_reject(a, 553, "5.7.1", TROUBLE_POLICY, "<" SLICE_FORMAT ">: Sender address rejected: not owned by user %s", SLICE_ARGS(shown),
                         s->login->user);
}

/* say_no_login - under the names that the restriction stands for. */
static void say_no_login(int detail)
{
    static const char *const names[] = {[LOGIN_AUTHENTICATED] = "authenticated", [LOGIN_UNAUTHENTICATED] = "unauthenticated"};

    for (int kind = LOGIN_AUTHENTICATED; kind <= LOGIN_UNAUTHENTICATED && !(detail & LOGIN_KNOWN_ONLY); kind *= 2)
        if (detail & kind)
            log_warning("restriction `reject_%s_sender_login_mismatch' ignored: no SASL support", names[kind]);
    if (detail & LOGIN_KNOWN_ONLY)
        log_warning("restriction `reject_known_sender_login_mismatch' ignored: no SASL support");
}

enum access_result check_login_mismatch(struct access *a, const struct restriction *item)
{
    struct table_list *owners = a->s->server->access->sender_login;
    struct buffer value = BUFFER_INIT;
    enum access_result result;

    if (!a->s->server->params.smtpd_sasl_auth_enable) {
        say_no_login(item->row->detail);
        return ACCESS_DUNNO;
    }
    if (!(item->row->detail & (a->s->login ? LOGIN_AUTHENTICATED : LOGIN_UNAUTHENTICATED)))
        return ACCESS_DUNNO;
    enum table_result found = address_lookup(owners, route_keys(a->s->server->route), access_sender_route(a)->recipient, ADDRESS_KEY_ALL,
                                             &value, NULL, NULL);
    if (found == TABLE_TRY_AGAIN)
        result = table_list_is_misconfigured(owners) ? access_misconfigured(a) : refuse_for_now(a, a->s->mail->sender_shown);
    else
        result = refuse_owner(a, found, buffer_slice(&value), item->row->detail);
    buffer_release(&value);
    return result;
}

enum access_result check_sasl_authenticated(struct access *a, const struct restriction *item)
{
    return auth_is_user(a->s) ? access_permit_client(a, item) : ACCESS_DUNNO;
}

enum access_result check_sasl_access(struct access *a, const struct restriction *item)
{
    const struct login *login = a->s->login;

    if (!a->s->server->params.smtpd_sasl_auth_enable)
        log_warning("restriction `%s' ignored: no SASL support", item->row->name);
    return login ? access_look_up_exact(a, item, slice_of(login->user), SUBJECT_SASL, slice_of(login->user)) : ACCESS_DUNNO;
}

/* ---- relaying ---- */

int destination_is_authorized(struct access *a)
{
    const struct route_result *r = access_recipient_route(a);

    if (r->flags & ROUTE_TRY_AGAIN)
        return -1;
    if (r->class == ADDRESS_CLASS_DEFAULT)
        return 0;
    if (r->class == ADDRESS_CLASS_RELAY && config_is_old_default(a->s->server->config, "relay_domains"))
        log_info("using backwards-compatible default setting relay_domains=$mydestination to accept mail for address \"" SLICE_FORMAT "\"",
                 SLICE_ARGS(a->recipient));
    return !(r->flags & ROUTE_ROUTED) || a->s->server->params.allow_untrusted_routing;
}

enum access_result check_auth_destination(struct access *a, const struct restriction *item)
{
    int authorized = destination_is_authorized(a);

    if (authorized < 0)
        return refuse_for_now(a, a->recipient_shown);
    return authorized ? access_permit(a, slice_of(item->word), SUBJECT_RECIPIENT, a->recipient_shown, NULL) : ACCESS_DUNNO;
}

/* check_relay_domains - the old name of both: permit_auth_destination, reject_unauth_destination. */
enum access_result check_relay_domains(struct access *a, const struct restriction *item)
{
    static bool said;

    if (!said)
        log_warning("support for restriction \"check_relay_domains\" will be removed from %s; use \"reject_unauth_destination\" instead",
                    a->s->server->params.mail_name);
    said = true;
    enum access_result result = check_auth_destination(a, item);
    if (result != ACCESS_DUNNO)
        return result;
    return access_reject(a, (int)a->s->server->params.relay_domains_reject_code, "5.7.1", TROUBLE_POLICY,
                         "<" SLICE_FORMAT ">: %s rejected: Relay access denied", SLICE_ARGS(a->recipient_shown), subject_name(SUBJECT_RECIPIENT));
}

/* check_unauth_destination - also defer_unauth_destination: the row's detail is taken off the code. */
enum access_result check_unauth_destination(struct access *a, const struct restriction *item)
{
    int code = (int)a->s->server->params.relay_domains_reject_code - item->row->detail;
    int authorized = destination_is_authorized(a);

    if (authorized < 0)
        return refuse_for_now(a, a->recipient_shown);
    if (authorized)
        return ACCESS_DUNNO;
    return access_reject(a, code, "5.7.1", TROUBLE_POLICY, "<" SLICE_FORMAT ">: Relay access denied", SLICE_ARGS(a->recipient_shown));
}

/* ---- unlisted addresses ---- */

static int64_t unknown_code(const struct smtpd_params *p, enum address_class class)
{
    switch (class) {
    case ADDRESS_CLASS_VIRTUAL_ALIAS:
        return p->unknown_virtual_alias_reject_code;
    case ADDRESS_CLASS_VIRTUAL_MAILBOX:
        return p->unknown_virtual_mailbox_reject_code;
    case ADDRESS_CLASS_RELAY:
        return p->unknown_relay_recipient_reject_code;
    default:
        return p->unknown_local_recipient_reject_code;
    }
}

/* by_transport - transport_maps send the address to error: or retry:, and no alias leads elsewhere. */
static enum access_result refuse_by_transport(struct access *a, const struct route_result *r, struct slice shown, enum subject subject)
{
    bool retry = slice_equal(r->transport, SLICE("retry"));
    struct status_code status = {retry ? 4 : 5, 1, subject == SUBJECT_SENDER ? 0 : 1};
    struct slice reason = r->next_hop;
    char text[STATUS_CODE_TEXT];

    bool given = status_code_parse(r->next_hop, &status, &reason);
    if (given && subject != SUBJECT_SENDER)
        status = access_map_status(subject, status);
    else if (given && status.subject == 1)
        status.detail = 0;
    return access_reject(a, retry ? 450 : 550, status_code_format(status, text), TROUBLE_BOUNCE, "<" SLICE_FORMAT ">: %s rejected: " SLICE_FORMAT,
                         SLICE_ARGS(shown), subject_name(subject), SLICE_ARGS(reason));
}

/* refuse_unknown - route_recipient_known could not tell: its answer below 0. */
static enum access_result refuse_unknown(struct access *a, int known, struct slice shown)
{
    return known == -2 ? access_misconfigured(a) : refuse_for_now(a, shown);
}

/* is_redirected - canonical or virtual alias maps have the address: asked as if it were in an alias domain, where only they count. */
static int is_redirected(struct access *a, const struct route_result *r, struct slice address)
{
    struct route_result as_alias = *r;
    const char *table;

    as_alias.class = ADDRESS_CLASS_VIRTUAL_ALIAS;
    return route_recipient_known(a->s->server->route, &as_alias, address, &table);
}

static enum access_result check_listed(struct access *a, const struct route_result *r, struct slice address, struct slice shown, enum subject subject)
{
    const struct smtpd_params *p = &a->s->server->params;
    const char *table = "";
    int known;

    if (r->flags & ROUTE_TRY_AGAIN)
        return refuse_for_now(a, shown);
    bool fails = slice_equal(r->transport, SLICE("error")) || slice_equal(r->transport, SLICE("retry"));
    if (fails && r->class != ADDRESS_CLASS_VIRTUAL_ALIAS) {
        known = is_redirected(a, r, address);
        if (known == 0)
            return refuse_by_transport(a, r, shown, subject);
        return known > 0 ? ACCESS_DUNNO : refuse_unknown(a, known, shown);
    }
    known = route_recipient_known(a->s->server->route, r, address, &table);
    if (known < 0)
        return refuse_unknown(a, known, shown);
    if (known > 0)
        return ACCESS_DUNNO;
    return access_reject(a, (int)unknown_code(p, r->class), subject == SUBJECT_SENDER ? "5.1.0" : "5.1.1", TROUBLE_BOUNCE,
                         "<" SLICE_FORMAT ">: %s rejected: User unknown%s%s", SLICE_ARGS(shown), subject_name(subject),
                         p->show_user_unknown_table_name ? " in " : "", p->show_user_unknown_table_name ? table : "");
}

enum access_result check_unlisted_sender(struct access *a, const struct restriction *item UNUSED)
{
    const struct transaction *t = a->s->mail;

    return check_listed(a, access_sender_route(a), t->sender, t->sender_shown, SUBJECT_SENDER);
}

enum access_result check_unlisted_recipient(struct access *a, const struct restriction *item UNUSED)
{
    return check_listed(a, access_recipient_route(a), a->recipient, a->recipient_shown, SUBJECT_RECIPIENT);
}
