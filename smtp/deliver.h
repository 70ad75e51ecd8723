/* deliver.h - deliver a message to the hosts of its next hop, one after the other, until all recipients are settled */
#ifndef POSTERN_SMTP_DELIVER_H
#define POSTERN_SMTP_DELIVER_H

#include "service/agent.h"

void deliver_open(struct service_context *context);
/* deliver_start - wake tlsmgr, which has reports to send.  deliver_end - tell it what it was not told yet.  Wait. */
void deliver_start(struct service_context *context);
void deliver_end(struct service_context *context);
void deliver(struct delivery *delivery);
/* The lane's kept session: closed with the lane, and when no request came for smtp_connection_cache_time_limit. */
void deliver_lane_closed(void *lane_state);
int64_t deliver_lane_patience(void *lane_state);
void deliver_lane_idle(void *lane_state);

#endif
