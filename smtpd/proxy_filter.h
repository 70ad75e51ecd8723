/* proxy_filter.h - smtpd_proxy_filter: a content filter in front of the queue, which gets the message while the client waits */
#ifndef POSTERN_SMTPD_PROXY_FILTER_H
#define POSTERN_SMTPD_PROXY_FILTER_H

#include "session.h"

struct proxy_filter;

/* proxy_filter_open - connect to the filter and greet it, tell it of the client (XFORWARD) and of the sender.  NULL: *refusal is for the client (memory
   of the scratch arena); the log has the details.  Waits. */
struct proxy_filter *proxy_filter_open(struct session *s, struct submit_outcome *refusal) MUST_CHECK;
/* proxy_filter_say - one more command; wanted: the first digit of the reply that is no refusal.  False: *refusal, in the arena.  Waits. */
bool proxy_filter_say(struct proxy_filter *p, struct slice command, int wanted, struct arena *arena, struct submit_outcome *refusal);
/* proxy_filter_content - after DATA: wire form, any pieces.  proxy_filter_end - the final dot; *outcome holds the filter's whole reply, accepted or
   not.  Wait. */
void proxy_filter_content(struct proxy_filter *p, struct slice data);
void proxy_filter_end(struct proxy_filter *p, struct arena *arena, struct submit_outcome *outcome);
/* proxy_filter_close - QUIT, or in the midst of content just the end of the connection, so that nothing is delivered.  NULL is fine.  Waits. */
void proxy_filter_close(struct proxy_filter *p);

#endif
