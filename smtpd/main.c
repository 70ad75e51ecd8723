/* main.c - the SMTP server (program names smtpd and postscreen) */
#include "base/log.h"
#include "dns/dns.h"
#include "explain.h"
#include "gate.h"
#include "server.h"
#include "service/dns_reply_filter.h"
#include "session.h"

static bool is_gate;       /* master.cf says postscreen: we are that program, too */
static struct gate *gate;

static void open_server(struct service_context *context)
{
    struct dns_options options = {.servers = config_string(context->config, "dns_servers")};

    dns_reply_filter_open(context->config, "smtpd_dns_reply_filter", &options);
    dns_start(&options);
    gate = is_gate ? gate_open(context) : NULL;
    context->state = gate ? gate_server(gate) : server_new(context);
}

static void serve(struct service_context *context, struct service_client *client)
{
    if (gate)
        gate_serve(gate, client);
    else
        session_serve(context->state, client);
}

static int stand_alone(struct service_context *context, struct stream *stream)
{
    struct server *server = context->state;

    server->stand_alone = true;
    session_serve_local(server, stream);
    return 0;
}

int main(int argc, char **argv)
{
    static const struct service service = {
        .name = "smtpd",
        .flags = SERVICE_MANY_CLIENTS | SERVICE_NO_FILES | SERVICE_STAND_ALONE,
        .open = open_server,
        .serve = serve,
        .stand_alone = stand_alone,
    };

    if (argc > 1 && strcmp(argv[1], "--explain") == 0)
        return explain_main(argc, argv);
    is_gate = argc > 0 && gate_is_named(argv[0]);
    return service_main(argc, argv, &service);
}
