/* params.c - parameters of qmgr */
#include "params.h"

#include "base/log.h"
#include "conf/master_cf.h"

enum { LANES_MAX = 5000 /* of one transport: each costs a descriptor here and a fiber there */, JITTER_SHARE = 10 };

#define CONFIG_STRUCT struct qmgr_params
static const struct config_binding bindings[] = {CONFIG_BINDINGS(QMGR_PARAMETERS)};

/* Problems of master.cf are master's to tell. */
static void ignore_report(void *context UNUSED, bool fatal UNUSED, const char *file UNUSED, int line UNUSED, const char *text UNUSED)
{
}

/* serves_many - programs whose workers serve many lanes at once. */
static bool serves_many(const char *command)
{
    static const char *const one_client[] = {"local", "virtual", "pipe", "spawn"};
    for (size_t i = 0; i < COUNT_OF(one_client); i++) {
        if (strcmp(command, one_client[i]) == 0)
            return false;
    }
    return true;
}

static uintptr_t lanes_of(const struct qmgr_params *params, const struct master_service *service)
{
    int64_t limit = service->process_limit;
    if (limit < 0)
        limit = serves_many(service->command) ? params->default_client_limit : params->default_process_limit;
    return limit <= 0 || limit > LANES_MAX ? LANES_MAX : (uintptr_t)limit;
}

static void read_master_cf(struct qmgr_params *params)
{
    struct arena *arena = arena_new(0);
    struct master_cf services;
    params->lane_limits = map_new(NULL);
    if (master_cf_load(config_directory(params->config), params->config, arena, ignore_report, NULL, &services)) {
        for (size_t i = 0; i < services.count; i++) {
            const struct master_service *service = &services.services[i];
            if (service->type == SERVICE_UNIX)
                map_set(params->lane_limits, slice_of(service->name), (void *)lanes_of(params, service));
        }
    }
    arena_free(arena);
}

void qmgr_params_fill(struct qmgr_params *params, struct config *config)
{
    *params = (struct qmgr_params){.config = config};
    config_fill(config, bindings, COUNT_OF(bindings), params);
    read_master_cf(params);
    /* What is due is tried when it is due, not at the next look at the queue.  Who asks for fewer looks than for attempts gets what he asks for. */
    params->shortest_delay = params->minimal_backoff_time;
    if (config_raw(config, SLICE("queue_run_delay"), NULL) && params->queue_run_delay > params->shortest_delay)
        params->shortest_delay = params->queue_run_delay;
}

void qmgr_params_release(struct qmgr_params *params)
{
    map_free(params->lane_limits);
    params->lane_limits = NULL;
}

static bool list_names(const char *list, struct slice name)
{
    struct slice rest = slice_of(list), element;
    while (config_list_next(&rest, &element)) {
        if (slice_equal(element, name))
            return true;
    }
    return false;
}

/* tell_feedback - destination_concurrency_feedback_debug: what it will be. */
static void tell_feedback(const struct qmgr_params *params, const char *transport, const char *suffix, const struct feedback *feedback)
{
    struct buffer name = BUFFER_INIT;
    int64_t window = config_transport_int(params->config, transport, "initial_destination_concurrency");
    buffer_printf(&name, "%s_%s", transport, suffix);
    bool own = config_raw(params->config, buffer_slice(&name), NULL) != NULL;
    log_info("%s: %s_%s feedback type %d value at %lld: %g", transport, own ? transport : "default", suffix, (int)feedback->form, (long long)window,
             feedback_step(feedback, (unsigned)window));
    buffer_release(&name);
}

static void read_feedback(const struct qmgr_params *params, const char *transport, const char *suffix, struct feedback *feedback)
{
    const char *text = config_transport_string(params->config, transport, suffix);
    if (!feedback_parse(slice_of(text), feedback)) {
        log_warning("%s_%s: malformed value \"%s\": using 1", transport, suffix, text);
        *feedback = (struct feedback){.amount = 1};
    }
    if (params->destination_concurrency_feedback_debug)
        tell_feedback(params, transport, suffix, feedback);
}

void qmgr_params_limits(const struct qmgr_params *params, struct slice name, struct transport_limits *limits)
{
    struct config *config = params->config;
    char *transport = slice_string(name);
    uintptr_t lanes = (uintptr_t)map_get(params->lane_limits, name);
    *limits = (struct transport_limits){
        .initial_concurrency = config_transport_int(config, transport, "initial_destination_concurrency"),
        .concurrency_limit = config_transport_int(config, transport, "destination_concurrency_limit"),
        .recipient_limit = config_transport_int(config, transport, "destination_recipient_limit"),
        .destination_rate_delay = config_transport_time(config, transport, "destination_rate_delay"),
        .transport_rate_delay = config_transport_time(config, transport, "transport_rate_delay"),
        .failed_cohort_limit = config_transport_int(config, transport, "destination_concurrency_failed_cohort_limit"),
        .retry_time = params->transport_retry_time,
        .dead_time = params->minimal_backoff_time,
        .lane_limit = lanes ? (unsigned)lanes : (unsigned)params->default_process_limit,
        .debug = params->destination_concurrency_feedback_debug,
        .deferred = list_names(params->defer_transports, name),
        .is_sink = slice_equal(name, slice_of(params->error_service_name)) || slice_equal(name, SLICE(RETRY_TRANSPORT)),
    };
    read_feedback(params, transport, "destination_concurrency_positive_feedback", &limits->positive);
    read_feedback(params, transport, "destination_concurrency_negative_feedback", &limits->negative);
    free(transport);
}

int64_t qmgr_params_retry_delay(const struct qmgr_params *params, int64_t age, uint32_t random)
{
    int64_t delay = age;
    if (delay > params->maximal_backoff_time)
        delay = params->maximal_backoff_time;
    if (delay < params->shortest_delay)
        delay = params->shortest_delay;
    /* What was deferred together must not come back together. */
    return delay + (int64_t)((double)delay / JITTER_SHARE * ((double)random / UINT32_MAX));
}

int64_t qmgr_params_lifetime(const struct qmgr_params *params, struct slice sender)
{
    return sender.len ? params->maximal_queue_lifetime : params->bounce_queue_lifetime;
}
