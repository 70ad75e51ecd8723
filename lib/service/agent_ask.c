/* agent_ask.c - one delivery agent asks another to deliver, as qmgr would */
#include "base/log.h"
#include "ipc/lane.h"
#include "service/agent.h"

static const int64_t connect_timeout = 60 * MICROSECONDS, answer_timeout = 3600 * MICROSECONDS;

struct delivery_reply *agent_ask(const struct delivery *delivery, struct delivery_request *request)
{
    const char *path = arena_printf(delivery->arena, "private/" SLICE_FORMAT, SLICE_ARGS(request->transport));
    struct lane *lane = lane_connect(path, clock_after(connect_timeout));
    struct delivery_reply *reply = NULL;

    request->content_attached = true;
    request->flags &= ~(DELIVERY_KEEP_CONNECTION | DELIVERY_TELL_WRITTEN);
    if (lane)
        reply = lane_call(lane, MESSAGE_delivery_request, request, delivery->content_fd, MESSAGE_delivery_reply, delivery->arena,
                          clock_after(answer_timeout));
    if (!reply)
        log_warning("connect to transport %s: %s", path, lane ? "the agent went away" : strerror(errno));
    lane_free(lane);
    return reply;
}

/* hand_over_one - one recipient to a request: not every agent takes more. */
static void hand_over_one(struct delivery *delivery, size_t recipient, struct slice transport, struct slice next_hop)
{
    struct delivery_request request = *delivery->request;
    struct recipient copy = delivery->recipients[recipient];

    request.transport = transport;
    request.next_hop = next_hop.len > 0 ? next_hop : request.next_hop;
    request.envelope.recipients = &copy;
    request.envelope.recipients_count = 1;
    struct delivery_reply *reply = agent_ask(delivery, &request);
    for (size_t i = 0; reply && i < reply->results_count; i++)
        delivery_result_relay(delivery, recipient, &reply->results[i]);
    if (!delivery->settled[recipient])
        delivery_result_format(delivery, recipient, OUTCOME_DEFERRED, "4.3.0", "none", "mail transport unavailable");
}

void agent_hand_over(struct delivery *delivery, struct slice transport_and_next_hop)
{
    struct slice transport = transport_and_next_hop, next_hop = {0};

    slice_cut(transport_and_next_hop, ':', &transport, &next_hop);
    for (size_t i = 0; i < delivery->recipient_count; i++)
        if (!delivery->settled[i])
            hand_over_one(delivery, i, transport, next_hop);
}
