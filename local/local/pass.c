/* pass.c - hand a recipient to another transport (mailbox_transport, fallback_transport): we ask its agent ourselves */
#include "local.h"

#include "base/log.h"

static void add_results(struct job *job, const struct delivery_reply *reply)
{
    struct delivery *delivery = job->delivery;

    /* The other agent has written its log lines: the results go on as they are. */
    for (size_t i = 0; i < reply->results_count; i++) {
        struct delivery_result *result = &reply->results[i];
        if (result->address.len == 0)
            result->address = delivery->recipients[job->recipient].address;
        delivery_result_relay(delivery, job->recipient, result);
    }
}

void pass_on(struct job *job, const struct target *target, struct slice transport_and_next_hop)
{
    struct slice transport = transport_and_next_hop, next_hop = {0};
    struct delivery_request request = *job->delivery->request;
    struct recipient recipient = job->delivery->recipients[job->recipient];

    slice_cut(transport_and_next_hop, ':', &transport, &next_hop);
    if (next_hop.len == 0)
        next_hop = request.next_hop;
    request.transport = transport;
    request.next_hop = next_hop;
    request.envelope.recipients = &recipient;
    request.envelope.recipients_count = 1;
    request.envelope.sender = job->sender;
    if (!slice_equal_case(target->address, recipient.address)) {
        recipient.original = recipient_original(&recipient);
        recipient.address = target->address;
    }
    log_info(SLICE_FORMAT ": passing <" SLICE_FORMAT "> to transport=" SLICE_FORMAT, SLICE_ARGS(request.envelope.queue_id),
             SLICE_ARGS(recipient.address), SLICE_ARGS(transport));
    struct delivery_reply *reply = agent_ask(job->delivery, &request);
    if (reply != NULL)
        add_results(job, reply);
    else
        report_format(job, target->address, OUTCOME_DEFERRED, "4.3.0", "mail transport unavailable");
}
