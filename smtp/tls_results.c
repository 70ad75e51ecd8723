/* tls_results.c - see tls_results.h */
#include "tls_results.h"

#include <openssl/x509_vfy.h>

#include "base/log.h"
#include "service/tls_manager.h"

#define NOT_OFFERED "starttls-not-supported"

/* lines_of_anchors - TLSA records as they are published. */
static struct slice lines_of_anchors(const struct tls_connect *connect, struct arena *arena)
{
    struct buffer text = BUFFER_INIT_MAX(8192);

    for (size_t i = 0; i < connect->anchor_count; i++) {
        const struct tls_anchor *a = &connect->anchors[i];
        buffer_printf(&text, "%u %u %u ", a->usage, a->selector, a->matching);
        for (size_t k = 0; k < a->data.len; k++)
            buffer_printf(&text, "%02x", (unsigned char)a->data.data[k]);
        buffer_append_byte(&text, '\n');
    }
    struct slice lines = arena_slice(arena, buffer_slice(&text));
    buffer_release(&text);
    return lines;
}

static void log_result(const struct tls_session *told)
{
    log_info("TLSRPT: status=%s, domain=" SLICE_FORMAT ", receiving_mx=" SLICE_FORMAT "%s" SLICE_FORMAT, told->failure.len ? "failure" : "success",
             SLICE_ARGS(told->domain), SLICE_ARGS(told->receiving_host), told->failure.len ? ", failure_type=" : "", SLICE_ARGS(told->failure));
}

static void tell(const struct client_params *params, const struct tls_plan *plan, struct slice receiving_address, const char *sending_address,
                 const char *failure, const char *reason_code)
{
    if (!params->smtp_tls_reports || !params->tls_manager || !plan->results.domain || plan->results.silent)
        return;
    struct arena *arena = arena_new(1024);
    bool dane = plan->connect.anchor_count > 0 && plan->results.policy_type == NULL;
    struct tls_session told = {.domain = slice_of(plan->results.domain), .policy = plan->results.policy, .patterns = plan->results.patterns,
                               .failure = slice_of(failure), .reason_code = slice_of(reason_code), .receiving_host = slice_of(plan->connect.host),
                               .receiving_address = receiving_address, .sending_address = slice_of(sending_address)};
    told.policy_type = slice_of(plan->results.policy_type ? plan->results.policy_type : dane ? "tlsa" : "no-policy-found");
    if (dane) {
        told.policy = lines_of_anchors(&plan->connect, arena);
        told.patterns = slice_of(plan->connect.host);
    }
    log_result(&told);
    tls_manager_tell(params->tls_manager, &told);
    arena_free(arena);
}

void tls_results_fail(const struct client_params *params, const struct host *host, const struct tls_plan *plan, const char *failure,
                      const char *reason_code)
{
    struct buffer address = BUFFER_INIT;

    net_address_text(&host->address, &address);
    tell(params, plan, buffer_slice(&address), NULL, failure, reason_code);
    buffer_release(&address);
}

/* tell_session - the same with what a connection knows. */
static void tell_session(const struct client_params *params, const struct session *session, const char *failure, const char *reason_code)
{
    const struct tls_plan *plan = session->plan;
    struct net_address local = {.len = sizeof(local.u)};
    struct buffer address = BUFFER_INIT;

    if (plan->results.failure) { /* the policy is what failed, whatever the host did */
        failure = plan->results.failure;
        reason_code = plan->results.reason_code;
    }
    if (getsockname(stream_fd(session->stream), &local.u.any, &local.len) == 0)
        net_address_text(&local, &address);
    tell(params, plan, slice_of(session->address), buffer_string(&address), failure, reason_code);
    buffer_release(&address);
}

static const char *failure_of(long verify_result)
{
    switch (verify_result) {
    case X509_V_ERR_HOSTNAME_MISMATCH:
        return "certificate-host-mismatch";
    case X509_V_ERR_CERT_HAS_EXPIRED:
        return "certificate-expired";
    case X509_V_ERR_DANE_NO_MATCH:
        return "tlsa-invalid";
    default:
        return "certificate-not-trusted";
    }
}

void tls_results_tell(const struct client_params *params, const struct session *session, enum tls_connected result, const struct tls_facts *facts)
{
    const struct tls_plan *plan = session->plan;
    bool wanted = plan->connect.web_host || tls_level_authenticates(plan->policy.level);

    if (result == TLS_NO_HANDSHAKE)
        tell_session(params, session, "validation-failure", "handshake-failure");
    else if ((result == TLS_CONNECTED || result == TLS_NOT_VERIFIED) && wanted && !facts->has_certificate)
        tell_session(params, session, "validation-failure", "no-certificate");
    else if ((result == TLS_CONNECTED || result == TLS_NOT_VERIFIED) && wanted && !facts->trusted)
        tell_session(params, session, failure_of(facts->verify_result), X509_verify_cert_error_string(facts->verify_result));
    else if (result == TLS_CONNECTED)
        tell_session(params, session, NULL, NULL);
}

void tls_results_no_starttls(const struct client_params *params, const struct session *session)
{
    tell_session(params, session, NOT_OFFERED, NULL);
}
