/* main.c - bounce: writes notifications and queues them (services bounce, defer and trace) */
#include "bounce.h"

int main(int argc, char **argv)
{
    static const struct service service = {
        .name = "bounce", .flags = SERVICE_MANY_CLIENTS, .open = bounce_open, .start = bounce_start, .serve = bounce_serve};

    return service_main(argc, argv, &service);
}
