/* main.c - the SMTP and LMTP client: delivery agent for other hosts (program names smtp and lmtp) */
#include "deliver.h"

int main(int argc, char **argv)
{
    static const struct agent agent = {
        .service = {.name = "smtp", .flags = SERVICE_MANY_CLIENTS | SERVICE_NO_FILES, .open = deliver_open, .start = deliver_start,
                    .end = deliver_end},
        .deliver = deliver,
        .lane_closed = deliver_lane_closed,
        .lane_patience = deliver_lane_patience,
        .lane_idle = deliver_lane_idle,
    };

    return agent_main(argc, argv, &agent);
}
