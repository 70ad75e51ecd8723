/* plan.c - what would be done with mail for a destination by main.cf: tried with the SMTP client's own code, up to the end of EHLO */
#include "../starttls.h"
#include "base/log.h"
#include "finger.h"
#include "route/route.h"
#include "service/tls_manager.h"

enum { HOSTS_SHOWN = 10 };

struct plan {
    const struct finger *finger;
    struct client_params params;
    struct arena *arena;
    const char *name;          /* "smtp" or "lmtp": how parameters begin */
    bool settled;              /* a host would take the mail */
};

/* next_hop_of - where mail for the domain goes; NULL (told): not by SMTP. */
static const char *next_hop_of(struct plan *p)
{
    struct route *route;
    struct route_result r;
    struct destination to;
    const char *target = p->finger->target;

    if (p->finger->lmtp || target[0] == '[' || !destination_parse(&p->params, slice_of(target), p->arena, &to) || to.port != p->params.default_port)
        return target;
    route = route_new(p->finger->config);
    route_resolve(route, (struct slice){0}, arena_format(p->arena, "postmaster@" SLICE_FORMAT, SLICE_ARGS(to.host)), false, p->arena, &r);
    const char *next_hop = arena_string(p->arena, r.next_hop), *transport = arena_string(p->arena, r.transport);
    route_free(route);
    if (strcmp(transport, "smtp") != 0 && strcmp(transport, "relay") != 0) {
        log_info("main.cf: mail for %s goes by transport %s, next hop %s: not looked at", target, transport, next_hop);
        return NULL;
    }
    if (strcmp(next_hop, target) != 0)
        log_info("main.cf: mail for %s goes by transport %s to %s", target, transport, next_hop);
    return next_hop;
}

static const char *level_meaning(enum tls_level level)
{
    static const char *const meanings[] = {
        [TLS_NONE] = "no TLS",
        [TLS_MAY] = "TLS if it is offered, whoever the server is; else in the clear",
        [TLS_ENCRYPT] = "TLS, whoever the server is; else the mail waits",
        [TLS_DANE] = "TLS with a certificate that DNS vouches for; else the mail waits",
        [TLS_DANE_ONLY] = "TLS with a certificate that DNS vouches for; else the mail waits",
        [TLS_FINGERPRINT] = "TLS with a certificate of a given fingerprint; else the mail waits",
        [TLS_VERIFY] = "TLS with a certificate of an authority for the server's name; else the mail waits",
        [TLS_SECURE] = "TLS with a certificate of an authority for the destination's name; else the mail waits",
    };

    return meanings[level];
}

static void tell_plan(struct plan *p, const char *relay, const struct tls_plan *plan)
{
    struct buffer more = BUFFER_INIT_MAX(2048);

    if (plan->connect.anchor_count)
        buffer_printf(&more, ", %zu TLSA record%s at _tcp.%s", plan->connect.anchor_count, plan->connect.anchor_count > 1 ? "s" : "",
                      plan->connect.anchor_domain);
    if (plan->sts)
        buffer_printf(&more, ", MTA-STS policy (%s)", plan->sts);
    if (plan->results.policy_type && plan->results.failure)
        buffer_printf(&more, ", MTA-STS: %s %s", plan->results.failure, plan->results.reason_code ? plan->results.reason_code : "");
    if (plan->policy.match.len && plan->policy.level >= TLS_FINGERPRINT)
        buffer_printf(&more, ", match=" SLICE_FORMAT, SLICE_ARGS(plan->policy.match));
    if (plan->policy.protocols.len)
        buffer_printf(&more, ", protocols=" SLICE_FORMAT, SLICE_ARGS(plan->policy.protocols));
    if (plan->policy.ciphers.len)
        buffer_printf(&more, ", ciphers=" SLICE_FORMAT, SLICE_ARGS(plan->policy.ciphers));
    log_info("main.cf: %s: level %s (%s)%s: %s", relay, tls_level_name(plan->policy.level), plan->origin, buffer_string(&more),
             level_meaning(plan->policy.level));
    buffer_release(&more);
}

/* try_host - the client's session up to the end of EHLO, and what would come of it. */
static void try_host(struct plan *p, const struct host *host, const char *next_hop)
{
    struct delivery_request request = {.next_hop = slice_of(next_hop)};
    struct delivery delivery = {.request = &request, .arena = p->arena};
    struct failure failure = {0};
    const char *relay = host_relay(host, p->arena);
    bool connected = false;

    request.envelope.arrival_time = clock_wall(); /* mail that has just come: no second try in the clear */
    struct tls_plan *plan = starttls_plan(&p->params, host, p->arena, &failure);
    if (plan)
        tell_plan(p, relay, plan);
    struct session *session = plan ? session_open(&p->params, host, &delivery, false, &connected, &failure) : NULL;
    if (!session) {
        log_info("main.cf: %s: %s: %s " SLICE_FORMAT, relay, failure.temporary ? "not now" : "refused", failure.status, SLICE_ARGS(failure.reason));
        return;
    }
    if (session->tls)
        log_info("main.cf: %s: => mail goes here by %s, %s (certificate: %s%s%s)", relay, session->tls->protocol, session->tls->cipher,
                 tls_facts_trust(session->tls), session->tls->subject[0] ? ", " : "", session->tls->subject);
    else
        log_info("main.cf: %s: => mail goes here in the clear", relay);
    if (session->features & EHLO_REQUIRETLS)
        log_info("main.cf: %s: takes mail with REQUIRETLS", relay);
    session_close(&p->params, session);
    p->settled = true;
}

static void tell(struct plan *p, const char *next_hop)
{
    struct destination *to = arena_alloc(p->arena, sizeof(*to));
    struct host_failure why;
    struct host *hosts;

    if (!destination_parse(&p->params, slice_of(next_hop), p->arena, to)) {
        log_info("main.cf: bad next-hop destination: %s", next_hop);
        return;
    }
    size_t count = hosts_find(&p->params, to, p->arena, &hosts, &why);
    if (count == 0)
        log_info("main.cf: => mail %s: %s " SLICE_FORMAT, why.temporary ? "waits" : "is returned", why.status, SLICE_ARGS(why.reason));
    for (size_t i = 0; i < count && i < HOSTS_SHOWN && !p->settled; i++)
        try_host(p, &hosts[i], next_hop);
    if (count > 0 && !p->settled)
        log_info("main.cf: => mail waits, and is tried again");
}

/* no_longer - who looks does not want to wait as long as mail does. */
static void no_longer(int64_t *timeout, int64_t limit)
{
    if (*timeout == 0 || *timeout > limit)
        *timeout = limit;
}

void plan_run(const struct finger *finger)
{
    struct plan p = {.finger = finger, .arena = finger->arena, .name = finger->lmtp ? "lmtp" : "smtp"};

    client_params_load(finger->config, finger->lmtp, &p.params);
    starttls_open(finger->config, &p.params);
    p.params.tls_params.log = 0; /* told here, in one line */
    p.params.smtp_tls_reports = false;
    if (p.params.smtp_tls_mta_sts && !finger->lmtp)
        p.params.tls_manager = tls_manager_new(arena_printf(p.arena, "%s/private/%s", config_string(finger->config, "queue_directory"),
                                                            p.params.tlsmgr_service_name));
    no_longer(&p.params.connect_timeout, finger->connect_timeout);
    no_longer(&p.params.helo_timeout, finger->command_timeout);
    no_longer(&p.params.tls_params.starttls_timeout, finger->command_timeout);
    bool other_way = finger->wrapped && !p.params.tls_params.tls_wrappermode;
    if (other_way)
        log_info("main.cf: %s_tls_wrappermode = no: mail does not go this way", p.name);
    const char *next_hop = other_way ? NULL : next_hop_of(&p);
    if (next_hop)
        tell(&p, next_hop);
    tls_manager_free(p.params.tls_manager);
    starttls_close(&p.params);
    client_params_release(&p.params);
}
