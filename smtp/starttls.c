/* starttls.c - see starttls.h */
#include "starttls.h"

#include "dnssec_probe.h"
#include "requiretls.h"

#include "base/log.h"
#include "mta_sts.h"
#include "per_site.h"
#include "service/files.h"
#include "tls_results.h"

/* ---- configuration ---- */

/* default_level - smtp_tls_security_level, or the old switches when it is empty. */
static enum tls_level default_level(const struct tls_params *p)
{
    enum tls_level level;

    if (p->tls_security_level[0] == '\0')
        return p->enforce_tls ? (p->tls_enforce_peername ? TLS_VERIFY : TLS_ENCRYPT) : p->use_tls ? TLS_MAY : TLS_NONE;
    if (tls_level_parse(slice_of(p->tls_security_level), &level))
        return level;
    log_warning("%s_tls_security_level: invalid level \"%s\": mail is deferred where a table does not say otherwise", p->prefix,
                p->tls_security_level);
    return TLS_SECURE;
}

/* know_anchors - the files that entries of a table name (tafile=) must be read now; types of tables that cannot be listed can name none. */
static void know_anchors(const struct client_params *params, struct table *table)
{
    struct buffer key = BUFFER_INIT, value = BUFFER_INIT_MAX(16384), why = BUFFER_INIT_MAX(512);
    struct arena *arena = arena_new(0);
    struct tls_policy policy;

    bool same = slice_starts(slice_of(table_name(table)), SLICE("static:")); /* whatever the key */
    enum table_result found = same ? table_lookup(table, SLICE("."), &value) : table_next(table, true, &key, &value);
    for (; found == TABLE_FOUND; found = same ? TABLE_NOT_FOUND : table_next(table, false, &key, &value)) {
        struct slice text = buffer_slice(&value);
        if (slice_search(text, SLICE("tafile")) < text.len && tls_policy_parse(text, arena, &policy, &why) && policy.anchor_files.len)
            tls_client_know_anchors(params->tls, policy.anchor_files);
        arena_reset(arena);
        buffer_clear(&why);
    }
    arena_free(arena);
    buffer_release(&key);
    buffer_release(&value);
    buffer_release(&why);
}

void starttls_open(struct config *config, struct client_params *params)
{
    static const struct tls_file_access access = {service_announce_file, service_open_file, service_request_replacement};
    struct tls_params *p = &params->tls_params;
    char name[64];

    tls_params_load(config, params->name, p);
    params->tls_level = default_level(p);
    snprintf(name, sizeof(name), "%s_tls_policy_maps", params->name);
    params->tls_policies = p->tls_policy_maps[0] ? table_list_new(name, p->tls_policy_maps, TABLE_FOLD, config) : NULL;
    params->tls_sites = per_site_open(config, params);
    bool sts = params->smtp_tls_mta_sts && !params->lmtp;
    params->requiretls = requiretls_open(config, params);
    if (params->tls_level > TLS_NONE || params->tls_policies || params->tls_sites || p->tls_wrappermode || sts)
        params->tls = tls_client_new(p, &access);
    if (sts)
        tls_client_trust_web(params->tls, params->smtp_tls_web_CAfile);
    for (size_t i = 0; params->tls_policies && i < table_list_count(params->tls_policies); i++)
        know_anchors(params, table_list_at(params->tls_policies, i));
}

void starttls_close(struct client_params *params)
{
    tls_client_free(params->tls);
    requiretls_close(params->requiretls);
    params->requiretls = NULL;
    table_list_free(params->tls_policies);
    table_list_free(params->tls_sites);
    params->tls = NULL;
    params->tls_policies = params->tls_sites = NULL;
}

/* ---- plans ---- */

static void fail(struct failure *failure, struct session *session, struct arena *arena, const char *status, const char *reason)
{
    *failure = (struct failure){.temporary = true, .handshake = true, .status = status, .reason = arena_slice(arena, slice_of(reason))};
    if (session) {
        failure->relay = arena_strdup(arena, session->relay);
        failure->remote_mta = arena_strdup(arena, session->host);
    }
}

static bool is_host_name(struct slice text)
{
    for (size_t i = 0; i < text.len; i++)
        if (!isalnum((unsigned char)text.data[i]) && !strchr("-._", text.data[i]) && (unsigned char)text.data[i] < 128)
            return false;
    return text.len > 0;
}

/* find_entry - the destination as it is written, then, for a plain name, its parents as ".domain". */
static enum table_result find_entry(const struct client_params *params, struct slice destination, struct buffer *value)
{
    enum table_result found = table_list_lookup(params->tls_policies, destination, true, value);

    for (size_t i = 1; found == TABLE_NOT_FOUND && is_host_name(destination) && i < destination.len; i++)
        if (destination.data[i] == '.')
            found = table_list_lookup(params->tls_policies, slice_from(destination, i), true, value);
    return found;
}

/* find_policy - false: the table cannot answer, or its entry is no good (logged).  decided: there is an entry. */
static bool find_policy(const struct client_params *params, struct slice destination, struct arena *arena, struct tls_plan *plan, bool *decided)
{
    struct buffer value = BUFFER_INIT_MAX(16384), why = BUFFER_INIT_MAX(512);
    struct tls_policy *policy = &plan->policy;
    bool good = true;

    *policy = (struct tls_policy){.level = params->tls_level, .connection_reuse = -1};
    enum table_result found = params->tls_policies ? find_entry(params, destination, &value) : TABLE_NOT_FOUND;
    if (found == TABLE_TRY_AGAIN) {
        log_warning("%s_tls_policy_maps, next-hop destination \"" SLICE_FORMAT "\": policy table lookup error", params->name, SLICE_ARGS(destination));
        good = false;
    } else if (found == TABLE_FOUND) {
        good = tls_policy_parse(buffer_slice(&value), arena, policy, &why);
    }
    if (why.len)
        log_warning("%s_tls_policy_maps, next-hop destination \"" SLICE_FORMAT "\": %s", params->name, SLICE_ARGS(destination), buffer_string(&why));
    *decided = found == TABLE_FOUND;
    plan->origin = arena_printf(arena, "%s_%s", params->name, found == TABLE_FOUND ? "tls_policy_maps" : "tls_security_level");
    buffer_release(&value);
    buffer_release(&why);
    return good;
}

/* find_site - the same for smtp_tls_per_site; NULL, or what is wrong. */
static const char *find_site(const struct client_params *params, const struct host *host, struct arena *arena, struct tls_plan *plan, bool *decided)
{
    const char *trouble = per_site_find(params, host, &plan->policy.level, decided);

    if (*decided)
        plan->origin = arena_printf(arena, "%s_tls_per_site", params->name);
    return trouble;
}

/* take_anchors - the usable ones of an answer. */
static size_t take_anchors(const struct dns_answer *answer, struct arena *arena, struct tls_anchor **anchors)
{
    size_t count = 0;

    *anchors = arena_alloc(arena, (answer->count + 1) * sizeof(**anchors));
    for (size_t i = 0; i < answer->count; i++) {
        const struct dns_record *r = &answer->records[i];
        struct tls_anchor anchor = {r->usage, r->selector, r->matching, r->data};
        if (r->type == DNS_TLSA && tls_anchor_is_usable(&anchor))
            (*anchors)[count++] = anchor;
    }
    return count;
}

static struct dns_answer look_up_anchors(struct slice name, unsigned port, struct arena *arena)
{
    return dns_query(arena_format(arena, "_%u._tcp." SLICE_FORMAT, port, SLICE_ARGS(name)), DNS_TLSA, arena);
}

/* find_anchors - under the name that the addresses were found under, else under the host's own (RFC 7672 2.2.2).  NULL, or why the host cannot
   be used. */
static const char *find_anchors(const struct host *host, struct arena *arena, struct tls_plan *plan, bool *any)
{
    unsigned port = net_address_port(&host->address);
    struct slice names[] = {host->canonical_name, host->name};
    struct tls_anchor *anchors;

    *any = false;
    for (size_t i = 0; i < COUNT_OF(names) && !*any; i++) {
        if (names[i].len == 0 || (i == 1 && slice_equal_case(names[0], names[1])))
            continue;
        struct dns_answer answer = look_up_anchors(names[i], port, arena);
        if (answer.status == DNS_TRY_AGAIN || answer.status == DNS_MALFORMED) {
            plan->results.failure = "dnssec-invalid";
            return arena_printf(arena, "TLSA lookup error for " SLICE_FORMAT ":%u", SLICE_ARGS(host->name), port);
        }
        if (answer.status != DNS_FOUND || !answer.authentic || answer.count == 0)
            continue;
        *any = true;
        plan->connect.anchor_count = take_anchors(&answer, arena, &anchors);
        plan->connect.anchors = anchors;
        plan->connect.anchor_domain = arena_string(arena, names[i]);
    }
    return NULL;
}

/* plan_without_validation - the name of the host was not validated: smtp_tls_dane_insecure_mx_policy.  False: go on with DANE. */
static bool plan_without_validation(const struct client_params *params, struct tls_plan *plan)
{
    enum tls_level level;

    plan->connect.insecure_mx = true;
    if (!tls_level_parse(slice_of(params->smtp_tls_dane_insecure_mx_policy), &level) || level == TLS_DANE)
        return false;
    plan->policy.level = level;
    return true;
}

/* plan_dane - what is left of DANE for this host.  NULL, or why the host cannot be used. */
static const char *plan_dane(const struct client_params *params, const struct host *host, struct arena *arena, struct tls_plan *plan)
{
    bool only = plan->policy.level == TLS_DANE_ONLY, any;
    struct net_address literal;

    if ((!host->secure_mx || !host->secure_address) && !net_address_parse(&literal, host->name, 0))
        dnssec_probe(params);

    if (only)
        plan->results.failure = "dane-required";
    if (!host->secure_mx && only)
        return "non DNSSEC destination";
    if (!host->secure_mx && plan_without_validation(params, plan))
        return NULL;
    if (!host->secure_address && !params->tls_force_insecure_host_tlsa_lookup) {
        plan->policy.level = TLS_MAY;
        return only ? "non DNSSEC destination" : NULL;
    }
    const char *trouble = find_anchors(host, arena, plan, &any);
    if (trouble)
        return trouble;
    if (any && plan->connect.anchor_count == 0) {
        plan->results.policy_type = "tlsa";
        plan->results.failure = "tlsa-invalid";
    } else if (any) {
        plan->results.failure = NULL;
    }
    if (plan->connect.anchor_count == 0) {
        plan->policy.level = any ? TLS_ENCRYPT : TLS_MAY;
        return !only ? NULL : any ? "no usable TLSA records" : "no TLSA records found";
    }
    return NULL;
}

/* plan_dane_without_dnssec - smtp_dns_support_level does not ask for DNSSEC: there can be no TLSA records. */
static const char *plan_dane_without_dnssec(struct tls_plan *plan)
{
    bool only = plan->policy.level == TLS_DANE_ONLY;

    log_warning("%s: %s configured with dnssec lookups disabled", plan->connect.next_hop, tls_level_name(plan->policy.level));
    plan->policy.level = TLS_MAY;
    return only ? "client TLS configuration problem" : NULL;
}

/* check_fingerprints - NULL, or why nobody can be who he should be. */
static const char *check_fingerprints(const struct client_params *params, const struct tls_plan *plan)
{
    if (!tls_client_is_ready(params->tls) || tls_client_fingerprints(params->tls, &plan->policy) > 0)
        return NULL;
    log_warning("nexthop domain %s: configured at fingerprint security level, but with no fingerprints to match.", plan->connect.next_hop);
    return "client TLS configuration problem";
}

static const char no_engine[] = "TLS is required, but our TLS engine is unavailable";

/* check_plan - NULL, or what cannot be. */
static const char *check_plan(const struct client_params *params, const struct tls_plan *plan)
{
    if (params->tls_params.tls_wrappermode && plan->policy.level < TLS_ENCRYPT) {
        log_warning("%s_tls_wrappermode requires \"%s_tls_security_level = encrypt\" (or stronger)", params->name, params->name);
        return "client TLS configuration problem";
    }
    if (params->tls_params.tls_wrappermode && !tls_client_is_ready(params->tls))
        return no_engine;
    return NULL;
}

/* check_server_name - NULL, or why it cannot be asked for. */
static const char *check_server_name(const struct client_params *params, const struct tls_plan *plan)
{
    const char *name = params->tls_params.tls_servername;

    if (plan->policy.server_name.len > 0 || name[0] == '\0' || tls_server_name_is_valid(slice_of(name)))
        return NULL;
    log_warning("\"%s_tls_servername = %s\" specifies an invalid hostname", params->name, name);
    return "client TLS configuration problem";
}

/* decide - what DANE, then MTA-STS, make of the level that is configured; an entry of a table stands above MTA-STS.  NULL, or why the host cannot be
   used. */
static const char *decide(const struct client_params *params, const struct host *host, struct arena *arena, struct tls_plan *plan, bool by_table)
{
    const char *trouble = NULL;

    if (host->destination && host->destination->mx_lookup && !by_table)
        plan->results.domain = plan->connect.next_hop;
    if (plan->policy.level == TLS_DANE || plan->policy.level == TLS_DANE_ONLY)
        trouble = strcmp(params->dns_support_level, "dnssec") == 0 ? plan_dane(params, host, arena, plan) : plan_dane_without_dnssec(plan);
    else if (plan->policy.level == TLS_FINGERPRINT)
        trouble = check_fingerprints(params, plan);
    else if (plan->policy.level >= TLS_VERIFY && params->tls && !tls_client_has_anchors(params->tls, &plan->policy))
        trouble = "client TLS configuration problem";
    if (!trouble && by_table)
        trouble = mta_sts_by_plugin(params, arena, plan);
    else if (!trouble && !tls_level_authenticates(plan->policy.level))
        trouble = mta_sts_apply(params, host, arena, plan);
    if (!trouble && plan->policy.level > TLS_NONE)
        trouble = check_server_name(params, plan);
    if (trouble) {
        log_warning("TLS policy lookup for %s/%s: %s", plan->connect.next_hop, plan->connect.host, trouble);
        tls_results_fail(params, host, plan, plan->results.failure ? plan->results.failure : "validation-failure", plan->results.reason_code);
    }
    return trouble;
}

struct tls_plan *starttls_plan(const struct client_params *params, const struct host *host, struct arena *arena, struct failure *failure)
{
    struct tls_plan *plan = arena_alloc(arena, sizeof(*plan));
    const struct destination *to = host->destination;
    const char *trouble = "client TLS configuration problem";
    bool decided;

    plan->connect.policy = &plan->policy;
    plan->connect.host = arena_string(arena, host->name);
    plan->connect.next_hop = arena_string(arena, to ? to->host : host->name);
    if (find_policy(params, to ? to->text : host->name, arena, plan, &decided))
        trouble = decided ? NULL : find_site(params, host, arena, plan, &decided);
    if (trouble)
        log_warning("TLS policy lookup for %s/%s: %s", plan->connect.next_hop, plan->connect.host, trouble);
    else
        trouble = decide(params, host, arena, plan, decided);
    if (!trouble)
        trouble = check_plan(params, plan);
    if (trouble) {
        fail(failure, NULL, arena, trouble == per_site_again ? "4.3.0" : "4.7.5", trouble);
        return NULL;
    }
    plan->keep = plan->policy.connection_reuse >= 0 ? plan->policy.connection_reuse : params->tls_params.tls_connection_reuse;
    return plan;
}

/* ---- handshakes ---- */

/* by_whom - a reason, with the policy of the domain that demands so much. */
static const char *by_whom(const struct tls_plan *plan, struct arena *arena, const char *reason)
{
    if (!plan->sts || strcmp(plan->sts, "enforce") != 0)
        return reason;
    return arena_printf(arena, "MTA-STS policy of %s: %s", plan->connect.next_hop, reason);
}

/* tell_of_testing - in testing mode nothing is demanded, but said. */
static void tell_of_testing(const struct session *session, const struct tls_facts *facts)
{
    if (session->plan->sts && strcmp(session->plan->sts, "testing") == 0 && !facts->trusted)
        log_warning("MTA-STS policy of %s: Server certificate of %s not verified: delivering all the same, the policy is in testing mode",
                    session->plan->connect.next_hop, session->relay);
}

static bool shake_hands(const struct client_params *params, struct session *session, struct arena *arena, struct failure *failure)
{
    static const char *const reasons[] = {[TLS_NOT_VERIFIED] = "Server certificate not verified", [TLS_NO_HANDSHAKE] = "Cannot start TLS: handshake failure",
                                          [TLS_NOT_POSSIBLE] = "client TLS configuration problem"};
    struct tls_connect connect = session->plan->connect;
    struct tls_facts *facts = arena_alloc(session->arena, sizeof(*facts));

    connect.policy = &session->plan->policy;
    connect.peer = session->relay;
    enum tls_connected result = tls_client_connect(params->tls, session->stream, &connect, params->tls_params.starttls_timeout, session->arena, facts);
    tls_results_tell(params, session, result, facts);
    if (result == TLS_CONNECTED) {
        tell_of_testing(session, facts);
        session->tls = facts;
        return true;
    }
    session->tls_failed = result == TLS_NO_HANDSHAKE;
    session->unusable |= result == TLS_NO_HANDSHAKE || result == TLS_NOT_POSSIBLE;
    fail(failure, session, arena, "4.7.5", by_whom(session->plan, arena, reasons[result]));
    return false;
}

bool starttls_wrap(const struct client_params *params, struct session *session, struct arena *arena, struct failure *failure)
{
    return !session->plan || !params->tls_params.tls_wrappermode || shake_hands(params, session, arena, failure);
}

/* begin_without - the server does not offer TLS, or refuses it: what its reply says of the time that lasts is believed. */
static bool begin_without(const struct client_params *params, struct session *session, const struct reply *reply, struct arena *arena,
                          struct failure *failure)
{
    tls_results_no_starttls(params, session);
    if (session->plan->policy.level <= TLS_MAY)
        return true;
    if (!reply) {
        const char *reason = arena_printf(arena, "TLS is required, but was not offered by host %s[%s]", session->host, session->address);
        fail(failure, session, arena, "4.7.4", by_whom(session->plan, arena, reason));
        return false;
    }
    const char *reason = arena_printf(arena, "TLS is required, but host %s[%s] refused to start TLS: " SLICE_FORMAT, session->host, session->address,
                                      SLICE_ARGS(reply->text));
    session_said(session, reply, "", arena, failure);
    failure->handshake = true;
    failure->relay = arena_strdup(arena, session->relay);
    failure->reason = arena_slice(arena, slice_of(by_whom(session->plan, arena, reason)));
    return false;
}

bool starttls_begin(const struct client_params *params, struct session *session, struct arena *arena, struct failure *failure)
{
    struct reply reply;

    if (!session->plan || session->tls)
        return true;
    if (session->plan->policy.level == TLS_NONE) {
        if (params->tls_note_starttls_offer && (session->features & EHLO_STARTTLS))
            log_info("Host offered STARTTLS: [%s]", session->host);
        return true;
    }
    if (!(session->features & EHLO_STARTTLS))
        return begin_without(params, session, NULL, arena, failure);
    if (!tls_client_is_ready(params->tls)) {
        if (session->plan->policy.level > TLS_MAY)
            fail(failure, session, arena, "4.7.5", no_engine);
        return session->plan->policy.level <= TLS_MAY;
    }
    session_say(session, SLICE("STARTTLS\r\n"));
    stream_flush(session->stream);
    if (!session_reply(session, params->tls_params.starttls_timeout, &reply)) {
        session_lost(session, "receiving the STARTTLS response", arena, failure);
        failure->handshake = true;
        failure->relay = arena_strdup(arena, session->relay);
        return false;
    }
    if (reply.code / 100 != 2)
        return begin_without(params, session, &reply, arena, failure);
    return shake_hands(params, session, arena, failure);
}

bool starttls_may_do_without(const struct client_params *params, const struct session *session, const struct delivery *delivery)
{
    bool broke = session->tls_failed || (session->tls && stream_error(session->stream) != STREAM_OK);

    return broke && session->plan->policy.level == TLS_MAY && !params->tls_params.tls_wrappermode
           && clock_wall() - delivery->request->envelope.arrival_time >= params->minimal_backoff_time;
}
