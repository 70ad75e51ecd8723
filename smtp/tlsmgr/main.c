/* main.c - tlsmgr: what the SMTP client's TLS needs from elsewhere: MTA-STS policies from the web, and the daily reports

   Keys of session tickets and remembered sessions, which Postfix's tlsmgr keeps, are kept by smtpd and smtp themselves. */
#include "base/log.h"
#include "conf/interfaces.h"
#include "dns/dns.h"
#include "policies.h"
#include "service/service.h"
#include "tallies.h"

#define CONFIG_STRUCT struct tlsmgr_params

static const struct config_binding bindings[] = {CONFIG_BINDINGS(TLSMGR_PARAMETERS)};
static struct tlsmgr_params params;
static struct web *web;
static struct policies *policies;
static struct tallies *tallies;

enum { LANE_PATIENCE = 30 * 1000000 };

static void open_tlsmgr(struct service_context *context)
{
    config_fill(context->config, bindings, COUNT_OF(bindings), &params);
    web = web_open(&params, config_families(context->config));
    dns_start(&(struct dns_options){.servers = params.dns_servers});
}

static void start(struct service_context *context UNUSED)
{
    struct shared_store *store = store_new("private/anvil");

    policies = policies_new(&params, web, store);
    tallies = tallies_new(&params, web, store, submit_pool_new("public/cleanup"));
    tallies_start(tallies);
}

/* answer - false: no such request. */
static bool answer(struct lane *lane, int type, void *value, struct arena *arena)
{
    if (type == MESSAGE_mta_sts_request) {
        const struct mta_sts_request *request = value;
        struct mta_sts_reply reply = {0};
        policies_find(policies, request->domain, arena, &reply);
        lane_send(lane, MESSAGE_mta_sts_reply, &reply, -1);
    } else if (type == MESSAGE_tls_session) {
        tallies_count(tallies, value);
        lane_send(lane, MESSAGE_tls_session_reply, &(struct tls_session_reply){0}, -1);
    } else {
        return false;
    }
    return lane_flush(lane, clock_after(LANE_PATIENCE));
}

static void serve(struct service_context *context UNUSED, struct service_client *client)
{
    struct lane *lane = lane_accept(client->stream, clock_after(LANE_PATIENCE));
    struct arena *arena = arena_new(1024);
    void *value;
    int type;

    client->stream = NULL;
    while (lane && (type = service_receive(client, lane, arena, &value, CLOCK_NEVER)) > 0 && answer(lane, type, value, arena))
        arena_reset(arena);
    arena_free(arena);
    lane_free(lane);
}

static void drain(struct service_context *context UNUSED)
{
    if (service_is_stopping())
        web_stop();
}

static void end(struct service_context *context UNUSED)
{
    if (!service_is_stopping()) /* then the store has gone as well; what was not saved is of the last second */
        tallies_save(tallies);
    web_stop();
}

int main(int argc, char **argv)
{
    static const struct service service = {
        .name = "tlsmgr",
        .flags = SERVICE_MANY_CLIENTS | SERVICE_SINGLE | SERVICE_NO_FILES | SERVICE_NEVER_IDLE_EXIT,
        .open = open_tlsmgr,
        .start = start,
        .serve = serve,
        .drain = drain,
        .end = end,
    };

    setenv("UV_THREADPOOL_SIZE", "64", 0); /* requests wait there, not on each other */
    return service_main(argc, argv, &service);
}
