/* main.c - postkick: a request of a few bytes to a service (compat.md j.8) */
#include <getopt.h>
#include <signal.h>

#include "base/log.h"
#include "service/command.h"
#include "service/trigger.h"

static const char help[] =
    "Usage: postkick [-v] [-c config_dir] class service request\n"
    "Sends a request to the socket of a service; the class is public or private.\n"
    "  -c config_dir  the directory of main.cf\n"
    "  -v  more messages\n"
    "See postkick(1).\n";

int main(int argc, char **argv)
{
    const char *directory = NULL;
    int letter;
    command_start("postkick");
    command_help(argc, argv, help);
    signal(SIGPIPE, SIG_IGN);
    opterr = 0;
    while ((letter = getopt(argc, argv, "c:v")) > 0) {
        if (letter == 'c')
            directory = optarg;
        else if (letter == 'v')
            log_verbose++;
        else
            log_fatal("usage: postkick [-c config_dir] [-v] class service request");
    }
    if (argc - optind != 3)
        log_fatal("usage: postkick [-c config_dir] [-v] class service request");
    struct config *config = command_config(directory, false);
    command_queue_directory(config);
    const char *class_name = argv[optind], *service = argv[optind + 1];
    if (strcmp(class_name, "public") != 0 && strcmp(class_name, "private") != 0)
        log_fatal("unknown class: %s", class_name);
    if (strchr(service, '/'))
        log_fatal("bad service name: %s", service);
    bool sent = trigger_send(class_name, service, slice_of(argv[optind + 2]));
    if (!sent) {
        log_warning("unable to look up %s/%s: %s", class_name, service, strerror(errno));
        log_warning("Cannot contact class %s service %s - perhaps the mail system is down", class_name, service);
    }
    config_free(config);
    return sent ? 0 : 1;
}
