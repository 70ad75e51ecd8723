/* main.c - the agents that deliver nothing: error (bounce with the next hop as reason), retry (defer), discard (compat.md g.5) */
#include "address/mail_address.h"
#include "base/log.h"
#include "service/agent.h"

struct kind {
    const char *program;
    int outcome;
    const char *default_status;
};

static const struct kind kinds[] = {
    {"error", OUTCOME_BOUNCED, "5.0.0"},
    {"retry", OUTCOME_DEFERRED, "4.0.0"},
    {"discard", OUTCOME_SENT, "2.0.0"},
};

/* kind_of - by the program's name; retry is a service name in master.cf whose program is error. */
static const struct kind *kind_of(const struct delivery *delivery)
{
    if (strcmp(program_invocation_short_name, "discard") == 0)
        return &kinds[2];
    return &kinds[strcmp(delivery->context->service_name, "retry") == 0];
}

static void deliver(struct delivery *delivery)
{
    const struct kind *kind = kind_of(delivery);
    struct slice text = delivery->request->next_hop, rest;
    struct status_code code;
    char status[STATUS_CODE_TEXT];

    snprintf(status, sizeof(status), "%s", kind->default_status);
    if (status_code_parse(text, &code, &rest)) {
        status_code_format(code, status);
        if (status[0] != kind->default_status[0]) { /* a code that contradicts the outcome says nothing */
            if (kind->outcome != OUTCOME_SENT)
                log_warning("%s: ignoring dsn code \"%s\"", kind->outcome == OUTCOME_BOUNCED ? "bounce_append" : "defer_append", status);
            snprintf(status, sizeof(status), "%c.0.0", kind->default_status[0]);
        }
        text = rest;
    }
    for (size_t i = 0; i < delivery->recipient_count; i++) {
        struct delivery_status result = {.outcome = kind->outcome, .status = status, .relay = "none", .reason = text,
                                         .action = kind->outcome == OUTCOME_SENT ? "delivered" : NULL};
        if (kind->outcome == OUTCOME_SENT && slice_is_empty(text))
            result.reason = mail_address_domain(delivery->recipients[i].address);
        delivery_result(delivery, i, &result);
    }
}

int main(int argc, char **argv)
{
    static const struct agent agent = {.service = {.name = "error", .flags = SERVICE_MANY_CLIENTS | SERVICE_NO_FILES}, .deliver = deliver};

    return agent_main(argc, argv, &agent);
}
