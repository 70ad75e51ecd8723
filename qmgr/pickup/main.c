/* main.c - pickup: looks into maildrop/ at every trigger, and when master wakes it */
#include <sys/stat.h>

#include "base/log.h"
#include "pickup.h"

#define CONFIG_STRUCT struct pickup_params
static const struct config_binding bindings[] = {CONFIG_BINDINGS(PICKUP_PARAMETERS)};

static struct pickup pickup;
static struct condition wanted = {.waiters = {&wanted.waiters, &wanted.waiters}};
static struct condition idle = {.waiters = {&idle.waiters, &idle.waiters}};
static bool scanning;
static bool scan_wanted = true; /* at the start too: what was dropped while the system was down */

/* receive_overrides - the SUBMIT_ bits of receive_override_options. */
static int receive_overrides(const char *value)
{
    static const struct {
        const char *name;
        int bit;
    } names[] = {{"no_unknown_recipient_checks", SUBMIT_NO_UNKNOWN_RECIPIENT_CHECKS},
                 {"no_address_mappings", SUBMIT_NO_ADDRESS_MAPPING},
                 {"no_header_body_checks", SUBMIT_NO_HEADER_BODY_CHECKS},
                 {"no_milters", SUBMIT_NO_MILTERS}};
    struct slice rest = slice_of(value), element;
    int bits = 0;
    while (config_list_next(&rest, &element)) {
        int bit = 0;
        for (size_t i = 0; i < COUNT_OF(names); i++)
            bit |= slice_equal_case(element, slice_of(names[i].name)) ? names[i].bit : 0;
        if (!bit)
            log_fatal("unknown receive_override_options value \"" SLICE_FORMAT "\" in \"%s\"", SLICE_ARGS(element), value);
        bits |= bit;
    }
    return bits;
}

static void open_pickup(struct service_context *context)
{
    struct buffer path = BUFFER_INIT;
    config_fill(context->config, bindings, COUNT_OF(bindings), &pickup.params);
    pickup.submit_options = receive_overrides(pickup.params.receive_override_options) | SUBMIT_BOUNCE;
    buffer_printf(&path, "public/%s", pickup.params.cleanup_service_name);
    pickup.pool = submit_pool_new(buffer_string(&path));
    buffer_release(&path);
}

static void scan_for_ever(void *arg UNUSED)
{
    for (;;) {
        while (!scan_wanted)
            condition_wait(&wanted, CLOCK_NEVER);
        scan_wanted = false;
        scanning = true;
        pickup_scan(&pickup);
        scanning = false;
        condition_broadcast(&idle);
    }
}

static void want_scan(void)
{
    scan_wanted = true;
    condition_signal(&wanted);
}

static void start_pickup(struct service_context *context UNUSED)
{
    fiber_start("scan", scan_for_ever, NULL);
}

/* serve - whatever comes is a trigger: old configurations send other letters than W. */
static void serve(struct service_context *context UNUSED, struct service_client *client)
{
    stream_set_deadline(client->stream, clock_after(MICROSECONDS));
    stream_read_some(client->stream, 16);
    want_scan();
}

/* end_pickup - a message that cleanup has and maildrop still has would be there twice: let what runs come to its end. */
static void end_pickup(struct service_context *context UNUSED)
{
    while (scanning)
        condition_wait(&idle, CLOCK_NEVER);
}

static void take_trigger(struct service_context *context UNUSED, struct slice data UNUSED)
{
    want_scan();
}

int main(int argc, char **argv)
{
    static const struct service service = {.name = "pickup",
                                           .flags = SERVICE_MANY_CLIENTS | SERVICE_SINGLE,
                                           .open = open_pickup,
                                           .start = start_pickup,
                                           .serve = serve,
                                           .datagram = take_trigger,
                                           .end = end_pickup};
    return service_main(argc, argv, &service);
}
