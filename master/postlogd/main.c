/* main.c - postlogd: writes log lines to maillog_file for programs that may not open it themselves */
#include <sys/socket.h>

#include "base/log.h"
#include "record.h"
#include "service/channel.h"
#include "service/service.h"

static char host[256];
static bool to_file;

static void open_log(struct service_context *context UNUSED)
{
    int type;
    socklen_t len = sizeof(type);
    to_file = getsockopt(WORKER_LOG_FD, SOL_SOCKET, SO_TYPE, &type, &len) < 0;
    if (gethostname(host, sizeof(host) - 1) < 0 || !host[0])
        snprintf(host, sizeof(host), "localhost");
    host[strcspn(host, ".")] = '\0';
}

static void take_record(struct service_context *context UNUSED, struct slice record)
{
    struct buffer line = BUFFER_INIT;
    /* With syslog the record goes on as it is. */
    struct slice out = record;
    if (to_file && record_to_line(record, host, &line))
        out = buffer_slice(&line);
    else if (to_file)
        out = slice_of("");
    if (out.len && write(WORKER_LOG_FD, out.data, out.len) < 0)
        log_warning("cannot write the log: %s", strerror(errno));
    buffer_release(&line);
}

int main(int argc, char **argv)
{
    static const struct service service = {
        .name = "postlogd", .flags = SERVICE_MANY_CLIENTS | SERVICE_SINGLE, .open = open_log, .datagram = take_record};
    return service_main(argc, argv, &service);
}
