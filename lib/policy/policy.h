/* policy.h - asking a policy server: a program of somebody else's that is told about a client and answers with an action of access(5) (compat.md h.1)

   A request is lines "name=value" and an empty line; the answer "action=..." and an empty line.  Connections are kept for the next request; so many
   sessions can ask at a time as there are.  The room knows the wire; what is told and what is done with the answer is the caller's. */
#ifndef POSTERN_POLICY_POLICY_H
#define POSTERN_POLICY_POLICY_H

#include "base/buffer.h"
#include "conf/config.h"
#include "net/stream.h"

struct policy;

/* policy_open - text: "inet:host:port", "unix:path", or "{ endpoint, name = value, ... }" with timeout, max_idle, max_ttl, request_limit, retry_delay,
   try_limit, default_action, policy_context in the place of smtpd_policy_service_NAME.  Host names are resolved here.  NULL (logged) when malformed.
   policy_close - closes all connections; NULL is fine. */
struct policy *policy_open(struct slice text, struct config *config) MUST_CHECK;
void policy_close(struct policy *policy);

/* policy_put - append one attribute to a request: control characters of the value become '?'. */
void policy_put(struct buffer *request, const char *name, struct slice value);
void policy_put_number(struct buffer *request, const char *name, int64_t value);

/* policy_ask - send the attributes and append the action to *action; false (logged) after try_limit failures.  Waits. */
bool policy_ask(struct policy *policy, struct slice request, struct buffer *action);
/* policy_default_action - what is to be done when there is no answer.  policy_context - the value of policy_context. */
struct slice policy_default_action(const struct policy *policy);
struct slice policy_context(const struct policy *policy);

/* policy_read_reply - an answer: 0 and the action, or an errno (tests, fuzzing).  Waits. */
int policy_read_reply(struct stream *stream, struct buffer *action);
/* policy_reply_line - one line of an answer, without its end; *action is set when it is the action.  False: it is no "name=value" (tests, fuzzing). */
bool policy_reply_line(struct slice line, struct slice *action);

#endif
