/* hosts.c - MX lookup, host lookup, and not talking to ourselves */
#include "hosts.h"

#include "address/mail_address.h"
#include "base/log.h"
#include "conf/interfaces.h"
#include "srv.h"

#define SMTP_PORT 25
#define MX_HOSTS_MAX 100 /* hosts of one domain that are looked up */

static struct net_address *own_addresses;
static size_t own_count;

void hosts_load_own(struct config *config)
{
    struct net_address *proxies;
    size_t proxy_count = config_proxy_addresses(config, &proxies);

    free(own_addresses);
    own_count = config_own_addresses(config, &own_addresses, NULL);
    own_addresses = memory_resize(own_addresses, (own_count + proxy_count + 1) * sizeof(*own_addresses));
    if (proxy_count > 0)
        memcpy(own_addresses + own_count, proxies, proxy_count * sizeof(*proxies));
    own_count += proxy_count;
    free(proxies);
}

static bool is_own(const struct net_address *address)
{
    for (size_t i = 0; i < own_count; i++)
        if (net_address_equal_host(&own_addresses[i], address))
            return true;
    return false;
}

bool destination_parse(const struct client_params *params, struct slice text, struct arena *arena, struct destination *destination)
{
    struct slice host = text, port = {0};

    memset(destination, 0, sizeof(*destination));
    destination->port = params->default_port;
    destination->text = text;
    destination->mx_lookup = !params->lmtp;
    if (slice_starts(text, SLICE("unix:"))) {
        destination->unix_path = arena_slice(arena, slice_from(text, 5));
        destination->host = destination->unix_path;
        return destination->unix_path.len > 0;
    }
    if (slice_starts(text, SLICE("inet:")))
        host = text = slice_from(text, 5);
    if (slice_starts(text, SLICE("["))) {
        size_t close = slice_find_last(text, ']');
        if (close == text.len)
            return false;
        host = slice_make(text.data + 1, close - 1);
        destination->mx_lookup = false;
        destination->bracketed = true;
        port = slice_from(text, close + 1);
        if (port.len > 0 && port.data[0] != ':')
            return false;
        port = slice_from(port, 1);
    } else {
        slice_cut(text, ':', &host, &port);
    }
    if (port.len > 0 && (destination->port = net_service_port(port)) == 0)
        return false;
    if (slice_starts_case(host, SLICE("IPv6:")))
        host = slice_from(host, 5);
    destination->host = arena_slice(arena, host);
    destination->service = arena_slice(arena, port.len > 0 || !params->tcp_port ? port : slice_of(params->tcp_port));
    return host.len > 0;
}

/* native_failure - in the words of getaddrinfo(3), which Postfix's users know. */
static void native_failure(struct host_failure *failure, struct slice name, enum dns_status status, struct arena *arena)
{
    failure->temporary = status == DNS_TRY_AGAIN || status == DNS_MALFORMED;
    failure->status = failure->temporary ? "4.4.3" : status == DNS_NO_DATA ? "5.3.0" : "5.4.4"; /* as Postfix has it */
    failure->reason = arena_format(arena, "unable to look up host " SLICE_FORMAT ": %s", SLICE_ARGS(name),
                                   failure->temporary ? "Temporary failure in name resolution"
                                   : status == DNS_NO_DATA ? "No address associated with hostname" : "Name or service not known");
}

static void dns_failure(struct host_failure *failure, const struct client_params *params, struct slice name, const char *type,
                        const struct dns_answer *answer, struct arena *arena)
{
    enum dns_status status = answer->status;

    if (answer->alias.len > 0)
        name = answer->alias;
    if (answer->endless) {
        failure->status = "5.4.4";
        failure->reason = arena_format(arena, "Name server loop for " SLICE_FORMAT, SLICE_ARGS(name));
        return;
    }
    if (status >= DNS_FILTERED) {
        failure->temporary = true;
        failure->status = status == DNS_FILTERED ? "4.7.0" : "4.4.3";
        failure->reason = arena_format(arena, "Error looking up name=" SLICE_FORMAT " type=%s: %s", SLICE_ARGS(name), type, dns_status_text(status));
        return;
    }
    failure->temporary = status == DNS_TRY_AGAIN || (status == DNS_MALFORMED && params->defer_if_no_mx_address_found);
    failure->status = !failure->temporary ? "5.4.4" : status == DNS_TRY_AGAIN ? "4.4.3" : "4.4.4";
    failure->reason = arena_format(arena, "%sName service error for name=" SLICE_FORMAT " type=%s: %s",
                                   status == DNS_MALFORMED ? "" : "Host or domain name not found. ", SLICE_ARGS(name), type, dns_status_text(status));
}

/* note_mx - note for the hosts from first on whether DNSSEC vouches for the MX record that named them. */
static void note_mx(struct host *hosts, size_t first, size_t count, bool secure)
{
    for (size_t i = first; i < count; i++)
        hosts[i].secure_mx = secure;
}

static void add_host(struct host **hosts, size_t *count, struct slice name, const struct net_address *address, uint16_t port, unsigned preference)
{
    *hosts = memory_resize(*hosts, (*count + 1) * sizeof(**hosts));
    struct host *host = &(*hosts)[(*count)++];
    *host = (struct host){.name = name, .address = *address, .preference = preference};
    net_address_set_port(&host->address, port);
}

/* find_addresses - by smtp_host_lookup. */
static struct dns_answer find_addresses(const struct client_params *params, struct slice name, struct arena *arena)
{
    struct dns_answer answer = {.status = DNS_NO_DOMAIN};

    if (params->use_dns)
        answer = dns_addresses(name, params->families, false, arena);
    if (answer.count == 0 && params->use_native && answer.status < DNS_FILTERED)
        answer = dns_addresses(name, params->families, true, arena);
    return answer;
}

/* add_addresses - the addresses of one host.  Returns what became of the lookup. */
static struct dns_answer add_addresses(const struct client_params *params, struct slice name, uint16_t port, unsigned preference,
                                       struct arena *arena, struct host **hosts, size_t *count)
{
    struct net_address literal;

    if (net_address_parse(&literal, name, port)) {
        add_host(hosts, count, name, &literal, port, preference);
        return (struct dns_answer){.status = DNS_FOUND};
    }
    struct dns_answer answer = find_addresses(params, name, arena);
    for (size_t i = 0; i < answer.count; i++)
        if (answer.records[i].type == DNS_A || answer.records[i].type == DNS_AAAA) {
            add_host(hosts, count, name, &answer.records[i].address, port, preference);
            (*hosts)[*count - 1].secure_address = answer.authentic;
            (*hosts)[*count - 1].canonical_name = answer.records[i].owner;
            if (params->cname_overrides_servername && answer.records[i].owner.len > 0)
                (*hosts)[*count - 1].name = answer.records[i].owner;
        }
    answer.status = answer.count > 0 ? DNS_FOUND : answer.status == DNS_FOUND ? DNS_NO_DATA : answer.status;
    return answer;
}

/* comes_before - by MX preference; of equal ones the family that smtp_address_preference wants first. */
static bool comes_before(const struct host *a, const struct host *b, int first_family)
{
    if (a->preference != b->preference)
        return a->preference < b->preference;
    return a->address.u.any.sa_family == first_family && b->address.u.any.sa_family != first_family;
}

void hosts_arrange(const struct client_params *params, struct host *hosts, size_t count)
{
    const char *wanted = params->address_preference;
    int first_family = strcasecmp(wanted, "ipv6") == 0 ? AF_INET6 : strcasecmp(wanted, "ipv4") == 0 ? AF_INET : AF_UNSPEC;

    for (size_t i = count; params->randomize_addresses && i > 1; i--) {
        size_t j = arc4random_uniform((uint32_t)i);
        struct host other = hosts[i - 1];
        hosts[i - 1] = hosts[j];
        hosts[j] = other;
    }
    /* insertion: equals keep their order */
    for (size_t i = 1; i < count; i++) {
        struct host moving = hosts[i];
        size_t j = i;
        for (; j > 0 && comes_before(&moving, &hosts[j - 1], first_family); j--)
            hosts[j] = hosts[j - 1];
        hosts[j] = moving;
    }
}

static const char *last_type(const struct client_params *params)
{
    return params->families & 2 ? "AAAA" : "A";
}

/* drop_self - leave only hosts that are better than ourselves (RFC 5321 5.1).  False: nothing is left, mail would loop. */
static bool drop_self(struct host *hosts, size_t *count)
{
    size_t kept = 0;
    unsigned own_preference = UINT_MAX;

    for (size_t i = 0; i < *count; i++)
        if (is_own(&hosts[i].address) && hosts[i].preference < own_preference)
            own_preference = hosts[i].preference;
    if (own_preference == UINT_MAX)
        return true;
    for (size_t i = 0; i < *count; i++)
        if (hosts[i].preference < own_preference)
            hosts[kept++] = hosts[i];
    *count = kept;
    return kept > 0;
}

static void loop_failure(struct host_failure *failure, struct slice domain, struct arena *arena)
{
    failure->temporary = false;
    failure->loop = true;
    failure->status = "5.4.6";
    failure->reason = arena_format(arena, "mail for " SLICE_FORMAT " loops back to myself", SLICE_ARGS(domain));
}

/* find_plain - the addresses of one named host. */
static void find_plain(const struct client_params *params, const struct destination *to, struct arena *arena, struct host **hosts,
                       size_t *count, struct host_failure *failure)
{
    struct net_address literal;

    if (net_address_parse(&literal, to->host, 0) && !(params->families & (literal.u.any.sa_family == AF_INET ? 1 : 2))) {
        failure->status = "5.4.4"; /* inet_protocols */
        failure->reason = arena_format(arena, "Name service error for " SLICE_FORMAT ": invalid host or domain name", SLICE_ARGS(to->host));
        return;
    }
    struct dns_answer answer = add_addresses(params, to->host, to->port, 0, arena, hosts, count);

    if (*count == 0 && params->use_native && answer.status < DNS_FILTERED)
        native_failure(failure, to->host, answer.status, arena);
    else if (*count == 0)
        dns_failure(failure, params, to->host, last_type(params), &answer, arena);
    else if (to->port == SMTP_PORT && !params->lmtp && !drop_self(*hosts, count))
        loop_failure(failure, to->host, arena);
}

/* warn_numeric - an MX record has to name a host (RFC 5321 5.1); an address in it is used all the same. */
static void warn_numeric(struct slice domain, struct slice name)
{
    struct net_address address;

    if (net_address_parse(&address, name, 0))
        log_warning("numeric domain name in resource data of MX record for " SLICE_FORMAT ": " SLICE_FORMAT, SLICE_ARGS(domain), SLICE_ARGS(name));
}

static void find_exchanges(const struct client_params *params, const struct destination *to, const struct dns_answer *mx,
                           struct arena *arena, struct host **hosts, size_t *count, struct host_failure *failure)
{
    struct dns_answer answer, worst = {.status = DNS_NO_DOMAIN};
    struct slice failed = to->host;
    bool temporary = false;

    for (size_t i = 0; i < mx->count && i < MX_HOSTS_MAX; i++) {
        warn_numeric(to->host, mx->records[i].name);
        size_t first = *count;
        answer = add_addresses(params, mx->records[i].name, to->port, mx->records[i].preference, arena, hosts, count);
        note_mx(*hosts, first, *count, mx->authentic);
        if (answer.status != DNS_FOUND && !temporary) {
            worst = answer;
            failed = mx->records[i].name;
            temporary = answer.status == DNS_TRY_AGAIN;
        }
    }
    if (*count == 0) {
        log_warning("no MX host for " SLICE_FORMAT " has a valid address record", SLICE_ARGS(to->host));
        dns_failure(failure, params, failed, last_type(params), &worst, arena);
        if (params->defer_if_no_mx_address_found && !failure->temporary) {
            failure->temporary = true;
            failure->status = "4.4.4";
        }
    } else if (to->port == SMTP_PORT && !drop_self(*hosts, count)) {
        loop_failure(failure, to->host, arena);
    }
}

/* drop_malformed - records whose names no host can have. */
static void drop_malformed(struct slice domain, struct dns_answer *mx)
{
    struct net_address address;
    size_t kept = 0;
    const char *why;

    for (size_t i = 0; i < mx->count; i++) {
        struct slice name = mx->records[i].name;
        if (net_address_parse(&address, name, 0) || domain_is_valid(name, &why)) {
            mx->records[kept++] = mx->records[i];
            continue;
        }
        log_warning("valid_hostname: %s: " SLICE_FORMAT, why, SLICE_ARGS(name));
        log_warning("malformed domain name in resource data of MX record for " SLICE_FORMAT ": " SLICE_FORMAT, SLICE_ARGS(domain), SLICE_ARGS(name));
    }
    mx->count = kept;
    if (kept == 0)
        mx->status = DNS_MALFORMED;
}

static bool is_null_mx(const struct dns_answer *mx)
{
    for (size_t i = 0; i < mx->count; i++)
        if (mx->records[i].name.len == 0)
            return true;
    return false;
}

static void find_by_mx(const struct client_params *params, const struct destination *to, struct arena *arena, struct host **hosts,
                       size_t *count, struct host_failure *failure)
{
    struct dns_answer mx = dns_mx(to->host, params->randomize_addresses, arena);

    if (mx.status == DNS_FOUND && is_null_mx(&mx)) {
        failure->status = "5.1.0";
        failure->reason = arena_format(arena, "Domain " SLICE_FORMAT " does not accept mail (nullMX)", SLICE_ARGS(to->host));
        return;
    }
    if (mx.status == DNS_FOUND)
        drop_malformed(to->host, &mx);
    if (mx.status == DNS_FOUND) {
        find_exchanges(params, to, &mx, arena, hosts, count, failure);
    } else if (mx.status == DNS_NO_DOMAIN || mx.status == DNS_NO_DATA || params->ignore_mx_lookup_error) {
        find_plain(params, to, arena, hosts, count, failure);
        note_mx(*hosts, 0, *count, mx.authentic);
    } else {
        dns_failure(failure, params, to->host, "MX", &mx, arena);
    }
}

/* find_by_other - by MX records, or the host itself. */
static void find_by_other(const struct client_params *params, const struct destination *to, struct arena *arena, struct host **hosts,
                          size_t *count, struct host_failure *failure)
{
    struct net_address literal;

    if (to->mx_lookup && params->use_mx && !net_address_parse(&literal, to->host, 0)) {
        find_by_mx(params, to, arena, hosts, count, failure);
        return;
    }
    find_plain(params, to, arena, hosts, count, failure);
    note_mx(*hosts, 0, *count, true); /* the administrator named it */
}

/* find_targets - the addresses of the hosts that SRV records name; the order of the records becomes their preference. */
static void find_targets(const struct client_params *params, const struct dns_answer *srv, struct slice name, struct arena *arena,
                         struct host **hosts, size_t *count, struct host_failure *failure)
{
    struct dns_answer answer, worst = {.status = DNS_NO_DOMAIN};
    struct slice failed = name;

    for (size_t i = 0; i < srv->count && i < MX_HOSTS_MAX; i++) {
        size_t first = *count;
        answer = add_addresses(params, srv->records[i].name, srv->records[i].port, (unsigned)i, arena, hosts, count);
        note_mx(*hosts, first, *count, srv->authentic);
        if (answer.status != DNS_FOUND && worst.status != DNS_TRY_AGAIN) {
            worst = answer;
            failed = srv->records[i].name;
        }
    }
    if (*count == 0) {
        log_warning("no SRV host for " SLICE_FORMAT " has a valid address record", SLICE_ARGS(name));
        dns_failure(failure, params, failed, last_type(params), &worst, arena);
    } else if (!params->lmtp && srv->records[0].port == SMTP_PORT && !drop_self(*hosts, count)) {
        loop_failure(failure, name, arena);
    }
}

static void find_by_srv(const struct client_params *params, const struct destination *to, struct arena *arena, struct host **hosts,
                        size_t *count, struct host_failure *failure)
{
    struct slice name;
    struct dns_answer srv = srv_find(to, arena, &name);

    if (srv.status == DNS_FOUND && srv_is_refusal(&srv)) {
        failure->status = "5.4.4";
        failure->reason = arena_format(arena, "Service " SLICE_FORMAT " is not available at domain " SLICE_FORMAT, SLICE_ARGS(to->service), SLICE_ARGS(to->host));
    } else if (srv.status == DNS_FOUND) {
        find_targets(params, &srv, name, arena, hosts, count, failure);
    } else if (params->allow_srv_lookup_fallback || (params->ignore_srv_lookup_error && srv.status != DNS_NO_DOMAIN && srv.status != DNS_NO_DATA)) {
        find_by_other(params, to, arena, hosts, count, failure);
    } else {
        dns_failure(failure, params, name, "SRV", &srv, arena);
    }
}

size_t hosts_find(const struct client_params *params, const struct destination *to, struct arena *arena, struct host **hosts,
                  struct host_failure *failure)
{
    struct host *found = NULL;
    size_t count = 0;

    memset(failure, 0, sizeof(*failure));
    if (to->unix_path.len > 0) {
        struct net_address address;
        if (net_address_unix(&address, to->unix_path))
            add_host(&found, &count, slice_of(params->myhostname), &address, 0, 0); /* a socket has no name but ours */
        else
            *failure = (struct host_failure){true, "4.3.5", SLICE("socket path is too long"), false};
    } else if (srv_is_wanted(params, to)) {
        find_by_srv(params, to, arena, &found, &count, failure);
    } else {
        find_by_other(params, to, arena, &found, &count, failure);
    }
    for (size_t i = 0; i < count; i++)
        found[i].destination = to;
    hosts_arrange(params, found, count);
    *hosts = count > 0 ? arena_copy(arena, found, count * sizeof(*found)) : NULL;
    free(found);
    return count;
}

size_t hosts_limit(struct host *hosts, size_t count, size_t limit, bool balance)
{
    size_t of_family[2] = {0}, room[2], kept = 0;

    if (limit == 0 || count <= limit)
        return count;
    for (size_t i = 0; i < count; i++)
        of_family[hosts[i].address.u.any.sa_family == AF_INET6]++;
    /* Half for each family, the larger one for the family that is tried first; what one does not need goes to the other. */
    int first = hosts[0].address.u.any.sa_family == AF_INET6, other = !first;
    room[other] = of_family[other] < limit / 2 ? of_family[other] : limit / 2;
    room[first] = of_family[first] < limit - room[other] ? of_family[first] : limit - room[other];
    room[other] = limit - room[first];
    for (size_t i = 0; i < count && kept < limit; i++) {
        int family = hosts[i].address.u.any.sa_family == AF_INET6;
        if (balance && room[family] == 0)
            continue;
        room[family] -= balance;
        hosts[kept++] = hosts[i];
    }
    return kept;
}

char *host_relay(const struct host *host, struct arena *arena)
{
    struct buffer text = BUFFER_INIT;

    buffer_printf(&text, SLICE_FORMAT "[", SLICE_ARGS(host->name));
    net_address_text(&host->address, &text);
    buffer_append_byte(&text, ']');
    if (host->address.u.any.sa_family != AF_UNIX)
        buffer_printf(&text, ":%u", net_address_port(&host->address));
    char *relay = arena_string(arena, buffer_slice(&text));
    buffer_release(&text);
    return relay;
}
