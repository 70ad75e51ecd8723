/* main.c - the SMTP server (program names smtpd and postscreen) */
#include "base/log.h"
#include "dns/dns.h"
#include "server.h"
#include "service/dns_reply_filter.h"
#include "session.h"

static bool named_postscreen; /* master.cf says postscreen: we are that program, too */

static void open_server(struct service_context *context)
{
    struct dns_options options = {.servers = config_string(context->config, "dns_servers")};

    dns_reply_filter_open(context->config, "smtpd_dns_reply_filter", &options);
    dns_start(&options);
    context->state = server_new(context);
    if (named_postscreen)
        log_warning("postscreen tests are not yet supported: clients are served as by smtpd");
}

static void serve(struct service_context *context, struct service_client *client)
{
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

    const char *name = argc > 0 && strrchr(argv[0], '/') ? strrchr(argv[0], '/') + 1 : argc > 0 ? argv[0] : "";
    named_postscreen = strcmp(name, "postscreen") == 0;
    return service_main(argc, argv, &service);
}
