/* main.c - qmgr: owns the queue and schedules deliveries */
#include "core.h"

static struct qmgr qmgr;

static void qmgr_open(struct service_context *context)
{
    core_configure(&qmgr, context->config);
}

static void qmgr_start(struct service_context *context UNUSED)
{
    core_start(&qmgr);
}

static void qmgr_serve(struct service_context *context UNUSED, struct service_client *client)
{
    clients_serve(&qmgr, client);
}

static void qmgr_reload(struct service_context *context)
{
    core_reconfigure(&qmgr, context->config);
}

static void qmgr_drain(struct service_context *context UNUSED)
{
    lanes_stop(&qmgr);
}

static void qmgr_end(struct service_context *context UNUSED)
{
    core_end(&qmgr);
}

int main(int argc, char **argv)
{
    static const struct service service = {
        .name = "qmgr", .flags = SERVICE_MANY_CLIENTS | SERVICE_SINGLE | SERVICE_RELOADS | SERVICE_NEVER_IDLE_EXIT | SERVICE_ENDS_LAST,
        .open = qmgr_open, .start = qmgr_start, .serve = qmgr_serve, .reload = qmgr_reload, .drain = qmgr_drain, .end = qmgr_end};
    return service_main(argc, argv, &service);
}
