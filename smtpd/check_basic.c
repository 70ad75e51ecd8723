/* check_basic.c - restrictions that need no table and no DNS, and those that look at the client and its HELO name */
#include "access_private.h"

#include "address/mail_address.h"
#include "base/log.h"
#include "run/run.h"

/* ---- any list ---- */

enum access_result check_permit(struct access *a, const struct restriction *item)
{
    return access_permit(a, slice_of(item->word), a->subject, a->shown, NULL);
}

enum access_result check_reject(struct access *a, const struct restriction *item UNUSED)
{
    return access_reject(a, (int)a->s->server->params.reject_code, "5.7.1", TROUBLE_POLICY, "<" SLICE_FORMAT ">: %s rejected: Access denied",
                         SLICE_ARGS(a->shown), subject_name(a->subject));
}

enum access_result check_defer(struct access *a, const struct restriction *item UNUSED)
{
    return access_reject(a, (int)a->s->server->params.defer_code, "4.3.2", TROUBLE_POLICY, "<" SLICE_FORMAT ">: %s rejected: Try again later",
                         SLICE_ARGS(a->shown), subject_name(a->subject));
}

enum access_result check_defer_if_permit(struct access *a, const struct restriction *item UNUSED)
{
    return access_defer_if_permit(a, 450, "4.7.0", "<" SLICE_FORMAT ">: %s rejected: defer_if_permit requested", SLICE_ARGS(a->shown),
                                  subject_name(a->subject));
}

enum access_result check_defer_if_reject(struct access *a, const struct restriction *item UNUSED)
{
    return access_defer_if_reject(a, 450, "4.7.0", "<" SLICE_FORMAT ">: %s rejected: defer_if_reject requested", SLICE_ARGS(a->shown),
                                  subject_name(a->subject));
}

enum access_result check_sleep(struct access *a, const struct restriction *item)
{
    stream_flush(a->s->stream);
    fiber_sleep(item->number * MICROSECONDS);
    return ACCESS_DUNNO;
}

enum access_result check_pipelining(struct access *a, const struct restriction *item UNUSED)
{
    if (!a->s->early_talker)
        return ACCESS_DUNNO;
    return access_reject(a, 503, "5.5.0", TROUBLE_PROTOCOL, "<" SLICE_FORMAT ">: %s rejected: Improper use of SMTP command pipelining",
                         SLICE_ARGS(a->shown), subject_name(a->subject));
}

enum access_result check_plaintext(struct access *a, const struct restriction *item UNUSED)
{
    if (a->s->tls)
        return ACCESS_DUNNO;
    return access_reject(a, (int)a->s->server->params.plaintext_reject_code, "4.7.1", TROUBLE_POLICY, "Session encryption is required");
}

enum access_result check_multi_recipient_bounce(struct access *a, const struct restriction *item UNUSED)
{
    const struct transaction *t = a->s->mail;

    if (t->sender.len || t->recipient_count + (a->subject == SUBJECT_RECIPIENT ? 1 : 0) < 2)
        return ACCESS_DUNNO;
    return access_reject(a, (int)a->s->server->params.multi_recipient_bounce_reject_code, "5.5.3", TROUBLE_POLICY,
                         "<" SLICE_FORMAT ">: %s rejected: Multi-recipient bounce", SLICE_ARGS(a->shown), subject_name(a->subject));
}

/* check_never - permissions and tables for what no client can have yet. */
enum access_result check_never(struct access *a UNUSED, const struct restriction *item UNUSED)
{
    return ACCESS_DUNNO;
}

enum access_result check_unknown(struct access *a, const struct restriction *item)
{
    log_warning("unknown smtpd restriction: \"%s\"", item->word);
    return access_misconfigured(a);
}

enum access_result check_class(struct access *a, const struct restriction *item)
{
    return access_run(a, item->class);
}

/* ---- the client ---- */

enum access_result check_inet_interfaces(struct access *a, const struct restriction *item)
{
    const struct session *s = a->s;

    if (!s->server->stand_alone && !(s->client.has_address && server_is_own_address(s->server, &s->client.peer)))
        return ACCESS_DUNNO;
    return access_permit_client(a, item);
}

enum access_result check_mynetworks(struct access *a, const struct restriction *item)
{
    struct session *s = a->s;

    switch (server_in_mynetworks(s->server, slice_of(s->client.name), client_peer(&s->client))) {
    case MATCH_YES:
        if (config_is_old_default(s->server->config, "mynetworks_style"))
            log_info("using backwards-compatible default setting mynetworks_style=subnet to permit request from client \"%s\"", s->client.text);
        return access_permit_client(a, item);
    case MATCH_NO:
        return ACCESS_DUNNO;
    default:
        return access_reject(a, 451, "4.3.5", TROUBLE_SOFTWARE, "<" SLICE_FORMAT ">: %s rejected: Server configuration error",
                             SLICE_ARGS(a->shown), subject_name(a->subject));
    }
}

enum access_result check_unknown_client(struct access *a, const struct restriction *item UNUSED)
{
    const struct client *client = &a->s->client;

    if (client->name_state == NAME_KNOWN)
        return ACCESS_DUNNO;
    return access_reject(a, client->name_state == NAME_TRY_AGAIN ? 450 : (int)a->s->server->params.unknown_client_reject_code, "4.7.25",
                         TROUBLE_POLICY, "Client host rejected: cannot find your hostname, [%s]", client->address);
}

enum access_result check_unknown_reverse_client(struct access *a, const struct restriction *item UNUSED)
{
    const struct client *client = &a->s->client;

    if (client->reverse_state == NAME_KNOWN)
        return ACCESS_DUNNO;
    return access_reject(a, client->reverse_state == NAME_TRY_AGAIN ? 450 : (int)a->s->server->params.unknown_client_reject_code, "4.7.1",
                         TROUBLE_POLICY, "Client host rejected: cannot find your reverse hostname, [%s]", client->address);
}

enum access_result check_client_access(struct access *a, const struct restriction *item)
{
    const struct client *client = &a->s->client;

    return access_look_up_host(a, item, slice_of(client->name), client->address, SUBJECT_CLIENT, slice_of(client->text), true);
}

enum access_result check_reverse_client_access(struct access *a, const struct restriction *item)
{
    const struct client *client = &a->s->client;

    return access_look_up_host(a, item, slice_of(client->reverse_name), client->address, SUBJECT_REVERSE_CLIENT,
                               slice_of(client->reverse_name), false);
}

/* ---- HELO ---- */

static struct slice helo(const struct access *a)
{
    return slice_of(a->s->helo);
}

static struct slice without_dot(struct slice name)
{
    return slice_ends(name, SLICE(".")) ? slice_first(name, name.len - 1) : name;
}

static bool is_address(struct slice name)
{
    struct net_address address;

    return net_address_parse(&address, name, 0);
}

/* literal_fault - "[...]" that is no address. */
static bool literal_is_good(struct slice name)
{
    if (!slice_ends(name, SLICE("]")))
        return false;
    return is_address(slice_make(name.data + 1, name.len - 2));
}

static enum access_result refuse_helo(struct access *a, int64_t code, const char *reason)
{
    return access_reject(a, (int)code, "5.5.2", TROUBLE_POLICY, "<%s>: Helo command rejected: %s", a->s->helo, reason);
}

enum access_result check_invalid_helo(struct access *a, const struct restriction *item UNUSED)
{
    struct slice name = helo(a);
    int64_t code = a->s->server->params.invalid_hostname_reject_code;

    if (name.len && name.data[0] == '[')
        return literal_is_good(name) ? ACCESS_DUNNO : refuse_helo(a, code, "invalid ip address");
    if (!is_address(name) && !domain_is_valid(without_dot(name), NULL))
        return refuse_helo(a, code, "Invalid name");
    return ACCESS_DUNNO;
}

enum access_result check_non_fqdn_helo(struct access *a, const struct restriction *item UNUSED)
{
    struct slice name = without_dot(helo(a));

    if (name.len && name.data[0] == '[')
        return literal_is_good(name) ? ACCESS_DUNNO : refuse_helo(a, a->s->server->params.invalid_hostname_reject_code, "invalid ip address");
    if (is_address(name) || !domain_is_valid(name, NULL) || slice_find(name, '.') == name.len)
        return refuse_helo(a, a->s->server->params.non_fqdn_reject_code, "need fully-qualified hostname");
    return ACCESS_DUNNO;
}

/* check_naked_address - HELO with an address that has no brackets: nothing that a stranger could not say as well. */
enum access_result check_naked_address(struct access *a, const struct restriction *item)
{
    log_warning("restriction permit_naked_ip_address is deprecated. Use permit_mynetworks or permit_sasl_authenticated instead");
    return a->s->helo[0] != '[' && is_address(helo(a)) ? access_permit(a, slice_of(item->word), SUBJECT_HELO, helo(a), NULL) : ACCESS_DUNNO;
}

enum access_result check_helo_access(struct access *a, const struct restriction *item)
{
    return access_look_up_domain(a, item, helo(a), SUBJECT_HELO, helo(a), true);
}

/* ---- ETRN, and a bare "type:table" ---- */

enum access_result check_etrn_access(struct access *a, const struct restriction *item)
{
    if (a->etrn_domain.len == 0)
        return ACCESS_DUNNO;
    return access_look_up_domain(a, item, a->etrn_domain, SUBJECT_ETRN, a->etrn_domain, true);
}

enum access_result check_list_table(struct access *a, const struct restriction *item)
{
    switch (a->list) {
    case SUBJECT_CLIENT:
        return check_client_access(a, item);
    case SUBJECT_HELO:
        return check_helo_access(a, item);
    case SUBJECT_SENDER:
        return check_sender_access(a, item);
    case SUBJECT_RECIPIENT:
        return a->has_recipient ? check_recipient_access(a, item) : ACCESS_DUNNO;
    case SUBJECT_ETRN:
        return check_etrn_access(a, item);
    default:
        log_warning("specify one of (check_client_access, check_reverse_client_hostname_access, check_helo_access, check_sender_access, "
                    "check_recipient_access, check_etrn_access) before %s restriction \"%s\"", subject_name(a->list), item->word);
        return access_misconfigured(a);
    }
}
