/* check_dns.c - restrictions that ask DNS about a name */
#include "access_private.h"

#include "address/mail_address.h"
#include "base/log.h"

enum { HOSTS_MAX = 100 /* name servers or mail exchangers looked at */ };

/* ---- does a name exist? ---- */

/* exists - the best of several answers: found, or why not; temporary failures count before "not found". */
static enum dns_status exists(struct slice name, const enum dns_type *types, size_t count, struct arena *arena)
{
    enum dns_status worst = DNS_NO_DOMAIN;

    for (size_t i = 0; i < count; i++) {
        enum dns_status status = dns_query(name, types[i], arena).status;
        if (status == DNS_FOUND || status == DNS_NO_DOMAIN)
            return status == DNS_FOUND ? DNS_FOUND : worst == DNS_TRY_AGAIN ? DNS_TRY_AGAIN : DNS_NO_DOMAIN;
        if (status == DNS_TRY_AGAIN)
            worst = DNS_TRY_AGAIN;
    }
    return worst;
}

enum access_result check_unknown_helo(struct access *a, const struct restriction *item UNUSED)
{
    static const enum dns_type types[] = {DNS_A, DNS_AAAA, DNS_MX};
    const struct smtpd_params *p = &a->s->server->params;
    struct slice name = slice_of(a->s->helo);

    if (slice_ends(name, SLICE(".")))
        name.len--;
    if (name.len && name.data[0] == '[')
        return check_invalid_helo(a, NULL);
    if (domain_is_valid(name, NULL)) {
        enum dns_status status = exists(name, types, COUNT_OF(types), a->s->scratch);
        if (status == DNS_FOUND)
            return ACCESS_DUNNO;
        if (status == DNS_TRY_AGAIN)
            return access_tempfail(a, p->unknown_helo_hostname_tempfail_action, 450, "4.7.1", "<%s>: Helo command rejected: Host not found",
                                   a->s->helo);
    }
    return access_reject(a, (int)p->unknown_hostname_reject_code, "4.7.1", TROUBLE_POLICY, "<%s>: Helo command rejected: Host not found",
                         a->s->helo);
}

/* ---- sender and recipient domains ---- */

static enum access_result refuse_null_mx(struct access *a, struct slice domain, struct slice shown, enum subject subject)
{
    bool sender = subject == SUBJECT_SENDER;

    return access_reject(a, sender ? 550 : 556, sender ? "5.7.27" : "5.1.10", TROUBLE_POLICY,
                         "<" SLICE_FORMAT ">: %s rejected: Domain " SLICE_FORMAT " does not accept mail (nullMX)", SLICE_ARGS(shown),
                         subject_name(subject), SLICE_ARGS(domain));
}

static enum access_result check_domain(struct access *a, const struct route_result *r, struct slice shown, enum subject subject)
{
    static const enum dns_type types[] = {DNS_A, DNS_AAAA};
    const struct smtpd_params *p = &a->s->server->params;
    struct slice domain = mail_address_domain(r->recipient);
    const char *status_text = subject == SUBJECT_SENDER ? "4.1.8" : "4.1.2";

    bool own = r->class == ADDRESS_CLASS_LOCAL || r->class == ADDRESS_CLASS_VIRTUAL_ALIAS || r->class == ADDRESS_CLASS_VIRTUAL_MAILBOX;
    if (own || domain.len == 0 || domain_is_literal(domain))
        return ACCESS_DUNNO;
    struct dns_answer mx = dns_mx(domain, false, a->s->scratch);
    if (mx.status == DNS_FOUND)
        return mx.count == 1 && mx.records[0].name.len == 0 ? refuse_null_mx(a, domain, shown, subject) : ACCESS_DUNNO;
    if (mx.status == DNS_FILTERED) {
        log_warning(SLICE_FORMAT ": MX or address lookup error: %s", SLICE_ARGS(domain), dns_status_text(mx.status));
        return ACCESS_DUNNO;
    }
    if (mx.status == DNS_MALFORMED)
        return access_reject(a, (int)p->unknown_address_reject_code, status_text, TROUBLE_POLICY,
                             "<" SLICE_FORMAT ">: %s rejected: Malformed DNS server reply", SLICE_ARGS(shown), subject_name(subject));
    enum dns_status status = mx.status == DNS_NO_DOMAIN ? DNS_NO_DOMAIN : exists(domain, types, COUNT_OF(types), a->s->scratch);
    if (status == DNS_FOUND)
        return ACCESS_DUNNO;
    if (status == DNS_TRY_AGAIN || mx.status == DNS_TRY_AGAIN)
        return access_tempfail(a, p->unknown_address_tempfail_action, 450, status_text, "<" SLICE_FORMAT ">: %s rejected: Domain not found",
                               SLICE_ARGS(shown), subject_name(subject));
    return access_reject(a, (int)p->unknown_address_reject_code, status_text, TROUBLE_POLICY, "<" SLICE_FORMAT ">: %s rejected: Domain not found",
                         SLICE_ARGS(shown), subject_name(subject));
}

enum access_result check_unknown_sender_domain(struct access *a, const struct restriction *item UNUSED)
{
    return check_domain(a, access_sender_route(a), a->s->mail->sender_shown, SUBJECT_SENDER);
}

enum access_result check_unknown_recipient_domain(struct access *a, const struct restriction *item UNUSED)
{
    return check_domain(a, access_recipient_route(a), a->recipient_shown, SUBJECT_RECIPIENT);
}

/* ---- check_*_ns_access, check_*_mx_access, check_*_a_access ---- */

/* domain_as_given - of an address; without one it is all that there is of a name. */
static struct slice domain_as_given(struct slice address)
{
    struct slice domain = mail_address_domain(address);

    return domain.len ? domain : address;
}

/* subject_domain - whose servers are looked at, and what replies show; false: there is nothing to look at. */
static bool subject_domain(struct access *a, enum subject subject, struct slice *domain, struct slice *shown)
{
    const struct session *s = a->s;

    switch (subject) {
    case SUBJECT_CLIENT:
        *domain = slice_of(s->client.name);
        *shown = slice_of(s->client.text);
        break;
    case SUBJECT_REVERSE_CLIENT:
        *domain = *shown = slice_of(s->client.reverse_name);
        break;
    case SUBJECT_HELO:
        *domain = *shown = slice_of(s->helo);
        break;
    case SUBJECT_SENDER:
        *domain = domain_as_given(s->mail->sender);
        *shown = s->mail->sender_shown;
        break;
    default:
        *domain = domain_as_given(a->recipient);
        *shown = a->recipient_shown;
        break;
    }
    return domain->len > 0 && !slice_equal(*domain, SLICE("unknown"));
}

/* name_servers - of the domain, or of the nearest parent that has some. */
static struct dns_answer name_servers(struct slice domain, struct arena *arena)
{
    struct dns_answer answer = dns_query(domain, DNS_NS, arena);

    while (answer.status == DNS_NO_DATA || answer.status == DNS_NO_DOMAIN) {
        size_t dot = slice_find(domain, '.');
        if (dot == domain.len)
            break;
        domain = slice_from(domain, dot + 1);
        answer = dns_query(domain, DNS_NS, arena);
    }
    return answer;
}

/* find_hosts - the names to look at. */
static struct dns_answer find_hosts(struct slice domain, enum dns_type type, struct arena *arena)
{
    struct dns_answer self = {.status = DNS_FOUND, .count = 1};

    if (type == DNS_NS)
        return name_servers(domain, arena);
    if (type == DNS_MX) {
        struct dns_answer mx = dns_mx(domain, false, arena);
        if (mx.status == DNS_FOUND || mx.status == DNS_TRY_AGAIN || mx.status == DNS_MALFORMED)
            return mx;
    }
    self.records = arena_alloc(arena, sizeof(*self.records));
    self.records[0].name = domain;
    return self;
}

static enum access_result look_up_address(struct access *a, const struct restriction *item, const struct net_address *address, enum subject subject,
                                          struct slice shown)
{
    struct buffer text = BUFFER_INIT;

    net_address_text(address, &text);
    char *copy = arena_string(a->s->scratch, buffer_slice(&text));
    buffer_release(&text);
    return access_look_up_host(a, item, (struct slice){0}, copy, subject, shown, false);
}

static enum access_result look_up_server(struct access *a, const struct restriction *item, struct slice host, enum dns_type type,
                                         enum subject subject, struct slice shown)
{
    enum access_result result = ACCESS_DUNNO;
    struct net_address numeric;

    if (host.len == 0)
        return ACCESS_DUNNO; /* null MX */
    if (type != DNS_A)
        result = access_look_up_domain(a, item, host, subject, shown, false);
    if (result != ACCESS_DUNNO)
        return result;
    if (net_address_parse(&numeric, host, 0))
        return look_up_address(a, item, &numeric, subject, shown);
    struct dns_answer addresses = dns_addresses(host, 3, true, a->s->scratch);
    if (addresses.status != DNS_FOUND) {
        if (type != DNS_A)
            log_warning("Unable to look up %s host " SLICE_FORMAT " for %s " SLICE_FORMAT ": %s", dns_type_name(type), SLICE_ARGS(host),
                        subject_name(subject), SLICE_ARGS(shown), client_lookup_failure(addresses.status));
        return ACCESS_DUNNO;
    }
    for (size_t i = 0; i < addresses.count && result == ACCESS_DUNNO; i++)
        result = look_up_address(a, item, &addresses.records[i].address, subject, shown);
    return result;
}

enum access_result check_dns_access(struct access *a, const struct restriction *item)
{
    enum dns_type type = (enum dns_type)(item->row->detail / 16);
    enum subject subject = (enum subject)(item->row->detail % 16);
    enum access_result result = ACCESS_DUNNO;
    struct slice domain, shown;
    struct net_address address;

    if (!subject_domain(a, subject, &domain, &shown))
        return ACCESS_DUNNO;
    if (domain.data[0] == '[') {
        bool good = slice_ends(domain, SLICE("]")) && net_address_parse(&address, slice_make(domain.data + 1, domain.len - 2), 0);
        return good && type != DNS_NS ? look_up_address(a, item, &address, subject, shown) : ACCESS_DUNNO;
    }
    struct dns_answer hosts = find_hosts(domain, type, a->s->scratch);
    if (hosts.status != DNS_FOUND) {
        log_warning("Unable to look up %s host for " SLICE_FORMAT ": %s", dns_type_name(type),
                    SLICE_ARGS(hosts.status == DNS_TRY_AGAIN || subject == SUBJECT_CLIENT ? domain : shown), dns_status_text(hosts.status));
        return ACCESS_DUNNO;
    }
    for (size_t i = 0; i < hosts.count && i < HOSTS_MAX && result == ACCESS_DUNNO; i++)
        result = look_up_server(a, item, hosts.records[i].name, type, subject, shown);
    return result;
}

/* ---- permit_mx_backup ---- */

static bool is_ours(struct access *a, const struct net_address *address)
{
    const struct server *server = a->s->server;

    for (size_t i = 0; i < server->proxy_count; i++)
        if (net_address_equal_host(&server->proxy_addresses[i], address))
            return true;
    return server_is_own_address(server, address);
}

static enum access_result cannot_look_up(struct access *a, const char *what, struct slice name, const char *why)
{
    return access_defer_if_reject(a, 450, "4.4.4", "<" SLICE_FORMAT ">: %s rejected: Unable to look up mail exchanger %s" SLICE_FORMAT ": %s",
                                  SLICE_ARGS(a->recipient_shown), subject_name(SUBJECT_RECIPIENT), what, SLICE_ARGS(name), why);
}

/* has_address - does one of the host's addresses satisfy the test? */
static bool has_address(struct access *a, struct slice host, bool (*test)(struct access *a, const struct net_address *address))
{
    struct dns_answer addresses = {0};

    if (host.len == 0)
        return false; /* null MX */
    addresses = dns_addresses(host, 3, true, a->s->scratch);
    if (addresses.status != DNS_FOUND)
        cannot_look_up(a, "host ", host, client_lookup_failure(addresses.status));
    for (size_t i = 0; addresses.status == DNS_FOUND && i < addresses.count; i++)
        if (test(a, &addresses.records[i].address))
            return true;
    return false;
}

static bool is_backup_network(struct access *a, const struct net_address *address)
{
    return match_host(a->s->server->mx_backup_networks, (struct slice){0}, address) == MATCH_YES;
}

/* check_mx_backup - we are a mail exchanger of the domain, though not the best; the best ones are where we may expect them. */
enum access_result check_mx_backup(struct access *a, const struct restriction *item)
{
    const struct route_result *r = access_recipient_route(a);
    struct slice domain = mail_address_domain(r->recipient);
    bool listed = false;

    if (destination_is_authorized(a) == 1)
        return access_permit(a, slice_of(item->word), SUBJECT_RECIPIENT, a->recipient_shown, NULL);
    if ((r->flags & ROUTE_ROUTED) || domain.len == 0 || domain_is_literal(domain))
        return ACCESS_DUNNO;
    struct dns_answer mx = dns_mx(domain, false, a->s->scratch);
    if (mx.status == DNS_TRY_AGAIN)
        return cannot_look_up(a, "information", SLICE(""), dns_status_text(mx.status));
    if (mx.status != DNS_FOUND)
        return ACCESS_DUNNO;
    for (size_t i = 0; i < mx.count && i < HOSTS_MAX && !listed; i++)
        listed = has_address(a, mx.records[i].name, is_ours);
    if (!listed || has_address(a, mx.records[0].name, is_ours))
        return ACCESS_DUNNO;
    for (size_t i = 0; !match_list_is_empty(a->s->server->mx_backup_networks) && i < mx.count && mx.records[i].preference == mx.records[0].preference; i++)
        if (!has_address(a, mx.records[i].name, is_backup_network))
            return ACCESS_DUNNO;
    return access_permit(a, slice_of(item->word), SUBJECT_RECIPIENT, a->recipient_shown, NULL);
}
