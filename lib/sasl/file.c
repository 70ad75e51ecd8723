/* file.c - placeholder until the table back end is there */
#include "base/log.h"
#include "sasl/driver.h"

static void *open_file(struct sasl_server *server)
{
    return server;
}

static const struct sasl_mechanism *mechanisms(struct sasl_server *server UNUSED, size_t *count)
{
    *count = 0;
    return NULL;
}

static void step(struct sasl_exchange *exchange UNUSED, bool has_response UNUSED, struct slice response UNUSED, struct sasl_answer *answer)
{
    *answer = (struct sasl_answer){.outcome = SASL_TEMPORARY, .layer = SASL_LAYER_BACKEND_DOWN, .reason = SLICE("Authentication is not available")};
}

const struct sasl_driver sasl_driver_file = {"file", open_file, NULL, mechanisms, step, NULL};
