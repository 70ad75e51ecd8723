/* dnssec_probe.c - see dnssec_probe.h */
#include "dnssec_probe.h"

#include "base/log.h"
#include "dns/dns.h"

static bool probed; /* of the process: all its lookups go to one resolver */

static bool parse_type(struct slice word, enum dns_type *type)
{
    static const struct { const char *name; enum dns_type type; } rows[] = {
        {"ns", DNS_NS}, {"mx", DNS_MX}, {"a", DNS_A}, {"aaaa", DNS_AAAA}, {"txt", DNS_TXT}, {"tlsa", DNS_TLSA},
    };

    for (size_t i = 0; i < COUNT_OF(rows); i++)
        if (slice_equal_case(word, slice_of(rows[i].name))) {
            *type = rows[i].type;
            return true;
        }
    return false;
}

void dnssec_probe(const struct client_params *params)
{
    struct slice text = slice_trim(slice_of(params->dnssec_probe)), word, name;
    enum dns_type type;

    if (probed || text.len == 0)
        return;
    probed = true;
    if (!slice_cut(text, ':', &word, &name) || name.len == 0 || !parse_type(word, &type)) {
        log_warning("malformed dnssec_probe value: %s", params->dnssec_probe);
        return;
    }
    struct arena *arena = arena_new(0);
    struct dns_answer answer = dns_query(name, type, arena);
    if (answer.status != DNS_FOUND || !answer.authentic) {
        log_warning("DNSSEC validation may be unavailable");
        if (answer.status != DNS_FOUND)
            log_warning("reason: dnssec_probe '%s' received no response: %s", params->dnssec_probe, dns_status_text(answer.status));
        else
            log_warning("reason: dnssec_probe '%s' received a response that is not DNSSEC validated", params->dnssec_probe);
    }
    arena_free(arena);
}
