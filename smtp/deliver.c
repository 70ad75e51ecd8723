/* deliver.c - the hosts of a next hop, one after the other */
#include "deliver.h"

#include "auth.h"
#include "base/log.h"
#include "table/match.h"
#include "outgoing.h"
#include "starttls.h"
#include "service/dns_reply_filter.h"
#include "service/tls_manager.h"
#include "transfer.h"

#define SMTP_PORT 25

/* What a lane keeps between deliveries: at most one open session. */
struct lane_memory {
    struct session *kept;
};

/* The search for a host that takes the message. */
struct search {
    struct delivery *delivery;
    struct arena *arena;
    bool keep;                 /* connection caching is on for this destination */
    bool last_destination;     /* no fallback comes after */
    bool only_destination;     /* nor came one before */
    struct failure failure;    /* of the last host, or of the lookup */
    bool any_failure;
    bool fallback;             /* the present destination is a smtp_fallback_relay */
    char *relay;               /* of the last session, for what is left over */
};

static struct client_params params;
static struct match_list *cache_destinations;

static void open_tls_manager(void)
{
    struct buffer path = BUFFER_INIT;

    if (params.lmtp || !(params.smtp_tls_mta_sts || params.smtp_tls_reports))
        return;
    buffer_printf(&path, "private/%s", params.tlsmgr_service_name);
    params.tls_manager = tls_manager_new(buffer_string(&path));
    buffer_release(&path);
}

/* open_cleanup - for notices of sessions. */
static void open_cleanup(void)
{
    struct buffer path = BUFFER_INIT;

    if (!config_list_has(params.notify_classes, "protocol"))
        return;
    buffer_printf(&path, "public/%s", params.cleanup_service_name);
    params.cleanup = submit_pool_new(buffer_string(&path));
    buffer_release(&path);
}

void deliver_open(struct service_context *context)
{
    client_params_load(context->config, strcmp(program_invocation_short_name, "lmtp") == 0, &params);
    cache_destinations = match_list_new("smtp_connection_cache_destinations", params.connection_cache_destinations, MATCH_STRING_LIST, context->config);
    starttls_open(context->config, &params);
    open_tls_manager();
    params.debug_peers = match_list_new("debug_peer_list", params.debug_peer_level > 0 ? params.debug_peer_list : "", MATCH_ADDRESS_LIST, context->config);
    open_cleanup();
    params.outgoing = outgoing_open(context->config, &params);
    params.auth = auth_open(context->config, &params);
    hosts_load_own(context->config);
    struct dns_options dns = {.servers = params.dns_servers, .dnssec = strcmp(params.dns_support_level, "dnssec") == 0};
    dns_reply_filter_open(context->config, params.lmtp ? "lmtp_dns_reply_filter" : "smtp_dns_reply_filter", &dns);
    dns_start(&dns);
}

/* deliver_start - reports that are due are sent even if no mail comes. */
void deliver_start(struct service_context *context UNUSED)
{
    if (params.tls_manager && params.smtp_tls_reports)
        tls_manager_wake(params.tls_manager);
}

void deliver_end(struct service_context *context UNUSED)
{
    if (params.tls_manager)
        tls_manager_finish(params.tls_manager);
}

/* is_cache_destination - destinations are listed without brackets and port, sockets without "unix:"; as in a transport table will do, too. */
static bool is_cache_destination(const struct delivery *delivery, struct slice text)
{
    struct destination to;

    if (match_string(cache_destinations, text) == MATCH_YES)
        return true;
    return destination_parse(&params, text, delivery->arena, &to) &&
           match_string(cache_destinations, to.unix_path.len ? to.unix_path : to.host) == MATCH_YES;
}

static bool wants_connection_kept(const struct delivery *delivery)
{
    struct slice rest = delivery->request->next_hop, word;

    if ((delivery->request->flags & DELIVERY_KEEP_CONNECTION) && params.connection_cache_on_demand)
        return true;
    while (!match_list_is_empty(cache_destinations) && config_list_next(&rest, &word))
        if (is_cache_destination(delivery, word))
            return true;
    return false;
}

static bool all_settled(const struct delivery *delivery)
{
    for (size_t i = 0; i < delivery->recipient_count; i++)
        if (!delivery->settled[i])
            return false;
    return true;
}

/* ---- the kept session ---- */

static bool may_be_kept(const struct session *session)
{
    if (params.cleanup && session->protocol_trouble)
        return false; /* it is reported when it ends: at once */
    return session->keeps && !session->unusable && !session->says_goodbye && !session->quit_sent && clock_monotonic() - session->opened < params.connection_reuse_time_limit &&
           (params.connection_reuse_count_limit == 0 || session->uses <= params.connection_reuse_count_limit);
}

static void keep_or_close(struct search *search, struct session *session)
{
    struct lane_memory *memory = search->delivery->lane_state;

    if (!search->keep || !may_be_kept(session)) {
        session_close(&params, session);
        return;
    }
    if (memory == NULL)
        search->delivery->lane_state = memory = memory_zalloc(1, sizeof(*memory));
    session_close(&params, memory->kept);
    memory->kept = session;
    stream_trim(session->stream);
    search->delivery->reply.connection_kept = true;
}

/* take_kept - the lane's session if it goes to this next hop and is still good. */
static struct session *take_kept(struct delivery *delivery)
{
    struct lane_memory *memory = delivery->lane_state;
    struct session *session;

    if (memory == NULL || (session = memory->kept) == NULL)
        return NULL;
    memory->kept = NULL;
    if (!(delivery->request->envelope.send_options & SEND_REQUIRE_TLS) && slice_equal(slice_of(session->next_hop), delivery->request->next_hop) && session_is_alive(session) && may_be_kept(session))
        return session;
    session_close(&params, session);
    return NULL;
}

void deliver_lane_closed(void *lane_state)
{
    struct lane_memory *memory = lane_state;

    if (memory == NULL)
        return;
    session_close(&params, memory->kept);
    free(memory);
}

int64_t deliver_lane_patience(void *lane_state)
{
    const struct lane_memory *memory = lane_state;

    return memory->kept != NULL ? params.connection_cache_time_limit : CLOCK_NEVER;
}

void deliver_lane_idle(void *lane_state)
{
    struct lane_memory *memory = lane_state;

    session_close(&params, memory->kept);
    memory->kept = NULL;
}

/* ---- trying hosts ---- */

static void note_failure(struct search *search, const struct failure *failure, const char *relay)
{
    search->failure = *failure;
    search->any_failure = true;
    search->relay = relay != NULL ? arena_strdup(search->arena, relay) : NULL;
}

/* use_session - one transaction over an open session, which is kept or closed afterwards. */
static bool use_session(struct search *search, struct session *session, bool final)
{
    struct failure failure;
    struct transfer transfer = {&params, session, search->delivery, final, search->keep, false};

    session->uses++;
    search->delivery->connection_use = session->uses;
    search->delivery->connected_time = clock_wall();
    bool done = transfer_run(&transfer, &failure);
    if (!done) {
        note_failure(search, &failure, session->relay);
        transfer_settle_all(search->delivery, session->relay, &failure, final);
    }
    keep_or_close(search, session);
    return done;
}

/* try_kept - a session that the server closed in the meantime is no failure: the message goes the normal way. */
static void try_kept(struct search *search)
{
    struct session *session = take_kept(search->delivery);
    struct failure failure;

    if (session == NULL)
        return;
    struct transfer transfer = {&params, session, search->delivery, false, search->keep, session->only_host};
    session->uses++;
    search->delivery->connection_use = session->uses;
    search->delivery->connected_time = clock_wall();
    if (session->tls && (params.tls_params.log & TLS_LOG_SUMMARY))
        tls_facts_log(session->tls, "reused to", session->relay);
    if (!transfer_run(&transfer, &failure))
        log_debug(SLICE_FORMAT ": reused connection: " SLICE_FORMAT, SLICE_ARGS(search->delivery->request->envelope.queue_id),
                  SLICE_ARGS(failure.reason));
    keep_or_close(search, session);
}

static void try_hosts(struct search *search, const struct destination *destination, struct host *hosts, size_t count)
{
    int64_t sessions = 0;
    bool detect_loops = destination->port == SMTP_PORT && !params.lmtp && destination->unix_path.len == 0;

    count = hosts_limit(hosts, count, params.mx_address_limit > 0 ? (size_t)params.mx_address_limit : 0, params.balance_inet_protocols);
    for (size_t i = 0; i < count && !all_settled(search->delivery); i++) {
        struct failure failure;
        bool connected = false;
        struct session *session = session_open(&params, &hosts[i], search->delivery, detect_loops, &connected, &failure);
        if (session != NULL && ++sessions == params.mx_session_limit) /* those that got past the handshake */
            count = i + 1;
        bool final = i + 1 == count && search->last_destination;
        if (session != NULL) {
            session->only_host = final && i == 0 && search->only_destination;
            use_session(search, session, final);
            continue;
        }
        note_failure(search, &failure, failure.relay);
        if (failure.loop)
            return;
        if (connected && !final)
            transfer_settle_all(search->delivery, failure.relay ? failure.relay : "none", &failure, !failure.temporary);
    }
}

/* hand_over - best_mx_transport: we are the best host for the domain ourselves.  False: that is not configured. */
static bool hand_over(struct search *search)
{
    struct slice target = slice_of(params.best_mx_transport), transport = slice_first(target, slice_find(target, ':'));

    if (target.len == 0 || search->fallback)
        return false;
    if (slice_equal(transport, search->delivery->request->transport)) {
        log_warning("best_mx_transport=%s would ask itself", params.best_mx_transport);
        return false;
    }
    for (size_t i = 0; i < search->delivery->recipient_count; i++)
        if (!search->delivery->settled[i])
            log_info(SLICE_FORMAT ": passing <" SLICE_FORMAT "> to transport=" SLICE_FORMAT, SLICE_ARGS(search->delivery->request->envelope.queue_id),
                     SLICE_ARGS(search->delivery->recipients[i].address), SLICE_ARGS(transport));
    agent_hand_over(search->delivery, target);
    return true;
}

static void try_destination(struct search *search, struct slice text)
{
    struct destination destination;
    struct host_failure why;
    struct host *hosts;

    if (!destination_parse(&params, text, search->arena, &destination)) {
        struct failure failure = {.temporary = true, .status = "4.3.5", .handshake = true};
        failure.reason = arena_format(search->arena, "bad next-hop destination: " SLICE_FORMAT, SLICE_ARGS(text));
        note_failure(search, &failure, NULL);
        return;
    }
    size_t count = hosts_find(&params, &destination, search->arena, &hosts, &why);
    if (count == 0 && why.loop && hand_over(search))
        return;
    if (count == 0) {
        struct failure failure = {.temporary = why.temporary, .status = why.status, .reason = why.reason, .handshake = true, .loop = why.loop};
        note_failure(search, &failure, NULL);
        return;
    }
    try_hosts(search, &destination, hosts, count);
}

/* settle_rest - what no host took. What looks like a fault of our own configuration is not held against the sender. */
static void settle_rest(struct search *search)
{
    struct delivery *delivery = search->delivery;
    struct failure failure = search->failure;

    if (all_settled(delivery))
        return;
    if (!search->any_failure)
        failure = (struct failure){.temporary = true, .status = "4.4.1", .reason = SLICE("no server took the message")};
    if (failure.temporary && failure.unless_last)
        failure.temporary = false;
    else if (!failure.temporary && search->fallback) {
        log_warning("%s_fallback_relay configuration problem", params.lmtp ? "lmtp" : "smtp");
        failure.temporary = true;
        failure.status = "4.3.5";
    } else if (!failure.temporary && slice_equal(delivery->request->next_hop, slice_of(params.relayhost))) {
        log_warning("relayhost configuration problem");
        failure.temporary = true;
        failure.status = "4.3.5";
    }
    if (failure.temporary && failure.handshake) {
        delivery->reply.site_failure = true;
        delivery->reply.site_status = arena_slice(delivery->arena, slice_of(failure.status));
        delivery->reply.site_reason = failure.reason;
    }
    transfer_settle_all(delivery, search->relay != NULL ? search->relay : "none", &failure, true);
}

void deliver(struct delivery *delivery)
{
    struct search search = {.delivery = delivery, .arena = delivery->arena, .keep = wants_connection_kept(delivery)};
    struct slice rest = delivery->request->next_hop, word, fallbacks = slice_of(params.fallback_relay), all[64];
    size_t primary = 0, count = 0;

    try_kept(&search);
    while (count < COUNT_OF(all) && config_list_next(&rest, &word))
        all[count++] = word;
    primary = count;
    while (count < COUNT_OF(all) && config_list_next(&fallbacks, &word))
        all[count++] = word;
    for (size_t i = 0; i < count && !all_settled(delivery); i++) {
        search.last_destination = i + 1 == count;
        search.only_destination = count == 1;
        search.fallback = i >= primary;
        try_destination(&search, all[i]);
        if (search.failure.loop)
            break; /* fallback relays are no way out of a loop */
    }
    settle_rest(&search);
}
