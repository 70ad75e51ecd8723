/* mta_sts.c - see mta_sts.h */
#include "mta_sts.h"

#include "base/log.h"
#include "service/tls_manager.h"

static struct slice lines_of(const struct mta_sts_policy *policy, struct arena *arena)
{
    struct buffer text = BUFFER_INIT;

    for (size_t i = 0; i < policy->pattern_count; i++)
        buffer_printf(&text, SLICE_FORMAT "\n", SLICE_ARGS(policy->patterns[i]));
    struct slice lines = arena_slice(arena, buffer_slice(&text));
    buffer_release(&text);
    return lines;
}

/* not_named - the host is none that the policy allows. */
static const char *not_named(const struct tls_plan *plan, struct arena *arena, bool enforce)
{
    const char *reason = arena_printf(arena, "MTA-STS policy of %s does not name the host %s", plan->connect.next_hop, plan->connect.host);

    if (enforce)
        return reason;
    log_warning("%s: delivering all the same, the policy is in testing mode", reason);
    return NULL;
}

static const char *apply(const struct mta_sts_policy *policy, struct arena *arena, struct tls_plan *plan)
{
    bool enforce = policy->mode == MTA_STS_ENFORCE;

    if (!mta_sts_matches(policy, slice_of(plan->connect.host))) {
        plan->results.failure = "validation-failure";
        plan->results.reason_code = "mx-mismatch";
        return not_named(plan, arena, enforce);
    }
    plan->connect.web_host = plan->connect.host;
    if (enforce) {
        plan->policy.level = TLS_SECURE;
        plan->policy.match = SLICE("hostname");
        plan->origin = "MTA-STS";
    } else if (plan->policy.level == TLS_NONE) {
        plan->policy.level = TLS_MAY; /* there is nothing to be tested in the clear */
    }
    plan->sts = enforce ? "enforce" : "testing";
    return NULL;
}

const char *mta_sts_apply(const struct client_params *params, const struct host *host, struct arena *arena, struct tls_plan *plan)
{
    struct buffer why = BUFFER_INIT_MAX(512);
    struct mta_sts_policy policy;
    const char *trouble = NULL;

    if (!params->smtp_tls_mta_sts || !params->tls_manager || !host->destination || !host->destination->mx_lookup)
        return NULL;
    struct mta_sts_reply *reply = tls_manager_policy(params->tls_manager, host->destination->host, arena);
    if (reply && reply->failure.len) {
        plan->results.policy_type = "sts";
        plan->results.failure = arena_string(arena, reply->failure);
        plan->results.reason_code = arena_string(arena, reply->reason);
    } else if (reply && reply->text.len && mta_sts_parse(reply->text, arena, &policy, &why) && policy.mode != MTA_STS_NONE) {
        plan->results.policy_type = "sts";
        plan->results.policy = reply->text;
        plan->results.patterns = lines_of(&policy, arena);
        trouble = apply(&policy, arena, plan);
    }
    buffer_release(&why);
    return trouble;
}

static bool is_named(struct slice patterns, struct slice host)
{
    struct slice pattern;

    while (slice_next_line(&patterns, &pattern))
        if (mta_sts_pattern_matches(pattern, host))
            return true;
    return false;
}

const char *mta_sts_by_plugin(const struct client_params *params, struct arena *arena, struct tls_plan *plan)
{
    struct tls_policy *policy = &plan->policy;

    if (!slice_equal_case(policy->policy_type, SLICE("sts")))
        return NULL;
    plan->results.domain = policy->policy_domain.len ? arena_string(arena, policy->policy_domain) : plan->connect.next_hop;
    plan->results.policy_type = "sts";
    plan->results.policy = policy->policy_strings;
    plan->results.patterns = policy->mx_patterns;
    if (policy->policy_failure.len)
        plan->results.failure = arena_string(arena, policy->policy_failure);
    if (!params->tls_params.tls_enforce_sts_mx_patterns || policy->mx_patterns.len == 0 || policy->level != TLS_SECURE)
        return NULL;
    if (!is_named(policy->mx_patterns, slice_of(plan->connect.host))) {
        plan->results.failure = "validation-failure";
        plan->results.reason_code = "mx-mismatch";
        return not_named(plan, arena, true);
    }
    policy->match = SLICE("hostname");
    return NULL;
}
