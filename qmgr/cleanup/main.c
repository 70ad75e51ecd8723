/* main.c - cleanup: the only way into the queue */
#include "cleanup.h"

int main(int argc, char **argv)
{
    static const struct service service = {.name = "cleanup", .flags = SERVICE_MANY_CLIENTS, .open = cleanup_open, .start = cleanup_start,
                                           .serve = cleanup_serve, .end = cleanup_end};
    return service_main(argc, argv, &service);
}
