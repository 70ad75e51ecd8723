/* check_dns.c - --dns: does the world know this machine by the name it gives itself? */
#include "checks.h"
#include "conf/interfaces.h"
#include "dns/dns.h"
#include "run/run.h"

enum { FAMILIES_BOTH = 3 };

static void say_failed(struct checks *checks, const char *what, enum dns_status status)
{
    found(checks->control, FINDING_DNS_FAILED, FINDING_WARNING, NULL, 0, what, "%s: %s", what, dns_status_text(status));
}

static bool has_address(const struct dns_answer *answer, const struct net_address *address)
{
    for (size_t i = 0; i < answer->count; i++)
        if (net_address_equal_host(&answer->records[i].address, address))
            return true;
    return false;
}

/* is_own_network - addresses that no other machine on the Internet sees. */
static bool is_private(const struct net_address *address)
{
    static const char *const networks[] = {"127.0.0.0/8", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16",
                                           "100.64.0.0/10", "[::1]/128", "[fe80::]/10", "[fc00::]/7"};
    struct net_network network;
    for (size_t i = 0; i < COUNT_OF(networks); i++)
        if (net_network_parse(&network, slice_of(networks[i]), NULL) && net_network_contains(&network, address))
            return true;
    return false;
}

/* check_reverse - the name of an own address, and back. */
static void check_reverse(struct checks *checks, const struct net_address *address, const char *host)
{
    struct buffer text = BUFFER_INIT;
    net_address_text(address, &text);
    const char *shown = arena_string(checks->arena, buffer_slice(&text));
    buffer_release(&text);
    struct dns_answer names = dns_reverse(address, checks->arena);
    struct setting_place place = setting_place_of(checks, "myhostname");
    if (names.status == DNS_TRY_AGAIN) {
        say_failed(checks, shown, names.status);
        return;
    }
    for (size_t i = 0; i < names.count; i++)
        if (slice_equal_case(names.records[i].name, slice_of(host)))
            return;
    if (names.count)
        found(checks->control, FINDING_DNS_REVERSE, FINDING_WARNING, place.file, place.line, host,
              "the name of the own address %s is " SLICE_FORMAT ", not myhostname = %s", shown, SLICE_ARGS(names.records[0].name), host);
    else
        found(checks->control, FINDING_DNS_REVERSE, FINDING_WARNING, place.file, place.line, host, "the own address %s has no name (PTR record)", shown);
}

static void check_host(struct checks *checks)
{
    struct setting_place place = setting_place_of(checks, "myhostname");
    struct dns_answer answer = dns_addresses(slice_of(place.value), FAMILIES_BOTH, false, checks->arena);
    struct net_address *own = NULL;
    size_t count = config_own_addresses(checks->config, &own, NULL);
    bool any_public = false, agrees = false;
    if (answer.status == DNS_TRY_AGAIN) {
        say_failed(checks, place.value, answer.status);
    } else if (answer.count == 0) {
        found(checks->control, FINDING_DNS_NAME, FINDING_WARNING, place.file, place.line, place.value, "myhostname = %s has no address record: %s",
              place.value, dns_status_text(answer.status));
    }
    for (size_t i = 0; i < count; i++) {
        agrees |= has_address(&answer, &own[i]);
        if (is_private(&own[i]))
            continue;
        any_public = true;
        check_reverse(checks, &own[i], place.value);
    }
    if (answer.count && any_public && !agrees)
        found(checks->control, FINDING_DNS_NAME, FINDING_WARNING, place.file, place.line, place.value,
              "none of the addresses of myhostname = %s is an address of this machine", place.value);
    free(own);
}

/* leads_here - one of the MX hosts is this machine. */
static bool leads_here(struct checks *checks, const struct dns_answer *mx)
{
    struct net_address *own = NULL;
    size_t count = config_own_addresses(checks->config, &own, NULL);
    bool here = false;
    for (size_t i = 0; i < mx->count && !here; i++) {
        here = slice_equal_case(mx->records[i].name, slice_of(config_string(checks->config, "myhostname")));
        struct dns_answer answer = dns_addresses(mx->records[i].name, FAMILIES_BOTH, false, checks->arena);
        for (size_t k = 0; k < count; k++)
            here |= has_address(&answer, &own[k]);
    }
    free(own);
    return here;
}

static void check_mx(struct checks *checks, const char *list)
{
    struct setting_place place = setting_place_of(checks, list);
    struct slice rest = slice_of(place.value), domain;
    while (place.line && config_list_next(&rest, &domain)) {
        if (slice_find(domain, '.') == domain.len || domain.data[0] == '.' || slice_find(domain, ':') < domain.len || domain.data[0] == '/' ||
            slice_equal_case(domain, slice_of(config_string(checks->config, "myhostname"))) || slice_ends(domain, SLICE(".localdomain")))
            continue;
        const char *name = arena_string(checks->arena, domain);
        struct dns_answer mx = dns_mx(domain, false, checks->arena);
        if (mx.status == DNS_TRY_AGAIN)
            say_failed(checks, name, mx.status);
        else if (mx.count == 0)
            found(checks->control, FINDING_DNS_MX, FINDING_WARNING, place.file, place.line, name, "%s: domain %s has no MX record: %s", list, name,
                  dns_status_text(mx.status));
        else if (!leads_here(checks, &mx))
            found(checks->control, FINDING_DNS_MX, FINDING_WARNING, place.file, place.line, name,
                  "%s: no MX record of domain %s leads to this machine: the first is " SLICE_FORMAT, list, name, SLICE_ARGS(mx.records[0].name));
    }
}

static void ask(void *arg)
{
    struct checks *checks = arg;
    check_host(checks);
    check_mx(checks, "mydestination");
    check_mx(checks, "virtual_alias_domains");
    check_mx(checks, "virtual_mailbox_domains");
    check_mx(checks, "relay_domains");
}

void check_dns(struct checks *checks)
{
    dns_start(&(struct dns_options){.servers = config_string(checks->config, "dns_servers"), .timeout = 3 * MICROSECONDS, .tries = 2});
    run_main(ask, checks);
    dns_stop();
}
